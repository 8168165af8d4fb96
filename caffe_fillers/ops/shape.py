"""Operations that reshape, reorder, repeat or crop values without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import Array
from ..checks import need_equal
from .operation import Operation, Work
from .pieces import blank

__all__ = [
    "Crop",
    "Permute",
    "Reshape",
    "ShuffleChannel",
    "Tile",
    "crop",
    "permute",
    "shuffle_channels",
    "tile",
    "tile_backward",
]


@dataclass(frozen=True, slots=True)
class Reshape(Operation):
    """The same numbers in another shape: Reshape, Flatten, Squeeze, and a Concat or Slice of a single blob."""

    shares = "both"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tops[0][...] = bottoms[0].reshape(tops[0].shape)

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
        if dbottoms[0] is not None:
            dbottoms[0][...] = dtops[0].reshape(dbottoms[0].shape)


def permute(x: Array, order: Sequence[int], out: Array | None = None) -> Array:
    """The axes of `x` in another order: axis i of the result is axis ``order[i]`` of `x`.

    Source: permute_layer.cpp of weiliu89/caffe (SSD).

    Examples
    --------
    >>> permute(np.float32([[1, 2, 3]]), (1, 0)).shape
    (3, 1)
    """
    view = x.transpose(order)
    y = np.empty(view.shape, x.dtype) if out is None else out
    y[...] = view
    return y


@dataclass(frozen=True, slots=True)
class Permute(Operation):
    """`permute` with an `order` that names every axis."""

    order: tuple[int, ...]

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        permute(bottoms[0], self.order, tops[0])

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
        if dbottoms[0] is not None:
            dbottoms[0].transpose(self.order)[...] = dtops[0]


def shuffle_channels(x: Array, group: int, out: Array | None = None) -> Array:
    """The first channel of each group, then the second of each, and so on.

    ``shuffle_channels(y, channels // group)`` takes it back. Source: shuffle_channel_layer.cpp of
    farmingyard/ShuffleNet; Zhang et al. 2018.

    Parameters
    ----------
    x : (images, channels, ...), the channels a multiple of `group`

    Examples
    --------
    >>> shuffle_channels(np.float32([[1, 2, 3, 4, 5, 6]]), 2)
    array([[1., 4., 2., 5., 3., 6.]], dtype=float32)
    """
    images, channels = x.shape[:2]
    column, places = channels // group, prod(x.shape[2:])
    need_equal(channels, column * group, "chs == group_column * group_row", "Wrong group size.")
    y = blank(x, out)
    y.reshape(images, column, group, places)[...] = x.reshape(images, group, column, places).swapaxes(1, 2)
    return y


@dataclass(frozen=True, slots=True)
class ShuffleChannel(Operation):
    """`shuffle_channels` in `group` groups."""

    group: int = 1

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        shuffle_channels(bottoms[0], self.group, tops[0])

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
        if dbottoms[0] is not None:
            shuffle_channels(dtops[0], dtops[0].shape[1] // self.group, dbottoms[0])


def tile(x: Array, tiles: int, axis: int = 1, out: Array | None = None) -> Array:
    """`x` again and again along `axis`. Source: tile_layer.cpp.

    Examples
    --------
    >>> tile(np.float32([[1, 2]]), 2)
    array([[1., 2., 1., 2.]], dtype=float32)
    """
    shape = (*x.shape[:axis], x.shape[axis] * tiles, *x.shape[axis + 1 :])
    y = np.empty(shape, x.dtype) if out is None else out
    outer, inner = prod(x.shape[:axis]), prod(x.shape[axis:])
    y.reshape(outer, tiles, inner)[...] = x.reshape(outer, 1, inner)
    return y


def tile_backward(dy: Array, tiles: int, axis: int = 1, out: Array | None = None) -> Array:
    """Gradient of `tile`: the sum over the tiles, one after another."""
    shape = (*dy.shape[:axis], dy.shape[axis] // tiles, *dy.shape[axis + 1 :])
    dx = np.empty(shape, dy.dtype) if out is None else out
    outer, inner = prod(shape[:axis]), prod(shape[axis:])
    parts, total = dy.reshape(outer, tiles, inner), dx.reshape(outer, inner)
    total[...] = parts[:, 0]
    for i in range(1, tiles):
        total += parts[:, i]
    return dx


@dataclass(frozen=True, slots=True)
class Tile(Operation):
    """`tile` along `axis`."""

    in_place = False

    axis: int
    tiles: int

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tile(bottoms[0], self.tiles, self.axis, tops[0])

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
        if dbottoms[0] is not None:
            tile_backward(dtops[0], self.tiles, self.axis, dbottoms[0])


def crop(x: Array, offsets: Sequence[int], size: Sequence[int]) -> Array:
    """The part of `x` of `size` that begins at `offsets`, as a view. Source: crop_layer.cpp.

    Examples
    --------
    >>> crop(np.float32([[1, 2], [3, 4]]), (1, 0), (1, 2))
    array([[3., 4.]], dtype=float32)
    """
    return x[tuple(slice(start, start + length) for start, length in zip(offsets, size, strict=True))]


@dataclass(frozen=True, slots=True)
class Crop(Operation):
    """`crop` of bottom 0 to the size of the top; bottom 1 lends its shape only, and its gradient is 0."""

    offsets: tuple[int, ...]

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tops[0][...] = crop(bottoms[0], self.offsets, tops[0].shape)

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
        for dx in dbottoms:
            if dx is not None:
                dx[...] = 0
        if dbottoms[0] is not None:
            crop(dbottoms[0], self.offsets, dtops[0].shape)[...] = dtops[0]
