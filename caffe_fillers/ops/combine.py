"""Concatenation and slicing: several arrays into one, one into several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .operation import Operation, Work

__all__ = ["Concat", "Silence", "Slice", "Split", "concat", "slice_axis", "split_backward"]


def concat(xs: Sequence[Array], axis: int = 1, out: Array | None = None) -> Array:
    """Join the arrays one after another along `axis`. Source: concat_layer.cpp.

    Examples
    --------
    >>> concat([np.float32([[1, 2]]), np.float32([[3]])])
    array([[1., 2., 3.]], dtype=float32)
    """
    result: Array = np.concatenate(xs, axis=axis, out=out)
    return result


def slice_axis(x: Array, points: Sequence[int], axis: int = 1) -> list[Array]:
    """The parts of `x` between `points` along `axis`, as views. Source: slice_layer.cpp.

    Examples
    --------
    >>> slice_axis(np.float32([[1, 2, 3]]), [1])
    [array([[1.]], dtype=float32), array([[2., 3.]], dtype=float32)]
    """
    return list(np.split(x, list(points), axis=axis))


def _points(parts: Sequence[Array], axis: int) -> list[int]:
    """Return the beginning of each part but the first."""
    points, at = [], 0
    for part in parts[:-1]:
        at += part.shape[axis]
        points.append(at)
    return points


@dataclass(frozen=True, slots=True)
class Concat(Operation):
    """`concat` of two bottoms or more."""

    axis: int = 1

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        concat(bottoms, self.axis, tops[0])

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
        parts = slice_axis(dtops[0], _points(bottoms, self.axis), self.axis)
        for part, dx in zip(parts, dbottoms, strict=True):
            if dx is not None:
                dx[...] = part


@dataclass(frozen=True, slots=True)
class Slice(Operation):
    """`slice_axis` into two tops or more."""

    axis: int
    points: tuple[int, ...]

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        for part, top in zip(slice_axis(bottoms[0], self.points, self.axis), tops, strict=True):
            top[...] = part

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
            concat(dtops, self.axis, dbottoms[0])


def split_backward(dys: Sequence[Array], out: Array | None = None) -> Array:
    """Add up the gradients of several layers that read one blob, in the order of the net.

    Source: split_layer.cpp.

    Examples
    --------
    >>> split_backward([np.float32([1]), np.float32([2]), np.float32([3])])
    array([6.], dtype=float32)
    """
    if len(dys) == 1:
        return np.copy(dys[0]) if out is None else np.add(dys[0], 0, out=out)
    total = np.add(dys[0], dys[1], out=out)
    for dy in dys[2:]:
        total += dy
    return total


@dataclass(frozen=True, slots=True)
class Split(Operation):
    """One blob for several readers: they share its values and have gradients of their own."""

    shares = "data"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        for top in tops:
            top[...] = bottoms[0]

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
            split_backward(dtops, dbottoms[0])


@dataclass(frozen=True, slots=True)
class Silence(Operation):
    """Reads bottoms that no other layer reads; their gradient is 0."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        pass

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
