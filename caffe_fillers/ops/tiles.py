"""3x3 convolution in tiles: 4x4 pixels give 2x2 outputs with 16 products instead of 36.

This is F(2x2, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015). Its sums and halves
cost no accuracy: the largest error is that of a product of matrices with columns. Larger tiles would save more, and err
ten times as much.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from ..arrays import Array, Dtype
from . import native
from .native import in_c
from .products import matrix_product
from .window import Window

__all__ = ["convolution_in_tiles", "tile_image", "tile_kernels", "tile_sums", "tiles_pay"]

# sums of each kind that are held at a time, of which there are 16
_CACHE = 1 << 14


def tiles_pay(window: Window, weight: Array, places: tuple[int, ...]) -> bool:
    """Return whether a convolution by the kernels of one group, (outputs, channels, *kernel), is faster in tiles."""
    if window.kernel != (3, 3) or window.stride != (1, 1) or window.dilation != (1, 1):
        return False
    outputs, channels = weight.shape[:2]
    return min(outputs, channels) >= 16 and (places[0] + 1) // 2 * ((places[1] + 1) // 2) >= 36


def _three(a: Array, b: Array, c: Array) -> tuple[Array, ...]:
    ends = a + c
    return a, (ends + b) * 0.5, (ends - b) * 0.5, c


@in_c(native.tile_kernels)
def tile_kernels(weight: Array, out: Array) -> None:
    """Kernels, (outputs, channels, 3, 3), as sums for `out`, (16, outputs, channels)."""
    for i, row in enumerate(_three(*np.moveaxis(weight, 2, 0))):
        for j, value in enumerate(_three(*np.moveaxis(row, 2, 0))):
            out[4 * i + j] = value


def _four(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    return a - c, b + c, c - b, b - d


@in_c(native.tile_image)
def tile_image(x: Array, window: Window, rows: range, out: Array) -> None:
    """Sums of pixels for the tiles of some rows of tiles, one after another.

    Parameters
    ----------
    x : (channels, height, width)
    rows : range
        Rows of tiles, counted from the top.
    out : (16, channels, tiles)
    """
    places = window.convolved(x.shape[1:])
    channels, tall, wide = len(x), len(rows), (places[1] + 1) // 2
    # the pixels of these tiles, with zeros around the image
    pixels = np.zeros((channels, 2 * tall + 2, 2 * wide + 2), x.dtype)
    top, left = 2 * rows.start - window.pad[0], -window.pad[1]
    part = x[:, max(0, top) : max(0, top + 2 * tall + 2), : max(0, left + 2 * wide + 2)]
    down, along = max(0, -top), -left
    pixels[:, down : down + part.shape[1], along : along + part.shape[2]] = part
    for i, row in enumerate(_four(*(pixels[:, k : k + 2 * tall : 2] for k in range(4)))):
        for j, value in enumerate(_four(*(row[:, :, k : k + 2 * wide : 2] for k in range(4)))):
            out[4 * i + j] = value.reshape(channels, -1)


def _two(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    return a + b + c, b - c - d


@in_c(native.tile_sums)
def tile_sums(products: Array, bias: Array | None, window: Window, rows: range, out: Array) -> bool:
    """Write the places of some rows of tiles; return whether all of them are finite numbers.

    Parameters
    ----------
    products : (16, outputs, tiles)
    bias : (outputs,) or None
    out : (outputs, *places)
    """
    outputs, tall, wide = len(out), len(rows), (out.shape[2] + 1) // 2
    finite = True
    for i, row in enumerate(_two(*products.reshape(4, 4, outputs, tall, wide))):
        for j, values in enumerate(_two(*row)):
            if bias is not None:
                values = values + bias.reshape(-1, 1, 1)
            finite = finite and bool(np.isfinite(values).all())
            into = out[:, 2 * rows.start + i : 2 * rows.stop : 2, j::2]
            into[...] = values[:, : into.shape[1], : into.shape[2]]
    return finite


def convolution_in_tiles(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    out: Array,
    empty: Callable[..., Array] = np.empty,
) -> list[int]:
    """Slide kernels of 3x3 over images, some rows of tiles at a time.

    Parameters
    ----------
    x : (images, channels, height, width)
    weight : (outputs, channels, 3, 3)
    bias : (outputs,) or None
    out : (images, outputs, *places)
    empty : callable
        ``empty(shape, dtype)`` gives the memory for sums.

    Returns
    -------
    list of int
        Images whose results are not all finite: a tile spreads what is no number over all of its places.

    Examples
    --------
    >>> x, weight, y = np.ones((1, 1, 3, 4)), np.ones((1, 1, 3, 3)), np.empty((1, 1, 3, 4))
    >>> convolution_in_tiles(x, weight, None, Window.square(3, pad=1), out=y)
    []
    >>> y[0, 0]
    array([[4., 6., 6., 4.],
           [6., 9., 9., 6.],
           [4., 6., 6., 4.]])
    """
    (outputs, channels), places = weight.shape[:2], out.shape[2:]
    tall, wide = (places[0] + 1) // 2, (places[1] + 1) // 2
    rows_each, some = _at_once(outputs, channels, tall, wide)
    # kernels that are used once are made where they are used
    once = len(x) == 1 and rows_each == tall
    sizes = [(some if once else outputs) * channels, channels * rows_each * wide, some * rows_each * wide]
    kernels, pixels, products = _parts(empty, out.dtype, [16 * size for size in sizes])
    if not once:
        tile_kernels(weight, kernels.reshape(16, outputs, channels))
    broken = []
    for i, first in itertools.product(range(len(x)), range(0, tall, rows_each)):
        rows = range(first, min(tall, first + rows_each))
        tiles = len(rows) * wide
        image = pixels[: 16 * channels * tiles].reshape(16, channels, tiles)
        tile_image(x[i], window, rows, image)
        for start in range(0, outputs, some):
            part = slice(start, min(outputs, start + some))
            n = part.stop - start
            if once:
                sums = kernels[: 16 * n * channels].reshape(16, n, channels)
                tile_kernels(weight[part], sums)
            else:
                sums = kernels.reshape(16, outputs, channels)[:, part]
            result = products[: 16 * n * tiles].reshape(16, n, tiles)
            matrix_product(sums, image, result)
            if not tile_sums(result, None if bias is None else bias[part], window, rows, out[i, part]):
                broken.append(i)
    return sorted(set(broken))


def _at_once(outputs: int, channels: int, tall: int, wide: int) -> tuple[int, int]:
    """Return how many rows of tiles, and how many outputs, fit in the cache and are computed together.

    Rows of tiles may take as much as the kernels, which every product of rows reads anew.
    """
    kernels = outputs * channels
    rows = max(1, min(tall, max(_CACHE, kernels) // ((channels + outputs) * wide)))
    some = max(16, _CACHE // channels)
    return rows, some if tall * wide <= 2 * some and some < outputs else outputs


def _parts(empty: Callable[..., Array], dtype: Dtype, sizes: list[int]) -> list[Array]:
    """Arrays of these sizes in one piece of memory."""
    memory, result = empty((sum(sizes),), dtype), []
    for size in sizes:
        result.append(memory[:size])
        memory = memory[size:]
    return result
