"""`caffe-fillers run`, and the images that it makes ready."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import caffe_fillers as cf
from caffe_fillers import CaffeError
from caffe_fillers.cli import main
from caffe_fillers.weights import save_mean

NET = """
input: "data" input_shape {{ dim: 1 dim: {channels} dim: 4 dim: 5 }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param {{ num_output: 3 {filler} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "ip" top: "prob" }}
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET.format(channels=3, filler='weight_filler { type: "xavier" }'))
    (tmp_path / "gray.prototxt").write_text(NET.format(channels=1, filler='weight_filler { type: "xavier" }'))
    cf.Net("net.prototxt", rng=1).save("net.npz")
    cf.Net("gray.prototxt", rng=1).save("gray.npz")
    random = np.random.default_rng(0)
    for i, shape in enumerate([(7, 6, 3), (4, 5, 3)]):
        Image.fromarray(random.integers(0, 256, shape).astype(np.uint8)).save(f"{i}.png")
    return tmp_path


def run(*arguments, net="net"):
    command = ["run", f"{net}.prototxt", "--weights", f"{net}.npz", *map(str, arguments)]
    result = CliRunner().invoke(main, command)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    return result


def opened(name, flag=cv2.IMREAD_COLOR):
    """As OpenCV reads and resizes it for an input of 4 x 5."""
    return cv2.resize(cv2.imread(name, flag), (5, 4)).astype(np.float32)


def expected(data, net="net"):
    model = cf.Net(f"{net}.prototxt", "TEST", weights=f"{net}.npz")
    model.blobs["data"].reshape(*np.shape(data))
    model.forward(data=data)
    return {name: blob.data for name, blob in model.blobs.items()}


def same(path, blobs, names=("data", "pool", "ip", "prob")):
    with np.load(path) as found:
        assert tuple(found.files) == names
        for name in names:
            np.testing.assert_array_equal(found[name], blobs[name], err_msg=name)


def test_images_are_opencvs_and_fill_a_batch():
    result = run("0.png", "1.png", "--mean", "104,117,123", "--scale", "0.5", "-o", "out.npz")
    assert result.exit_code == 0, result.stderr
    images = np.stack([opened("0.png"), opened("1.png")]).transpose(0, 3, 1, 2)
    blobs = expected((images - np.float32([104, 117, 123])[:, None, None]) * np.float32(0.5))
    same("out.npz", blobs)
    for line, (name, values) in zip(result.stdout.splitlines()[1:], blobs.items(), strict=False):
        shape = "x".join(map(str, values.shape))
        assert line.split() == [name, shape, f"{values.mean(dtype=float):.6g}", f"{values.std(dtype=float):.6g}"]
    assert "wrote out.npz" in result.stdout


def test_red_first_and_a_mean_image():
    mean = np.random.default_rng(1).random((3, 4, 5), np.float32)
    save_mean("mean.binaryproto", mean)
    assert run("1.png", "--rgb", "--mean", "mean.binaryproto", "-o", "out.npz").exit_code == 0
    same("out.npz", expected((opened("1.png").transpose(2, 0, 1)[::-1] - mean)[None]))
    larger = np.random.default_rng(1).random((3, 8, 8), np.float32)
    save_mean("mean.npy", larger)
    assert run("1.png", "--mean", "mean.npy", "-o", "out.npz").exit_code == 0
    values = larger.mean((1, 2), dtype=float).astype(np.float32)[:, None, None]
    same("out.npz", expected((opened("1.png").transpose(2, 0, 1) - values)[None]))


def test_one_channel_is_gray():
    assert run("0.png", "-o", "out.npz", net="gray").exit_code == 0
    same("out.npz", expected(opened("0.png", cv2.IMREAD_GRAYSCALE)[None, None], "gray"))


def test_arrays_as_they_are_and_chosen_blobs():
    data = np.random.default_rng(2).standard_normal((3, 3, 4, 5))
    np.save("x.npy", data)
    np.savez("x.npz", data=data)
    for given in ("x.npy", "x.npz", "data=x.npy"):
        result = run(given, "--blob", "ip", "--blob", "data", "-o", "out.npz", "--json")
        assert [row["blob"] for row in json.loads(result.stdout)["blobs"]] == ["ip", "data"]
        same("out.npz", expected(data), ("ip", "data"))


def test_the_highest_classes_by_their_names(here):
    (here / "labels").write_text("n01 cat\nn02 dog\nn03 bird\n")
    np.save("x.npy", np.random.default_rng(2).standard_normal((2, 3, 4, 5)))
    found = json.loads(run("x.npy", "--top", "2", "--labels", "labels", "--json").stdout)["classes"]
    probabilities = expected(np.load("x.npy"))["prob"]
    for item, row in enumerate(probabilities):
        best = sorted(range(3), key=lambda k: -row[k])[:2]
        assert found[item]["item"] == item
        assert [(each["class"], each["value"]) for each in found[item]["classes"]] == [(k, row[k]) for k in best]
        assert [each["label"][4:] for each in found[item]["classes"]] == [["cat", "dog", "bird"][k] for k in best]
    assert "n03 bird" in run("x.npy", "--top", "3", "--labels", "labels").stdout


def test_without_weights_it_says_so():
    np.save("x.npy", np.zeros((1, 3, 4, 5)))
    result = CliRunner().invoke(main, ["run", "net.prototxt", "x.npy", "--seed", "1"])
    assert result.exit_code == 0
    assert "before it is trained" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the net's input data is not given"),
        (["weights.npz"], "weights.npz: is a file of weights, not of inputs: give it as --weights weights.npz"),
        (["none.png"], "none.png"),
        (["labels"], "labels: cannot be read as an image"),
        (["none.npy"], "none.npy: cannot be read: No such file"),
        (["torn.npz"], "torn.npz: holds no arrays"),
        (["words.npy"], "words.npy: the array holds no numbers"),
        (["pickle.npy"], "pickle.npy: holds no arrays"),
        (["x.npy", "0.png"], "0.png: the net has no input left for it; it has data"),
        (["x.npy", "data=x.npy"], "input data is given twice"),
        (["x.npy", "data=0.png"], "input data is given an array and images"),
        (["other=0.png"], "the net has no input other; it has data"),
        (["x.npy", "--blob", "poool"], "no blob is named poool; there are data, pool, ip, prob"),
        (["flat.npy"], "layer 'pool': Check failed: 4 == bottom[0]->num_axes()"),
        (["0.png", "--mean", "1,2"], "a mean is one value, one for each of 3 channels"),
        (["0.png", "--mean", "1,x"], "1,x"),
        (["x.npy", "--top", "2", "--labels", "labels"], "there are 2 labels for the 3 classes of prob"),
        (["x.npy", "--top", "2", "--labels", "none"], "none: the labels cannot be read"),
        (["x.npy", "-o", "none/out.npz"], "none"),
    ],
)
def test_errors_in_words(here, arguments, said):
    (here / "labels").write_text("a\nb\n")
    cf.Net("net.prototxt", "TEST", rng=1).save("weights.npz")
    (here / "torn.npz").write_bytes(b"PK\3\4 and no more")
    np.save("words.npy", np.array(["a"]))
    np.save("pickle.npy", np.array([None]))
    np.save("flat.npy", np.zeros((2, 60)))
    np.save("x.npy", np.zeros((1, 3, 4, 5)))
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert said in result.stderr


def test_wrong_usage():
    for arguments in (["x.npy", "--labels", "x"], ["x.npy", "-o", "out.txt"]):
        assert run(*arguments).exit_code == 2


def test_arrays_are_not_changed_in_silence():
    np.save("x.npy", np.zeros((1, 3, 4, 5)))
    for options in (["--mean", "1,2,3"], ["--scale", "0.5"], ["--rgb"], ["--rgb", "--scale", "0"]):
        result = run("x.npy", *options)
        assert result.exit_code == 2
        assert f"{options[0]} change images" in result.stderr.replace("--scale and --rgb", "--rgb")
    for options in (["--scale", "1"], ["--bgr"]):
        assert run("x.npy", *options).exit_code == 0


@pytest.mark.parametrize(
    ("image", "shape", "options", "said"),
    [
        (np.zeros((2, 2, 3), np.uint8), (2, 2, 2), {}, r"an image needs an input of shape \(1 or 3, height, width\)"),
        (np.zeros((2, 2, 3), np.float32), (3, 2, 2), {}, r"bytes of shape \(height, width, 3\), got float32"),
        (np.zeros((2, 2), np.uint8), (3, 2, 2), {}, r"got uint8 of shape \(2, 2\)"),
        (np.zeros((2, 2, 4), np.uint8), (3, 2, 2), {}, r"got uint8 of shape \(2, 2, 4\)"),
        (np.zeros((0, 2, 3), np.uint8), (3, 2, 2), {}, "the image is empty"),
        (np.zeros((2, 2), np.uint8), (1, 2, 2), {"rgb": True}, "has no red to put first"),
        (np.zeros((2, 2), np.uint8), (1, 2, 2), {"mean": "abc"}, "a mean is one value"),
    ],
)
def test_images_that_fit_no_input(image, shape, options, said):
    with pytest.raises(CaffeError, match=said):
        cf.prepare_image(image, shape, **options)


def test_blobs_that_cannot_be_saved_leave_an_older_file(here):
    net = cf.Net("net.prototxt", "TEST", rng=1)
    net.forward(data=np.zeros((1, 3, 4, 5)))
    (here / "out.npz").write_bytes(b"older")
    with pytest.raises(CaffeError, match="no blob is named 'none'"):
        cf.save_blobs(net, "out.npz", ["ip", "none"])
    with pytest.raises(CaffeError, match=r"written to an \.npz"):
        cf.save_blobs(net, "out.txt")
    assert (here / "out.npz").read_bytes() == b"older"
