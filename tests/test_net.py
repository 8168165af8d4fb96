"""Net: what the goldens don't say of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import schema

LENET = "examples/mnist/lenet_train_test.prototxt"
DATA = {"data": (1, 28, 28)}
SMALL = """
name: "small"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
        inner_product_param { num_output: 5 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="net.prototxt"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch, root):
    monkeypatch.chdir(root)


def shapes(net):
    return {name: [blob.shape for blob in blobs] for name, blobs in net.params.items()}


def test_it_reads_like_pycaffe(write):
    net = cf.Net(write(SMALL), rng=1)
    assert list(net.params) == ["c", "f"]
    assert isinstance(net.params, OrderedDict)
    assert list(net.blobs) == ["x", "c", "f"]
    assert net.inputs == ["x"]
    assert net.outputs == ["f"]
    assert net.bottom_names["r"] == ["c"]
    assert net.top_names["f"] == ["f"]
    assert net.layer_dict["c"].blobs[0].data is net.params["c"][0].data
    assert [layer.type for layer in net.layers] == ["Input", "Convolution", "ReLU", "InnerProduct"]
    assert shapes(net) == {"c": [(4, 3, 3, 3), (4,)], "f": [(5, 144), (5,)]}
    assert cf.Net(write(SMALL), 0, rng=1).phase == "TRAIN"
    net.params["c"][0].data[...] = 3
    assert (net.layers[1].blobs[0].data == 3).all()


def test_the_ledger_leads_through_the_stream(write):
    net = cf.Net(write(SMALL), rng=9)
    at = 0
    for layer in net.layers:
        for draw in layer.draws:
            assert draw.start == at
            at += draw.count
    rng = cf.RNG(9)
    cf.Net(write(SMALL), rng=rng)
    assert rng.position == at
    start = net.layers[3].draws[0].start
    alone = cf.RNG(9)
    alone.skip(start)
    assert (cf.fill((5, 144), "msra", rng=alone) == net.params["f"][0].data).all()


@pytest.mark.parametrize("boost", ["1.74", "1.58", "1.54"])
def test_without_filling_the_ledger_is_the_same(write, boost):
    path = write(SMALL)
    filled = cf.Net(path, rng=4, boost=boost)
    rng = cf.RNG(4, boost=boost)
    planned = cf.Net(path, rng=rng, fill=False)
    assert [layer.draws for layer in planned.layers] == [layer.draws for layer in filled.layers]
    assert shapes(planned) == shapes(filled)
    assert {name: blob.shape for name, blob in planned.blobs.items()} == {
        name: blob.shape for name, blob in filled.blobs.items()
    }
    with pytest.raises(cf.CaffeError, match="fill=False"):
        _ = planned.params["c"][0].data


def test_a_stream_is_used_up_by_a_net_and_untouched_by_a_failure(write):
    rng = cf.RNG(2)
    first, second = cf.Net(write(SMALL), rng=rng), cf.Net(write(SMALL), rng=rng)
    assert (first.params["c"][0].data != second.params["c"][0].data).any()
    rng = cf.RNG(2)
    bad = write(SMALL + 'layer { name: "g" type: "InnerProduct" bottom: "f" top: "g" }', "bad.prototxt")
    with pytest.raises(cf.CaffeError):
        cf.Net(bad, rng=rng)
    assert rng.position == 0
    assert rng.seed == 2


def test_max_bytes_is_checked_before_anything_is_allocated(write):
    text = SMALL.replace("num_output: 5", "num_output: 10000000")
    with pytest.raises(cf.CaffeError, match="max_bytes"):
        cf.Net(write(text), rng=1, max_bytes=10**6)
    assert cf.Net(write(SMALL), rng=1, max_bytes=10**6).params


def test_double_nets(write):
    net = cf.Net(write(SMALL), rng=1, dtype=np.float64)
    assert net.params["f"][0].data.dtype == np.float64
    with pytest.raises(cf.CaffeError, match="int32"):
        cf.Net(write(SMALL), rng=1, dtype=np.int32)


def test_a_net_from_its_message(write):
    path = write(SMALL)
    message = cf.read_net(path)
    net = cf.Net(message, rng=1)
    assert (net.params["f"][0].data == cf.Net(path, rng=1).params["f"][0].data).all()
    assert message == cf.read_net(path)
    for wrong in (3, None, schema.SolverParameter(), ["x"]):
        with pytest.raises(cf.CaffeError):
            cf.Net(wrong)


def test_inputs_by_layer_by_top_and_by_phase():
    for inputs in ({"mnist": (1, 28, 28)}, {"data": (1, 28, 28)}, {"mnist@TRAIN": (1, 28, 28), "mnist": (9, 9, 9)}):
        net = cf.Net(LENET, rng=1, inputs=inputs)
        assert net.blobs["data"].shape == (64, 1, 28, 28)
    assert cf.Net(LENET, "TEST", rng=1, inputs={"data@TEST": (1, 28, 28)}).blobs["data"].shape == (100, 1, 28, 28)
    with pytest.raises(cf.CaffeError, match="--input"):
        cf.Net(LENET, rng=1)
    with pytest.raises(cf.CaffeError, match="three dims"):
        cf.Net(LENET, rng=1, inputs={"data": (28, 28)})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (('bottom: "c" top: "f"', 'bottom: "nope" top: "f"'), "Unknown bottom blob 'nope' (layer 'f', bottom index 0)"),
        (('top: "f"', 'top: "x"'), "Top blob 'x' produced by multiple sources."),
        (("num_output: 4", "num_output: 0"), "num_output_ > 0 (0 vs. 0)"),
        (("kernel_size: 3", "kernel_size: 3 group: 2"), "channels_ % group_ == 0 (1 vs. 0)"),
        (("kernel_size: 3", "kernel_size: 3 group: 0"), "group"),
        (('type: "ReLU"', 'type: "Relu"'), "Unknown layer type: Relu"),
        (('type: "xavier"', 'type: "Xavier"'), "Unknown filler name: Xavier"),
        (('bottom: "x" top: "c"', 'bottom: "f" top: "c"'), "Unknown bottom blob 'f'"),
        (
            ('name: "c"', 'name: "c" include { phase: TRAIN stage: "a" }'),
            'rules, include { phase: TRAIN stage: "a" }: choose',
        ),
        (('name: "c"', 'name: "c" exclude { }'), "layer 'c' has a top of this name, but"),
        (("dim: 3", "dim: -3"), "shape[i] >= 0 (-3 vs. 0)"),
        (("dim: 3", "dim: 300000 dim: 100000"), "INT_MAX"),
        (('type: "msra"', 'type: "gaussian" std: 0'), "sigma > 0 (0 vs. 0)"),
        (('name: "r"', 'name: "r" include { phase: TEST } exclude { phase: TRAIN }'), "not both"),
    ],
)
def test_faults_name_file_line_and_layer(write, change, text):
    old, new = change
    assert old in SMALL
    path = write(SMALL.replace(old, new, 1))
    with pytest.raises(cf.CaffeError) as caught:
        cf.Net(path, rng=1)
    assert text in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


def test_the_line_is_that_of_the_layer(write):
    with pytest.raises(cf.CaffeError, match=r"net\.prototxt:7: layer 'f'"):
        cf.Net(write(SMALL.replace('type: "msra"', 'type: "nope"')), rng=1)


def test_an_unknown_type_can_be_given_or_taught(write):
    text = SMALL.replace('type: "ReLU" bottom: "c" top: "c"', 'type: "Odd" bottom: "c" top: "odd"').replace(
        'bottom: "c" top: "f"', 'bottom: "odd" top: "f"'
    )
    path = write(text)
    with pytest.raises(cf.CaffeError, match="--input odd=DIMS"):
        cf.Net(path, rng=1)
    for name in ("odd", "r"):
        assert cf.Net(path, rng=1, inputs={name: (2, 7)}).params["f"][0].shape == (5, 7)
    with pytest.raises(cf.CaffeError, match="Unknown layer type: Odd"):
        cf.Net(path, rng=1, inputs={"odd": (2, 7)}, strict=True)

    def odd(layer, bottoms):
        weight = cf.layers.Param((bottoms[0][1],), "uniform")
        return cf.layers.Setup(tops=[(2, 9)], params=[weight])

    cf.layers.register("Odd", odd)
    try:
        net = cf.Net(path, rng=1, strict=True)
        assert shapes(net)["r"] == [(4,)]
        assert shapes(net)["f"] == [(5, 9), (5,)]
        assert net.layers[2].draws[0].count == 4
    finally:
        cf.layers.register("Odd", None)
    with pytest.raises(cf.CaffeError, match="BVLC"):
        cf.layers.register("ReLU", odd)


def test_forks_fields_are_skipped_with_one_warning_and_refused_if_strict(write):
    path = write(SMALL.replace("kernel_size: 3", "kernel_size: 3 winograd: true deform: 2", 1))
    with pytest.warns(cf.CaffeWarning) as caught:
        net = cf.Net(path, rng=1)
    assert len(caught) == 1
    assert "winograd" in str(caught[0].message)
    assert "deform" in str(caught[0].message)
    assert net.params
    with pytest.raises(cf.CaffeError, match="winograd"):
        cf.Net(path, rng=1, strict=True)


def test_two_layers_of_one_name_are_both_filled_and_the_last_is_found(write):
    text = SMALL + 'layer { name: "c" type: "InnerProduct" bottom: "f" top: "g" inner_product_param { num_output: 2 } }'
    net = cf.Net(write(text), rng=1)
    assert shapes(net)["c"] == [(2, 5), (2,)]
    assert [layer.name for layer in net.layers].count("c") == 2


def test_two_bottomless_shapes_of_old_conv_and_inner_product(write):
    net = cf.Net(write(SMALL.replace("msra", "xavier")), rng=1, caffe="rc2")
    assert shapes(net) == {"c": [(4, 3, 3, 3), (1, 1, 1, 4)], "f": [(1, 1, 5, 144), (1, 1, 1, 5)]}
    assert net.blobs["f"].shape == (2, 5)
    rows = {(row["layer"], row["index"]): row for row in net.fills()}
    assert rows["f", 0]["fan_in"] == 720
    with pytest.raises(cf.CaffeError, match="came with rc3"):
        cf.Net(write(SMALL), rng=1, caffe="rc2")
    with pytest.raises(cf.CaffeError, match="PReLU"):
        cf.Net(write(SMALL.replace('"ReLU"', '"PReLU"').replace("msra", "xavier")), rng=1, caffe="rc2")


NEEDS = """
layer {{ name: "d" type: "{type}" top: "data" top: "label" {param} transform_param {{ {transform} }} }}
"""
PARAMS = {
    "Data": 'data_param { source: "db" batch_size: 2 backend: LMDB %s }',
    "ImageData": 'image_data_param { source: "list" batch_size: 2 new_height: 40 new_width: 40 %s }',
    "WindowData": 'window_data_param { source: "list" batch_size: 2 %s }',
    "MemoryData": "memory_data_param { batch_size: 2 channels: 3 height: 40 width: 40 %s }",
}


@pytest.mark.parametrize(
    ("kind", "extra", "transform", "phase", "draws"),
    [
        # by revision: v0.9999, rc, rc2, rc3, 1.0, master
        ("Data", "", "", "TRAIN", (0, 0, 0, 2, 1, 1)),
        ("Data", "", "mirror: true", "TRAIN", (1, 2, 2, 4, 3, 3)),
        ("Data", "", "mirror: true", "TEST", (0, 0, 2, 4, 3, 3)),
        ("Data", "", "crop_size: 9", "TRAIN", (1, 2, 2, 4, 3, 3)),
        ("Data", "", "crop_size: 9", "TEST", (0, 0, 0, 2, 1, 1)),
        ("Data", "rand_skip: 3", "", "TRAIN", (1, 1, 1, 2, 1, 1)),
        ("ImageData", "", "", "TRAIN", (0, 0, 0, 1, 1, 1)),
        ("ImageData", "shuffle: true", "", "TRAIN", (2, 1, 1, 2, 2, 2)),
        ("ImageData", "shuffle: true rand_skip: 2", "crop_size: 9", "TEST", (3, 2, 2, 3, 3, 3)),
        ("ImageData", "shuffle: true rand_skip: 2", "mirror: true", "TRAIN", (3, 4, 4, 5, 5, 5)),
        ("WindowData", "", "crop_size: 9", "TRAIN", (1, 3, 3, 4, 4, 4)),
        ("WindowData", "", "crop_size: 9 mirror: true", "TEST", (1, 1, 3, 4, 4, 4)),
        ("MemoryData", "", "mirror: true", "TRAIN", (0, 1, 1, 1, 1, 1)),
        ("MemoryData", "", "", "TRAIN", (0, 0, 0, 0, 0, 0)),
    ],
)
def test_draws_of_data_layers_in_every_age(write, kind, extra, transform, phase, draws):
    path = write(NEEDS.format(type=kind, param=PARAMS[kind] % extra, transform=transform))
    seen = []
    for caffe in cf.revisions.REVISIONS:
        net = cf.Net(path, phase, rng=1, inputs={"d": (3, 40, 40)}, caffe=caffe)
        seen.append(sum(draw.count for draw in net.layers[0].draws))
    assert tuple(seen) == draws


def test_weights_are_copied_by_name(write, tmp_path):
    source = cf.Net(write(SMALL), rng=1)
    for suffix in (".caffemodel", ".h5", ".npz", ".safetensors"):
        file = tmp_path / f"w{suffix}"
        source.save(file)
        text = SMALL.replace('name: "f"', 'name: "other"')
        net = cf.Net(write(text), rng=2, weights=file)
        assert (net.params["c"][0].data == source.params["c"][0].data).all()
        assert (net.params["other"][0].data == cf.Net(write(text), rng=2).params["other"][0].data).all()
        assert net.report.copied == ["c"]
        assert net.report.filled == ["other"]
        assert net.report.ignored == ["f"]


def test_weights_of_another_shape_change_nothing(write, tmp_path):
    cf.Net(write(SMALL), rng=1).save(tmp_path / "w.caffemodel")
    net = cf.Net(write(SMALL.replace("num_output: 5", "num_output: 6")), rng=2)
    before = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    with pytest.raises(cf.CaffeError, match="shape mismatch"):
        net.copy_from(tmp_path / "w.caffemodel")
    for name, blobs in net.params.items():
        for blob, old in zip(blobs, before[name], strict=True):
            assert blob.data.tobytes() == old.tobytes()


def test_legacy_shapes_fit_with_ones_on_the_left(write, tmp_path):
    message = schema.NetParameter(name="old")
    layer = message.layers.add(name="f", type=14)  # INNER_PRODUCT
    for dims, count in (((1, 1, 5, 144), 720), ((1, 1, 1, 5), 5)):
        blob = layer.blobs.add(num=dims[0], channels=dims[1], height=dims[2], width=dims[3])
        blob.data.extend(range(count))
    path = tmp_path / "old.caffemodel"
    path.write_bytes(message.SerializeToString())
    net = cf.Net(write(SMALL), rng=1, weights=str(path))
    assert net.params["f"][0].data.ravel().tolist() == list(range(720))


def test_several_files_are_copied_in_turn(write, tmp_path):
    one, two = cf.Net(write(SMALL), rng=1), cf.Net(write(SMALL), rng=2)
    one.save(tmp_path / "a.caffemodel")
    two.save(tmp_path / "b.npz")
    net = cf.Net(write(SMALL), rng=3, weights=f"{tmp_path}/a.caffemodel, {tmp_path}/b.npz")
    assert (net.params["f"][0].data == two.params["f"][0].data).all()


def test_the_same_inputs_give_the_same_file(write, tmp_path):
    for suffix in (".npz", ".caffemodel", ".h5", ".safetensors"):
        files = []
        for name in ("one", "two"):
            files.append(tmp_path / f"{name}{suffix}")
            cf.Net(write(SMALL), rng=5).save(files[-1])
        assert files[0].read_bytes() == files[1].read_bytes(), suffix


def test_provenance_travels_with_the_weights(write, tmp_path):
    net = cf.Net(write(SMALL), rng=5, boost="1.58")
    for suffix in (".npz", ".h5", ".safetensors"):
        net.save(tmp_path / f"w{suffix}")
        record = cf.load_weights(tmp_path / f"w{suffix}").source.provenance
        assert record["seed"] == 5
        assert record["boost"] == "1.58"
        assert record["blobs"]["f/0"]["filler"] == {"type": "msra"}
        assert record["blobs"]["f/0"]["fan_in"] == 144
        assert record["blobs"]["f/0"]["start"] == net.layers[3].draws[0].start
        assert len(record["prototxt_sha256"]) == 64


def test_shared_parameters_are_one_memory(write):
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }
    layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
            inner_product_param { num_output: 6 bias_term: false weight_filler { type: "gaussian" } } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
            inner_product_param { num_output: 6 bias_term: false weight_filler { type: "gaussian" } } }
    layer { name: "c" type: "InnerProduct" bottom: "b" top: "c"
            inner_product_param { num_output: 6 bias_term: false weight_filler { type: "gaussian" } } }
    """
    net = cf.Net(write(text), rng=3)
    assert np.shares_memory(net.params["a"][0].data, net.params["b"][0].data)
    rng = cf.RNG(3)
    first, _, third = (cf.fill((6, 6), "gaussian", rng=rng) for _ in range(3))
    assert (net.params["b"][0].data == first).all()
    assert (net.params["c"][0].data == third).all()
    assert [row["shared_with"] for row in net.fills()] == [None, "a/0", None]


def test_opencv_loads_what_we_write(root, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="NOT RUN: OpenCV is not installed")
    deploy = root / "examples/mnist/lenet.prototxt"
    net = cf.Net(deploy, "TEST", rng=1701)
    net.save(tmp_path / "lenet.caffemodel")
    theirs = cv2.dnn.readNetFromCaffe(str(deploy), str(tmp_path / "lenet.caffemodel"))
    for name, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            loaded = theirs.getParam(name, i)
            assert loaded.size == blob.count()
            assert loaded.ravel().tobytes() == blob.data.ravel().tobytes()
    image = np.random.default_rng(0).random((1, 1, 28, 28), dtype=np.float32)
    theirs.setInput(image)
    assert theirs.forward().shape == (1, 10)


@pytest.mark.parametrize("layers", [100, 1000])
def test_deep_nets_are_built(write, layers):
    text = ['layer { name: "x" type: "Input" top: "b0" input_param { shape { dim: 1 dim: 4 } } }']
    for i in range(layers):
        text.append(
            f'layer {{ name: "l{i}" type: "InnerProduct" bottom: "b{i}" top: "b{i + 1}" '
            'inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }'
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = cf.Net(write("\n".join(text)), rng=1)
    assert len(net.params) == layers
    assert sum(draw.count for layer in net.layers for draw in layer.draws) == 16 * layers


@pytest.mark.parametrize(
    "text",
    [
        'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 2147483647 } } }',
        'input: "x" input_shape { dim: 100000000 dim: 1 dim: 4 } input: "c" input_shape { dim: 100000000 dim: 1 } '
        'layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "l" recurrent_param { num_output: 5 '
        'weight_filler { type: "uniform" } } }',
    ],
)
def test_max_bytes_bounds_what_is_filled_besides_parameters(tmp_path, text):
    (tmp_path / "net.prototxt").write_text(text)
    rng = cf.RNG(1)
    with pytest.raises(cf.CaffeError, match="time steps and constant tops"):
        cf.Net(tmp_path / "net.prototxt", rng=rng, max_bytes=1 << 30)
    assert rng.position == 0


def test_provenance_is_json_whatever_the_filler_says(write):
    text = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 } } }
    layer { name: "f" type: "InnerProduct" bottom: "x" top: "f"
            inner_product_param { num_output: 3 weight_filler { type: "xavier" std: nan mean: -inf } } }
    layer { name: "b" type: "ReLU" bottom: "f" top: "b" }
    layer { name: "a" type: "ReLU" bottom: "f" top: "a" }
    """
    net = cf.Net(write(text), rng=3)
    assert '"std": "nan"' in json.dumps(net.provenance(), allow_nan=False)
    assert net.outputs == ["a", "b"]


def test_in_a_checkout_the_installed_package_is_meant(tmp_path):
    """README's lines are tried in the checkout's folder, where Python finds the sources first."""

    def run(*args):
        return subprocess.run([sys.executable, *args], cwd=tmp_path, capture_output=True, text=True)

    unbuilt = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(Path(cf.__file__).parent, tmp_path / "caffe_fillers", ignore=unbuilt)
    code = "import caffe_fillers as cf, caffe_fillers.signals.plots; print(cf.__file__, cf.fill(1, 'uniform', rng=1))"
    done = run("-c", code)
    assert done.stdout.strip() == f"{cf.__file__} {cf.fill(1, 'uniform', rng=1)}", done.stderr
    assert "pip install ." in run("-S", "-c", "import caffe_fillers").stderr
