"""pycaffe's solvers, built on `caffe_fillers.Solver`."""

from __future__ import annotations

import os
from collections.abc import Callable

from .. import schema, training
from ..errors import CaffeError
from ..sources import solver_source
from . import common
from .layer import Imported
from .net import Net

__all__ = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "Solver",
    "get_solver",
]

PathLike = str | os.PathLike[str]


class Solver:
    """A train net, its test nets and what trains them.

    A random_seed in the file begins the process's stream anew, as in Caffe.

    Parameters
    ----------
    solver_file : str or PathLike
        The solver's prototxt. Its `type` counts for `get_solver` alone: each class is a type.

    Attributes
    ----------
    net : Net
    test_nets : list of Net
    iter : int
    param : SolverParameter
        `base_lr` may be changed while it trains.
    lr : float
        The rate of the iteration to come.
    wrapped : caffe_fillers.Solver
        The solver itself, for what pycaffe has no name for.

    Raises
    ------
    CaffeError
        Where Caffe would stop.
    """

    kind: str | None = None

    def __init__(self, solver_file: PathLike) -> None:
        self._start(*solver_source(solver_file, strict=False))

    def _start(self, message: schema.SolverParameter, path: str | None) -> None:
        if self.kind is not None:
            message.type = self.kind
        stream = common.stream()
        before = stream.copy()
        if message.random_seed >= 0:
            common.begin_anew(message.random_seed + common.solver_rank())
        try:
            self.wrapped = training.Solver(message, beside=path, rng=stream, python=Imported())
        except BaseException:
            stream.become(before)
            raise
        self.wrapped.log = common.write_log
        self.net = Net.of(self.wrapped.net)
        self.test_nets = [Net.of(net) for net in self.wrapped.test_nets]

    @property
    def iter(self) -> int:
        """The number of weight updates so far."""
        return self.wrapped.iter

    @property
    def param(self) -> schema.SolverParameter:
        """The solver's message."""
        return self.wrapped.message

    @property
    def lr(self) -> float:
        """The rate of the iteration to come."""
        return float(self.wrapped.prepare()[0](self.iter))

    def step(self, iterations: int) -> None:
        """Train for a number of iterations, with the tests and snapshots that the file asks for."""
        self.wrapped.step(iterations)

    def solve(self, resume_file: PathLike | None = None) -> None:
        """Train up to max_iter; `resume_file` is a solverstate to go on from."""
        self.wrapped.solve(resume_file)

    def restore(self, state_file: PathLike) -> None:
        """Go on from a solverstate."""
        self.wrapped.restore(state_file)

    def snapshot(self) -> None:
        """Write the model and the solver's state."""
        self.wrapped.snapshot()

    def share_weights(self, net: Net) -> None:
        """Let `net` use the train net's weights."""
        net.share_with(self.net)

    def apply_update(self) -> None:
        """Change the weights by what lies in their diffs, at the rate of this iteration."""
        rate, update = self.wrapped.prepare()
        update.apply(rate(self.iter), self.iter)

    def add_callback(
        self, on_start: Callable[[], object], on_gradients_ready: Callable[[], object] | None = None
    ) -> None:
        """Have functions called in each iteration: before the forward pass, and before the update."""
        if on_gradients_ready is None:
            raise CaffeError("add_callback takes two functions: on_start and on_gradients; NCCL is not supported")
        self.wrapped.add_callback(on_start, on_gradients_ready)

    def __repr__(self) -> str:
        return repr(self.wrapped)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    kind = "SGD"


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient."""

    kind = "Nesterov"


class AdaGradSolver(Solver):
    """AdaGrad."""

    kind = "AdaGrad"


class RMSPropSolver(Solver):
    """RMSProp."""

    kind = "RMSProp"


class AdaDeltaSolver(Solver):
    """AdaDelta."""

    kind = "AdaDelta"


class AdamSolver(Solver):
    """Adam."""

    kind = "Adam"


def get_solver(solver_file: PathLike) -> Solver:
    """Make the solver that the file's `type` names.

    Raises
    ------
    CaffeError
        If there is no such type, or as the solvers themselves.
    """
    message, path = solver_source(solver_file, strict=False)
    kinds = {each.kind: each for each in Solver.__subclasses__()}
    solver = Solver.__new__(kinds.get(message.type, Solver))
    solver._start(message, path)
    return solver
