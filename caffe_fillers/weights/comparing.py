"""Compares the weights of two nets bit for bit, then by distance."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from ._set import WeightSet, as_set

__all__ = ["Comparison", "Difference", "compare"]

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Difference:
    """The comparison of one blob of `a` with the blob of the same name in `b`.

    Attributes
    ----------
    name : str
        ``<layer>/<index>``; for the second layer of a name ``<layer>#2/<index>``.
    status : {"equal", "differs", "dtype", "shape", "only in a", "only in b"}
        ``"equal"`` means the same shape, dtype and bits: a NaN equals itself, and -0.0 is not 0.0.
    shape_a, shape_b : tuple of int or None
    dtype_a, dtype_b : str or None
    count : int
        Values whose bits (whose value, where the dtypes differ) are not the same.
    max_abs, max_rel : float
        The largest ``|a - b|`` and ``|a - b| / max(|a|, |b|)``; inf where only one is NaN or infinite.
    close : bool
        Whether ``|a - b| <= atol + rtol * |b|`` for every value.
    """

    name: str
    status: str
    shape_a: tuple[int, ...] | None
    shape_b: tuple[int, ...] | None
    dtype_a: str | None
    dtype_b: str | None
    count: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    close: bool = False

    def __bool__(self) -> bool:
        return self.status == "equal"


@dataclass(frozen=True, slots=True)
class Comparison(Sequence[Difference]):
    """The result of `compare`: true if every blob is equal bit for bit.

    Attributes
    ----------
    blobs : tuple of Difference
        One for each blob of either side, in order. The Comparison is itself a sequence of them.
    """

    blobs: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return all(self.blobs)

    def __len__(self) -> int:
        return len(self.blobs)

    @overload
    def __getitem__(self, index: int) -> Difference: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Difference, ...]: ...
    def __getitem__(self, index: int | slice) -> Difference | tuple[Difference, ...]:
        return self.blobs[index]

    @property
    def close(self) -> bool:
        """True if both sides have every blob, with equal shapes and values within the tolerance."""
        return all(blob.close for blob in self.blobs)

    @property
    def differences(self) -> list[Difference]:
        """The blobs that are not equal bit for bit."""
        return [blob for blob in self.blobs if not blob]

    def __str__(self) -> str:
        different = self.differences
        head = f"{len(self.blobs) - len(different)} of {len(self.blobs)} blobs are equal bit for bit"
        return "\n".join([head, *(f"  {_line(blob)}" for blob in different)])


def _line(blob: Difference) -> str:
    if blob.status == "differs":
        return f"{blob.name}: {blob.count} values differ, by at most {blob.max_abs:.3g} (relative {blob.max_rel:.3g})"
    if blob.status == "dtype":
        return f"{blob.name}: {blob.dtype_a} and {blob.dtype_b}, at most {blob.max_abs:.3g} apart"
    if blob.status == "shape":
        return f"{blob.name}: shapes {blob.shape_a} and {blob.shape_b}"
    return f"{blob.name}: {blob.status}"


def compare(a: object, b: object, *, rtol: float = 1e-5, atol: float = 1e-8) -> Comparison:
    """Compare weights bit for bit, and by tolerance where the bits differ.

    Parameters
    ----------
    a, b : str, PathLike, mapping, WeightSet or Net
        A file of any format, a mapping of layer names to lists of arrays or Blobs (such as ``net.params``), or an
        object with ``params``.
    rtol, atol : float
        The tolerance of `Comparison.close`, as in `numpy.allclose`.

    Returns
    -------
    Comparison
        True when both sides hold the same blobs with the same bits; a sequence of `Difference`, one per blob; its
        text is a summary.

    Raises
    ------
    CaffeError
        If a file can't be read, or an argument is of another type.

    Examples
    --------
    >>> import numpy as np
    >>> import caffe_fillers as cf
    >>> zero = {"ip": [np.zeros(2, np.float32)]}
    >>> bool(cf.compare(zero, zero))
    True
    >>> print(cf.compare(zero, {"ip": [np.array([0, 0.5], np.float32)]}))
    0 of 1 blobs are equal bit for bit
      ip/0: 1 values differ, by at most 0.5 (relative 1)
    """
    left, right = dict(_blobs(_set(a))), dict(_blobs(_set(b)))
    names = [*left, *(name for name in right if name not in left)]
    return Comparison(tuple(_compare(name, left.get(name), right.get(name), rtol, atol) for name in names))


def _set(weights: object) -> WeightSet:
    if isinstance(weights, (str, os.PathLike)):
        from . import read

        return read(weights)
    if not isinstance(weights, (WeightSet, Mapping)) and hasattr(weights, "params"):
        weights = weights.params
    return as_set(weights)


def _blobs(weights: WeightSet) -> Iterator[tuple[str, Array]]:
    seen: dict[str, int] = {}
    for layer in weights.layers:
        if not layer.arrays:
            continue
        seen[layer.name] = seen.get(layer.name, 0) + 1
        again = f"#{seen[layer.name]}" if seen[layer.name] > 1 else ""
        for index, array in enumerate(layer.arrays):
            if array is None:
                continue
            if array.dtype.kind not in "fiub":
                raise CaffeError(f"blob {layer.name}/{index} holds {array.dtype}, which cannot be compared")
            yield f"{layer.name}{again}/{index}", array


def _compare(name: str, a: Array | None, b: Array | None, rtol: float, atol: float) -> Difference:
    shape_a, dtype_a = _described(a)
    shape_b, dtype_b = _described(b)

    def found(
        status: str, count: int = 0, max_abs: float = 0.0, max_rel: float = 0.0, close: bool = False
    ) -> Difference:
        return Difference(name, status, shape_a, shape_b, dtype_a, dtype_b, count, max_abs, max_rel, close)

    if a is None or b is None:
        return found("only in a" if b is None else "only in b")
    if a.shape != b.shape:
        return found("shape")
    same_type = dtype_a == dtype_b
    count, max_abs, max_rel, close = 0, 0.0, 0.0, True
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _BLOCK):
        x, y = flat_a[start : start + _BLOCK], flat_b[start : start + _BLOCK]
        if same_type:
            x, y = x.astype(x.dtype.newbyteorder("=")), y.astype(y.dtype.newbyteorder("="))
            bits = f"u{x.dtype.itemsize}"
            where = np.flatnonzero(x.view(bits) != y.view(bits))
            if not where.size:
                continue
            x, y = x[where], y[where]
            count += where.size
        x, y = x.astype(np.float64), y.astype(np.float64)
        if not same_type:
            count += int(np.count_nonzero((x != y) & ~(np.isnan(x) & np.isnan(y))))
        apart, relative, near = _distance(x, y, rtol, atol)
        max_abs, max_rel, close = max(max_abs, apart), max(max_rel, relative), close and near
    status = "dtype" if not same_type else "differs" if count else "equal"
    return found(status, count, max_abs, max_rel, close)


def _described(array: Array | None) -> tuple[tuple[int, ...] | None, str | None]:
    return (None, None) if array is None else (array.shape, str(array.dtype.newbyteorder("=")))


def _distance(x: Array, y: Array, rtol: float, atol: float) -> tuple[float, float, bool]:
    with np.errstate(all="ignore"):
        apart = np.abs(x - y)
        apart[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0
        apart[np.isnan(apart)] = np.inf
        size = np.maximum(np.abs(x), np.abs(y))
        relative = np.where(apart == 0, 0.0, np.where(np.isfinite(apart), apart / size, np.inf))
        near = bool(np.all((apart <= atol + rtol * np.abs(y)) & np.isfinite(apart) | (apart == 0)))
    return float(apart.max(initial=0.0)), float(relative.max(initial=0.0)), near
