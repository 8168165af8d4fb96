"""The set-ups of examples/: each is the one that was measured, and trains by the commands of its tutorial."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
from pathlib import Path

import pytest

import caffe_fillers as cf

from .conftest import TRAININGS

ROOT = Path(__file__).parents[2]
SOLVERS = sorted(path for path in (ROOT / "examples").glob("*/*solver*.prototxt"))
# the training that was measured with Caffe, by the solver's file
MEASURED = {
    "lenet_solver": "lenet_sgd",
    "lenet_multistep_solver": "lenet_multistep",
    "lenet_solver_nesterov": "lenet_nesterov",
    "lenet_solver_adagrad": "lenet_adagrad",
    "lenet_solver_rmsprop": "lenet_rmsprop",
    "lenet_adadelta_solver": "lenet_adadelta",
    "lenet_dropout_solver": "lenet_dropout",
    "lenet_crop_mirror_solver": "lenet_crop_mirror",
    "lenet_iter_size_solver": "lenet_iter_size",
    "mnist_autoencoder_solver": "autoencoder_sgd",
    "mnist_autoencoder_solver_nesterov": "autoencoder_nesterov",
    "mnist_autoencoder_solver_adagrad": "autoencoder_adagrad",
    "mnist_autoencoder_solver_adadelta": "autoencoder_adadelta",
    "mnist_siamese_solver": "siamese",
}
# LeNet's run of 500 iterations, the first that was measured
FIRST = json.loads((ROOT / "tests/golden/mnist/lenet_xavier_seed1701.json").read_text())


@pytest.fixture
def examples(here, databases) -> Path:
    """A copy of examples/ with the databases where the tutorials have them."""
    shutil.copytree(ROOT / "examples", here / "examples", ignore=shutil.ignore_patterns("*_lmdb", "__pycache__"))
    for name in ("mnist_train_lmdb", "mnist_test_lmdb"):
        (here / "examples/mnist" / name).symlink_to(databases / name)
    for name in ("siamese_train_lmdb", "siamese_test_lmdb"):
        (here / "examples/siamese" / name).symlink_to(databases / name)
    runpy.run_path("examples/hdf5_classification/make_data.py")["main"]()
    return here / "examples"


def test_every_solver_is_here():
    assert len(SOLVERS) == 17
    others = {"lenet_solver_adam", "solver", "nonlinear_solver"}
    assert {path.stem for path in SOLVERS} == {*MEASURED, *others}


@pytest.mark.parametrize("name", MEASURED)
def test_losses_are_those_of_the_measured_training(name, examples):
    path = next(path for path in SOLVERS if path.stem == name)
    message = cf.read_solver(path.relative_to(ROOT))
    message.test_initialization = False
    solver = cf.Solver(message, beside=path.relative_to(ROOT))
    golden = json.loads((TRAININGS / f"{MEASURED[name]}.json").read_text())
    solver.step(3)
    for i in range(3):
        assert float(f"{solver.curves.loss[i]:g}") == pytest.approx(golden["loss"][i], rel=2e-5)
        # the policies of the measured runs are squeezed into fewer iterations
        assert f"{solver.curves.lr[i]:g}" == f"{golden['lr'][i]:g}"


@pytest.mark.parametrize("name", ["lenet_solver_adam", "solver", "nonlinear_solver"])
def test_the_others_learn(name, examples):
    path = next(path for path in SOLVERS if path.stem == name)
    message = cf.read_solver(path.relative_to(ROOT))
    message.test_initialization = False
    solver = cf.Solver(message, beside=path.relative_to(ROOT))
    solver.step(20)
    losses = list(solver.curves.loss.values())
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.slow
def test_the_tutorial_begins_with_caffes_weights_and_losses(examples):
    message = cf.read_solver("examples/mnist/lenet_solver.prototxt")
    message.test_initialization = False
    solver = cf.Solver(message, beside="examples/mnist/lenet_solver.prototxt")
    result = [
        {"layer": layer.name, "index": i, "sha256": hashlib.sha256(blob.data.tobytes()).hexdigest()}
        for layer in solver.net.layers
        for i, blob in enumerate(layer.blobs)
    ]
    assert result == [{key: row[key] for key in result[0]} for row in FIRST["initial_weights"]]
    solver.step(20)
    for i, expected in enumerate(FIRST["train_loss"][:20]):
        assert solver.curves.loss[i] == pytest.approx(expected, rel=1e-4)
