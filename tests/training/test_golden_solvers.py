"""Every kind of solver and every policy, held to the real Caffe's own parameters and snapshots."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_fillers as cf

from .conftest import GOLDEN, cases

CASES = cases()
STEPS = (1, 2, 3, 5, 10)


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDEN / "solvers.npz") as file:
        return dict(file)


@pytest.fixture
def solver(here, request):
    case = CASES[request.param]
    (here / f"{request.param}_net.prototxt").write_text(case["net"])
    (here / "solver.prototxt").write_text(case["solver"])
    return request.param, cf.Solver("solver.prototxt")


def hold(name: str, after: int, net: cf.Net, arrays) -> None:
    """The parameters after so many iterations, within what Caffe strays from itself."""
    spread = CASES[name]["spread"]
    for layer, blobs in net.params.items():
        for i, blob in enumerate(blobs):
            expected = arrays[f"{name}/{after}/{layer}/{i}"]
            limit = max(4e-6, 5 * spread[f"{after}/{layer}/{i}"])
            assert np.abs(blob.data - expected).max() <= limit * np.abs(expected).max(), (after, layer, i)


@pytest.mark.parametrize("solver", CASES, indirect=True)
def test_losses_and_parameters_are_caffes(solver, arrays):
    name, solver = solver
    for iteration, expected in enumerate(CASES[name]["loss"], 1):
        solver.step(1)
        # what was measured is the loss of the last batch, also where several make an iteration
        assert float(solver.net.blobs["loss"].data) == pytest.approx(expected, rel=4e-6)
        if iteration in STEPS:
            hold(name, iteration, solver.net, arrays)


@pytest.mark.parametrize("solver", CASES, indirect=True)
def test_a_snapshot_of_caffes_goes_on_to_its_next_numbers(solver, arrays, here):
    name, solver = solver
    for kind in ("caffemodel", "solverstate"):
        (here / f"{name}_iter_5.{kind}").write_bytes(arrays[f"{name}/file/{name}_iter_5.{kind}"].tobytes())
    # Caffe's files know nothing of the stream: it is brought to where it stood
    for _ in range(5 * solver.message.iter_size):
        solver.net.forward()
    solver.restore(f"{name}_iter_5.solverstate")
    assert solver.iter == 5
    hold(name, 5, solver.net, arrays)
    solver.step(5)
    hold(name, 10, solver.net, arrays)


@pytest.mark.parametrize("solver", CASES, indirect=True)
def test_a_snapshot_is_caffes_to_the_byte(solver, arrays, here):
    name, solver = solver
    theirs = {kind: arrays[f"{name}/file/{name}_iter_5.{kind}"].tobytes() for kind in ("caffemodel", "solverstate")}
    solver.step(5)
    solver.snapshot()
    for kind, expected in theirs.items():
        # what differs are last bits of floats
        assert len((here / f"{name}_iter_5.{kind}").read_bytes()) == len(expected)
    for kind, data in theirs.items():
        (here / f"{name}_iter_5.{kind}").write_bytes(data)
    (here / f"{name}_iter_5.solverstate.json").unlink()
    # with Caffe's own values they are the same files
    solver.restore(f"{name}_iter_5.solverstate")
    solver.snapshot()
    for kind, expected in theirs.items():
        assert (here / f"{name}_iter_5.{kind}").read_bytes() == expected


@pytest.mark.parametrize("solver", ["adam", "sgd_momentum"], indirect=True)
def test_data_of_the_first_pass_are_caffes(solver, arrays):
    name, solver = solver
    solver.step(1)
    for blob in ("x", "t"):
        assert solver.net.blobs[blob].data.tobytes() == arrays[f"{name}/data/{blob}"].tobytes()
