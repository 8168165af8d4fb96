"""Scripts of NumPy alone, held to the nets that they were written for: bit for bit."""

from __future__ import annotations

import ast
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema
from caffe_fillers.blas import threads_for_layers

RUN = Path(__file__).parents[1] / "golden" / "run"
CASES = json.loads((RUN / "layers.json").read_text())


def of_text(text: str, phase: str = "TEST") -> cf.Net:
    return cf.Net(text_format.Parse(text, schema.NetParameter()), phase, rng=1)


def net_of(body: str, shape: str = "dim: 2 dim: 4 dim: 6 dim: 6") -> cf.Net:
    return of_text(f"layer {{ name: 'in' type: 'Input' top: 'x' input_param {{ shape {{ {shape} }} }} }} {body}")


def same_bits(net: cf.Net, path: Path, **inputs: np.ndarray) -> None:
    """Every blob of the script beside the net's; the net is in phase TEST and was not run before."""
    forward = runpy.run_path(str(path))["forward"]
    # as in a pass of the net: with more threads a BLAS adds in another order
    with threads_for_layers(1):
        result = forward(*inputs.values(), blobs=True)
    outputs = net.forward(**inputs)
    assert set(result) <= set(net.blobs)
    for name, values in result.items():
        ours = net.blobs[name].data
        np.testing.assert_array_equal(values.reshape(ours.shape).view(np.uint32), ours.view(np.uint32), name)
    assert list(forward(*inputs.values())) == [name for name in outputs if name in result]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_a_script_without_its_inputs_says_how_it_is_run(tmp_path):
    cf.export(net_of("layer { name: 'relu' type: 'ReLU' bottom: 'x' top: 'y' }"), tmp_path / "net.py", check=False)
    np.save(tmp_path / "x.npy", np.ones((2, 4, 6, 6), np.float32))
    for arguments, code in (([], 1), (["x.npy"], 0), (["x.npy", "x.npy"], 1)):
        done = subprocess.run(
            [sys.executable, "net.py", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert ("python net.py x.npy" in done.stderr) == bool(code)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", CASES)
def test_every_layer_in_test(name, arrays, tmp_path):
    net = of_text(CASES[name]["prototxt"])
    inputs = {}
    for key, values in arrays.items():
        if key.startswith(f"{name}/set/"):
            layer, index = key.removeprefix(f"{name}/set/").rsplit("/", 1)
            net.params[layer][int(index)].data[...] = values
        elif key.startswith(f"{name}/in0/"):
            inputs[key.removeprefix(f"{name}/in0/")] = values
    plain = [
        layer for layer in net.layers if layer.type not in ("Input", "Accuracy") and not layer.type.endswith("Loss")
    ]
    if not plain:
        with pytest.raises(cf.CaffeError, match="nothing to export"):
            cf.export(net, tmp_path / "net.py")
        assert not list(tmp_path.iterdir())
        return
    for blob, values in inputs.items():
        net.blobs[blob].reshape(*values.shape)
    path = tmp_path / "net.py"
    result = cf.export(net, path)
    assert imported(path) <= {*sys.stdlib_module_names, "numpy"}
    if len(inputs) < len(result.inputs):
        # DummyData and the like: what they deliver is given
        assert cf.export(net, path, check=True).check
        return
    forward = runpy.run_path(str(path))["forward"]
    out = forward(*(inputs[blob] for blob in result.inputs), blobs=True)
    for blob, values in inputs.items():
        net.blobs[blob].data[...] = values
    net.forward()
    for blob, values in out.items():
        ours = net.blobs[blob].data
        np.testing.assert_array_equal(values.reshape(ours.shape).view(np.uint32), ours.view(np.uint32), blob)


FORKS = {
    "Permute": "type: 'Permute' bottom: 'x' top: 'y' permute_param { order: 0 order: 2 order: 3 order: 1 }",
    "Normalize": "type: 'Normalize' bottom: 'x' top: 'y' norm_param { across_spatial: false channel_shared: false }",
    "ReLU6": "type: 'ReLU6' bottom: 'x' top: 'y'",
    "ShuffleChannel": "type: 'ShuffleChannel' bottom: 'x' top: 'y' shuffle_channel_param { group: 2 }",
    "Interp": "type: 'Interp' bottom: 'x' top: 'y' interp_param { height: 11 width: 9 }",
    "Reorg": "type: 'Reorg' bottom: 'x' top: 'y' reorg_param { stride: 2 }",
    "Upsample": "type: 'Upsample' bottom: 'x' top: 'y' upsample_param { scale: 2 }",
}


@pytest.mark.parametrize("suffix", ["onnx", "py"])
@pytest.mark.parametrize("name", FORKS)
def test_layers_of_forks(name, suffix, tmp_path, recwarn):
    text = f"input: 'x' input_dim: 2 input_dim: 4 input_dim: 6 input_dim: 6 layer {{ name: 'l' {FORKS[name]} }}"
    (tmp_path / "net.prototxt").write_text(text)
    net = cf.Net(tmp_path / "net.prototxt", "TEST", rng=1)
    assert cf.export(net, tmp_path / f"net.{suffix}", check=True).check


AT_THE_EDGE = {
    "a convolution over no axis": "2 3|type: 'Convolution' convolution_param { num_output: 4 bias_term: false %s }",
    "a deconvolution over no axis": "2 4|type: 'Deconvolution' convolution_param { num_output: 4 group: 2 %s }",
    "channels last": "2 5 3|type: 'Convolution' convolution_param { num_output: 4 axis: 2 %s }",
    "MVN of three axes": "2 3 4|type: 'MVN'",
    "MVN of two axes": "2 3|type: 'MVN' mvn_param { across_channels: true }",
    "a power of nothing": "2 3 4 4|type: 'LRN' lrn_param { beta: 0 }",
}


@pytest.mark.parametrize("suffix", ["onnx", "py"])
@pytest.mark.parametrize("name", AT_THE_EDGE)
def test_layers_at_the_edge(name, suffix, tmp_path):
    shape, layer = AT_THE_EDGE[name].split("|")
    dims = " ".join(f"dim: {dim}" for dim in shape.split())
    text = f"layer {{ name: 'x' type: 'Input' top: 'x' input_param {{ shape {{ {dims} }} }} }}"
    layer = layer.replace("%s", "weight_filler { type: 'xavier' }")
    (tmp_path / "net.prototxt").write_text(f"{text} layer {{ name: 'l' bottom: 'x' top: 'y' {layer} }}")
    result = cf.export(cf.Net(tmp_path / "net.prototxt", "TEST", rng=1), tmp_path / f"net.{suffix}", check=True)
    assert result.check


def test_in_an_interpreter_of_its_own(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
    result = cf.export(net, tmp_path / "lenet.py", check=True)
    assert result.check
    assert result.check.rows[0].largest == 0
    assert result.files == [tmp_path / "lenet.py", tmp_path / "lenet.npz"]
    x = np.random.default_rng(0).standard_normal((5, 1, 28, 28)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "lenet.py", tmp_path / "x.npy"], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("prob (5, 10) [")


def test_batches_of_any_size(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
    cf.export(net, tmp_path / "lenet.py")
    net.blobs["data"].reshape(3, 1, 28, 28)
    same_bits(net, tmp_path / "lenet.py", data=np.random.default_rng(0).random((3, 1, 28, 28), np.float32))


def test_it_reads_as_written_by_hand(root, tmp_path):
    net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
    cf.export(net, tmp_path / "lenet.py")
    text = (tmp_path / "lenet.py").read_text()
    body = text[text.index("def forward") : text.index("    if blobs")]
    expected = """\
def forward(data, blobs=False):
    \"\"\"The outputs by name, for inputs of the shapes below; with `blobs` every blob.\"\"\"
    data = np.asarray(data, np.float32)  # 64x1x28x28
    conv1 = convolution(data, p["conv1/weight"], p["conv1/bias"], Window.square(5))  # conv1: 64x20x24x24
    pool1 = max_pool(conv1, Window.square(2, stride=2))  # pool1: 64x20x12x12
    conv2 = convolution(pool1, p["conv2/weight"], p["conv2/bias"], Window.square(5))  # conv2: 64x50x8x8
    pool2 = max_pool(conv2, Window.square(2, stride=2))  # pool2: 64x50x4x4
    ip1 = inner_product(pool2.reshape(len(pool2), -1), p["ip1/weight"], p["ip1/bias"])  # ip1: 64x500
    ip1 = relu(ip1)  # relu1: 64x500
    ip2 = inner_product(ip1, p["ip2/weight"], p["ip2/bias"])  # ip2: 64x10
    prob = softmax(ip2)  # prob: 64x10
"""
    assert body == expected
    assert "in_c" not in text
    assert ">>>" not in text
    assert list(np.load(tmp_path / "lenet.npz")) == [
        f"{layer}/{kind}" for layer in ("conv1", "conv2", "ip1", "ip2") for kind in ("weight", "bias")
    ]


ODD = """
layer { name: 'conv-1/3x3' type: 'ReLU' bottom: 'x' top: 'conv-1/3x3' }
layer { name: 'class' type: 'Sigmoid' bottom: 'conv-1/3x3' top: 'class' }
layer { name: 'two' type: 'TanH' bottom: 'class' top: 'relu' }
layer { name: 'two' type: 'ReLU' bottom: 'relu' top: 'np' }
layer { name: 'q"\\\\"' type: 'AbsVal' bottom: 'np' top: 'conv_1_3x3' }
layer { name: 'e' type: 'Eltwise' bottom: 'conv_1_3x3' bottom: 'x' top: '\\303\\244 1' }
layer { name: 'i' type: 'InnerProduct' bottom: '\\303\\244 1' top: '7' inner_product_param { num_output: 3
        weight_filler { type: 'gaussian' std: 1 } } }
layer { name: 'i' type: 'InnerProduct' bottom: '7' top: 'sum' inner_product_param { num_output: 3
        weight_filler { type: 'gaussian' std: 1 } } }
"""


def test_names_that_are_no_identifiers(tmp_path):
    net = net_of(ODD)
    assert cf.export(net, tmp_path / "net.py", check=True).check
    same_bits(net, tmp_path / "net.py", x=np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32))
    found = list(np.load(tmp_path / "net.npz"))
    assert found == ["i/weight", "i/bias", "i/weight_2", "i/bias_2"]


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed")
@pytest.mark.parametrize("select", ["E,F,W,I,UP,B,C4,SIM,RUF,NPY"])
def test_scripts_pass_ruff(root, select, tmp_path):
    cf.export(cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701), tmp_path / "lenet.py")
    cf.export(net_of(ODD), tmp_path / "odd.py")
    for name, more in FORKS.items():
        text = f"input: 'x' input_dim: 2 input_dim: 4 input_dim: 6 input_dim: 6 layer {{ name: 'l' {more} }}"
        (tmp_path / "net.prototxt").write_text(text)
        cf.export(cf.Net(tmp_path / "net.prototxt", "TEST", rng=1), tmp_path / f"{name}.py")
    options = ["--isolated", "--line-length", "120", "--target-version", "py311"]
    for command in (["check", "--select", select], ["format", "--check"]):
        done = subprocess.run(["ruff", *command, *options, tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_the_same_files_each_time(root, tmp_path):
    seen = set()
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        net = cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701)
        files = cf.export(net, tmp_path / str(i) / "lenet.py").files
        seen.add(tuple(file.read_bytes() for file in files))
    assert len(seen) == 1


def test_memory_that_layers_share(tmp_path):
    body = """layer { name: 'p' type: 'Power' bottom: 'x' top: 'p' }
              layer { name: 'f' type: 'Flatten' bottom: 'p' top: 'f' }
              layer { name: 'r' type: 'ReLU' bottom: 'f' top: 'f' }
              layer { name: 'q' type: 'Power' bottom: 'p' top: 'q' }"""
    net = net_of(body)
    cf.export(net, tmp_path / "net.py")
    same_bits(net, tmp_path / "net.py", x=np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32))


def test_float64(tmp_path):
    message = text_format.Parse(
        "input: 'x' input_shape { dim: 2 dim: 3 } layer { name: 'i' type: 'InnerProduct' bottom: 'x' top: 'i' "
        "inner_product_param { num_output: 3 weight_filler { type: 'gaussian' std: 1 } } }",
        schema.NetParameter(),
    )
    net = cf.Net(message, "TEST", rng=1, dtype=np.float64)
    assert cf.export(net, tmp_path / "net.py", check=True).check
    assert np.load(tmp_path / "net.npz")["i/weight"].dtype == np.float64
    assert cf.export(net, tmp_path / "net.onnx", check=True).check


def test_what_is_refused(tmp_path):
    net = net_of("layer { name: 'r' type: 'ReLU' bottom: 'x' top: 'r' }")
    with pytest.raises(cf.CaffeError, match="takes no opset"):
        cf.export(net, tmp_path / "net.py", opset=17)
    with pytest.raises(cf.CaffeError, match="would hide a module"):
        cf.export(net, tmp_path / "numpy.py")
    with pytest.raises(cf.CaffeError, match="does not exist"):
        cf.export(net, tmp_path / "nowhere" / "net.py")
    (tmp_path / "net.npz").mkdir()
    with pytest.raises(cf.CaffeError, match="it is a directory"):
        cf.export(net, tmp_path / "net.py")
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


def test_the_check_finds_a_bit(tmp_path, monkeypatch):
    from caffe_fillers.exporting import check

    net = net_of("layer { name: 'r' type: 'Power' bottom: 'x' top: 'r' power_param { scale: 3 } }")
    run = check.run_net

    def off_by_a_bit(net, plan, given):
        run(net, plan, given)
        net.blobs["r"].data.view(np.uint32).flat[7] += 1

    monkeypatch.setattr(check, "run_net", off_by_a_bit)
    result = cf.export(net, tmp_path / "net.py", check=True).check
    assert not result
    assert result.first.at == (0, 0, 1, 1)
