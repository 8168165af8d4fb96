"""Filtering: selects items of a batch by the values of another blob."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..checks import need
from ..errors import CaffeError
from .operation import Operation, Work

__all__ = ["BatchReindex", "Filter", "batch_reindex", "batch_reindex_backward", "filter_items"]


def _items(index: Array, count: int) -> npt.NDArray[np.intp]:
    """Return the numbers in `index` as indices of items, cut to whole numbers as C does."""
    if not (index >= 0).all():
        raise CaffeError(
            "Check failed: ridx_data[i] >= 0 Index specified for reindex layer was negative.\n"
            f"got {index[~(index >= 0)][0]:g}"
        )
    if not (index < count).all():
        raise CaffeError(
            "Check failed: ridx_data[i] < initial_num Index specified for reindex layer was greater than batch size.\n"
            f"got {index[index >= count][0]:g}, of {count} items"
        )
    return index.astype(np.intp)


def batch_reindex(x: Array, index: Array, out: Array | None = None) -> Array:
    """The items of `x` that `index` names, in its order, any of them several times. Source: batch_reindex_layer.cpp.

    Parameters
    ----------
    x : (items, ...)
    index : (results,)

    Examples
    --------
    >>> batch_reindex(np.float32([[1], [2]]), np.float32([1, 1, 0]))
    array([[2.],
           [2.],
           [1.]], dtype=float32)
    """
    result: Array = np.take(x, _items(index, len(x)), axis=0, out=out, mode="clip" if len(x) else "raise")
    return result


def batch_reindex_backward(dy: Array, index: Array, shape: Sequence[int], out: Array | None = None) -> Array:
    """Gradient of `batch_reindex` by an input of `shape`: the sum over the places of each item, one after another."""
    dx = np.empty(shape, dy.dtype) if out is None else out
    dx[...] = 0
    np.add.at(dx, _items(index, len(dx)), dy)
    return dx


@dataclass(frozen=True, slots=True)
class BatchReindex(Operation):
    """`batch_reindex` of bottom 0 by bottom 1. The index has no gradient."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        batch_reindex(bottoms[0], bottoms[1], tops[0])

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
        need(dbottoms[1] is None, "!propagate_down[1] Cannot backprop to index.")
        if dbottoms[0] is not None:
            batch_reindex_backward(dtops[0], bottoms[1], bottoms[0].shape, dbottoms[0])


def filter_items(x: Array, selector: Array, out: Array | None = None) -> Array:
    """The items of `x` whose number in `selector` is not 0. Source: filter_layer.cpp.

    Examples
    --------
    >>> filter_items(np.float32([[1], [2], [3]]), np.float32([1, 0, 1]))
    array([[1.],
           [3.]], dtype=float32)
    """
    result: Array = np.compress(selector.reshape(-1) != 0, x, axis=0, out=out)
    return result


@dataclass(frozen=True, slots=True)
class Filter(Operation):
    """`filter_items` of all bottoms but the last, which selects and has no gradient."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        for x, top in zip(bottoms[:-1], tops, strict=True):
            filter_items(x, bottoms[-1], top)

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
        need(dbottoms[-1] is None, "FilterLayer cannot backpropagate to filter index inputs")
        chosen = bottoms[-1].reshape(-1) != 0
        for dy, dx in zip(dtops, dbottoms[:-1], strict=True):
            if dx is not None:
                dx[...] = 0
                dx[chosen] = dy

    def shapes(self, bottoms: Sequence[Array], work: Work) -> list[tuple[int, ...]]:
        count = int(np.count_nonzero(bottoms[-1]))
        return [(count, *x.shape[1:]) for x in bottoms[:-1]]
