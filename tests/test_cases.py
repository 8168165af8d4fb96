"""What people's own files led to: each input stands for a kind of fault, and shows the right behaviour."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

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
