"""Cases from people's own files: each input stands for a kind of fault, and shows the right behaviour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import caffe_fillers as cf
from caffe_fillers.cli import main

CASES = Path(__file__).parent / "cases"


def run(*args: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.stderr
    assert result.exit_code == code, result.stderr
    return result


def bits(net: cf.Net) -> dict[str, list[bytes]]:
    return {name: [blob.data.tobytes() for blob in blobs] for name, blobs in net.params.items()}


def quiet(source: Any, **options: Any) -> cf.Net:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        return cf.Net(source, rng=7, **options)


# --- fields of forks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["p2c4", "bn_nv", "interp"])
def test_fields_that_are_followed_come_through_every_way_in(case: str, tmp_path: Path) -> None:
    path = CASES / f"{case}.prototxt"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is followed is not told of as skipped
        wanted = cf.Net(path, rng=7)
        with pytest.warns(cf.CaffeWarning, match="BVLC Caffe does not know"):
            message = cf.read_net(path)
        assert bits(cf.Net(message, rng=7)) == bits(wanted)
        assert bits(cf.Net(cf.upgrade(message), rng=7)) == bits(wanted)
    run("upgrade", path, "-o", tmp_path / "new.prototxt")
    assert bits(cf.Net(tmp_path / "new.prototxt", rng=7)) == bits(wanted)
    cf.write_prototxt(tmp_path / "read.prototxt", message)
    assert bits(cf.Net(tmp_path / "read.prototxt", rng=7)) == bits(wanted)
    assert "skipped" not in run("init", path, "--seed", 1).stderr


def test_fields_of_old_forks_survive_the_upgrade(tmp_path: Path) -> None:
    old = tmp_path / "old.prototxt"
    old.write_text(
        'input: "x" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 9\n'
        'layers { name: "p" type: POOLING bottom: "x" top: "p"\n'
        "  pooling_param { kernel_size: 2 stride: 2 ceil_mode: false } frozen: { deep: [1, 2] } }\n"
        'layers { name: "roi" type: SMOOTH_L1_LOSS bottom: "p" bottom: "p" top: "l" }'
    )
    run("upgrade", old, "-o", tmp_path / "new.prototxt")
    new = (tmp_path / "new.prototxt").read_text()
    assert "ceil_mode: false" in new
    assert "frozen: { deep: [1, 2] }" in new
    assert new.count("SMOOTH_L1_LOSS") == 1
    for path in (old, tmp_path / "new.prototxt"):
        assert quiet(path).blobs["p"].shape == (1, 4, 4, 4)
    with pytest.warns(cf.CaffeWarning, match=r"field frozen of V1LayerParameter \(line 3\)$"):
        cf.Net(old)
    with pytest.raises(cf.CaffeError, match="no field named"):
        cf.Net(tmp_path / "new.prototxt", strict=True)


def test_what_caffe_reads_holds_nothing_of_ours(tmp_path: Path) -> None:
    quiet(CASES / "p2c4.prototxt").save(tmp_path / "w.caffemodel")
    assert b"ceil_mode" not in (tmp_path / "w.caffemodel").read_bytes()


# --- bytes that are no text ------------------------------------------------------------------------------------------


def test_names_keep_their_bytes_through_every_format(tmp_path: Path) -> None:
    path, (net, layer) = CASES / "gbk.prototxt", (b"\xd6\xd0\xce\xc4", b"\xbe\xed")
    assert layer in path.read_bytes()
    run("init", path, "--seed", 1, "-o", tmp_path / "a.caffemodel")
    last = tmp_path / "a.caffemodel"
    for i, suffix in enumerate((".npz", ".h5", ".safetensors", ".caffemodel")):
        run("convert", last, tmp_path / f"{i}{suffix}")
        last = tmp_path / f"{i}{suffix}"
        run("init", path, "--seed", 2, "--weights", last, "-o", tmp_path / "b.caffemodel")
        run("compare", tmp_path / "a.caffemodel", tmp_path / "b.caffemodel")
    for each in (tmp_path / "a.caffemodel", last):
        held = each.read_bytes()
        assert held.startswith(b"\x0a\x04" + net)
        assert b"\x0a\x02" + layer in held
    run("upgrade", path, "-o", tmp_path / "new.prototxt")
    assert b'name: "' + layer + b'"' in (tmp_path / "new.prototxt").read_bytes()
    # people are shown the bytes
    assert r"\xbe\xed" in run("show", last).stdout


# --- names of inputs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["h5name", "pyname", "dummyfork"])
def test_a_name_that_is_a_top_means_that_top(case: str) -> None:
    path, shapes = CASES / f"{case}.prototxt", {"data": (2000, 1, 28, 28), "label": (2000,)}
    net = quiet(path, inputs=shapes)
    rows = 100 if case == "h5name" else 2000
    assert [net.blobs[name].shape for name in ("data", "label")] == [(rows, 1, 28, 28), (rows,)]
    run("init", path, "--input", "data=2000x1x28x28", "--input", "label=2000")
    # a dict of tops can only be meant for the layer
    if case == "h5name":
        assert quiet(path, inputs={"data": shapes}).blobs["label"].shape == (100,)


def test_a_layer_s_name_counts_where_no_top_has_it(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "a" type: "Input" top: "b" } layer { name: "b" type: "Input" top: "c" }')
    net = cf.Net(path, inputs={"a": (1, 2), "b": (3, 4)})
    assert (net.blobs["b"].shape, net.blobs["c"].shape) == ((1, 2), ())
    net = cf.Net(path, inputs={"b": (3, 4), "c": (5, 6)})
    assert (net.blobs["b"].shape, net.blobs["c"].shape) == ((3, 4), (5, 6))


def test_a_name_that_matches_nothing_is_told(tmp_path: Path) -> None:
    text = "the shape given for 'dta' has no effect: no layer and no top has that name\ninputs of the net are data"
    path = CASES / "interp.prototxt"
    with pytest.warns(cf.CaffeWarning, match=text):
        cf.Net(path, inputs={"dta": (1, 3, 20, 20)})
    assert text in run("init", path, "--input", "dta=1x3x20x20").stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cf.Net(path, inputs={"data": (1, 3, 20, 20), "data@TEST": (2, 3, 20, 20), "mean@TEST": (1,)})


def test_a_fragment_s_bottoms_are_inputs(tmp_path: Path) -> None:
    path = CASES / "frag.prototxt"
    run("init", path, "--input", "data=1x1x28x28")
    net = cf.Net(path, rng=7, inputs={"data": (1, 1, 28, 28)})
    assert (net.inputs, net.blobs["c"].shape) == (["data"], (1, 2, 26, 26))
    assert "--input data=DIMS" in run("init", path, code=1).stderr
    # lines stay those of the file, and what BVLC Caffe does not know is still found
    more = tmp_path / "more.prototxt"
    more.write_text(
        path.read_text()
        + 'layer { name: "p" type: "Pooling" bottom: "c" top: "p"\n'
        + "  pooling_param { kernel_size: 3 stride: 2 ceil_mode: false frozen: 1 } }"
    )
    with pytest.warns(cf.CaffeWarning, match=r"know: field frozen of PoolingParameter \(line 3\)$"):
        net = cf.Net(more, rng=7, inputs={"data": (1, 1, 28, 28)})
    assert net.blobs["p"].shape == (1, 2, 12, 12)


def test_inputs_left_open_are_asked_for_by_name() -> None:
    path = CASES / "trt211.prototxt"
    assert "--input data=DIMS" in run("init", path, code=1).stderr
    run("init", path, "--input", "data=1x1x32x32")


def test_one_image_s_shape_is_a_batch_of_one(tmp_path: Path) -> None:
    path = CASES / "interp.prototxt"
    for dims in ("3x20x20", "3X20X20", "3,20,20"):
        printed = run("init", path, "--input", f"data={dims}").stderr
        assert "but this is an input of a whole batch: 1x3x20x20 is taken" in printed
    net = quiet(CASES / "frag.prototxt", inputs={"data": (1, 28, 28)})
    assert net.blobs["data"].shape == (1, 1, 28, 28)
    sequences = tmp_path / "sequences.prototxt"
    sequences.write_text('layer { name: "x" type: "Input" top: "x" } layer { name: "s" type: "Silence" bottom: "x" }')
    assert cf.Net(sequences, inputs={"x": (5, 1, 4)}).blobs["x"].shape == (5, 1, 4)


# --- layers that nobody knows ----------------------------------------------------------------------------------------


def layers(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'
        f"{text}\n"
        'layer { name: "ip" type: "InnerProduct" bottom: "y" top: "ip"\n'
        '  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }'
    )
    return path


@pytest.mark.parametrize(
    ("kind", "text", "printed"),
    [
        ("Gated", "gated_param { weight_filler { type: 'xavier' } }", "it has a weight_filler"),
        ("Gated", "gated_param { inner { gate_filler { } } }", "it has a gate_filler"),
        ("Gated", "convolution_param { num_output: 3 weight_filler { } }", "it has a weight_filler"),
        ("Gated", "param { lr_mult: 1 }", "it has `param` entries"),
        ("Gated", "blobs { shape { dim: 1 } data: 1 }", "it has `blobs`"),
        ("Convolutoin", "", "did you mean Convolution?"),
        ("Relu", "", "did you mean ReLU?"),
        ("CONVOLUTION", "", "did you mean Convolution?"),
        ("INNER_PRODUCT", "", "did you mean InnerProduct?"),
        ("Batchnorm", "", "did you mean BatchNorm?"),
    ],
)
def test_an_unknown_layer_that_holds_weights_or_is_misspelt_is_refused(
    tmp_path: Path, kind: str, text: str, printed: str
) -> None:
    path = layers(tmp_path, f'layer {{ name: "it" type: "{kind}" bottom: "x" top: "y" {text} }}')
    error = run("init", path, "--input", "y=1x4", code=1).stderr
    for each in (printed, f"--weightless {kind}", "register"):
        assert each in error
    for name in (kind, "it"):
        run("init", path, "--input", "y=1x4", "--weightless", name)
        net = quiet(path, inputs={"y": (1, 4)}, weightless=name)
        assert net.params["ip"][0].shape == (2, 4)


@pytest.mark.parametrize("kind", ["SoftmaxFocal", "ReLUQuantized", "Pooling9D", "L9Norm"])
def test_an_unknown_layer_without_a_sign_of_weights_needs_its_tops_only(tmp_path: Path, kind: str) -> None:
    path = layers(tmp_path, f'layer {{ name: "it" type: "{kind}" bottom: "x" top: "y" it_param {{ axis: 1 }} }}')
    assert quiet(path, inputs={"y": (1, 4)}).params["ip"][0].shape == (2, 4)
    assert "--input y=DIMS" in run("init", path, code=1).stderr


# --- fields that change shapes ---------------------------------------------------------------------------------------


def test_round_below_is_floor() -> None:
    assert quiet(CASES / "ief6.prototxt").params["ip"][0].shape == (3, 196)


@pytest.mark.parametrize(
    ("kind", "text", "field"),
    [
        ("Pooling", "pooling_param { kernel_size: 2 round_up: false }", "round_up"),
        ("Pooling", "pooling_param { kernel_size: 2 temporal_stride: 2 }", "temporal_stride"),
        ("Convolution", "convolution_param { num_output: 1 kernel_size: 2 output_padding: 1 }", "output_padding"),
        ("Convolution", "convolution_param { num_output: 1 kernel_size: 2 pad_type: 1 }", "pad_type"),
        ("InnerProduct", "inner_product_param { num_output: 1 enable_noise: true }", "enable_noise"),
        ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } pixelshuffler: 2 }", "pixelshuffler"),
    ],
)
def test_a_field_that_changes_shapes_and_is_not_followed(tmp_path: Path, kind: str, text: str, field: str) -> None:
    path = layers(tmp_path, f'layer {{ name: "it" type: "{kind}" bottom: "x" top: "y" {text} }}')
    error = run("init", path, code=1).stderr
    assert f".{field} is no field of BVLC Caffe's" in error
    assert f"--ignore {field}" in error
    run("init", path, "--ignore", field)
    assert quiet(path, ignore=[field]).params["ip"]


def test_names_that_dilation_and_rounding_had_in_forks(tmp_path: Path) -> None:
    def top(text: str, kind: str = "Convolution") -> Any:
        layer = f'layer {{ name: "it" type: "{kind}" bottom: "x" top: "y" {text} }}'
        return quiet(layers(tmp_path, layer)).blobs["y"].shape

    same = top("convolution_param { num_output: 1 kernel_size: 2 dilation: 3 }")
    assert top("convolution_param { num_output: 1 kernel_size: 2 hole: 3 }") == same == (1, 1, 5, 5)
    assert top("convolution_param { num_output: 1 kernel_size: 2 kstride: 3 }") == same
    assert top("convolution_param { num_output: 1 kernel_size: 2 hole_h: 3 hole_w: 1 }") == (1, 1, 5, 7)
    uneven = "pooling_param { kernel_size: 3 stride: 2 pad_t: 0 pad_b: 1 pad_l: 0 pad_r: 0 ceil_mode: %s }"
    assert top(uneven % "false", "Pooling") == (1, 3, 4, 3)
    assert top(uneven % "true", "Pooling") == (1, 3, 4, 4)
    assert top("pooling_param { kernel_size: 3 stride: 3 pad_type: 1 }", "Pooling") == (1, 3, 3, 3)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".h5"])
def test_only_layers_with_weights_need_names_of_their_own(suffix: str, tmp_path: Path) -> None:
    path = CASES / "dup_relu.prototxt"
    run("init", path, "--seed", 1, "-o", tmp_path / f"w{suffix}")
    run("init", path, "--seed", 1, "-o", tmp_path / "w.caffemodel")
    run("convert", tmp_path / "w.caffemodel", tmp_path / f"v{suffix}")
    run("compare", tmp_path / f"v{suffix}", tmp_path / f"w{suffix}")
    twice = tmp_path / "twice.prototxt"
    twice.write_text(path.read_text().replace('"conv2" type', '"conv1" type'))
    error = run("init", twice, "-o", tmp_path / f"x{suffix}", code=1).stderr
    assert "two layers are named 'conv1' and hold weights" in error
    assert "name one of them otherwise" in error


def test_the_net_of_a_solver_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CASES / "beside_solver"
    monkeypatch.chdir(tmp_path)
    printed = run("init", folder / "solver.prototxt").stderr
    assert str(folder / "train_val.prototxt") in printed
    assert "--net FILE" in printed
    with pytest.warns(cf.CaffeWarning, match="is used instead"):
        solver = cf.Solver(folder / "solver.prototxt", rng=1)
    assert list(solver.net.params) == ["conv1", "conv2"]
    # the longest end of the path, beside the solver or above it
    deep = tmp_path / "mine" / "examples" / "solvers"
    deep.mkdir(parents=True)
    net = (folder / "train_val.prototxt").read_text()
    for place, name in (("mine/nets", "right"), ("mine/examples/solvers", "wrong")):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "train_val.prototxt").write_text(net.replace('"dup"', f'"{name}"'))
    (deep / "solver.prototxt").write_text(r'net: "D:\\caffe\\nets\\train_val.prototxt"')
    with pytest.warns(cf.CaffeWarning, match="is used instead"):
        assert cf.Solver(deep / "solver.prototxt", rng=1).net.name == "right"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = folder / "train_val.prototxt"
        assert cf.Solver(deep / "solver.prototxt", rng=1, net=other).net.name == "dup"
        assert cf.Solver(deep / "solver.prototxt", rng=1, net=cf.read_net(other)).net.name == "dup"
        assert run("init", deep / "solver.prototxt", "--net", other).stderr == ""
    (deep / "solver.prototxt").write_text('net: "/nowhere/other.prototxt"')
    assert "--net FILE" in run("init", deep / "solver.prototxt", code=1).stderr


def test_hdf5_data_had_four_axes(tmp_path: Path) -> None:
    path, inputs = CASES / "rc2_h5_1769.prototxt", ("--input", "data=2000x9216", "--input", "label=2000")
    assert "height >= 0 (-3 vs. 0)" in run("init", path, "--caffe", "rc2", *inputs, code=1).stderr
    padded = tmp_path / "padded.prototxt"
    padded.write_text(path.read_text().replace("kernel_size: 5", "kernel_size: 5 pad: 2"))
    for caffe in ("v0.9999", "rc", "rc2"):
        net = quiet(padded, caffe=caffe, inputs={"data": (2000, 9216), "label": (2000,)})
        assert net.params["conv1"][0].shape == (4, 9216, 5, 5)
        assert net.blobs["label"].shape == (100, 1, 1, 1)
    assert quiet(path, inputs={"data": (2000, 3, 32, 32), "label": (2000,)}, caffe="rc3").blobs["label"].shape == (100,)


@pytest.mark.parametrize(
    ("case", "printed"),
    [
        ("deploy_html", "a web page or XML"),
        ("digits1488", '“ (U+201C) stands where " is meant'),
        ("fw", "\uff1a (U+FF1A) stands where : is meant"),
        ("slashes", "comments begin with #"),
    ],
)
def test_what_is_no_prototxt_is_named(case: str, printed: str) -> None:
    assert printed in run("init", CASES / f"{case}.prototxt", code=1).stderr


@pytest.mark.parametrize(
    ("character", "printed"),
    [
        ("\u2018", "stands where ' is meant"),
        ("\uff5b", "stands where { is meant"),
        ("\uff10", "stands where 0 is meant"),
        ("\u2013", "stands where - is meant"),
        ("\u3000", "stands where a space is meant"),
        ("\u200b", "an invisible character, U+200B"),
        ("é", "é (U+00E9) can stand only in text in quotes"),
    ],
)
def test_a_character_of_another_alphabet_is_shown(tmp_path: Path, character: str, printed: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(f'name: "a"\nlayer {character} }}', encoding="utf-8")
    assert printed in run("init", path, code=1).stderr


@pytest.mark.parametrize("page", ["<html>", "\r\n <?xml version='1.0'?>", "\n<!doctype html>"])
def test_web_pages(tmp_path: Path, page: str) -> None:
    (tmp_path / "page.prototxt").write_text(page)
    for command in ("init", "upgrade -o x.prototxt", "signal"):
        name, *rest = command.split()
        assert "a web page or XML" in run(name, tmp_path / "page.prototxt", *rest, code=1).stderr


# --- other files -----------------------------------------------------------------------------------------------------


def test_c3d_s_blobs_have_five_axes(tmp_path: Path) -> None:
    path = CASES / "c3d.caffemodel"
    (array,) = cf.load_weights(path)["conv1a"]
    assert array.shape == (2, 1, 1, 2, 3)
    assert array.reshape(-1).tolist() == list(range(12))
    assert "2x1x1x2x3" in run("show", path).stdout
    run("convert", path, tmp_path / "c3d.npz")
    run("compare", path, tmp_path / "c3d.npz")
    # a mean of clips: 1 x 2 x 1 x 1 x 2, and a diff that counts for nothing
    values = np.arange(4, dtype="<f4").tobytes()
    mean = b"\x08\x01\x10\x02\x18\x01\x20\x01\x28\x02\x32\x10" + values + b"\x3a\x10" + values
    (tmp_path / "mean.binaryproto").write_bytes(mean)
    assert cf.load_mean(tmp_path / "mean.binaryproto").shape == (2, 1, 1, 2)
    (tmp_path / "short.binaryproto").write_bytes(mean[:40].replace(b"\x28\x02", b"\x28\x03"))
    with pytest.raises(cf.CaffeError):
        cf.load_mean(tmp_path / "short.binaryproto")


def test_a_solver_s_state_is_shown_and_is_no_weights(tmp_path: Path) -> None:
    path = CASES / "lenet_iter_100.solverstate"
    shown = run("show", path).stdout
    assert "iteration 100" in shown
    assert "lenet_iter_100.caffemodel" in shown
    printed = json.loads(run("show", path, "--json").stdout)
    assert (printed["iteration"], printed["learned_net"], printed["history"][0]["shape"]) == (
        *(100, "lenet_iter_100.caffemodel"),
        [2],
    )
    solver = cf.Solver(CASES.parents[1] / "examples/mnist/lenet_solver.prototxt", inputs={"data": (1, 28, 28)})
    solver.message.snapshot_prefix = str(tmp_path / "own")
    solver.message.snapshot_format = 0  # HDF5
    hdf5 = solver.snapshot()
    for state, model in ((path, "lenet_iter_100.caffemodel"), (hdf5, "own_iter_0.caffemodel.h5")):
        error = run("init", CASES / "p2c4.prototxt", "--weights", state, code=1).stderr
        assert "is a solver's state" in error
        assert f"{model}\n" in error
        assert "iteration" in run("show", state).stdout


def test_means_both_ways(tmp_path: Path) -> None:
    path = CASES / "mean.npy"
    run("convert", path, tmp_path / "mean.binaryproto")
    run("convert", tmp_path / "mean.binaryproto", tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == path.read_bytes()
    for each in (path, tmp_path / "mean.binaryproto"):
        assert "a mean of 3x2x2" in run("show", each).stdout
    assert ".npy" in run("convert", path, tmp_path / "w.npz", code=1).stderr
    run("convert", CASES / "c3d.caffemodel", tmp_path / "m.npy", code=1)


@pytest.mark.parametrize(
    ("content", "printed"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "an image"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "an image"),
        (b"%PDF-1.5\n", "a PDF"),
        (b"\x00\x00\x08\x03\x00\x00\xea\x60", "an IDX file"),
        (bytes(16) + b"\xde\xc0\xef\xbe" + bytes(50), "an LMDB"),
        (b"\x7fELF" + bytes(50), "a program"),
        (b"\x08\x07\x12\x07pytorch\x1a\x032.0", "an ONNX model"),
        (b"a,b\n1,2\n", "is text"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00", "compressed"),
    ],
)
def test_show_says_what_a_file_is(tmp_path: Path, content: bytes, printed: str) -> None:
    path = tmp_path / "a.file"
    path.write_bytes(content)
    assert printed in run("show", path, code=1).stderr
    assert cf.identify(path)


def test_what_a_file_is() -> None:
    files = {
        "mean.npy": "mean",
        "c3d.caffemodel": "weights",
        "lenet_iter_100.solverstate": "state",
        "p2c4.prototxt": "net",
        "beside_solver/solver.prototxt": "solver",
    }
    assert {name: cf.identify(CASES / name) for name in files} == files


# --- a prototxt is read once -----------------------------------------------------------------------------------------


def test_pipes_and_standard_input(tmp_path: Path) -> None:
    path, solver = CASES / "p2c4.prototxt", CASES / "beside_solver" / "solver.prototxt"
    net = ["--net", str(CASES / "beside_solver" / "train_val.prototxt")]
    for source, more in ((path, []), (solver, net)):
        wanted = run("init", source, "--seed", 3, *more).stdout
        for name in ("-", "/dev/stdin"):
            command = [sys.executable, "-m", "caffe_fillers", "init", name, "--seed", "3", *more]
            done = subprocess.run(command, input=source.read_bytes(), capture_output=True, check=True)
            assert done.stdout.decode() == wanted
        fifo = tmp_path / f"{source.name}.fifo"
        os.mkfifo(fifo)
        writer = threading.Thread(target=fifo.write_bytes, args=(source.read_bytes(),))
        writer.start()
        assert run("init", fifo, "--seed", 3, *more).stdout == wanted
        writer.join()
    upgraded = CliRunner().invoke(main, ["upgrade", "-", "-o", "-"], input=path.read_bytes())
    assert upgraded.exit_code == 0
    run("upgrade", path, "-o", tmp_path / "new.prototxt")
    assert upgraded.stdout_bytes == (tmp_path / "new.prototxt").read_bytes()


def test_a_net_where_a_solver_belongs_and_the_other_way_round() -> None:
    net, solver = CASES / "p2c4.prototxt", CASES / "beside_solver" / "solver.prototxt"
    with pytest.raises(cf.CaffeError, match="this is a solver's prototxt, not a net's\nread it with Solver"):
        cf.Net(solver)
    with pytest.raises(cf.CaffeError, match="this is a net's prototxt, not a solver's\nread it with Net"):
        cf.Solver(net)
    with pytest.raises(cf.CaffeError, match="this is a solver's prototxt, not a net's\nread it with read_solver"):
        cf.read_net(solver)
    with pytest.raises(cf.CaffeError, match="this is a net's prototxt, not a solver's\nread it with read_net"):
        cf.read_solver(net)
    with pytest.raises(cf.CaffeError, match="a solver's message goes to Solver"):
        cf.Net(cf.read_solver(solver))
    message = cf.read_net(CASES / "beside_solver" / "train_val.prototxt")
    with pytest.raises(cf.CaffeError, match="a net's message goes to Net"):
        cf.Solver(message)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "bom.prototxt"
    for source in (CASES / "frag.prototxt", CASES / "beside_solver" / "train_val.prototxt"):
        path.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
        inputs = {"data": (1, 1, 28, 28)} if source.name == "frag.prototxt" else None
        assert bits(quiet(path, inputs=inputs)) == bits(quiet(source, inputs=inputs))
        with pytest.raises(cf.CaffeError, match=r"byte order mark|BOM"):
            cf.Net(path, strict=True)
    path.write_bytes(b"\xef\xbb\xbf" + (CASES / "beside_solver" / "solver.prototxt").read_bytes())
    assert cf.read_solver(path).max_iter == 10


# --- starts that nobody meant ----------------------------------------------------------------------------------------

OLD = """
  name: "old" input: "data" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4
  layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip"
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""


@pytest.mark.parametrize("field", ["net_param", "train_net_param"])
def test_a_net_inside_a_solver_in_the_form_of_2014(tmp_path: Path, field: str) -> None:
    path, net = tmp_path / "solver.prototxt", tmp_path / "net.prototxt"
    path.write_text(f"{field} {{ {OLD} }} random_seed: 1701 test_net_param {{ {OLD} }} test_iter: 1 test_interval: 5")
    net.write_text(OLD)
    wanted = bits(cf.Net(net, rng=1701))
    with pytest.warns(cf.CaffeWarning, match="BVLC Caffe passes over there: it is read all the same") as caught:
        solver = cf.Solver(path)
    assert len(caught) == 1
    assert bits(solver.net) == wanted
    assert list(solver.test_nets[0].params) == ["ip"]
    shown = run("init", path)
    assert "is read all the same" in shown.stderr
    assert "10 values" not in shown.stdout
    assert "34 values" in shown.stdout
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(cf.Solver(path, caffe="rc").net.params) == ["ip"]
        assert list(cf.Solver(path, caffe="rc", strict=True).net.params) == ["ip"]
    assert not cf.Solver(path, strict=True).net.params  # as BVLC Caffe has it
    run("upgrade", path, "-o", tmp_path / "new.prototxt")
    assert "layers" not in (tmp_path / "new.prototxt").read_text()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bits(cf.Solver(tmp_path / "new.prototxt", strict=True).net) == wanted


def test_empty_nets_are_told(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    for text, why in (
        ("", "it has no layers"),
        ('layer { name: "x" type: "Input" top: "x" include { stage: "deploy" } }', "none of its 1 layers"),
    ):
        path.write_text(text)
        with pytest.warns(cf.CaffeWarning, match=f"the net is empty: {why}"):
            cf.Net(path)
        result = run("init", path, code=1)
        assert f"the net is empty: {why}" in result.stderr
        assert "--allow-empty" in result.stderr
        run("init", path, "--allow-empty", "-o", tmp_path / "w.npz")
    path.write_text('layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }')
    assert cf.Net(path).params == {}
    assert "--allow-empty" in run("init", path, code=1).stderr
    assert run("init", path, "--allow-empty").stderr == ""


def test_a_net_whose_weights_are_all_zero_is_told(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    zero = (CASES / "p2c4.prototxt").read_text().replace('type: "xavier"', "")
    path.write_text(zero)
    text = "all weights of this net are 0: none of the 2 has a filler"
    with pytest.warns(cf.CaffeWarning, match=text):
        net = cf.Net(path)
    assert text in run("init", path, "-o", tmp_path / "w.npz").stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cf.Net(path, fill=False)
        cf.Net(path, weights=tmp_path / "w.npz")
        path.write_text(zero.replace("weight_filler {  }", "weight_filler { value: 0.5 }", 1))
        assert path.read_text() != zero
        cf.Net(path)
    assert not any(blob.data.any() for blobs in net.params.values() for blob in blobs)


def test_compare_asks_for_the_seed(tmp_path: Path) -> None:
    net = CASES / "p2c4.prototxt"
    run("init", net, "--seed", 5, "-o", tmp_path / "w.npz")
    error = run("compare", tmp_path / "w.npz", net, code=2).stderr
    assert "give one with --seed N" in error
    assert "caffe-fillers seed" in error
    run("compare", tmp_path / "w.npz", net, "--seed", 5)
    constant = tmp_path / "constant.prototxt"
    constant.write_text(net.read_text().replace('type: "xavier"', "value: 1"))
    run("init", constant, "-o", tmp_path / "c.npz")
    run("compare", tmp_path / "c.npz", constant)
    solver = tmp_path / "solver.prototxt"
    solver.write_text(f'net: "{net}"')
    assert "--seed N" in run("compare", tmp_path / "w.npz", solver, code=2).stderr
    solver.write_text(f'net: "{net}" random_seed: 5')
    run("compare", tmp_path / "w.npz", solver)


@pytest.mark.parametrize(
    ("old", "new", "meant"),
    [
        ('type: "xavier"', 'type: "xavier" variance_norm: average', "AVERAGE"),
        ("pool: MAX", "pool: Max", "MAX"),
        ('type: "Pooling"', 'type: "Pooling" include { phase: train }', "TRAIN"),
    ],
)
def test_values_that_differ_by_case_alone_are_refused(tmp_path: Path, old: str, new: str, meant: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text((CASES / "p2c4.prototxt").read_text().replace(old, new, 1))
    for strict in ((), ("--strict",)):
        error = run("init", path, *strict, code=1).stderr
        assert f"did you mean {meant}?" in error
        if strict:
            assert "Unknown enumeration value" in error


def test_a_fork_s_value_is_still_skipped(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text((CASES / "p2c4.prototxt").read_text().replace("pool: MAX", "pool: AVE_TF"))
    assert "value AVE_TF of pool" in run("init", path).stderr


@pytest.mark.parametrize("case", ["lstmnoparam", "lstmparam", "ctpn33"])
def test_sequences_of_forks_hold_their_weights(case: str) -> None:
    net = quiet(CASES / f"{case}.prototxt")
    n, inputs = (16, 72) if case == "ctpn33" else (10, 4)
    assert [blob.shape for blob in net.params["lstm1"]] == [(4 * n, inputs), (4 * n, n), (4 * n,)]
    (last,) = [name for name in net.params if name != "lstm1"]
    (draw,) = net.layer_dict[last].draws
    assert draw.start >= 4 * n * (inputs + n)  # behind those of the recurrent layer
    assert net.params[last][0].shape == (3, n)


@pytest.mark.parametrize("kind", ["InnerProduct", "Convolution", "Embed"])
def test_a_num_output_that_is_missing_is_asked_for(tmp_path: Path, kind: str) -> None:
    field = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param", "Embed": "embed_param"}[kind]
    kernel = "kernel_size: 1" if kind == "Convolution" else ""
    text = f'{field} {{ {kernel} weight_filler {{ type: "xavier" }} }}'
    path = layers(tmp_path, f'layer {{ name: "it" type: "{kind}" bottom: "x" top: "y" {text} }}')
    assert "give num_output" in run("init", path, code=1).stderr
