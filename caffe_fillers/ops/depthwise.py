"""Depthwise convolution: a kernel for each channel, summed over the kernel's offsets without a matrix product."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array
from . import native
from .columns import at_once
from .native import in_c
from .window import Window, overlaps

__all__ = ["depthwise_convolution", "depthwise_gradients"]


@in_c(native.depthwise_convolution)
def depthwise_convolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """Slide a kernel of its own over each channel.

    The products are added one offset after another, as the layers ConvolutionDepthwise of Caffe's forks do.

    Parameters
    ----------
    x : (images, channels, *spatial)
    weight : (channels, 1, *kernel)
    bias : (channels,) or None
    out : array of the result's shape, optional
    empty : callable
        ``empty(shape, dtype)`` gives the memory for products.

    Returns
    -------
    (images, channels, *places)

    Examples
    --------
    >>> weight, window = np.float64([[[1, 1]], [[2, 2]]]), Window((2,), (1,), (0,), (1,))
    >>> depthwise_convolution(np.ones((1, 2, 3)), weight, None, window)
    array([[[2., 2.],
            [4., 4.]]])
    """
    images, channels, *size = x.shape
    places = window.convolved(size)
    if out is None:
        out = np.empty((images, channels, *places), np.result_type(x, weight))
    many = at_once(images, channels * math.prod(places))
    memory = empty((many, channels, *places), x.dtype)
    for i in range(0, images, many):
        image, y = x[i : i + many], out[i : i + many]
        y[...] = 0
        for offset, at, pixels in overlaps(window, tuple(size), places):
            product = memory[: len(y)][at]
            np.multiply(image[pixels], weight[offset].reshape(-1, *(1,) * len(places)), out=product)
            y[at] += product
        if bias is not None:
            y += bias.reshape(-1, *(1,) * len(places))
    return out


def depthwise_gradients(
    dy: Array,
    x: Array,
    weight: Array,
    window: Window,
    *,
    dx: Array | None,
    dweight: Array | None,
    empty: Callable[..., Array] = np.empty,
) -> None:
    """Gradients of `depthwise_convolution`: dx is overwritten, dweight added to; None leaves one out."""
    images, channels, *size = x.shape
    places = window.convolved(size)
    many = at_once(images, channels * math.prod(places))
    memory = empty((many * channels * math.prod(places),), x.dtype)
    if dx is not None:
        dx[...] = 0
    for i in range(0, images, many):
        image, some = x[i : i + many], dy[i : i + many]
        for offset, at, pixels in overlaps(window, tuple(size), places):
            part = some[at]
            product = memory[: part.size].reshape(part.shape)
            if dx is not None:
                np.multiply(part, weight[offset].reshape(-1, *(1,) * len(places)), out=product)
                dx[i : i + many][pixels] += product
            if dweight is not None:
                np.multiply(part, image[pixels], out=product)
                rows = product.reshape(len(some), channels, math.prod(part.shape[2:]))
                sums = np.matmul(rows, np.ones(rows.shape[2], x.dtype))
                # image after image, added to the old gradient: Caffe's order
                dweight[offset] = np.add.reduce(np.concatenate([dweight[offset].T, sums]), axis=0)[:, None]
