"""Patches of images as columns of a matrix, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from . import native
from .native import in_c
from .window import Window, overlaps

__all__ = ["at_once", "col2im", "columns_of", "im2col", "is_identity"]


@in_c(native.im2col)
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

    References
    ----------
    src/caffe/util/im2col.cpp

    Examples
    --------
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), Window.square(2))[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    images, channels, *size = x.shape
    places = window.convolved(size)
    shape = (images, channels * math.prod(window.kernel), math.prod(places))
    if out is None:
        out = np.empty(shape, x.dtype)
    elif out.shape != shape or out.dtype != x.dtype or not out.flags.c_contiguous:
        raise CaffeError(f"im2col needs a C-contiguous {x.dtype} buffer of shape {shape}, got {out.dtype} {out.shape}")
    patches = out.reshape(images, channels, *window.kernel, *places)
    for offset, at, pixels in overlaps(window, tuple(size), places):
        patch = patches[offset]
        for axis, (covered, n) in enumerate(zip(at[1:], places, strict=True), 2):
            whole: tuple[slice, ...] = (slice(None),) * axis
            if covered.start > 0:
                patch[*whole, : covered.start] = 0
            if covered.stop < n:
                patch[*whole, covered.stop :] = 0
        patch[at] = x[pixels]
    return out


@in_c(native.col2im)
def col2im(columns: Array, shape: Sequence[int], window: Window, out: Array | None = None) -> Array:
    """Add every column back to the places its numbers came from: the transpose of `im2col`.

    Parameters
    ----------
    columns : (images, channels * kernel, places)
    shape : (images, channels, *spatial) of the result
    out : array of `shape`, optional

    References
    ----------
    src/caffe/util/im2col.cpp; the offsets of the kernel are added in its order.

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
    if out is None:
        out = np.empty(tuple(shape), columns.dtype)
    out[...] = 0
    patches = columns.reshape(images, channels, *window.kernel, *places)
    for offset, at, pixels in overlaps(window, tuple(size), places):
        out[pixels] += patches[offset][at]
    return out


def is_identity(window: Window) -> bool:
    """Return whether the columns of an image are the image itself."""
    return set(window.kernel) | set(window.stride) <= {1} and not any(window.pad) and not any(window.padding)


def columns_of(x: Array, window: Window, buffer: Array | None) -> Array:
    """Return `im2col` of `x` in the first rows of `buffer`, or `x` itself if the columns are the same."""
    if is_identity(window):
        return x
    return im2col(x, window, None if buffer is None else buffer[: len(x)])


def at_once(images: int, values: int, budget: int = 1 << 18) -> int:
    """Return how many images of so many `values` are laid out together: as many as a cache holds, at least one."""
    return max(1, min(images, budget // max(1, values)))
