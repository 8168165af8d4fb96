"""Solver: a train net and its test nets, filled in Caffe's order from one stream, and their training."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .. import fillers, schema
from .._core import RNG
from ..checks import need
from ..errors import CaffeError, CaffeWarning
from ..net import Net, as_names, warn_of_unused
from ..planning import Allowed, Options
from ..revisions import RC3, age_of
from ..sources import Source, net_source, solver_source
from ..upgrading import is_old, upgrade_net
from .average import Average
from .curves import Curves
from .log import number
from .loop import finish, test, train
from .plan import Planned, check_class, check_type, find, give_net, planned_nets
from .rates import Rate
from .updates import UPDATES, Update

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..files import Files

__all__ = ["Solver"]


class Solver:
    """The nets of a solver prototxt, as Caffe's solver would have set them up, and their training.

    Parameters
    ----------
    source : str, PathLike or SolverParameter
        The solver's prototxt. The files of its nets are looked for in the working directory, then beside the solver,
        then, with a warning, by the end of their paths beside and above it.
    rng : RNG, int or None, optional
        The stream or seed to use instead of the file's random_seed. None uses that seed, or entropy if there is none.
    weights : str, PathLike or sequence of them, optional
        Files to copy into the nets, instead of the solver's own `weights`.
    beside : str or PathLike, optional
        The file that a message was read from: its nets are looked for beside it.
    net : str, PathLike or NetParameter, optional
        The net to train and to test, instead of all nets that the solver names.
    inputs, dtype, boost, caffe, strict, weightless, ignore, fill, max_bytes, threads, python : optional
        As for `Net`; `inputs` may tell the phases apart with ``NAME@TEST``.

    Attributes
    ----------
    message : SolverParameter
        The solver's message in today's form.
    net : Net
        The train net, drawn first.
    test_nets : list of Net
        One per test_iter, drawn after the train net. They hold their own fills until the first test, as in Caffe; see
        `share`.
    seed : int or None
        The seed that was used.
    iter : int
        The number of updates so far.
    loss : float
        The loss of the last iteration; `curves` holds all losses, averaged over `average_loss` as Caffe prints them.
    curves : Curves
        Losses, rates and test scores by iteration.
    log : callable or None
        Called with the place in Caffe's source and the text of each line that Caffe would log; see `LogFile`.
    callbacks : list of callable
        Functions, each called with the solver after every iteration.
    saved : (int, str) or None
        The iteration and the path of the last snapshot of this solver.
    snapshot_failure : {"raise", "warn"}
        The action if a snapshot can't be written: stop the training with an error, or warn and continue. The last
        snapshot stays complete.

    Raises
    ------
    CaffeError
        If Caffe would stop. A stream that you passed stays unchanged.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> solver = cf.Solver("examples/mnist/lenet_solver.prototxt", inputs={"data": (1, 28, 28)})
    >>> solver.seed, len(solver.test_nets)
    (1701, 1)
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | fillers.Message,
        *,
        weights: Files | None = None,
        rng: RNG | int | None = None,
        inputs: Mapping[str, object] | None = None,
        dtype: npt.DTypeLike = np.float32,
        boost: str | None = None,
        caffe: str = "master",
        strict: bool = False,
        weightless: Iterable[str] = (),
        ignore: Iterable[str] = (),
        fill: bool = True,
        max_bytes: int | None = None,
        threads: int | None = None,
        beside: str | os.PathLike[str] | None = None,
        net: str | os.PathLike[str] | fillers.Message | None = None,
        python: Mapping[str, type] | None = None,
    ) -> None:
        self._warned: set[str] = set()
        self.message, self.path = solver_source(source, strict, beside)
        message = self.message
        self.net_given = net is not None
        if net is not None:
            give_net(message, net)
        where = f"{self.path}: " if self.path else ""
        try:
            check_type(message)
            trains, tests = planned_nets(message)
        except CaffeError as error:
            raise CaffeError(f"{where}{error}") from None
        stream = self._stream(rng, boost)
        self.seed, before = stream.seed, stream.copy()
        options = Options.of(
            inputs,
            dtype,
            caffe,
            python,
            allowed=Allowed(strict, as_names(weightless), as_names(ignore)),
            fill=fill,
            max_bytes=max_bytes,
            threads=threads,
            weights=list(message.weights) if weights is None and message.weights else weights,
            alone=False,
        )
        try:
            self.net = self._build(trains[0], "TRAIN", message.train_state, stream, options)
            self.test_nets: list[Net] = []
            for i, test in enumerate(tests):
                state = message.test_state[i] if message.test_state else schema.NetState()
                self.test_nets.append(self._build(test, "TEST", state, stream, options))
            warn_of_unused(options.inputs, [self.net, *self.test_nets])
            self._check_class(where)
        except BaseException:
            stream.become(before)
            raise
        self._start_from_zero()

    def _check_class(self, where: str) -> None:
        try:
            check_class(self.message)
        except CaffeError as error:
            raise CaffeError(f"{where}{error}") from None

    def _start_from_zero(self) -> None:
        """Set the state of a training before its first iteration."""
        self.iter = 0
        self.loss = 0.0
        self.curves = Curves()
        self.log: Callable[[str, str, str], None] | None = None
        self.callbacks: list[Callable[[Solver], object]] = []
        self.snapshot_failure = "raise"
        self._stages: list[tuple[Callable[[], object] | None, Callable[[], object] | None]] = []
        self._stopping = self._snapshot_wanted = self._looking = False
        self.saved: tuple[int, str] | None = None
        self._timer, self._displayed = 0.0, 0
        self._average = Average(self.message.average_loss, self.net.dtype.type)
        self._resumed = False
        self._rate: Rate | None = None
        self._update: Update | None = None

    def _stream(self, rng: RNG | int | None, boost: str | None) -> RNG:
        if rng is None and self.message.random_seed >= 0:
            # the field is an int64 that Caffe hands to a 32-bit generator
            rng = self.message.random_seed % 2**32
        return fillers.as_rng(rng, boost)

    def _build(self, given: Planned, phase: str, own: schema.NetState, stream: RNG, options: Options) -> Net:
        if isinstance(given, str):
            source = net_source(given if self.net_given else find(given, self.path), options.allowed.strict)
        else:
            source = Source(self._inner(given, options.caffe, options.allowed.strict), self.path or "")
        state = schema.NetState(phase=schema.enum("Phase")[phase])
        state.MergeFrom(source.message.state)
        state.MergeFrom(own)
        return Net.of_state(source, state, stream, options)

    def _inner(self, net: schema.NetParameter, caffe: str, strict: bool) -> schema.NetParameter:
        """Return a net written inside the solver, which BVLC Caffe does not upgrade as it does a net's file.

        What it sees of one in the form of 2014 is an empty net; the Caffes of that time saw its layers.
        """
        if not is_old(net):
            return net
        then = age_of(caffe) < RC3
        if strict and not then:
            return net
        if not then:
            where = f"{self.path}: " if self.path else ""
            self._warn_once(
                "inner net",
                f"{where}the net inside this solver is in the form of {'2014' if net.layers else 'old inputs'}, which "
                "BVLC Caffe passes over there: it is read all the same, as the Caffe of its time did",
            )
        return upgrade_net(net).message

    def share(self) -> None:
        """Let every test net use the train net's weights, layer by layer of the same name, as Caffe does at a test.

        Raises
        ------
        CaffeError
            If a layer of one name has other blobs in the test net.
        """
        for net in self.test_nets:
            net.share_with(self.net)

    def prepare(self) -> tuple[Rate, Update]:
        """Return the policy and the update of this solver, made when they are first needed.

        Raises
        ------
        CaffeError
            If Caffe would stop at the solver's settings in its first iteration.
        """
        if self._rate is None or self._update is None:
            message, where = self.message, f"{self.path}: " if self.path else ""
            try:
                need(message.iter_size > 0, f"iter_size > 0 ({message.iter_size} vs. 0)", "it is a number of batches")
                rate = Rate(message, self.net.dtype)
                update = UPDATES[message.type](message, self.net.learnable, self.net.multipliers)
            except CaffeError as error:
                raise CaffeError(f"{where}{error}") from None
            rate.stepped = lambda i, step: self.say(
                "sgd_solver.cpp:50", f"MultiStep Status: Iteration {i}, step = {step}"
            )
            update.clipped = self._say_clipped
            self._rate, self._update = rate, update
            if not any(entry.losses for entry in self.net.tape.entries):
                self._warn_once("no loss", "no layer of the train net gives a loss: nothing will be learned")
            elif not update.blobs:
                self._warn_once("no parameter", "the train net has no parameters: nothing will be learned")
        return self._rate, self._update

    def step(self, iterations: int = 1) -> None:
        """Train for a number of iterations, as Caffe's `Step`: tests and snapshots where the solver asks for them.

        Parameters
        ----------
        iterations : int

        Raises
        ------
        CaffeError
            If Caffe would stop, data end, or a snapshot can't be written.

        Warns
        -----
        CaffeWarning
            Once, when the loss or the rate is not finite any more: at which iteration, and in which layer first.

        Examples
        --------
        >>> import caffe_fillers as cf
        >>> solver = cf.Solver("examples/mnist/lenet_solver.prototxt", inputs={"data": (1, 28, 28)})
        >>> solver.message.test_initialization = False
        >>> solver.net.blobs["data"].data[...] = 0.5
        >>> solver.net.blobs["label"].data[...] = 3
        >>> solver.step(2)
        >>> print(solver.iter, f"{solver.curves.lr[1]:g}")
        2 0.00999925
        """
        if self.message.snapshot:
            from .resume import check_prefix

            check_prefix(self)
        self._begin()
        train(self, self.iter + iterations)

    def solve(self, resume: str | os.PathLike[str] | None = None, iterations: int | None = None) -> None:
        """Train up to max_iter, as Caffe's `Solve`: with a snapshot and a test at the end.

        Parameters
        ----------
        resume : str or PathLike, optional
            A solverstate to go on from; see `restore`.
        iterations : int, optional
            The iteration to stop at instead of max_iter, which the policy of the rate still goes by.

        Raises
        ------
        CaffeError
            As `step` and `restore`; before the first iteration if a snapshot could not be written.
        """
        message = self.message
        if message.snapshot or message.snapshot_after_train:
            from .resume import check_prefix

            check_prefix(self)
        self.prepare()
        self.say("solver.cpp:289", f"Solving {self.net.name}")
        self.say("solver.cpp:290", f"Learning Rate Policy: {message.lr_policy}")
        if resume is not None:
            self.say("solver.cpp:296", f"Restoring previous solver status from {os.fspath(resume)}")
            self.restore(resume)
        last = message.max_iter if iterations is None else iterations
        if last <= self.iter:
            what = "max_iter is" if iterations is None else "it is to end at iteration"
            text = f"{what} {last} and {self.iter} iterations are done: there is nothing to train"
            self._warn_once("max_iter", text)
        self._begin()
        train(self, last)
        finish(self)

    def _begin(self) -> None:
        self._stopping = False
        if not self._resumed:
            # as Caffe, whose average begins anew with every call
            self._average = Average(self.message.average_loss, self.net.dtype.type)
        self._resumed = False

    def stop(self) -> None:
        """Ask `step` or `solve` to return after the current iteration, or the current batch of a test."""
        self._stopping = True

    def request_snapshot(self) -> None:
        """Ask for a snapshot after the current iteration."""
        self._snapshot_wanted = True

    def add_callback(
        self, on_start: Callable[[], object] | None = None, on_gradients_ready: Callable[[], object] | None = None
    ) -> None:
        """Have functions called in each iteration: before the forward pass, and before the update (as pycaffe has it).

        What is to be called after the update goes into `callbacks`.
        """
        self._stages.append((on_start, on_gradients_ready))

    def test(self, index: int = 0) -> OrderedDict[str, np.ndarray | float]:
        """Run a test net, with the trained weights, over as many batches as its test_iter says.

        Parameters
        ----------
        index : int

        Returns
        -------
        OrderedDict of str to float or ndarray
            The mean of each output.

        Raises
        ------
        CaffeError
            If there is no such test net, or it can't be run.
        """
        if not 0 <= index < len(self.test_nets):
            raise CaffeError(f"this solver has {len(self.test_nets)} test nets, there is no number {index}")
        self._stopping = False
        return test(self, index)

    def snapshot(self) -> str:
        """Write the model and the state, ``PREFIX_iter_N``, as Caffe's `Snapshot`; return the path of the state.

        Beside Caffe's own two files goes a third, the state's name and ``.json``: the random stream, where the data
        layers stand, the losses of the average. Caffe knows nothing of it.

        Raises
        ------
        CaffeError
            If a file can't be written; files that were there are then as they were.
        """
        from .resume import snapshot

        path = str(snapshot(self))
        self.saved = self.iter, path
        return path

    def restore(self, state: str | os.PathLike[str]) -> None:
        """Continue from a solverstate, of Caffe's or of ours, binary or HDF5, and from the model that it names.

        Where the third file of `snapshot` lies beside it, the numbers that follow are those of a run that never
        stopped. Without it data and stream begin anew, as in Caffe.

        Parameters
        ----------
        state : str or PathLike

        Raises
        ------
        CaffeError
            If the file is damaged, or the state of another net or of another kind of solver: which blob is said. The
            solver is then as it was.
        """
        from .resume import restore

        restore(self, state)

    def say(self, place: str, text: str, severity: str = "I") -> None:
        """Pass a line to `log`."""
        if self.log is not None:
            self.log(place, text, severity)

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            warnings.warn(text, CaffeWarning, stacklevel=3)

    def _say_stepped(self, iteration: int, step: int) -> None:
        self.say("sgd_solver.cpp:50", f"MultiStep Status: Iteration {iteration}, step = {step}")

    def _say_clipped(self, norm: np.floating, factor: np.floating) -> None:
        limit = number(self.message.clip_gradients)
        text = f"Gradient clipping: scaling down gradients (L2 norm {number(norm)} > {limit}) "
        self.say("sgd_solver.cpp:99", f"{text}by scale factor {number(factor)}")

    def __repr__(self) -> str:
        return f"<Solver {self.message.type} {self.path or ''}: {self.net!r} and {len(self.test_nets)} test nets>"
