"""Snapshots: what they hold, whose they are, and that a training which was killed goes on as if it had not been."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers.training.snapshots import read_state

from .conftest import NET

FORMATS = ("BINARYPROTO", "HDF5")
KILLS = int(os.environ.get("CAFFE_FILLERS_TRAINING_KILLS", "2"))

# what goes on from pass to pass: records with crops and mirrors, Dropout, inputs that are drawn, a recurrent state
LIVELY = """
name: "lively"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 crop_size: 8 mirror: true }
  data_param { source: "mnist_train_lmdb" batch_size: 7 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 crop_size: 8 }
  data_param { source: "mnist_test_lmdb" batch_size: 9 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { name: "w" } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 12 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "ip" top: "ip" }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "noise" type: "DummyData" top: "noise" include { phase: TRAIN }
  dummy_data_param { shape { dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "silence" type: "Silence" bottom: "noise" include { phase: TRAIN } }
layer { name: "out" type: "InnerProduct" bottom: "ip" top: "out"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }
"""
LIVELY_SOLVER = """
net: "lively.prototxt" type: "Adam" base_lr: 0.002 momentum: 0.9 momentum2: 0.99 lr_policy: "multistep" gamma: 0.5
stepvalue: 37 stepvalue: 90 max_iter: 200 snapshot: 10 snapshot_prefix: "run" average_loss: 4 random_seed: 8
test_iter: 2 test_interval: 25 display: 1
"""


@pytest.fixture
def lively(databases, here):
    for name in ("mnist_train_lmdb", "mnist_test_lmdb"):
        (here / name).symlink_to(databases / name)
    (here / "lively.prototxt").write_text(LIVELY)
    (here / "lively_solver.prototxt").write_text(LIVELY_SOLVER)
    return lambda **options: cf.Solver("lively_solver.prototxt", **options)


def values(solver: cf.Solver) -> list[bytes]:
    _, update = solver.prepare()
    return [blob.data.tobytes() for blob in update.blobs] + [array.tobytes() for array in update.history]


@pytest.mark.parametrize("form", FORMATS)
def test_going_on_gives_the_numbers_of_a_run_without_a_stop(lively, form):
    whole, first = lively(), lively()
    whole.step(45)
    first.message.snapshot_format = cf.schema.enum("SolverParameter.SnapshotFormat")[form]
    first.message.snapshot = 0
    first.step(23)
    state = first.snapshot()
    # of another seed, in a state of its own
    second = lively(rng=99)
    second.step(2)
    second.restore(state)
    assert second.iter == 23
    second.step(22)
    assert values(second) == values(whole)
    assert {i: second.curves.loss[i] for i in range(23, 45)} == {i: whole.curves.loss[i] for i in range(23, 45)}
    assert second.curves.test[25] == whole.curves.test[25]


@pytest.fixture
def shuffled(here):
    """A solver whose train and test net both shuffle rows."""
    random = np.random.default_rng(0)
    for name in "abc":
        with h5py.File(f"{name}.h5", "w") as file:
            file["x"], file["t"] = random.random((5, 4), np.float32), random.random((5, 3), np.float32)
    data = "".join(
        f'layer {{ name: "data" type: "HDF5Data" top: "x" top: "t" include {{ phase: {phase} }} '
        f'hdf5_data_param {{ source: "{phase}" batch_size: {batch} shuffle: true }} }}'
        for phase, batch in (("TRAIN", 3), ("TEST", 2))
    )
    (here / "TRAIN").write_text("a.h5 b.h5")
    (here / "TEST").write_text("c.h5")
    (here / "net.prototxt").write_text(data + NET[NET.index('layer { name: "a"') :])
    (here / "shuffled.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.05 lr_policy: "fixed" test_iter: 2 test_interval: 4 snapshot_prefix: "s" '
        "test_initialization: false"
    )
    return lambda: cf.Solver("shuffled.prototxt")


def test_shuffles_go_on(shuffled):
    whole, first = shuffled(), shuffled()
    second = shuffled()
    for net in (first.net, second.net):
        for own, other in zip(net.learnable, whole.net.learnable, strict=True):
            own.data[...] = other.data
    whole.step(30)
    first.step(13)
    second.step(2)
    second.restore(first.snapshot())
    second.step(17)
    assert values(second) == values(whole)
    assert {i: second.curves.test[i] for i in (16, 28)} == {i: whole.curves.test[i] for i in (16, 28)}


def test_a_stop_in_the_middle_of_a_test_changes_nothing(lively):
    whole, first = lively(), lively()
    whole.step(55)
    first.step(25)
    passes = []
    forward = first.test_nets[0].forward

    def stopping():
        passes.append(first.stop())
        return forward()

    first.test_nets[0].forward = stopping
    first.step(5)
    assert (first.iter, len(passes), 25 in first.curves.test) == (25, 1, False)
    second = lively()
    second.restore(first.snapshot())
    second.step(30)
    assert values(second) == values(whole)
    assert {i: second.curves.test[i] for i in (25, 50)} == {i: whole.curves.test[i] for i in (25, 50)}


def test_without_the_side_file_data_and_stream_begin_anew(lively, here):
    solver = lively()
    solver.step(10)
    (here / "run_iter_10.solverstate.json").unlink()
    second = lively()
    second.restore("run_iter_10.solverstate")
    fresh = lively()
    assert values(second) == values(solver)
    second.net.forward()
    fresh.net.forward()
    assert second.net.blobs["data"].data.tobytes() == fresh.net.blobs["data"].data.tobytes()


def test_a_side_file_of_another_snapshot_is_not_taken(lively, here):
    solver = lively()
    solver.step(20)
    shutil.copy("run_iter_10.solverstate.json", "run_iter_20.solverstate.json")
    with pytest.warns(cf.CaffeWarning, match="is not of this snapshot"):
        lively().restore("run_iter_20.solverstate")


def test_states_of_recurrent_layers_go_on(small):
    net = NET.replace("dim: 6 dim: 4", "dim: 2 dim: 3 dim: 4").replace(
        'layer { name: "b"',
        'layer { name: "cont" type: "DummyData" top: "c" '
        'dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "constant" value: 1 } } }'
        'layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "c" top: "l" recurrent_param { num_output: 4 '
        'weight_filler { type: "xavier" } } } layer { name: "b"',
    )
    net = net.replace('layer { name: "a" type: "InnerProduct" bottom: "x"', 'layer { name: "a" type: "InnerProduct"')
    net = net.replace('type: "InnerProduct" top: "a"', 'type: "InnerProduct" bottom: "x" top: "a"')
    net = net.replace('bottom: "a" top: "b"', 'bottom: "l" top: "b"').replace(
        "inner_product_param { num_output: 3", "inner_product_param { axis: 2 num_output: 3"
    )
    net = net.replace("shape { dim: 6 dim: 3 }", "shape { dim: 2 dim: 3 dim: 3 }")
    net += 'layer { name: "quiet" type: "Silence" bottom: "a" }'
    whole, first = small("", net), small("", net)
    whole.step(8)
    first.step(4)
    second = small("", net)
    second.restore(first.snapshot())
    second.step(4)
    assert values(second) == values(whole)


# --- kills -----------------------------------------------------------------------------------------------------------


def newest() -> str | None:
    states = sorted(Path().glob("run_iter_*.solverstate"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return str(states[-1]) if states else None


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_weights_of_one_that_is_not(lively, here):
    whole = lively()
    whole.solve()
    expected = Path("run_iter_200.caffemodel").read_bytes(), Path("run_iter_200.solverstate").read_bytes()
    for path in here.glob("run_iter_*"):
        path.unlink()
    chance = random.Random(4)
    command = [sys.executable, "-m", "caffe_fillers", "train", "lively_solver.prototxt"]
    marks = sorted(chance.sample(range(10, 190, 10), min(KILLS, 18)))
    for mark in marks:
        state = newest()
        process = subprocess.Popen(command + (["--snapshot", state] if state else []), stdout=subprocess.DEVNULL)
        while process.poll() is None and not Path(f"run_iter_{mark}.solverstate").exists():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.wait()
    state = newest()
    assert state is not None
    subprocess.run([*command, "--snapshot", state], check=True, stdout=subprocess.DEVNULL)
    ended = Path("run_iter_200.caffemodel").read_bytes(), Path("run_iter_200.solverstate").read_bytes()
    assert ended == expected
    assert not [path for path in here.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX")
def test_a_full_disk_leaves_the_last_snapshot_whole(small, here):
    solver = small('snapshot: 2 snapshot_prefix: "run"')
    solver.step(2)
    held = {path.name: path.read_bytes() for path in here.glob("run_iter_2*")}
    assert len(held) == 3
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(cf.CaffeError, match="run_iter_4"):
            solver.step(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name: path.read_bytes() for path in here.glob("run_iter_2*")} == held
    assert not [*here.glob("run_iter_4*")]


# --- what is no snapshot of this solver -------------------------------------------------------------------------------


def refusal(solver: cf.Solver, path) -> str:
    """Return the error of `restore`, and check that it left the solver as it was."""
    before = values(solver), solver.iter
    with pytest.raises(cf.CaffeError) as caught:
        solver.restore(path)
    assert (values(solver), solver.iter) == before
    return str(caught.value)


@pytest.fixture(params=FORMATS)
def saved(request, small):
    solver = small(f'snapshot_format: {request.param} type: "Adam" momentum: 0.9')
    solver.step(3)
    return solver.snapshot()


def test_a_state_of_another_kind_of_solver(saved, small):
    text = refusal(small(), saved)
    assert "Check failed: state.history_size() == history_.size() (8 vs. 4) Incorrect length of history blobs." in text
    assert "Adam or AdaDelta" in text


def test_a_state_of_another_kind_with_as_much_history_is_said(small):
    solver = small('type: "Nesterov" momentum: 0.5')
    solver.step(1)
    state = solver.snapshot()
    with pytest.warns(cf.CaffeWarning, match="written by a solver of type Nesterov, and goes on under SGD"):
        small("momentum: 0.5").restore(state)


def test_a_state_of_another_net(saved, small):
    net = NET.replace("num_output: 5", "num_output: 6")
    text = refusal(small('type: "Adam" momentum: 0.9', net), saved)
    assert "blob a/0 has shape (5, 4) in the file, (6, 4) in this net" in text


def test_a_model_of_another_net(small, here):
    solver = small()
    solver.step(1)
    state = solver.snapshot()
    other = small("", NET.replace('name: "a"', 'name: "other"'))
    with pytest.warns(cf.CaffeWarning, match="holds nothing for other: they keep their fill"):
        other.restore(state)


def test_a_model_that_is_gone_or_lies_beside_the_state(saved, small, here):
    model = next(path for path in here.iterdir() if ".caffemodel" in path.name)
    (here / "moved").mkdir()
    for path in (model, here / saved):
        path.rename(here / "moved" / path.name)
    small('type: "Adam" momentum: 0.9').restore(f"moved/{saved}")
    (here / "moved" / model.name).unlink()
    assert "names the weights" in refusal(small('type: "Adam" momentum: 0.9'), f"moved/{saved}")


def test_files_that_are_cut_off(saved, small, here):
    solver = small('type: "Adam" momentum: 0.9')
    data = (here / saved).read_bytes()
    for end in (0, 1, 7, len(data) // 2, len(data) - 1):
        (here / saved).write_bytes(data[:end])
        if end == len(data) - 1 and saved.endswith(".solverstate"):
            # the last byte is the value of current_step
            assert "truncated" in refusal(solver, saved)
        else:
            assert saved in refusal(solver, saved)


def test_files_of_another_sort(saved, small, here):
    solver = small('type: "Adam" momentum: 0.9')
    model = next(path.name for path in here.iterdir() if ".caffemodel" in path.name)
    for path in (model, "net.prototxt"):
        assert "is no solver state" in refusal(solver, path)
    assert "nowhere" in refusal(solver, "nowhere.solverstate")


def test_a_side_file_of_another_kind(small, here):
    solver = small()
    solver.step(1)
    state = solver.snapshot()
    for content in ("", "[]", '{"caffe_fillers_resume": 99}'):
        (here / f"{state}.json").write_text(content)
        assert "remove it to go on as Caffe would" in refusal(small(), state)


HELD = {"seeds": {}, "carried": {"c": [[2], [1.0, 2.0]]}}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("iteration", "1", "iteration is no int"),
        ("checksum", None, "checksum is no int"),
        ("type", 3, "type is no str"),
        ("stream", [], "stream is no dict"),
        ("stream.key", [0] * 623, "the stream has another size"),
        ("stream.key", [2**32] * 624, "a number is not in 0..4294967295"),
        ("stream.key", ["0"] * 624, "a number is not in"),
        ("stream.pos", 625, "the stream has another size"),
        ("stream.pos", True, "pos is no int"),
        ("stream.c_rand", -1, "a number is not in"),
        ("average", None, "average is no dict"),
        ("average.losses", [1.0], "a loss is no text"),
        ("average.mean", None, "a loss is no text"),
        ("average.mean", "much", "is damaged"),
        ("average.mean", "0x1p5000", "a loss is too large"),
        ("average.n", "1", "n is no int"),
        ("places", None, "places is no list"),
        ("places", [], "the places of 0 nets, not of 1"),
        ("places", [[]], "the places of a net are no object"),
        ("places", [{"99": HELD}], "the net has no layer 99"),
        ("places", [{"-1": HELD}], "the net has no layer -1"),
        ("places", [{"0": {}}], "seeds is no dict"),
        ("places", [{"0": {"seeds": {"reader": [-1]}}}], "a number is not in"),
        ("places", [{"0": {**HELD, "delivered": 1.5}}], "a number is not in"),
        ("places", [{"0": {**HELD, "carried": []}}], "carried is no dict"),
        ("places", [{"0": {**HELD, "carried": {"c": [[2]]}}}], "the state of layer 0 is no shape and values"),
        ("places", [{"0": {**HELD, "carried": {"c": [[3], [1.0, 2.0]]}}}], "does not hold 3 numbers"),
        ("places", [{"0": {**HELD, "carried": {"c": [[2], [1.0, "2"]]}}}], "does not hold 2 numbers"),
    ],
)
def test_a_damaged_side_file(small, here, place, value, said):
    solver = small()
    solver.step(1)
    state = solver.snapshot()
    side = here / f"{state}.json"
    content = json.loads(side.read_text())
    *outer, name = place.split(".")
    inner = content[outer[0]] if outer else content
    assert name in inner
    inner[name] = value
    side.write_text(json.dumps(content))
    text = refusal(small(), state)
    assert said in text
    assert "remove it to go on as Caffe would" in text


def test_hdf5_states_are_laid_out_as_caffes(small, here):
    solver = small("snapshot_format: HDF5 snapshot_diff: true momentum: 0.9")
    solver.step(2)
    state = solver.snapshot()
    assert state == "solver_iter_2.solverstate.h5"
    with h5py.File(state) as file:
        assert file["iter"].shape == (1,)
        assert file["iter"].dtype == np.int32
        assert file["learned_net"][()] == b"solver_iter_2.caffemodel.h5"
        assert sorted(file["history"]) == ["0", "1", "2", "3"]
        assert file["history/0"].shape == (5, 4)
    with h5py.File("solver_iter_2.caffemodel.h5") as file:
        np.testing.assert_array_equal(file["diff/a/0"], solver.net.params["a"][0].diff)
    assert read_state(here / state).learned_net == "solver_iter_2.caffemodel.h5"


def test_an_old_state_pads_its_shapes(small, here):
    solver = small("momentum: 0.9")
    solver.step(2)
    state = solver.snapshot()
    message = cf.schema.SolverState()
    message.ParseFromString((here / state).read_bytes())
    for blob in message.history:
        dims = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
        blob.ClearField("shape")
        blob.num, blob.channels, blob.height, blob.width = dims
    (here / state).write_bytes(message.SerializeToString())
    second = small("momentum: 0.9")
    second.restore(state)
    assert values(second) == values(solver)


def test_a_state_of_hdf5_without_a_step(small, here):
    solver = small("snapshot_format: HDF5 momentum: 0.9")
    solver.step(2)
    state = solver.snapshot()
    with h5py.File(state, "r+") as file:
        del file["current_step"]
    second = small("momentum: 0.9")
    second.restore(state)
    assert (second.iter, second.prepare()[0].current_step) == (2, 0)
    with h5py.File(state, "r+") as file:
        del file["history"]
    assert "is no solver state" in refusal(small("momentum: 0.9"), state)


def test_data_that_end_early_leave_the_last_iteration_whole(small, here):
    for name in ("one", "two"):
        with h5py.File(f"{name}.h5", "w") as file:
            file["x"], file["t"] = np.ones((6, 4), np.float32), np.ones((6, 3), np.float32)
    (here / "list.txt").write_text("one.h5\ntwo.h5\n")
    data = 'type: "HDF5Data" top: "x" top: "t" hdf5_data_param { source: "list.txt" batch_size: 6 }'
    net = f'layer {{ name: "data" {data} }}' + NET[NET.index('layer { name: "a"') :]
    solver = small('snapshot: 1 snapshot_prefix: "run"', net)
    solver.step(1)
    (here / "two.h5").unlink()
    with pytest.raises(cf.CaffeError, match=r"two\.h5"):
        solver.step(5)
    done = solver.iter
    assert done in (1, 2)
    again = small("", net)
    again.restore(f"run_iter_{done}.solverstate")
    assert values(again) == values(solver)


def test_diffs_go_into_a_binary_model(small, here):
    solver = small("snapshot_diff: true")
    solver.step(1)
    solver.snapshot()
    message = cf.schema.NetParameter()
    message.ParseFromString((here / "solver_iter_1.caffemodel").read_bytes())
    layer = next(each for each in message.layer if each.name == "a")
    np.testing.assert_array_equal(np.float32(layer.blobs[0].diff), solver.net.params["a"][0].diff.ravel())
    # what reads weights has no use for them
    weights = cf.load_weights("solver_iter_1.caffemodel")
    assert weights["a"][0].tobytes() == solver.net.params["a"][0].data.tobytes()
