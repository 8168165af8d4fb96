"""The fuzzer's findings and seeds, without the fuzzer: only CaffeError comes out, in a second and 512 MB."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "fuzz"
FOUND = sorted(path for path in (HERE / "found").glob("*/*"))


@pytest.fixture(scope="module")
def targets():
    spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(targets, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    targets.run(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", ["upgrade", "binary_upgrade", "caffemodel", "npz", "safetensors", "hdf5", "mean"])
def test_every_target_has_seeds_that_it_takes(targets, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAFFE_FILLERS_CORPUS", str(tmp_path))
    seeds = targets.seeds(name)
    assert seeds
    for seed in seeds[:60]:
        targets.run(name, seed)


def test_errors_hold_no_control_characters_and_are_bounded():
    from caffe_fillers import CaffeError

    error = str(CaffeError("a\x1b[31m\x07\udcff" + "b" * 10**6 + "\nmend"))
    assert error.startswith("a\\x1b[31m\\x07\\udcffb")
    assert error.endswith("b\nmend")
    assert len(error) < 4000
