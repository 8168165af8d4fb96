"""Processes large arrays in pieces, so that intermediate results stay in the cache and need little memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..arrays import Array

__all__ = ["accumulate", "blank", "pieces", "rows"]

_PIECE = 1 << 14


def blank(x: Array, out: Array | None) -> Array:
    """Return `out`, or new memory in the shape of `x`."""
    return np.empty(x.shape, x.dtype) if out is None else out


def pieces(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield flat views of arrays of the same size, some thousand elements of each at a time."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, _PIECE):
        yield tuple(array[start : start + _PIECE] for array in flat)


def rows(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield the same number of rows (along the first axis) of each array: some thousand elements, at least one row."""
    count = len(arrays[0])
    step = max(1, _PIECE * count // max(1, arrays[0].size))
    for start in range(0, count, step):
        yield tuple(array[start : start + step] for array in arrays)


def accumulate(terms: Array, total: Array) -> None:
    """Add each row of `terms` to an element of `total`, one number after another, as a C loop does.

    NumPy's own sum takes another order: with many terms of float32 the results differ. `terms` is used up.

    Examples
    --------
    >>> total = np.float32([2**24])
    >>> accumulate(np.ones((1, 8), np.float32), total)  # 2**24 + 1 is no float32
    >>> total == 2**24
    array([ True])
    """
    if terms.shape[1]:
        terms[:, 0] += total
        total[...] = np.add.accumulate(terms, axis=1)[:, -1]
