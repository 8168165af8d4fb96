"""caffe-fillers export."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers.cli import main


@pytest.fixture
def lenet(root, tmp_path):
    cf.Net(root / "examples/mnist/lenet.prototxt", "TEST", rng=1701).save(tmp_path / "lenet.caffemodel")
    return [str(root / "examples/mnist/lenet.prototxt"), "--weights", str(tmp_path / "lenet.caffemodel")]


def run(*words) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["export", *map(str, words)])
    return done.exit_code, done.output


@pytest.mark.parametrize("name", ["model.onnx", "model.py"])
def test_writes_and_checks(name, lenet, tmp_path):
    code, output = run(*lenet, "-o", tmp_path / name)
    assert code == 0
    batch = "batch" if name.endswith(".py") else 64
    assert f"input data {batch}x1x28x28\noutput prob {batch}x10\n" in output
    assert "all 7 blobs agree" in output
    assert (tmp_path / name).exists()
    assert np.load(tmp_path / "model.npz") if name.endswith("py") else True


def test_past_the_tolerance_the_exit_code_is_1(lenet, tmp_path, monkeypatch):
    from caffe_fillers.exporting import check

    monkeypatch.setattr(check, "ONNX_TOLERANCE", 0.0)
    code, output = run(*lenet, "-o", tmp_path / "model.onnx")
    assert code == 1
    assert "(differs)" in output
    assert run(*lenet, "-o", tmp_path / "model.onnx", "--no-check")[0] == 0


def test_options_reach_the_file(root, lenet, tmp_path):
    code, output = run(*lenet, "-o", tmp_path / "m.onnx", "--dynamic", "--end", "pool2", "--opset", 18, "--external")
    assert code == 0
    assert "input data batchx1xheightxwidth\noutput pool2 batchx50x" in output
    assert (tmp_path / "m.onnx.data").exists()
    code, output = run(
        *lenet, "-o", tmp_path / "m.onnx", *("--preprocess", "mean=33"), *("--preprocess", "scale=0.0039"),
        *("--preprocess", "order=BGR"),
    )  # fmt: skip
    assert code == 0, output


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["-o", "nowhere/m.onnx"], 1, "folder nowhere does not exist"),
        (["-o", "m.pt"], 1, "use .onnx, or .py"),
        (["-o", "m.onnx", "--opset", "9"], 1, "opset 9 can't be written"),
        (["-o", "m.onnx", "--end", "none"], 1, "no layer is named 'none'"),
        (["-o", "m.onnx", "--preprocess", "mean"], 2, "write mean=104"),
        (["-o", "m.onnx", "--preprocess", "mean=a,b"], 2, "neither a file nor numbers"),
        (["-o", "m.py", "--dynamic"], 1, "a script takes no dynamic"),
    ],
)
def test_bad_words(words, code, text, lenet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen, output = run(*lenet, *words)
    assert seen == code, output
    assert text in output
    assert "Traceback" not in output
    assert [path.name for path in tmp_path.iterdir()] == ["lenet.caffemodel"]


def test_a_net_without_shapes_says_so(tmp_path, lenet):
    text = "layer { name: 'd' type: 'Data' top: 'data' data_param { source: 'none' batch_size: 2 } }"
    text += "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' }"
    (tmp_path / "net.prototxt").write_text(text)
    words = [tmp_path / "net.prototxt", *lenet[1:], "-o", tmp_path / "m.onnx"]
    code, output = run(*words)
    assert code == 1
    assert "--input d=" in output
    assert run(*words, "--input", "d=3x8x8")[0] == 0


def test_weights_that_do_not_fit(tmp_path, root, lenet):
    text = (root / "examples/mnist/lenet.prototxt").read_text().replace("num_output: 20", "num_output: 21")
    (tmp_path / "net.prototxt").write_text(text)
    code, output = run(tmp_path / "net.prototxt", *lenet[1:], "-o", tmp_path / "m.onnx")
    assert code == 1
    assert "conv1" in output
    assert not (tmp_path / "m.onnx").exists()


def test_json(lenet, tmp_path):
    code, output = run(*lenet, "-o", tmp_path / "model.py", "--json")
    found = json.loads(output)
    assert code == 0
    assert found["outputs"] == {"prob": ["batch", 10]}
    assert found["files"] == [str(tmp_path / "model.py"), str(tmp_path / "model.npz")]
    assert found["check"]["agrees"]
    assert len(found["check"]["blobs"]) == 7
