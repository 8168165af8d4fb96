"""Splits any number of items into batches, and joins the results of the batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import CaffeError

__all__ = ["Collected", "batches", "items_of"]

Array = np.ndarray


def items_of(arrays: Mapping[str, Any]) -> int:
    """Return the number of items in the first array."""
    if not arrays:
        raise CaffeError("give the values of an input by name, data=array")
    return len(next(iter(arrays.values())))


def batches(values: Mapping[str, object], size: int) -> Iterator[dict[str, Array]]:
    """Cut arrays of one number of items into batches of `size`; the last one is filled up with zeros."""
    arrays = {name: np.asarray(value) for name, value in values.items()}
    items = items_of(arrays)
    if any(len(array) != items for array in arrays.values()):
        raise CaffeError("all inputs must be of one number of items")
    if size == 0:
        raise CaffeError("a batch of no items: reshape the inputs first")
    for at in range(0, items, size):
        batch = {}
        for name, array in arrays.items():
            part = array[at : at + size]
            rest = np.zeros((size - len(part), *part.shape[1:]), part.dtype)
            batch[name] = np.concatenate([part, rest]) if len(rest) else part
        yield batch


class Collected:
    """Batches of several blobs, put together: copies, cut to the number of items."""

    def __init__(self, items: int) -> None:
        self.items = items
        self.parts: dict[str, list[Array]] = {}

    def add(self, batch: Mapping[str, Array]) -> None:
        for name, values in batch.items():
            self.parts.setdefault(name, []).append(np.atleast_1d(values).copy())

    def arrays(self) -> dict[str, Array]:
        return {name: np.concatenate(parts)[: self.items] for name, parts in self.parts.items()}
