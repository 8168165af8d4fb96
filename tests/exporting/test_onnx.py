"""ONNX files of nets, run by ONNX Runtime beside the nets themselves."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema
from caffe_fillers.exporting.onnx.file import write_model

RUN = Path(__file__).parents[1] / "golden" / "run"
CASES = json.loads((RUN / "layers.json").read_text())


def of_text(text: str, phase: str = "TEST") -> cf.Net:
    return cf.Net(text_format.Parse(text, schema.NetParameter()), phase, rng=1)


def net_of(body: str, shape: str = "dim: 2 dim: 4 dim: 6 dim: 6") -> cf.Net:
    """A net of one input `x` and the layers of `body`; its BatchNorms hold statistics."""
    net = of_text(f"layer {{ name: 'in' type: 'Input' top: 'x' input_param {{ shape {{ {shape} }} }} }} {body}")
    r = np.random.default_rng(3)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            mean, variance, factor = layer.blobs
            mean.data[...], variance.data[...] = r.standard_normal(mean.shape), r.uniform(0.5, 2, variance.shape)
            factor.data[...] = 2
        elif layer.type == "Scale":
            for blob in layer.blobs:
                blob.data[...] = r.standard_normal(blob.shape)
    return net


def kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def exports(net: cf.Net, path: Path, **options) -> cf.Exported:
    result = cf.export(net, path, check=True, **options)
    assert result.check, str(result.check)
    onnx.checker.check_model(path, full_check=True)
    return result


@pytest.mark.parametrize("name", CASES)
def test_every_layer_in_test(name, arrays, tmp_path):
    case = CASES[name]
    net = of_text(case["prototxt"])
    for key, values in arrays.items():
        if key.startswith(f"{name}/set/"):
            layer, index = key.removeprefix(f"{name}/set/").rsplit("/", 1)
            net.params[layer][int(index)].data[...] = values
        elif key.startswith(f"{name}/in0/"):
            net.blobs[key.removeprefix(f"{name}/in0/")].reshape(*values.shape)
    plain = [
        layer for layer in net.layers if layer.type not in ("Input", "Accuracy") and not layer.type.endswith("Loss")
    ]
    if not plain:
        with pytest.raises(cf.CaffeError, match="nothing to export"):
            cf.export(net, tmp_path / "net.onnx")
        assert not list(tmp_path.iterdir())
        return
    exports(net, tmp_path / "net.onnx")


def test_goldens_of_caffe_itself(arrays, tmp_path):
    for name in ("dropout_test", "batchnorm_test", "batchnorm_test_zero"):
        net = of_text(CASES[name]["prototxt"])
        for key, values in arrays.items():
            if key.startswith(f"{name}/set/"):
                layer, index = key.removeprefix(f"{name}/set/").rsplit("/", 1)
                net.params[layer][int(index)].data[...] = values
        result = cf.export(net, tmp_path / "net.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
        feed = {blob: arrays[f"{name}/in0/{blob}"] for blob in result.inputs}
        for blob, ours in zip(result.outputs, session.run(list(result.outputs), feed), strict=True):
            golden = arrays[f"{name}/top0/{blob}"]
            assert np.abs(ours - golden).max() <= 1e-4 * np.abs(golden).max()


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_softmax_on_every_axis(axis, tmp_path):
    exports(
        net_of(f"layer {{ name: 's' type: 'Softmax' bottom: 'x' top: 's' softmax_param {{ axis: {axis} }} }}"),
        tmp_path / "net.onnx",
    )


@pytest.mark.parametrize("place", ["x", "d"])
def test_dropout_is_nothing(place, tmp_path):
    body = f"""layer {{ name: 'r' type: 'ReLU' bottom: 'x' top: 'x' }}
               layer {{ name: 'd' type: 'Dropout' bottom: 'x' top: '{place}' }}
               layer {{ name: 'p' type: 'Power' bottom: '{place}' top: 'y' power_param {{ scale: 2 }} }}"""
    exports(net_of(body), tmp_path / "net.onnx")
    assert kinds(tmp_path / "net.onnx") == ["Relu", *["Identity"] * (place == "d"), "Mul"]


CHAIN = """
layer { name: 'c' type: 'Convolution' bottom: 'x' top: 'c' convolution_param { num_output: 3 kernel_size: 3
        weight_filler { type: 'gaussian' std: 1 } } }
layer { name: 'b' type: 'BatchNorm' bottom: 'c' top: 'c' }
layer { name: 's' type: 'Scale' bottom: 'c' top: 'c' scale_param { bias_term: true } }
layer { name: 'r' type: 'ReLU' bottom: 'c' top: 'c' }
"""


def test_chains_in_place(tmp_path):
    result = exports(net_of(CHAIN), tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    # the scale went into the normalisation: nobody sees the blob between them
    assert [node.op_type for node in model.graph.node] == ["Conv", "BatchNormalization", "Relu"]
    assert [node.name for node in model.graph.node] == ["c", "b", "r"]
    assert [node.output[0] for node in model.graph.node] == ["c_before_b", "c_before_r", "c"]
    assert result.values == {"x": "x", "c": "c"}


def test_a_scale_is_not_folded_where_the_blob_between_is_seen(tmp_path):
    seen = CHAIN.replace("bottom: 'c' top: 'c' scale_param", "bottom: 'c' top: 's' scale_param").replace(
        "type: 'ReLU' bottom: 'c' top: 'c'", "type: 'ReLU' bottom: 's' top: 's'"
    )
    result = exports(net_of(seen), tmp_path / "net.onnx")
    assert [row.name for row in result.check.rows] == ["c", "s"]
    assert kinds(tmp_path / "net.onnx") == ["Conv", "BatchNormalization", "Mul", "Add", "Relu"]


def test_batch_norm_without_scale(tmp_path):
    exports(net_of("layer { name: 'b' type: 'BatchNorm' bottom: 'x' top: 'b' }"), tmp_path / "net.onnx")


def test_batch_norm_by_the_batch_leaves_the_net_alone(tmp_path):
    body = "layer { name: 'b' type: 'BatchNorm' bottom: 'x' top: 'b' batch_norm_param { use_global_stats: false } }"
    net = net_of(body)
    before = [blob.data.copy() for blob in net.params["b"]]
    exports(net, tmp_path / "net.onnx")
    assert all(np.array_equal(blob.data, kept) for blob, kept in zip(net.params["b"], before, strict=True))
    assert not net.blobs["x"].written


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    "kernel", ["kernel_size: 3 stride: 2", "kernel_size: 2 stride: 3 pad: 1", "kernel_size: 1 stride: 4"]
)
@pytest.mark.parametrize("more", ["", "round_mode: FLOOR"])
@pytest.mark.parametrize("size", [5, 6, 7, 8, 9])
def test_pooling_that_hangs_over(method, kernel, more, size, tmp_path):
    body = (
        f"layer {{ name: 'p' type: 'Pooling' bottom: 'x' top: 'p' pooling_param {{ pool: {method} {kernel} {more} }} }}"
    )
    exports(net_of(body, f"dim: 2 dim: 3 dim: {size} dim: {size + 1}"), tmp_path / "net.onnx")


def test_scale_with_two_bottoms(tmp_path):
    body = """layer { name: 'f' type: 'Input' top: 'f' input_param { shape { dim: 4 dim: 6 } } }
              layer { name: 's' type: 'Scale' bottom: 'x' bottom: 'f' top: 's' scale_param { axis: 1 } }"""
    result = exports(net_of(body), tmp_path / "net.onnx")
    assert list(result.inputs) == ["x", "f"]


def test_inner_product_after_flatten(tmp_path):
    body = """layer { name: 'f' type: 'Flatten' bottom: 'x' top: 'f' }
              layer { name: 'i' type: 'InnerProduct' bottom: 'f' top: 'i' inner_product_param { num_output: 5
                      weight_filler { type: 'gaussian' std: 1 } } }"""
    exports(net_of(body), tmp_path / "net.onnx")
    assert kinds(tmp_path / "net.onnx") == ["Flatten", "Gemm"]


def test_names_with_slashes_are_kept(tmp_path):
    body = """layer { name: 'a/b 1x1' type: 'ReLU' bottom: 'x' top: 'a/b' }
              layer { name: 'a/b 1x1' type: 'Sigmoid' bottom: 'a/b' top: 'class' }"""
    result = exports(net_of(body), tmp_path / "net.onnx")
    assert result.values == {"x": "x", "a/b": "a/b", "class": "class"}
    assert [node.name for node in onnx.load(tmp_path / "net.onnx").graph.node] == ["a/b 1x1", "a/b 1x1_2"]


def test_memory_that_layers_share(tmp_path):
    # as in Caffe the ReLU of what was flattened is seen in the blob itself, and by all who read it later
    body = """layer { name: 'p' type: 'Power' bottom: 'x' top: 'p' }
              layer { name: 'f' type: 'Flatten' bottom: 'p' top: 'f' }
              layer { name: 'r' type: 'ReLU' bottom: 'f' top: 'f' }
              layer { name: 'q' type: 'Power' bottom: 'p' top: 'q' }"""
    net = net_of(body)
    exports(net, tmp_path / "net.onnx")
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    assert net.forward(x=x)["q"].min() == 0
    assert onnxruntime.InferenceSession(tmp_path / "net.onnx").run(["q"], {"x": x})[0].min() == 0


def test_a_sum_in_place_loses_a_bottom_as_there(tmp_path):
    body = """layer { name: 'p' type: 'Power' bottom: 'x' top: 'p' power_param { scale: 3 } }
              layer { name: 'e' type: 'Eltwise' bottom: 'p' bottom: 'x' top: 'p' }"""
    exports(net_of(body), tmp_path / "net.onnx")


def test_a_train_net_is_exported_as_in_test(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet_train_test.prototxt", rng=1701, inputs={"data": (1, 28, 28)})
    result = exports(net, tmp_path / "net.onnx")
    assert result.inputs == {"data": (100, 1, 28, 28)}
    assert list(result.outputs) == ["ip2"]
    assert [note.split(" is left out")[0] for note in result.notes] == [
        "layer 'accuracy' (an accuracy)",
        "layer 'loss' (a loss)",
        "input 'label'",
    ]


def test_end_cuts_the_net(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
    result = exports(net, tmp_path / "net.onnx", end="pool2")
    assert list(result.outputs) == ["pool2"]
    with pytest.raises(cf.CaffeError, match="no layer is named 'nowhere'"):
        cf.export(net, tmp_path / "net.onnx", end="nowhere")


@pytest.mark.parametrize("opset", [13, 14, 18, 21])
def test_opsets(opset, arrays, tmp_path):
    body = """layer { name: 'm' type: 'MVN' bottom: 'x' top: 'm' }
              layer { name: 'r' type: 'Reduction' bottom: 'm' top: 'r' reduction_param { operation: ASUM axis: 1 } }
              layer { name: 'h' type: 'HardSwish' bottom: 'r' top: 'h' }
              layer { name: 's' type: 'Slice' bottom: 'x' top: 'a' top: 'b' }
              layer { name: 'p' type: 'Pooling' bottom: 'a' top: 'p' pooling_param { kernel_size: 2 stride: 2 } }"""
    exports(net_of(body), tmp_path / "net.onnx", opset=opset)
    assert onnx.load(tmp_path / "net.onnx").opset_import[0].version == opset


@pytest.mark.parametrize("opset", [12, 0, 1000, "17", True])
def test_opsets_that_are_none(opset, tmp_path):
    with pytest.raises(cf.CaffeError, match="can't be written: 13 to"):
        cf.export(net_of(CHAIN), tmp_path / "net.onnx", opset=opset)


def test_batches_of_any_size(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
    result = exports(net, tmp_path / "net.onnx", dynamic=True)
    assert result.inputs == {"data": ("batch", 1, 28, 28)}
    assert result.outputs == {"prob": ("batch", 10)}
    assert any("height and width are not dynamic" in note for note in result.notes)
    x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype(np.float32)
    net.blobs["data"].reshape(3, 1, 28, 28)
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"data": x})[0]
    np.testing.assert_allclose(found, net.forward(data=x)["prob"], atol=1e-6)


def test_a_net_with_labels_takes_batches_of_any_size(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet_train_test.prototxt", "TEST", rng=1701, inputs={"data": (1, 28, 28)})
    net.blobs["data"].reshape(2, 1, 28, 28)
    result = exports(net, tmp_path / "net.onnx", dynamic=True)
    assert result.inputs == {"data": ("batch", 1, 28, 28)}
    assert result.outputs == {"ip2": ("batch", 10)}


def test_images_of_any_size(tmp_path):
    body = f"""{CHAIN}
        layer {{ name: 'p' type: 'Pooling' bottom: 'c' top: 'p' pooling_param {{ kernel_size: 3 stride: 2 }} }}
        layer {{ name: 'g' type: 'Pooling' bottom: 'p' top: 'g' pooling_param {{ pool: AVE global_pooling: true }} }}
        layer {{ name: 'i' type: 'InnerProduct' bottom: 'g' top: 'i' inner_product_param {{ num_output: 5
                weight_filler {{ type: 'gaussian' std: 1 }} }} }}"""
    net = net_of(body, "dim: 1 dim: 3 dim: 30 dim: 31")
    result = exports(net, tmp_path / "net.onnx", dynamic=True)
    assert result.inputs == {"x": ("batch", 3, "height", "width")}
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    for size in ((2, 3, 17, 40), (5, 3, 33, 12), (1, 3, 8, 9)):
        x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        net.blobs["x"].reshape(*size)
        np.testing.assert_allclose(session.run(["i"], {"x": x})[0], net.forward(x=x)["i"], rtol=1e-4)


@pytest.mark.parametrize("mean", [None, [104, 117, 123], "image", 100])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_preprocessing_in_the_graph(mean, order, tmp_path):
    r = np.random.default_rng(0)
    net = net_of(CHAIN, "dim: 2 dim: 3 dim: 6 dim: 7")
    given = r.uniform(90, 130, (3, 6, 7)).astype(np.float32) if mean == "image" else mean
    options = {"scale": 0.017, "order": order, **({} if mean is None else {"mean": given})}
    result = exports(net, tmp_path / "net.onnx", preprocess=options)
    assert result.inputs == {"x": (2, 3, 6, 7)}
    images = r.integers(0, 256, (2, 3, 6, 7)).astype(np.float32)
    x = images[:, ::-1] if order == "RGB" else images
    if mean is not None:
        x = x - (np.reshape(given, (3, 1, 1)) if isinstance(mean, list) else given)
    expected = net.forward(x=np.float32(x * 0.017))["c"]
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(["c"], {"x": images})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"means": 1}, "takes mean, scale, order"),
        ({"order": "GBR"}, "RGB or BGR"),
        ({"scale": "big"}, "scale is a number"),
        ({"mean": [1, 2]}, "doesn't fit images"),
        ({"mean": np.full(3, np.nan)}, "mean is"),
        ({}, "has 4 channel"),
    ],
)
def test_preprocessing_that_is_refused(options, text, tmp_path):
    with pytest.raises(cf.CaffeError, match=text):
        cf.export(
            net_of(CHAIN, f"dim: 2 dim: {3 if options else 4} dim: 6 dim: 7"), tmp_path / "net.onnx", preprocess=options
        )
    assert not list(tmp_path.iterdir())


def test_the_same_file_each_time(root, tmp_path):
    digests = set()
    code = "import sys, caffe_fillers as cf; cf.export(cf.Net(sys.argv[1], 'TEST', rng=1701), sys.argv[2])"
    for i in range(3):
        path = tmp_path / f"{i}" / "net.onnx"
        path.parent.mkdir()
        command = [sys.executable, "-c", code, str(root / "examples/mnist/lenet.prototxt"), str(path)]
        subprocess.run(command, check=True)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_where_it_comes_from(root, tmp_path):
    path = root / "examples/mnist/lenet.prototxt"
    net = cf.Net(path, "TEST", rng=1701)
    cf.export(net, tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    found = {each.key: each.value for each in model.metadata_props}
    weights = b"".join(blob.data.tobytes() for layer in net.layers for blob in layer.blobs)
    assert found == {
        "prototxt_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "caffe_fillers": cf.__version__,
    }
    assert "LeNet" in model.doc_string
    assert model.producer_name == "caffe_fillers"
    initializers = {each.name for each in model.graph.initializer}
    assert {"conv1/weight", "conv1/bias", "ip2/weight"} <= initializers
    assert not initializers & {each.name for each in model.graph.input}


def test_shared_weights_stand_in_the_file_once(tmp_path):
    body = """layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' param { name: 'w' } param { name: 'b' }
                      inner_product_param { num_output: 7 weight_filler { type: 'gaussian' std: 1 } } }
              layer { name: 'b' type: 'InnerProduct' bottom: 'x' top: 'b' param { name: 'w' } param { name: 'b' }
                      inner_product_param { num_output: 7 weight_filler { type: 'gaussian' std: 1 } } }"""
    exports(net_of(body), tmp_path / "net.onnx")
    assert [each.name for each in onnx.load(tmp_path / "net.onnx").graph.initializer] == ["a/weight", "a/bias"]


def test_weights_in_a_file_of_their_own(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
    result = exports(net, tmp_path / "net.onnx", external=True)
    assert result.files == [tmp_path / "net.onnx", tmp_path / "net.onnx.data"]
    assert (tmp_path / "net.onnx").stat().st_size < 10_000
    x = np.zeros((64, 1, 28, 28), np.float32)
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(None, {"data": x})[0]
    np.testing.assert_allclose(found, net.forward(data=x)["prob"], atol=1e-6)


def test_a_limit_of_what_one_file_holds(tmp_path):
    weights = [
        ("a", np.arange(5, dtype=np.float32)),
        ("b", np.ones((3, 0), np.float32)),
        ("c", np.float32(7).reshape(())),
    ]
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph)
    largest = model.ByteSize() + 24
    assert write_model(model, weights, tmp_path / "one.onnx", None, largest) == [tmp_path / "one.onnx"]
    assert len(write_model(model, weights, tmp_path / "two.onnx", None, largest - 1)) == 2
    with pytest.raises(cf.CaffeError, match="more than a file of ONNX can hold"):
        write_model(model, weights, tmp_path / "no.onnx", False, largest - 1)
    for name in ("one", "two"):
        found = onnx.load(tmp_path / f"{name}.onnx").graph.initializer
        for tensor, (label, array) in zip(found, weights, strict=True):
            assert tensor.name == label
            np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), array)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.onnx", "two.onnx", "two.onnx.data"]


@pytest.mark.slow
def test_memory_stays_near_the_weights(tmp_path):
    """A process that has a net of 256 MB and exports it needs at most 2.2 times that."""
    code = """
import resource, sys
import numpy as np, onnx, caffe_fillers as cf
from google.protobuf import text_format
from caffe_fillers import schema
text = '''layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 8192 } } }
layer { name: "i" type: "InnerProduct" bottom: "x" top: "i"
        inner_product_param { num_output: 8192 bias_term: false } }'''
import onnx.checker, onnx.helper, onnx.shape_inference, caffe_fillers.exporting.onnx
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
net = cf.Net(text_format.Parse(text, schema.NetParameter()), "TEST", rng=1)
net.params["i"][0].data[...] = 1
cf.export(net, sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / net.params["i"][0].data.nbytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "net.onnx")], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 2.2
    assert (tmp_path / "net.onnx").stat().st_size > 1 << 28


def test_what_can_not_be_exported(tmp_path):
    target = tmp_path / "net.onnx"
    target.write_bytes(b"old")
    net = net_of(CHAIN)
    with pytest.raises(cf.CaffeError, match=r"folder .* does not exist"):
        cf.export(net, tmp_path / "nowhere" / "net.onnx")
    with pytest.raises(cf.CaffeError, match=r"use .onnx, or .py"):
        cf.export(net, tmp_path / "net.pth")
    dropping = "layer { name: 'd' type: 'Dropout' bottom: 'x' top: 'd' phase: TRAIN }"
    with pytest.raises(cf.CaffeError, match=r"layer 'd': drops at random.*\n.*--end"):
        cf.export(net_of(dropping), target)
    with pytest.raises(cf.CaffeError, match="nothing to export"):
        cf.export(net_of(""), target)
    with pytest.raises(cf.CaffeError, match="holds no values"):
        cf.export(cf.Net(net.source.message, "TEST", fill=False), target)
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx"]


def test_a_layer_that_is_not_computed_is_refused_by_name(tmp_path):
    body = """layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'r' }
              layer { name: 'odd' type: 'Odd' bottom: 'r' top: 'o' }"""
    message = text_format.Parse(
        f"layer {{ name: 'in' type: 'Input' top: 'x' input_param {{ shape {{ dim: 1 }} }} }} {body}",
        schema.NetParameter(),
    )
    net = cf.Net(message, "TEST", inputs={"o": (1,)}, weightless=["Odd"])
    with pytest.raises(cf.CaffeError, match=r"layer 'odd': type Odd is not computed here.*\n.*--end"):
        cf.export(net, tmp_path / "net.onnx")
    exports(net, tmp_path / "net.onnx", end="r")


def test_onnx_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(cf.CaffeError, match=r"pip install 'caffe_fillers\[onnx\]'"):
        cf.export(net_of(CHAIN), tmp_path / "net.onnx")


def test_the_check_finds_what_differs(tmp_path, monkeypatch):
    from caffe_fillers.exporting.onnx import builder

    net = net_of("layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'r' }")
    add = builder.Builder.add
    monkeypatch.setattr(
        builder.Builder, "add", lambda g, kind, *rest, **more: add(g, kind.replace("Relu", "Abs"), *rest, **more)
    )
    result = cf.export(net, tmp_path / "net.onnx", check=True)
    assert not result.check
    assert result.check.first.name == "r"


def test_onnx_reference_where_there_is_no_runtime(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    exports(net_of(CHAIN), tmp_path / "net.onnx", external=True)


def test_every_operation_is_said_or_left_out():
    from caffe_fillers import ops
    from caffe_fillers.exporting import numpy_source
    from caffe_fillers.exporting import onnx as onnx_export
    from caffe_fillers.exporting.numpy_source import calls
    from caffe_fillers.exporting.onnx import builder

    onnx_export._load_operators()
    numpy_source._load_calls()
    found = [getattr(ops, name) for name in ops.__all__]
    operations = {each for each in found if isinstance(each, type) and issubclass(each, ops.Operation)}
    # inputs, what is left out, and the class that those of each element share
    silent = {ops.Operation, ops.Elementwise, ops.Given, ops.Silence, ops.Accuracy}
    losses = {each for each in operations if each.__name__.endswith("Loss")}
    for said in (builder.translate, calls.write):
        unsaid = {each for each in operations - silent - losses if said.dispatch(each) is said.dispatch(object)}
        assert {each.__name__ for each in unsaid} == set()
