"""Runs a net: its operations on a tape, forward and backward over the memory of its blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from time import perf_counter
from typing import Protocol, cast

import numpy as np

from ._core import RNG
from .blas import threads_for_layers
from .blob import Blob
from .errors import CaffeError
from .ops.operation import Work
from .planning import Step, reshaped, situate

__all__ = ["Tape"]

_NEVER_GIVEN = "blob '{0}' was never given: write it, net.blobs['{0}'].data[...] = values, or hand it to forward"


class _Source(Protocol):
    """An operation that brings data, one batch after another."""

    def go_to(self, place: int, work: Work) -> None: ...


class _Entry:
    """A step on the tape: its operation between arrays, which are looked up again after any blob changed."""

    __slots__ = (
        "blobs",
        "bottoms",
        "dblobs",
        "dbottoms",
        "down",
        "dtops",
        "losses",
        "lr_needs",
        "needs_backward",
        "operation",
        "overwritten",
        "seen",
        "seen_backward",
        "shapes",
        "step",
        "tops",
        "work",
    )

    def __init__(self, step: Step, work: Work) -> None:
        self.step, self.work = step, work
        self.operation = step.setup.operation
        self.shapes = step.shapes
        self.seen = self.seen_backward = -1
        self.bottoms: list[np.ndarray] = []
        self.tops: list[np.ndarray] = []
        self.blobs: list[np.ndarray] = []
        self.dtops: list[np.ndarray] = []
        self.dbottoms: list[np.ndarray | None] = []
        self.dblobs: list[np.ndarray | None] = []
        self.overwritten: list[Blob] = []
        self.needs_backward = False
        self.down = [False] * len(step.bottoms)
        self.lr_needs = [False] * len(step.layer.blobs)
        self.losses = step.losses()

    def fit(self) -> None:
        """Give the tops the shapes that follow from the bottoms' current ones."""
        step = self.step
        if not step.bottoms:
            return
        shapes = [blob.shape for blob in step.bottoms]
        if shapes != self.shapes:
            setup = reshaped(step, shapes)
            self.shapes, step.setup, self.operation = shapes, setup, setup.operation
        for blob, shape in zip(step.tops, step.setup.tops, strict=True):
            blob.reshape(shape)

    def bind(self) -> None:
        self._check_place()
        self.fit()
        step = self.step
        operation = self.operation
        if operation is None:
            raise situate(
                CaffeError(
                    f"type {step.layer.type} can be set up, but is not computed here\n"
                    "run the net up to it with end=, or register it with caffe_fillers.layers.register"
                ),
                step.where,
            )
        if operation.shares:
            for blob in step.tops:
                if blob is not step.bottoms[0]:
                    blob.share_data(step.bottoms[0])
        try:
            self.bottoms = [blob.data for blob in step.bottoms]
            self.tops = [blob.data for blob in step.tops]
            self.blobs = [blob.data for blob in step.layer.blobs]
        except CaffeError as error:
            raise situate(error, step.where) from None
        self._check_parameters()
        self.seen = Blob.layouts

    def _check_place(self) -> None:
        """Refuse to write a top where the layer still reads, as Caffe does without a word."""
        step = self.step
        able = self.operation is None or self.operation.in_place
        for top, after in zip(step.tops, step.setup.tops, strict=True):
            for bottom, before in zip(step.bottoms, self.shapes, strict=True):
                if top is bottom and not (able and after == before):
                    text = f"{step.layer.type} can't work in place: it would write over what it still reads"
                    raise situate(CaffeError(f"{text}\ngive its top a name of its own"), step.where)

    def _check_parameters(self) -> None:
        """Refuse blobs of the text that the layer would read past their end, as Caffe does without a message."""
        params = self.step.setup.params
        if len(self.blobs) < len(params):
            raise CaffeError(f"the layer takes {len(params)} blobs, its text holds {len(self.blobs)}")
        for array, param in zip(self.blobs, params, strict=False):
            if array.size != prod(param.shape):
                raise CaffeError(
                    f"the {param.name} that the text holds has shape {array.shape}, the layer takes {param.shape}"
                )

    def share_parameter_diffs(self) -> None:
        for blob, owner in zip(self.step.layer.blobs, self.step.owners, strict=True):
            if owner is not None:
                blob.share_diff(owner)

    def bind_backward(self) -> None:
        step = self.step
        shares = self.operation is not None and self.operation.shares == "both" and any(self.down)
        if shares and step.bottoms[0] is not step.tops[0]:
            step.bottoms[0].share_diff(step.tops[0])
        self.dtops = [blob.diff for blob in step.tops]
        self.dbottoms = [blob.diff if down else None for blob, down in zip(step.bottoms, self.down, strict=True)]
        learned = [blob if need else None for blob, need in zip(step.layer.blobs, self.lr_needs, strict=True)]
        self.overwritten = []
        if self.operation is not None and self.operation.overwrites:
            self.overwritten = [blob for blob in learned if blob is not None]
            self.dblobs = [None if blob is None else blob._unshown_diff for blob in learned]
        else:
            self.dblobs = [None if blob is None else blob.diff for blob in learned]
        self.seen_backward = Blob.layouts

    def backward(self) -> None:
        if self.seen != Blob.layouts:
            self.bind()
        if self.seen_backward != Blob.layouts:
            self.bind_backward()
        operation = self.operation
        assert operation is not None
        if operation.shares == "both":
            return
        stale = [blob for blob in self.overwritten if blob._stale]
        fresh = self.work.fresh = bool(stale) and len(stale) == len(self.overwritten)
        try:
            for blob in stale:
                if fresh:
                    # not after: a thread that reads the diff meanwhile must not clear what is written
                    blob._stale = False
                else:
                    blob._settle_diff()
            operation.backward(self.dtops, self.bottoms, self.tops, self.blobs, self.dbottoms, self.dblobs, self.work)
        except BaseException:
            if fresh:
                # what a failed pass has written does not count
                for blob in stale:
                    blob._clear_diff()
            raise


class Tape:
    """The operations of a net in order.

    Parameters
    ----------
    steps : list of Step
    rng : RNG
        The stream that went through set-up; Dropout and the like go on drawing from it.
    force_backward : bool
        Of the net: gradients of every bottom, whether or not a parameter needs them.
    max_bytes : int or None
        Refuse to run where the tops would need more.
    threads : int or None
        How many threads the loops and products of layers may use; None is all cores.

    Attributes
    ----------
    before_forward, after_forward, before_backward, after_backward : list of callable
        Called with the place of each entry, as it is passed.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        rng: RNG,
        force_backward: bool,
        max_bytes: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.threads = threads
        scratch: dict[str, np.ndarray] = {}
        self.rng, self.max_bytes = rng, max_bytes
        self.before_forward: list[Callable[[int], object]] = []
        self.after_forward: list[Callable[[int], object]] = []
        self.before_backward: list[Callable[[int], object]] = []
        self.after_backward: list[Callable[[int], object]] = []
        self.entries = [_Entry(step, Work(rng, step.drawn, scratch)) for step in steps]
        self._names = {id(top): name for step in steps for top, name in zip(step.tops, step.layer.tops, strict=True)}
        # operations that bring data, one batch after another
        self._sources = [entry for entry in self.entries if hasattr(entry.operation, "go_to")]
        self._backward_layouts = -1
        _mark_gradients(self.entries, force_backward)

    def reshape(self) -> None:
        """Propagate the shapes of the inputs through the net."""
        for entry in self.entries:
            entry.fit()

    def forward(self, start: int, stop: int) -> None:
        """Run the entries from `start` up to, not including, `stop`; after an error stream and data stand as before."""
        if self.max_bytes is not None:
            self._check_memory()
        before = self.rng.copy()
        places = [entry.work.kept.get("place", 0) for entry in self._sources]
        try:
            self._run(start, stop)
        except BaseException:
            self.rng.become(before)
            for entry, place in zip(self._sources, places, strict=True):
                if entry.work.kept.get("place", 0) != place:
                    cast("_Source", entry.operation).go_to(place, entry.work)
            raise

    def _run(self, start: int, stop: int) -> None:
        entry = None
        # NaN and infinity pass without a message, as in Caffe
        with np.errstate(all="ignore"), threads_for_layers(self.threads):
            try:
                for place, entry in enumerate(self.entries[start:stop], start):
                    for call in self.before_forward:
                        call(place)
                    if entry.seen != Blob.layouts:
                        self._check_given(entry)
                        entry.bind()
                    operation = entry.operation
                    assert operation is not None
                    shapes = operation.shapes(entry.bottoms, entry.work)
                    if shapes is not None:
                        self._resize(entry, shapes)
                    if not operation.shares:
                        operation.forward(entry.bottoms, entry.tops, entry.blobs, entry.work)
                    for call in self.after_forward:
                        call(place)
            except CaffeError as error:
                raise self._situated(error, entry) from None

    def backward(self, start: int, stop: int) -> None:
        """Run the entries from `start` down to, not including, `stop`."""
        entry = None
        with np.errstate(all="ignore"), threads_for_layers(self.threads):
            try:
                if self._backward_layouts != Blob.layouts:
                    # from the back: a bottom may take over the diff of a top
                    for entry in reversed(self.entries):
                        entry.share_parameter_diffs()
                        if entry.needs_backward:
                            entry.bind_backward()
                    self._backward_layouts = Blob.layouts
                for place in range(start, stop, -1):
                    entry = self.entries[place]
                    for call in self.before_backward:
                        call(place)
                    if entry.needs_backward:
                        entry.backward()
                    for call in self.after_backward:
                        call(place)
            except CaffeError as error:
                raise self._situated(error, entry) from None

    def time(self, iterations: int) -> list[tuple[float, float]]:
        """The mean seconds that each entry takes forward and backward, after one pass to warm up."""
        self.forward(0, len(self.entries))
        self.backward(len(self.entries) - 1, -1)
        seconds = np.zeros((len(self.entries), 2))
        for _ in range(iterations):
            for i in range(len(self.entries)):
                before = perf_counter()
                self._run(i, i + 1)
                seconds[i, 0] += perf_counter() - before
            for i in reversed(range(len(self.entries))):
                before = perf_counter()
                self.backward(i, i - 1)
                seconds[i, 1] += perf_counter() - before
        return [(float(forward), float(backward)) for forward, backward in seconds / iterations]

    def loss(self) -> float:
        """The sum of all tops that have a loss_weight, each times its weight, added up as Caffe adds it."""
        total: np.floating | None = None
        for entry in self.entries:
            for i, weight in entry.losses.items():
                data = entry.step.tops[i].data
                term = data.dtype.type(weight) * data.sum(dtype=data.dtype)
                total = term if total is None else total + term
        return 0.0 if total is None else float(total)

    def _situated(self, error: CaffeError, entry: _Entry | None) -> CaffeError:
        if entry is None or not entry.step.where or str(error).startswith(entry.step.where):
            return error
        names = ", ".join(map(repr, entry.step.layer.bottoms))
        return situate(CaffeError(f"{error}; bottoms: {names}") if names else error, entry.step.where)

    def _check_given(self, entry: _Entry) -> None:
        """Refuse to run on an input that was never written."""
        step = entry.step
        operation = step.setup.operation
        if step.bottoms or operation is None or operation.delivers():
            return
        for blob, name in zip(step.tops, step.layer.tops, strict=True):
            if not blob.written:
                raise CaffeError(_NEVER_GIVEN.format(name))

    def _resize(self, entry: _Entry, shapes: Iterable[tuple[int, ...]]) -> None:
        for blob, shape in zip(entry.step.tops, shapes, strict=True):
            blob.reshape(shape)
        if entry.seen != Blob.layouts:
            entry.tops = [blob.data for blob in entry.step.tops]
            entry.seen = Blob.layouts

    def _check_memory(self) -> None:
        assert self.max_bytes is not None
        blobs = {id(blob): blob for entry in self.entries for blob in (*entry.step.tops, *entry.step.layer.blobs)}
        needed = sum(blob.count() * blob.dtype.itemsize for blob in blobs.values())
        if needed > self.max_bytes:
            raise CaffeError(f"the blobs of this net need {needed:,} bytes, more than max_bytes={self.max_bytes:,}")


def _mark_gradients(entries: list[_Entry], force: bool) -> None:
    """Mark what needs a gradient: blobs on a path from a learned parameter to a loss."""
    needed: set[int] = set()
    for entry in entries:
        step = entry.step
        given = step.layer.message.propagate_down
        wanted = [id(blob) in needed for blob in step.bottoms]
        entry.down = list(given) if len(given) else list(wanted)
        entry.lr_needs = step.learns()
        # propagate_down only asks for a gradient of a layer that runs backward; it makes no layer run
        entry.needs_backward = any(wanted) or any(entry.lr_needs)
        if entry.needs_backward:
            needed.update(map(id, step.tops))
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for entry in reversed(entries):
        step = entry.step
        names = step.layer.tops
        contributes = any(i in entry.losses or name in under_loss for i, name in enumerate(names))
        if not contributes or all(name in skipped for name in names):
            entry.needs_backward, entry.down = False, [False] * len(entry.down)
        for i, name in enumerate(step.node.wired):
            if contributes:
                under_loss.add(name)
            if not entry.down[i]:
                skipped.add(name)
    if force:
        for entry in entries:
            operation = entry.operation
            entry.needs_backward = True
            entry.down = [down or (operation is not None and operation.forces(i)) for i, down in enumerate(entry.down)]
            entry.lr_needs = [True] * len(entry.lr_needs)
    for entry in entries:
        entry.work.backward = entry.needs_backward
