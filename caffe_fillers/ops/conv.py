"""Convolution and deconvolution of any number of axes, as products of matrices with columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ..errors import CaffeError
from .array import Array
from .window import Window

__all__ = ["col2im", "convolution", "convolution_backward", "deconvolution", "im2col"]


def im2col(x: Array, window: Window, out: Array | None = None) -> Array:
    """Lay the patch under every place of the kernel out as a column, so that a convolution is one matrix product.

    Parameters
    ----------
    x : (images, channels, *spatial)
    window : Window
    out : array of the result's shape, optional
        Filled and returned; a training that hands the same buffer in again allocates nothing.

    Returns
    -------
    (images, channels * kernel, places), with zeros where the kernel stands on padding.

    Examples
    --------
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), Window.square(2))[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    axes = len(window.kernel)
    images, channels, *size = x.shape
    places = window.convolved(size)
    shape = (images, channels * math.prod(window.kernel), math.prod(places))
    if out is None:
        out = np.empty(shape, x.dtype)
    elif out.shape != shape or out.dtype != x.dtype or not out.flags.c_contiguous:
        raise CaffeError(f"im2col needs a C-contiguous {x.dtype} buffer of shape {shape}, got {out.dtype} {out.shape}")
    if any(window.pad):
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in window.pad)])
    steps = x.strides[2:]
    patches = np.lib.stride_tricks.as_strided(
        x,
        (images, channels, *window.kernel, *places),
        (
            *x.strides[:2],
            *(d * b for d, b in zip(window.dilation, steps, strict=True)),
            *(s * b for s, b in zip(window.stride, steps, strict=True)),
        ),
        writeable=False,
    )
    assert patches.ndim == 2 + 2 * axes
    np.copyto(out.reshape(patches.shape), patches)
    return out


def col2im(columns: Array, shape: Sequence[int], window: Window) -> Array:
    """Add every column back to the places its numbers came from: the transpose of `im2col`.

    Parameters
    ----------
    columns : (images, channels * kernel, places)
    shape : (images, channels, *spatial) of the result

    Examples
    --------
    >>> ones = np.ones((1, 1, 3, 3))
    >>> col2im(im2col(ones, Window.square(2)), ones.shape, Window.square(2))[0, 0]  # how many windows hold each pixel
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    images, channels, *size = shape
    places = window.convolved(size)
    padded = np.zeros(
        (images, channels, *(n + 2 * p for n, p in zip(size, window.pad, strict=True))), dtype=columns.dtype
    )
    columns = columns.reshape(images, channels, *window.kernel, *places)
    for offset in product(*map(range, window.kernel)):
        patches: Any = (slice(None), slice(None), *offset)
        at: tuple[Any, ...] = tuple(
            slice(d * k, d * k + s * (o - 1) + 1, s)
            for k, o, s, d in zip(offset, places, window.stride, window.dilation, strict=True)
        )
        padded[:, :, *at] += columns[patches]
    inner: tuple[Any, ...] = tuple(slice(p, p + n) for n, p in zip(size, window.pad, strict=True))
    return padded[:, :, *inner]


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    group: int = 1,
    columns: Array | None = None,
) -> Array:
    """Slide the kernels over the images (a correlation: kernels are not flipped).

    Parameters
    ----------
    x : (images, channels, *spatial)
    weight : (outputs, channels / group, *kernel)
    bias : (outputs,) or None
    columns : (images, channels * kernel, places), optional
        Receives `im2col` of `x`, which `convolution_backward` needs. Without it one image at a time is laid out, so
        that large nets need little memory.

    Returns
    -------
    (images, outputs, *places)

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
    >>> convolution(x, w, np.float32([0.5]), Window.square(2))
    array([[[[4.5, 4.5],
             [4.5, 4.5]]]], dtype=float32)
    """
    images, channels, *size = x.shape
    outputs = weight.shape[0]
    if weight.shape[1:] != (channels // group, *window.kernel) or channels % group or outputs % group:
        raise CaffeError(
            f"a weight of shape {weight.shape} doesn't fit {channels} input channels in {group} group(s) "
            f"with kernel {window.kernel}"
        )
    places = window.convolved(size)
    y = np.empty((images, group, outputs // group, math.prod(places)), np.result_type(x, weight))
    kernels = weight.reshape(group, outputs // group, -1)
    if columns is not None:
        im2col(x, window, columns)
        np.matmul(kernels, columns.reshape(images, group, -1, y.shape[-1]), out=y)
    else:
        buffer = np.empty((1, channels * math.prod(window.kernel), y.shape[-1]), x.dtype)
        for image, result in zip(x, y, strict=True):
            im2col(image[None], window, buffer)
            np.matmul(kernels, buffer.reshape(group, -1, y.shape[-1]), out=result)
    y = y.reshape(images, outputs, *places)
    if bias is not None:
        y += bias.reshape(-1, *(1,) * len(places))
    return y


def convolution_backward(
    dy: Array,
    weight: Array,
    window: Window,
    columns: Array,
    shape: Sequence[int],
    *,
    group: int = 1,
    inputs: bool = True,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a convolution.

    Parameters
    ----------
    dy : (images, outputs, *places)
        Gradient of the result.
    columns : what `convolution` left in its buffer
    shape : shape of the convolution's input
    inputs : bool
        False leaves the gradient of the input out; the first layer needs none.

    Returns
    -------
    dx : array of `shape`, or None
    dweight : array of the weight's shape
    dbias : (outputs,)
    """
    images = dy.shape[0]
    outputs = weight.shape[0]
    grouped = dy.reshape(images, group, outputs // group, -1)
    patches = columns.reshape(images, group, -1, grouped.shape[-1])
    # One product for each image, the images added one after another: Caffe's order. Its sums over places are a
    # product with ones; NumPy's own sum takes another order, and the loss of a training shows it after 20 iterations.
    dweight = np.matmul(grouped, patches.swapaxes(2, 3)).sum(axis=0).reshape(weight.shape)
    dbias = np.matmul(dy.reshape(images, outputs, -1), np.ones(grouped.shape[-1], dy.dtype)).sum(axis=0)
    if not inputs:
        return None, dweight, dbias
    kernels = weight.reshape(group, outputs // group, -1)
    dcolumns = np.matmul(kernels.swapaxes(1, 2), grouped)
    return col2im(dcolumns, shape, window), dweight, dbias


def deconvolution(x: Array, weight: Array, bias: Array | None, window: Window, *, group: int = 1) -> Array:
    """Spread every number of the input over a kernel: the transpose of `convolution`.

    Parameters
    ----------
    x : (images, channels, *spatial)
    weight : (channels, outputs / group, *kernel)
    bias : (outputs,) or None

    Examples
    --------
    >>> deconvolution(np.float32([[[[1, 2]]]]), np.ones((1, 1, 1, 2), np.float32), None,
    ...               Window((1, 2), (1, 2), (0, 0), (1, 1)))
    array([[[[1., 1., 2., 2.]]]], dtype=float32)
    """
    images, channels, *size = x.shape
    if weight.shape[0] != channels or channels % group:
        raise CaffeError(f"a weight of shape {weight.shape} doesn't fit {channels} input channels in {group} group(s)")
    outputs = weight.shape[1] * group
    result = tuple(
        s * (n - 1) + d * (k - 1) + 1 - 2 * p
        for n, k, s, p, d in zip(size, window.kernel, window.stride, window.pad, window.dilation, strict=True)
    )
    kernels = weight.reshape(group, channels // group, -1)
    columns = np.matmul(kernels.swapaxes(1, 2), x.reshape(images, group, channels // group, -1))
    y = col2im(columns, (images, outputs, *result), window)
    return y if bias is None else y + bias.reshape(-1, *(1,) * len(result))
