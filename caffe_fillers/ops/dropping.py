"""Dropout: a mask of zeros and ones, drawn from the same stream that filled the net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._core import RNG
from ..arrays import Array
from .operation import Operation, Work
from .pieces import blank, pieces

__all__ = ["Dropout", "dropout", "dropout_mask"]

Mask = npt.NDArray[np.bool_]


def dropout_mask(rng: RNG, ratio: float, out: Mask) -> Mask:
    """Draw the mask of values to keep, each with probability ``1 - ratio``: one draw per value, in order.

    Source: dropout_layer.cpp, caffe_rng_bernoulli. The probability is a double there, in float32 nets too.

    Examples
    --------
    >>> from caffe_fillers import RNG
    >>> dropout_mask(RNG(1), 0.5, np.empty(6, bool))
    array([ True, False, False, False,  True,  True])
    """
    probability, buffer = 1.0 - ratio, np.empty(min(out.size, 1 << 14))
    flat = out.reshape(-1)
    for start in range(0, flat.size, max(1, buffer.size)):
        some = flat[start : start + buffer.size]
        rng.fill_bernoulli(buffer[: some.size], probability)
        np.not_equal(buffer[: some.size], 0, out=some)
    return out


def dropout(x: Array, mask: Mask, ratio: float = 0.5, out: Array | None = None) -> Array:
    """``x * mask / (1 - ratio)``: the kept values are scaled up in training, so that testing needs no scale.

    It is its own gradient: ``dx = dropout(dy, mask, ratio)``. Source: dropout_layer.cpp.

    Examples
    --------
    >>> dropout(np.float32([1, 2, 3]), np.array([True, False, True]))
    array([2., 0., 6.], dtype=float32)
    """
    y = blank(x, out)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = x.dtype.type(np.divide(1.0, 1.0 - ratio))
        for a, m, b in pieces(x, mask, y):
            np.multiply(a, m, out=b)
            b *= scale
    return y


@dataclass(frozen=True, slots=True)
class Dropout(Operation):
    """`dropout` with a mask of its own in each forward pass of a training; in phase TEST a copy."""

    ratio: float = 0.5
    training: bool = True

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        if self.training:
            dropout(bottoms[0], dropout_mask(work.rng, self.ratio, self._mask(tops[0], work)), self.ratio, tops[0])
        elif tops[0] is not bottoms[0]:
            tops[0][...] = bottoms[0]

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
        dx = dbottoms[0]
        if dx is not None and self.training:
            dropout(dtops[0], self._mask(tops[0], work), self.ratio, dx)
        elif dx is not None and dx is not dtops[0]:
            dx[...] = dtops[0]

    def _mask(self, top: Array, work: Work) -> Mask:
        return work.buffer("mask", top.shape, np.bool_)
