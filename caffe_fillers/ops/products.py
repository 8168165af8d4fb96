"""Products of matrices that threads share."""

from __future__ import annotations

import math

import numpy as np

from .. import _core
from ..arrays import Array
from .native import Left, in_c

__all__ = ["large_product", "matrix_product", "parts_of"]

# multiplications: with fewer, a product is done before a thread is at hand
_WORTH_A_THREAD = 1 << 20
# multiplications: a matrix with fewer is not split
_LARGE = 1 << 23
# rows or columns: fewer are not split, and so many are split into four parts, not two
_FEW = 128
_MANY = 1024


def matrix_product(a: Array, b: Array, out: Array) -> Array:
    """``np.matmul(a, b, out=out)``; a large matrix in parts, whatever the number of threads.

    A BLAS may add in another order where a matrix is split. So the parts follow from the shapes alone.

    Examples
    --------
    >>> matrix_product(np.float32([[1, 2]]), np.float32([[3], [4]]), np.empty((1, 1), np.float32))
    array([[11.]], dtype=float32)
    """
    if out.size * a.shape[-1] < _WORTH_A_THREAD:
        np.matmul(a, b, out)
        return out
    return large_product(a, b, out)


def parts_of(out: Array, inner: int) -> int:
    """Into how many parts each matrix of a product is split, along its longer side."""
    rows, columns = (1, *out.shape)[-2:]
    longer = max(rows, columns)
    if rows * columns * inner < _LARGE or longer < _FEW or min(rows, columns) == 1 or math.prod(out.shape[:-2]) > 1:
        return 1
    return 4 if longer >= _MANY else 2


def _overlap(a: Array, b: Array, out: Array) -> bool:
    """Whether a part of the result may be written over what another part reads."""
    return np.may_share_memory(a, out) or np.may_share_memory(b, out)


def _by_threads(a: Array, b: Array, out: Array) -> Array | Left:
    if _core.product_threads() == 1 or out.ndim < 2 or _overlap(a, b, out):
        return Left.TO_NUMPY
    parts, by_rows = parts_of(out, a.shape[-1]), out.shape[-2] > out.shape[-1]
    return out if _core.product(a, b, out, parts, by_rows) else Left.TO_NUMPY


@in_c(_by_threads)
def large_product(a: Array, b: Array, out: Array) -> Array:
    """`matrix_product` of matrices that threads may share."""
    parts = parts_of(out, a.shape[-1])
    if parts == 1:
        np.matmul(a, b, out=out)
        return out
    if _overlap(a, b, out):
        out[...] = large_product(a, b, np.empty_like(out))
        return out
    longer = max(out.shape[-2:])
    # each part begins with a whole vector
    edges = [longer * i // parts // 16 * 16 for i in range(parts)]
    for start, stop in zip(edges, [*edges[1:], longer], strict=True):
        if out.shape[-2] > out.shape[-1]:
            np.matmul(a[..., start:stop, :], b, out=out[..., start:stop, :])
        else:
            np.matmul(a, b[..., start:stop], out=out[..., start:stop])
    return out
