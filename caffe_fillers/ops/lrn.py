"""Local response normalisation, across channels or within each channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from . import native
from .columns import at_once
from .native import in_c
from .operation import Operation, Work
from .pool import average_pool, average_pool_backward
from .window import Window

__all__ = ["LRN", "across_gradient", "local_response_norm", "neighbours"]


def _running(part: Array, start: float | np.floating, size: int, memory: Array) -> Array:
    """Return sums over `size` neighbouring channels: each adds the channel that enters, then subtracts the one that
    leaves.

    `part` is (images, channels, pixels); sums begin with `start`.
    """
    images, channels, pixels = part.shape
    half = size // 2
    steps = memory[: images * (size + 2 * channels - 1) * pixels].reshape(images, size + 2 * channels - 1, pixels)
    steps[...] = 0
    steps[:, 0] = start
    # first the channels of the first channel's sum, then in turn the one that enters and the one that leaves
    within = min(half + 1, channels)
    steps[:, 1 + half : 1 + half + within] = part[:, :within]
    entering, leaving = steps[:, size + 1 :: 2], steps[:, size + 2 :: 2]
    entering[:, : max(0, channels - half - 1)] = part[:, half + 1 :]
    if channels - 1 > half:
        np.negative(part[:, : channels - 1 - half], out=leaving[:, half:])
    np.add.accumulate(steps, axis=1, out=steps)
    return steps[:, size::2]


@in_c(native.neighbours)
def neighbours(
    x: Array,
    size: int,
    factor: float | np.floating,
    start: float | np.floating,
    out: Array,
    empty: Callable[..., Array],
) -> None:
    """Write ``start`` plus the sum of ``factor * x * x`` over `size` neighbouring channels to `out`."""
    images, channels, pixels = len(x), x.shape[1], int(np.prod(x.shape[2:]))
    many = at_once(images, 3 * channels * pixels)
    rows = size + 2 * channels - 1
    memory = empty((many * (rows + channels) * pixels,), x.dtype)
    flat, sums = (each.reshape(images, channels, pixels) for each in (x, out))
    for i in range(0, images, many):
        part = flat[i : i + many]
        squares = memory[memory.size - part.size :].reshape(part.shape)
        np.multiply(part, part, out=squares)
        squares *= factor
        sums[i : i + many] = _running(squares, start, size, memory)


def local_response_norm(
    x: Array,
    *,
    size: int = 5,
    alpha: float = 1.0,
    beta: float = 0.75,
    k: float = 1.0,
    out: Array | None = None,
    sums: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """``x / (k + alpha / size * sum of the squares of size neighbouring channels) ** beta``.

    Parameters
    ----------
    x : (images, channels, height, width)
    size : int
        How many channels are summed: odd, this one in the middle. Other frameworks differ in whether alpha is
        divided by it.
    alpha, beta, k : float
    out : array like `x`, optional
    sums : array like `x`, optional
        Receives what is raised to the power.
    empty : callable
        ``empty(shape, dtype)`` gives the memory for running sums.

    Returns
    -------
    array like `x`

    References
    ----------
    Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012;
    src/caffe/layers/lrn_layer.cpp

    Examples
    --------
    >>> local_response_norm(np.float64([[[[1]], [[2]], [[3]]]]), size=3, alpha=3, beta=1, k=0).ravel()
    array([0.2       , 0.14285714, 0.23076923])
    """
    out = np.empty_like(x) if out is None else out
    sums = np.empty_like(x) if sums is None else sums
    real = x.dtype.type
    neighbours(x, size, real(alpha) / real(size), real(k), sums, empty)
    np.power(sums, real(-beta), out=out)
    out *= x
    return out


@in_c(native.lrn_gradient)
def across_gradient(
    dy: Array,
    x: Array,
    y: Array,
    sums: Array,
    out: Array,
    size: int,
    factor: float | np.floating,
    empty: Callable[..., Array],
) -> None:
    """Turn ``sums ** -beta`` in `out` into the gradient: times `dy`, minus ``factor * x *`` sums of ``dy * y / sums``.

    `out` must not share memory with the other arrays.
    """
    images, channels, pixels = len(x), x.shape[1], int(np.prod(x.shape[2:]))
    many = at_once(images, 3 * channels * pixels)
    rows = size + 2 * channels - 1
    memory = empty((many * (rows + channels) * pixels,), x.dtype)
    dys, xs, ys, scales, outs = (each.reshape(images, channels, pixels) for each in (dy, x, y, sums, out))
    for i in range(0, images, many):
        of = slice(i, i + many)
        ratio = memory[memory.size - dys[of].size :].reshape(dys[of].shape)
        np.multiply(dys[of], ys[of], out=ratio)
        ratio /= scales[of]
        around = _running(ratio, 0, size, memory)
        np.multiply(xs[of], around, out=ratio)
        ratio *= factor
        outs[of] *= dys[of]
        outs[of] -= ratio


@dataclass(frozen=True, slots=True)
class LRN(Operation):
    """`local_response_norm`, or within each channel: x times (1 + alpha * mean of x * x over a window) ** -beta."""

    size: int = 5
    alpha: float = 1.0
    beta: float = 0.75
    k: float = 1.0
    within: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, y = bottoms[0], tops[0]
        sums = work.buffer("sums", x.shape, x.dtype)
        if self.within:
            local_response_norm_within(
                x, size=self.size, alpha=self.alpha, beta=self.beta, out=y, sums=sums, empty=work.scratch
            )
            return
        local_response_norm(
            x, size=self.size, alpha=self.alpha, beta=self.beta, k=self.k, out=y, sums=sums, empty=work.scratch
        )

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
        dy, x, dx = dtops[0], bottoms[0], dbottoms[0]
        if dx is None:
            return
        sums, real = work.buffer("sums", x.shape, x.dtype), x.dtype.type
        if not self.within:
            factor = real(2.0 * self.alpha * self.beta / self.size)
            # in place, dy lies where the result goes
            out = work.scratch(x.shape, x.dtype, "gradient") if np.may_share_memory(dx, dy) else dx
            np.power(sums, real(-self.beta), out=out)
            across_gradient(dy, x, tops[0], sums, out, self.size, factor, work.scratch)
            if out is not dx:
                dx[...] = out
            return
        power = work.scratch(x.shape, x.dtype, "power")
        np.power(sums, real(-self.beta), out=power)
        share = work.scratch(x.shape, x.dtype)
        # the gradient of Caffe's Power: its result divided by its argument
        np.divide(power, sums, out=share)
        share *= real(-self.beta) * real(self.alpha)
        share *= x * dy
        spread = average_pool_backward(share, x.shape, _window(self.size))
        spread *= real(2) * x
        np.multiply(power, dy, out=dx)
        dx += spread


def _window(size: int) -> Window:
    return Window.square(size, pad=size // 2)


def local_response_norm_within(
    x: Array,
    *,
    size: int = 5,
    alpha: float = 1.0,
    beta: float = 0.75,
    out: Array | None = None,
    sums: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """``x * (1 + alpha * mean of the squares in a window of size x size) ** -beta``; padding counts as zeros.

    Parameters
    ----------
    x : (images, channels, height, width)
    out, sums, empty
        As in `local_response_norm`.

    References
    ----------
    src/caffe/layers/lrn_layer.cpp, which composes it of Power, Pooling and Eltwise

    Examples
    --------
    >>> local_response_norm_within(np.float64([[[[3]]]]), size=3, beta=1)
    array([[[[1.5]]]])
    """
    out = np.empty_like(x) if out is None else out
    sums = np.empty_like(x) if sums is None else sums
    real = x.dtype.type
    squares = empty(x.shape, x.dtype)
    np.multiply(x, x, out=squares)
    average_pool(squares, _window(size), out=sums)
    sums *= real(alpha)
    sums += real(1)
    np.power(sums, real(-beta), out=squares)
    return np.multiply(x, squares, out=out)
