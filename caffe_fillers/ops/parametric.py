"""PReLU: a rectifier whose slopes are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import Array
from .operation import Operation, Work
from .pieces import accumulate, blank, pieces, rows
from .rectifiers import bend

__all__ = ["PReLU", "prelu", "prelu_backward", "prelu_slope_backward"]


def _channels(x: Array) -> Array:
    """Return the array with a row for each image and channel."""
    return x.reshape(prod(x.shape[:2]), prod(x.shape[2:]))


def _slopes(x: Array, slope: Array) -> Array:
    """Return the slope of each image and channel, as a column."""
    return np.resize(slope, (prod(x.shape[:2]), 1))


@np.errstate(all="ignore")
def prelu(x: Array, slope: Array, out: Array | None = None) -> Array:
    """``max(x, 0) + slope * min(x, 0)`` with a slope of each channel. Source: prelu_layer.cpp; He et al. 2015.

    Parameters
    ----------
    x : (images, channels, ...)
    slope : (channels,), or a single number in any shape

    Examples
    --------
    >>> prelu(np.float32([[-2, -2], [3, 3]]), np.float32([0.5, 0.25]))
    array([[-1. , -0.5],
           [ 3. ,  3. ]], dtype=float32)
    """
    y = blank(x, out)
    for a, s, b in rows(_channels(x), _slopes(x, slope), _channels(y)):
        bend(a, s, b)
    return y


@np.errstate(all="ignore")
def prelu_backward(dy: Array, x: Array, slope: Array, out: Array | None = None) -> Array:
    """Gradient of `prelu` by `x`."""
    dx = blank(x, out)
    for d, a, s, result in rows(_channels(dy), _channels(x), _slopes(x, slope), _channels(dx)):
        each = (a <= 0) * s
        each += a > 0
        np.multiply(d, each, out=result)
    return dx


@np.errstate(all="ignore")
def prelu_slope_backward(dy: Array, x: Array, total: Array) -> Array:
    """Add the gradient of `prelu` by `slope` to `total`, one term after another as Caffe does, and return it."""
    sums = total.reshape(-1)
    if sums.size == 1:
        for d, a in pieces(dy, x):
            accumulate((d * a * (a <= 0))[None], sums)
        return total
    channels = (len(x), len(sums), prod(x.shape[2:]))
    for ds, xs in rows(dy.reshape(channels), x.reshape(channels)):
        # some images at a time, or some channels of one
        for d, a, some in rows(ds.swapaxes(0, 1), xs.swapaxes(0, 1), sums):
            accumulate((d * a * (a <= 0)).reshape(len(some), -1), some)
    return total


@dataclass(frozen=True, slots=True)
class PReLU(Operation):
    """`prelu` with the slopes in blob 0; in place the input is kept for the gradient."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        work.keep_input(bottoms[0], tops[0])
        prelu(bottoms[0], blobs[0], tops[0])

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
        x = work.kept_input(bottoms[0], tops[0])
        # the slopes first: in place, the bottom's gradient overwrites the top's
        if dblobs[0] is not None:
            prelu_slope_backward(dtops[0], x, dblobs[0])
        if dbottoms[0] is not None:
            prelu_backward(dtops[0], x, blobs[0], dbottoms[0])
