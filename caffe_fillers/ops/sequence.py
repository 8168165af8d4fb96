"""Operations of recurrent layers, which carry their state from one forward pass to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..arrays import Array
from ..checks import need
from .gates import lstm, lstm_backward, lstm_unit, lstm_unit_backward
from .operation import Operation, Work
from .recurrent import recurrent_inputs_backward, rnn, rnn_backward

__all__ = ["LSTM", "RNN", "LSTMUnit"]


@dataclass(frozen=True, slots=True)
class _Recurrent(Operation):
    """Bottoms x, cont, an input that stays, and with `exposed` the states before the first step.

    With `exposed` further tops receive the states after the last step; without, the next pass begins with them.
    Neither states have a gradient: Caffe learns within one pass.
    """

    outputs: int
    static: bool = False
    exposed: bool = False

    def forces(self, bottom: int) -> bool:
        return bottom != 1

    def _static(self, bottoms: Sequence[Array]) -> Array | None:
        return bottoms[2] if self.static else None

    def _first(self, bottoms: Sequence[Array], states: Sequence[Array]) -> list[Array]:
        """Return the states before the first step: given, or those in which the last pass ended."""
        return list(bottoms[2 + self.static :]) if self.exposed else [state[-1:] for state in states]

    def _states(self, bottoms: Sequence[Array], names: Sequence[str], work: Work) -> list[Array]:
        x = bottoms[0]
        return [work.buffer(name, (1 + x.shape[0], x.shape[1], self.outputs), x.dtype) for name in names]

    def _inputs_backward(
        self,
        dsums: Array,
        bottoms: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        static = self._static(bottoms)
        dstatic = dbottoms[2] if self.static else None
        recurrent_inputs_backward(
            dsums, bottoms[0], blobs, dblobs, static, dx=dbottoms[0], dstatic=dstatic, empty=work.scratch
        )
        for dstate in dbottoms[2 + self.static :]:
            if dstate is not None:
                dstate.fill(0)


def _refuse_indicators(dcont: Array | None, index: int) -> None:
    need(dcont is None, f"!propagate_down[{index}] Cannot backpropagate to sequence indicators.")


@dataclass(frozen=True, slots=True)
class LSTM(_Recurrent):
    """`lstm`, from where the last forward pass ended."""

    carries = ("hidden", "cells")

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        gates, hidden, cells = self._kept(bottoms, work)
        h, c = self._first(bottoms, (hidden, cells))
        lstm(bottoms[0], bottoms[1], blobs, self._static(bottoms), start=(h, c), out=(gates, hidden, cells))
        for top, result in zip(tops, (hidden[1:], hidden[-1:], cells[-1:]), strict=False):
            top[...] = result

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        _refuse_indicators(dbottoms[1], 1)
        kept = self._kept(bottoms, work)
        dgates = work.scratch(kept[0].shape, kept[0].dtype, "sums")
        lstm_backward(dtops[0], bottoms[1], blobs[-1], kept, dhidden_weight=dblobs[-1], out=dgates, empty=work.scratch)
        self._inputs_backward(dgates, bottoms, blobs, dbottoms, dblobs, work)

    def _kept(self, bottoms: Sequence[Array], work: Work) -> tuple[Array, Array, Array]:
        x = bottoms[0]
        hidden, cells = self._states(bottoms, ("hidden", "cells"), work)
        return work.buffer("gates", (*x.shape[:2], 4 * self.outputs), x.dtype), hidden, cells


@dataclass(frozen=True, slots=True)
class RNN(_Recurrent):
    """`rnn`, from where the last forward pass ended."""

    carries = ("hidden",)

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        hidden, y = self._kept(bottoms, work)
        (h,) = self._first(bottoms, (hidden,))
        sums = work.scratch(y.shape, y.dtype)
        rnn(bottoms[0], bottoms[1], blobs, self._static(bottoms), start=h, out=(sums, hidden, y))
        for top, result in zip(tops, (y, hidden[-1:]), strict=False):
            top[...] = result

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        _refuse_indicators(dbottoms[1], 1)
        kept = self._kept(bottoms, work)
        dsums = work.scratch(kept[1].shape, kept[1].dtype, "sums")
        rnn_backward(dtops[0], bottoms[1], blobs[-3:], kept, dblobs[-3:], out=dsums, empty=work.scratch)
        self._inputs_backward(dsums, bottoms, blobs, dbottoms, dblobs, work)

    def _kept(self, bottoms: Sequence[Array], work: Work) -> tuple[Array, Array]:
        x = bottoms[0]
        (hidden,) = self._states(bottoms, ("hidden",), work)
        return hidden, work.buffer("results", (*x.shape[:2], self.outputs), x.dtype)


@dataclass(frozen=True, slots=True)
class LSTMUnit(Operation):
    """`lstm_unit` of bottoms (1, streams, ...); the tops are cell and hidden state."""

    def forces(self, bottom: int) -> bool:
        return bottom != 2

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        cell, gates, cont = (bottom[0] for bottom in bottoms)
        lstm_unit(cell, gates, cont, out=(tops[0][0], tops[1][0]))

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        _refuse_indicators(dbottoms[2], 2)
        cell, gates, cont = (bottom[0] for bottom in bottoms)
        gradients = lstm_unit_backward(dtops[0][0], dtops[1][0], cell, gates, cont, tops[0][0])
        for dbottom, gradient in zip(dbottoms[:2], gradients, strict=True):
            if dbottom is not None:
                dbottom[0] = gradient
