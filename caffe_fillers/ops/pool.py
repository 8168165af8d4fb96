"""Pooling: the largest value or the mean of each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from .array import Array
from .window import Window

__all__ = ["average_pool", "average_pool_backward", "max_pool", "max_pool_backward"]


def _overlaps(window: Window, size: Sequence[int], places: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """For each offset in the kernel, row by row: which places have a pixel there, and which pixels those are."""
    for offset in product(*map(range, window.kernel)):
        at, pixels = [], []
        for k, n, o, s, p in zip(offset, size, places, window.stride, window.pad, strict=True):
            first = max(0, -((k - p) // s))
            last = min(o - 1, (n - 1 + p - k) // s)
            at.append(slice(first, last + 1))
            start = first * s + k - p
            pixels.append(slice(start, start + (last - first) * s + 1, s))
            if last < first:
                break
        else:
            yield (..., *at), (..., *pixels)


def max_pool(x: Array, window: Window, *, ceil: bool = True) -> Array:
    """The largest number in each window; padding never wins.

    Parameters
    ----------
    x : (images, channels, height, width)
    ceil : bool
        Round the number of windows up, as Caffe does unless `round_mode: FLOOR` is written.

    Returns
    -------
    (images, channels, *places)

    Examples
    --------
    >>> max_pool(np.arange(9.0).reshape(1, 1, 3, 3), Window.square(2, stride=2))  # 3 wide, 2 at a time: rounded up
    array([[[[4., 5.],
             [7., 8.]]]])
    """
    places = window.pooled(x.shape[2:], ceil=ceil)
    y = np.full((*x.shape[:2], *places), np.finfo(x.dtype).min, x.dtype)
    for at, pixels in _overlaps(window, x.shape[2:], places):
        np.fmax(y[at], x[pixels], out=y[at])
    return y


def max_pool_backward(dy: Array, x: Array, y: Array, window: Window) -> Array:
    """Gradient of `max_pool`: all of it to the first of the largest numbers, row by row.

    Parameters
    ----------
    dy, y : gradient and value of the result
    x : the input
    """
    dx = np.zeros_like(x, dtype=dy.dtype)
    searching = np.ones(y.shape, bool)
    for at, pixels in _overlaps(window, x.shape[2:], y.shape[2:]):
        found = x[pixels] == y[at]
        found &= searching[at]
        searching[at] ^= found
        dx[pixels] += dy[at] * found
    return dx


def _window_sizes(window: Window, size: Sequence[int], places: Sequence[int], dtype: Any) -> Array:
    """What Caffe divides each window's sum by: the padding counts, what hangs over its far end doesn't."""
    height, width = (
        np.minimum(np.arange(o) * s - p + k, n + p) - (np.arange(o) * s - p)
        for n, o, k, s, p in zip(size, places, window.kernel, window.stride, window.pad, strict=True)
    )
    return np.outer(height, width).astype(dtype)


def average_pool(x: Array, window: Window, *, ceil: bool = True) -> Array:
    """The mean of each window, padding counted as zeros.

    Parameters
    ----------
    x : (images, channels, height, width)

    Examples
    --------
    >>> average_pool(np.ones((1, 1, 2, 2)), Window.square(2, stride=2, pad=1))
    array([[[[0.25, 0.25],
             [0.25, 0.25]]]])
    """
    places = window.pooled(x.shape[2:], ceil=ceil)
    y = np.zeros((*x.shape[:2], *places), x.dtype)
    for at, pixels in _overlaps(window, x.shape[2:], places):
        y[at] += x[pixels]
    # a stride beyond the kernel can leave the last window without a pixel; Caffe gives 0 / 0 there, and so does this
    with np.errstate(invalid="ignore"):
        y /= _window_sizes(window, x.shape[2:], places, x.dtype)
    return y


def average_pool_backward(dy: Array, shape: Sequence[int], window: Window) -> Array:
    """Gradient of `average_pool` for an input of `shape`: an equal share to every pixel of the window."""
    dx = np.zeros(shape, dy.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = dy / _window_sizes(window, shape[2:], dy.shape[2:], dy.dtype)
    for at, pixels in _overlaps(window, shape[2:], dy.shape[2:]):
        dx[pixels] += share[at]
    return dx
