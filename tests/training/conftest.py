"""Fixtures for trainings: the databases of Caffe's own runs, and its six digits."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

import caffe_fillers as cf

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "run"
TRAININGS = GOLDEN / "trainings"

# two inner products on inputs that are drawn anew in each pass: all that a training needs, in half a millisecond
NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 6 dim: 4 } shape { dim: 6 dim: 3 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" min: -1 max: 1 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }
"""
SETTINGS = {"base_lr": "0.05", "lr_policy": '"fixed"', "max_iter": "10", "random_seed": "3"}


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small(here):
    """Make a solver of the small net: settings as text, beside the usual ones; `net` replaces the net's."""

    def make(settings: str = "", net: str = NET, **options):
        (here / "net.prototxt").write_text(net)
        usual = " ".join(f"{name}: {value}" for name, value in SETTINGS.items() if f"{name}:" not in settings)
        (here / "solver.prototxt").write_text(f'net: "net.prototxt" {usual} {settings}')
        return cf.Solver("solver.prototxt", **options)

    return make


def _make_databases(folder: Path) -> None:
    cf.datasets.mnist(folder)
    cf.datasets.siamese(folder)
    # run here, since it imports scikit-learn, which takes a second
    runpy.run_path(str(ROOT / "examples/hdf5_classification/make_data.py"))["make"](folder, Path())


@pytest.fixture
def databases(once) -> Path:
    """The databases of the trainings, as their README says: made once, to be read only."""
    return once("databases", _make_databases)


@pytest.fixture
def beside_databases(databases, here) -> Path:
    """The working folder, with the databases in it by their names."""
    for path in databases.iterdir():
        (here / path.name).symlink_to(path)
    return here


def cases() -> dict[str, dict]:
    return json.loads((GOLDEN / "solvers.json").read_text())
