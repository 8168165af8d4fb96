"""Solver: a train net and its test nets, seeded and drawn in Caffe's order on one stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import fillers, schema
from .._core import RNG
from ..blob import Blob
from ..checks import need
from ..errors import CaffeError
from ..net import Net, read_source
from ..planning import Source
from .plan import TYPES, check_class, find, planned_nets, read

__all__ = ["Solver"]


class Solver:
    """The nets of a solver prototxt, as Caffe's solver would have set them up.

    Parameters
    ----------
    source : str, PathLike or SolverParameter
        The solver's prototxt. Nets that it names are looked for from the working directory, then beside it.
    rng : RNG, int or None, optional
        Wins over the file's random_seed. With None that seed counts, and without one fresh entropy.
    weights : str, PathLike or sequence of them, optional
        Files to copy into the nets; wins over the solver's own `weights`.
    beside : str or PathLike, optional
        The file that a message was read from, for the nets that it names.
    inputs, dtype, boost, caffe, strict, fill, max_bytes, threads, python : optional
        As for `Net`; `inputs` may tell the phases apart with ``NAME@TEST``.

    Attributes
    ----------
    message : SolverParameter
        In today's form.
    net : Net
        The train net, drawn first.
    test_nets : list of Net
        One per test_iter, drawn after it. They hold their own fills, as in Caffe until the first test; see `share`.
    seed : int or None
        The seed that counted.

    Raises
    ------
    CaffeError
        Where Caffe would stop. A stream that was passed in is then as it was.

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
        weights: Any = None,
        rng: RNG | int | None = None,
        inputs: Mapping[str, Any] | None = None,
        dtype: Any = np.float32,
        boost: str | None = None,
        caffe: str = "master",
        strict: bool = False,
        fill: bool = True,
        max_bytes: int | None = None,
        threads: int | None = None,
        beside: str | os.PathLike[str] | None = None,
        python: Mapping[str, Any] | None = None,
    ) -> None:
        self.message, self.path = read(source, strict)
        if beside is not None:
            self.path = os.fspath(beside)
        message = self.message
        where = f"{self.path}: " if self.path else ""
        try:
            if message.type not in TYPES:
                raise CaffeError(
                    "Check failed: registry.count(type) == 1 (0 vs. 1) "
                    f"Unknown solver type: {message.type}\nthere are {', '.join(TYPES)}"
                )
            need(
                message.average_loss >= 1,
                f"param_.average_loss() >= 1 ({message.average_loss} vs. 1) average_loss should be non-negative.",
                "it is the number of losses to average over",
            )
            trains, tests = planned_nets(message)
        except CaffeError as error:
            raise CaffeError(f"{where}{error}") from None
        stream = self._stream(rng, boost)
        self.seed, before = stream.seed, stream.copy()
        options = {
            "inputs": inputs,
            "dtype": dtype,
            "caffe": caffe,
            "strict": strict,
            "fill": fill,
            "max_bytes": max_bytes,
            "threads": threads,
            "weights": list(message.weights) if weights is None and message.weights else weights,
            "readers": set(),
            "python": python,
        }
        try:
            self.net = self._build(trains[0], "TRAIN", message.train_state, stream, options)
            self.test_nets: list[Net] = []
            for i, test in enumerate(tests):
                state = message.test_state[i] if message.test_state else schema.NetState()
                self.test_nets.append(self._build(test, "TEST", state, stream, options))
            try:
                check_class(message)
            except CaffeError as error:
                raise CaffeError(f"{where}{error}") from None
        except BaseException:
            stream.become(before)
            raise

    def _stream(self, rng: RNG | int | None, boost: str | None) -> RNG:
        if rng is None and self.message.random_seed >= 0:
            # the field is an int64 that Caffe hands to a 32-bit generator
            rng = self.message.random_seed % 2**32
        return fillers.as_rng(rng, boost)

    def _build(self, given: Any, phase: str, own: Any, stream: RNG, options: dict[str, Any]) -> Net:
        if isinstance(given, str):
            source = read_source(find(given, self.path), options["strict"])
        else:
            # a net written inside the solver is never upgraded
            source = Source(given, self.path or "")
        state = schema.NetState(phase=schema.enum("Phase")[phase])
        state.MergeFrom(source.message.state)
        state.MergeFrom(own)
        return Net.of_state(source, state, stream, **options)

    def share(self) -> None:
        """Let every test net use the train net's weights, layer by layer of the same name, as Caffe does at a test.

        Raises
        ------
        CaffeError
            If a layer of one name has other blobs in the test net.
        """
        for net in self.test_nets:
            pairs: list[tuple[Blob, Blob]] = []
            # names need not be unique: Caffe finds the first layer of the test net for each of the train net
            first = {layer.name: layer for layer in reversed(net.layers)}
            for trained in self.net.layers:
                layer = first.get(trained.name)
                if layer is None:
                    continue
                mine, theirs = ([blob.shape for blob in each.blobs] for each in (layer, trained))
                if mine != theirs:
                    raise CaffeError(
                        f"layer '{layer.name}' has blobs of shapes {mine} in the test net, {theirs} in the train net"
                    )
                pairs += zip(layer.blobs, trained.blobs, strict=True)
            for blob, owner in pairs:
                blob.share_data(owner)

    def __repr__(self) -> str:
        return f"<Solver {self.message.type} {self.path or ''}: {self.net!r} and {len(self.test_nets)} test nets>"
