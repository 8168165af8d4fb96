"""Spatial pyramid pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .operation import Operation, Work
from .pool import average_pool, max_pool, refuse_stochastic, spread, unpool, window_sizes
from .window import Window

__all__ = ["SPP", "spp"]


def spp(x: Array, windows: Sequence[Window], *, method: str = "MAX", out: Array | None = None) -> Array:
    """A pyramid of poolings, side by side: 1 window, 2 x 2, 4 x 4, ...

    Parameters
    ----------
    x : (images, channels, height, width)
    windows : sequence of Window
        One for each level.
    method : {"MAX", "AVE"}
    out : array of the result's shape, optional

    Returns
    -------
    (images, channels * places of all levels), or as `max_pool` gives it for a single level

    References
    ----------
    He, Zhang, Ren, Sun, "Spatial Pyramid Pooling", 2014; src/caffe/layers/spp_layer.cpp

    Examples
    --------
    >>> spp(np.arange(4.0).reshape(1, 1, 2, 2), [Window.square(2, stride=2), Window.square(1)])
    array([[3., 0., 1., 2., 3.]])
    """
    pool = max_pool if method == "MAX" else average_pool
    if out is None:
        result = [pool(x, window) for window in windows]
        return result[0] if len(result) == 1 else np.concatenate([y.reshape(len(y), -1) for y in result], axis=1)
    for window, part in zip(windows, _levels(out, x.shape, windows), strict=True):
        pool(x, window, out=part)
    return out


def _levels(y: Array, shape: Sequence[int], windows: Sequence[Window]) -> list[Array]:
    """Return each level's part of the pyramid `y` as images: views."""
    if len(windows) == 1:
        return [y]
    parts, start = [], 0
    for window in windows:
        level = (shape[1], *window.pooled(shape[2:]))
        parts.append(y[:, start : start + math.prod(level)].reshape(len(y), *level))
        start += math.prod(level)
    return parts


@dataclass(frozen=True, slots=True)
class SPP(Operation):
    """`spp`: the poolings of a pyramid side by side."""

    in_place = False

    windows: tuple[Window, ...]
    method: str = "MAX"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        refuse_stochastic(self.method)
        if self.method == "AVE":
            spp(bottoms[0], self.windows, method="AVE", out=tops[0])
            return
        x = bottoms[0]
        for level, (window, y) in enumerate(zip(self.windows, _levels(tops[0], x.shape, self.windows), strict=True)):
            max_pool(x, window, out=y, mask=work.buffer(f"mask {level}", y.shape, np.int32))

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
        refuse_stochastic(self.method)
        dx = dbottoms[0]
        if dx is None:
            return
        dx[...] = 0
        for level, (window, dy) in enumerate(zip(self.windows, _levels(dtops[0], dx.shape, self.windows), strict=True)):
            if self.method == "MAX":
                unpool(dy, work.buffer(f"mask {level}", dy.shape, np.int32), dx)
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                share = dy / window_sizes(window, dx.shape[2:], dy.shape[2:], dy.dtype)
            spread(share, window, dx)
