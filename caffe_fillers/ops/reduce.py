"""Reductions: each item becomes one number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from ..arrays import Array
from .operation import Operation, Work
from .pieces import rows

__all__ = ["Method", "Reduction", "reduction", "reduction_backward"]

Method = Literal["SUM", "ASUM", "SUMSQ", "MEAN"]


def _factor(x: Array, axis: int, method: Method, coefficient: float) -> np.floating:
    factor = x.dtype.type(coefficient)
    if method == "MEAN":
        with np.errstate(divide="ignore", invalid="ignore"):
            factor /= x.dtype.type(prod(x.shape[axis:]))
    return factor


def reduction(
    x: Array, axis: int = 0, method: Method = "SUM", coefficient: float = 1.0, out: Array | None = None
) -> Array:
    """The sum of all numbers from `axis` on, of their absolute values, of their squares, or their mean.

    Source: reduction_layer.cpp.

    Returns
    -------
    The shape of `x` up to `axis`.

    Examples
    --------
    >>> x = np.float32([[1, -2, 4]])
    >>> [float(reduction(x, 1, method)[0]) for method in ("SUM", "ASUM", "SUMSQ", "MEAN")]
    [3.0, 7.0, 21.0, 1.0]
    """
    y = np.empty(x.shape[:axis], x.dtype) if out is None else out
    factor = _factor(x, axis, method, coefficient)
    items = x.reshape(prod(x.shape[:axis]), prod(x.shape[axis:]))
    results = y.reshape(-1)
    match method:
        case "ASUM":
            for some, result in rows(items, results):
                result[...] = sum(np.abs(part).sum(axis=0) for (part,) in rows(some.T))
        case "SUMSQ":
            results[...] = np.matmul(items[:, None], items[:, :, None])[:, 0, 0]
        case _:
            np.matmul(items, np.ones(items.shape[1], x.dtype), out=results)
    results *= factor
    return y


def reduction_backward(
    dy: Array, x: Array, method: Method = "SUM", coefficient: float = 1.0, out: Array | None = None
) -> Array:
    """Gradient of `reduction`, whose axis shows in the shape of `dy`."""
    dx = np.empty(x.shape, x.dtype) if out is None else out
    factor = (dy * _factor(x, dy.ndim, method, coefficient)).reshape(-1, 1)
    shape = (prod(x.shape[: dy.ndim]), prod(x.shape[dy.ndim :]))
    for a, c, result in rows(x.reshape(shape), factor, dx.reshape(shape)):
        match method:
            case "ASUM":
                np.multiply(np.subtract(a > 0, a < 0, dtype=np.int8), c, out=result)
            case "SUMSQ":
                np.multiply(a, 2 * c, out=result)
            case _:
                result[...] = c
    return dx


@dataclass(frozen=True, slots=True)
class Reduction(Operation):
    """`reduction` of what follows `axis`."""

    in_place = False

    axis: int = 0
    method: Method = "SUM"
    coefficient: float = 1.0

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        reduction(bottoms[0], self.axis, self.method, self.coefficient, tops[0])

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
            reduction_backward(dtops[0], bottoms[0], self.method, self.coefficient, dbottoms[0])
