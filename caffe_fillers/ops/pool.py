"""Pooling: the maximum or the mean of each window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import Array, Integers
from ..errors import CaffeError
from . import native
from .columns import at_once
from .native import in_c
from .operation import Operation, Work
from .window import Part, Window, overlaps

__all__ = [
    "Mask",
    "Pooling",
    "average_pool",
    "average_pool_backward",
    "largest",
    "max_pool",
    "max_pool_backward",
    "refuse_stochastic",
    "spread",
    "unpool",
    "window_sizes",
]

Mask = Array | Integers  # a mask that is a top holds numbers of the net's type


def _clipped(window: Window, size: Sequence[int], place: Sequence[int]) -> tuple[slice, ...]:
    """Return the pixels under the window at `place`, as slices."""
    starts = [i * s - p for i, s, p in zip(place, window.stride, window.pad, strict=True)]
    ends = [min(start + k, n) for start, k, n in zip(starts, window.kernel, size, strict=True)]
    return tuple(slice(max(0, start), max(0, start, end)) for start, end in zip(starts, ends, strict=True))


def _few(window: Window, places: Sequence[int]) -> bool:
    """Return whether there are fewer places than offsets in the kernel, as in global pooling."""
    return math.prod(places) < math.prod(window.kernel)


@in_c(native.max_pool)
def max_pool(
    x: Array, window: Window, *, ceil: bool = True, out: Array | None = None, mask: Mask | None = None
) -> Array:
    """The largest number in each window.

    Padding never wins, nor does what is not a number or below -3.4028235e38, which stands where nothing wins; the
    first of equals, row by row, does. Other frameworks let NaN through, and round the number of windows down.

    Parameters
    ----------
    x : (images, channels, height, width)
    ceil : bool
        Round the number of windows up, as Caffe does unless `round_mode: FLOOR` is written.
    out : array of the result's shape, optional
    mask : array of the result's shape, optional
        Receives where in its channel each number stands, counted row by row; -1 where nothing won.

    Returns
    -------
    (images, channels, *places)

    References
    ----------
    src/caffe/layers/pooling_layer.cpp

    Examples
    --------
    >>> max_pool(np.arange(9.0).reshape(1, 1, 3, 3), Window.square(2, stride=2))  # 3 wide, 2 at a time: rounded up
    array([[[[4., 5.],
             [7., 8.]]]])
    """
    size = x.shape[2:]
    if out is None:
        out = np.empty((*x.shape[:2], *window.pooled(size, ceil=ceil)), x.dtype)
    out[...] = np.finfo(np.float32).min
    if mask is not None:
        mask[...] = -1
    index = np.arange(math.prod(size)).reshape(size)
    if _few(window, out.shape[2:]):
        for place in np.ndindex(*out.shape[2:]):
            clipped = _clipped(window, size, place)
            here: Part = (..., *clipped)
            largest(x[here], index[clipped], out[..., *place], None if mask is None else mask[..., *place])
        return out
    many = at_once(len(x), 4 * math.prod(out.shape[1:]))
    for i in range(0, len(x), many):
        image, y, where = x[i : i + many], out[i : i + many], None if mask is None else mask[i : i + many]
        for _, at, pixels in overlaps(window, size, out.shape[2:]):
            larger = image[pixels] > y[at]
            _take(image[pixels], y[at], larger)
            if where is not None:
                _take(index[pixels].astype(where.dtype), where[at], larger)
    return out


def _take(values: np.ndarray, into: np.ndarray, where: npt.NDArray[np.bool_]) -> None:
    """Copy `values` where `where` is true, by selecting bits: a branch per value takes four times as long."""
    whole = np.dtype(f"i{into.itemsize}")
    bits = into.view(whole)
    change = values.view(whole) ^ bits
    change &= np.multiply(where, whole.type(-1))
    bits ^= change


def largest(values: Array, index: Mask, out: Array, mask: Mask | None) -> None:
    """Write the largest number of one window of every channel to `out`, and its place to `mask`."""
    flat = values.reshape(*out.shape, index.size)
    if not index.size:
        return
    found = np.where(np.isnan(flat), -np.inf, flat).argmax(axis=-1)
    largest = np.take_along_axis(flat, found[..., None], -1)[..., 0]
    larger = largest > out
    np.copyto(out, largest, where=larger)
    if mask is not None:
        np.copyto(mask, index.reshape(-1)[found], where=larger, casting="unsafe")


@in_c(native.unpool)
def unpool(dy: Array, mask: Mask, dx: Array, *, fresh: bool = False) -> None:
    """Add each number to the place in its mask, one after another; -1 is no place.

    Parameters
    ----------
    dy, mask : (images, channels, *places)
    dx : (images, channels, *spatial)
    fresh : bool
        Set `dx` to zero first.

    Examples
    --------
    >>> dx = np.zeros((1, 1, 1, 3))
    >>> unpool(np.ones((1, 1, 1, 2)), np.array([[[[2, 2]]]]), dx)
    >>> dx
    array([[[[0., 0., 2.]]]])
    """
    if fresh:
        dx[...] = 0
    channels, places = math.prod(dx.shape[:2]), math.prod(mask.shape[2:])
    index = mask.reshape(channels, places).astype(np.intp)
    nowhere = index < 0
    index += np.arange(channels)[:, None] * math.prod(dx.shape[2:])
    values = dy.reshape(channels, places)
    if nowhere.any():
        index, values = index[~nowhere], values[~nowhere]
    np.add.at(dx.reshape(-1), index.reshape(-1), values.reshape(-1))


def max_pool_backward(dy: Array, x: Array, y: Array, window: Window) -> Array:
    """Gradient of `max_pool`: all of it to the first of the largest numbers, row by row.

    Parameters
    ----------
    dy, y : gradient and value of the result
    x : the input
    """
    mask = np.empty(y.shape, np.int32)
    max_pool(x, window, out=np.empty_like(y), mask=mask)
    dx = np.empty_like(x, dtype=dy.dtype)
    unpool(dy, mask, dx, fresh=True)
    return dx


def window_sizes(window: Window, size: Sequence[int], places: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """Return the divisor of each window's sum: Caffe counts the padding, but not what lies past it."""
    height, width = (
        np.minimum(np.arange(o) * s - p + k, n + p) - (np.arange(o) * s - p)
        for n, o, k, s, p in zip(size, places, window.kernel, window.stride, window.pad, strict=True)
    )
    return np.outer(height, width).astype(dtype)


@in_c(native.average_pool)
def average_pool(x: Array, window: Window, *, ceil: bool = True, out: Array | None = None) -> Array:
    """The mean of each window, padding counted as zeros.

    The padding counts among what is divided by, but not what hangs over its far end. The sum is taken row by row.

    Parameters
    ----------
    x : (images, channels, height, width)
    ceil : bool
        Round the number of windows up, as Caffe does unless `round_mode: FLOOR` is written.
    out : array of the result's shape, optional

    References
    ----------
    src/caffe/layers/pooling_layer.cpp

    Examples
    --------
    >>> average_pool(np.ones((1, 1, 2, 2)), Window.square(2, stride=2, pad=1))
    array([[[[0.25, 0.25],
             [0.25, 0.25]]]])
    """
    size = x.shape[2:]
    if out is None:
        out = np.empty((*x.shape[:2], *window.pooled(size, ceil=ceil)), x.dtype)
    out[...] = 0
    if _few(window, out.shape[2:]):
        for place in np.ndindex(*out.shape[2:]):
            here: Part = (..., *_clipped(window, size, place))
            _one_after_another(x[here], out[..., *place])
    else:
        for _, at, pixels in overlaps(window, size, out.shape[2:]):
            out[at] += x[pixels]
    # with a stride larger than the kernel the last window may hold no pixel; Caffe gives 0 / 0 then, as this does
    with np.errstate(invalid="ignore"):
        out /= window_sizes(window, size, out.shape[2:], x.dtype)
    return out


def _one_after_another(values: Array, out: Array) -> None:
    """Sum one window of every channel in Caffe's order; NumPy's own sum adds in pairs."""
    pixels = math.prod(values.shape[2:])
    if pixels == 0:
        return
    many = at_once(len(values), values.shape[1] * pixels)
    for i in range(0, len(values), many):
        part = values[i : i + many].reshape(-1, values.shape[1], pixels)
        # Caffe adds to a zero, so a sum that begins with -0.0 becomes 0.0
        out[i : i + many] += np.add.accumulate(part, axis=-1)[..., -1]


@in_c(native.average_pool_backward)
def average_pool_backward(dy: Array, shape: Sequence[int], window: Window, out: Array | None = None) -> Array:
    """Gradient of `average_pool` for an input of `shape`: an equal share to every pixel of the window."""
    size, places = tuple(shape[2:]), dy.shape[2:]
    dx = np.empty(tuple(shape), dy.dtype) if out is None else out
    dx[...] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = dy / window_sizes(window, size, places, dy.dtype)
    spread(share, window, dx)
    return dx


def spread(share: Array, window: Window, dx: Array) -> None:
    """Add each window's share to all of its pixels, window after window."""
    size, places = dx.shape[2:], share.shape[2:]
    if _few(window, places):
        for place in np.ndindex(*places):
            here: Part = (..., *_clipped(window, size, place))
            dx[here] += share[(..., *place, None, None)]
        return
    # the last offset belongs to the first window that holds a pixel
    for _, at, pixels in reversed(overlaps(window, size, places)):
        dx[pixels] += share[at]


def refuse_stochastic(method: str) -> None:
    if method == "STOCHASTIC":
        raise CaffeError(
            "Not Implemented Yet\nCaffe has no stochastic pooling on the CPU; write pool: AVE or pool: MAX instead"
        )


@dataclass(frozen=True, slots=True)
class Pooling(Operation):
    """`max_pool`, with the mask as a second top where there is one, or `average_pool`."""

    in_place = False

    window: Window
    method: str = "MAX"
    ceil: bool = True

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        refuse_stochastic(self.method)
        if self.method == "AVE":
            average_pool(bottoms[0], self.window, ceil=self.ceil, out=tops[0])
            return
        mask: Mask | None = tops[1] if len(tops) > 1 else None
        if mask is None and work.backward:
            mask = work.buffer("mask", tops[0].shape, np.int32)
        max_pool(bottoms[0], self.window, ceil=self.ceil, out=tops[0], mask=mask)

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
        if self.method == "AVE":
            average_pool_backward(dtops[0], dx.shape, self.window, out=dx)
            return
        mask = tops[1] if len(tops) > 1 else work.buffer("mask", tops[0].shape, np.int32)
        unpool(dtops[0], mask, dx, fresh=True)
