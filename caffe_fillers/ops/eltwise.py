"""Element-wise combination of arrays of equal or broadcastable shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from ..arrays import Array, Integers
from . import native
from .native import in_c
from .operation import Operation, Work
from .pieces import blank, pieces

__all__ = [
    "Add",
    "Axpy",
    "Eltwise",
    "Method",
    "Mul",
    "add",
    "axpy",
    "eltwise_max",
    "eltwise_product",
    "eltwise_sum",
    "multiply",
]

Method = Literal["SUM", "PROD", "MAX"]


@in_c(native.eltwise_sum)
def eltwise_sum(xs: Sequence[Array], coefficients: Sequence[float] = (), out: Array | None = None) -> Array:
    """The sum of the arrays, each times its coefficient, one after another. Source: eltwise_layer.cpp.

    Caffe begins with zeros: so does this, and where `out` is one of `xs` that one is lost, as it is there.

    Examples
    --------
    >>> eltwise_sum([np.float32([1, 2]), np.float32([3, 4])], [1, -1])
    array([-2., -2.], dtype=float32)
    """
    y = blank(xs[0], out)
    y[...] = 0
    for x, coefficient in zip(xs, coefficients or [1.0] * len(xs), strict=True):
        if coefficient == 1:
            y += x
        elif coefficient != 0:
            for a, b in pieces(x, y):
                b += a * x.dtype.type(coefficient)
    return y


def eltwise_product(xs: Sequence[Array], out: Array | None = None) -> Array:
    """The product of the arrays. Source: eltwise_layer.cpp.

    Examples
    --------
    >>> eltwise_product([np.float32([1, 2]), np.float32([3, 4])])
    array([3., 8.], dtype=float32)
    """
    y = np.multiply(xs[0], xs[1], out=blank(xs[0], out))
    for x in xs[2:]:
        y *= x
    return y


def eltwise_max(xs: Sequence[Array], out: Array | None = None, winner: Integers | None = None) -> Array:
    """The largest of the arrays' elements. Source: eltwise_layer.cpp.

    Of two equal ones in the first two arrays the second wins, of others the first.

    Parameters
    ----------
    winner : integers of the arrays' shape, optional
        Receives whose element it was: all of the gradient goes there.

    Examples
    --------
    >>> winner = np.empty(2, int)
    >>> eltwise_max([np.float32([1, 2]), np.float32([3, 2])], winner=winner), winner
    (array([3., 2.], dtype=float32), array([1, 1]))
    """
    y = blank(xs[0], out)
    if out is not None:
        # Caffe's first step; it matters if the layer works in place
        y[...] = np.finfo(np.float32).min
    index = np.empty(y.shape, np.intp) if winner is None else winner
    for a, b, top, at in pieces(xs[0], xs[1], y, index):
        first = a > b
        np.copyto(top, np.where(first, a, b))
        at[...] = ~first
    for i, x in enumerate(xs[2:], 2):
        for a, top, at in pieces(x, y, index):
            larger = a > top
            np.copyto(top, a, where=larger)
            at[larger] = i
    return y


@dataclass(frozen=True, slots=True)
class Eltwise(Operation):
    """`eltwise_sum`, `eltwise_product` or `eltwise_max` of two bottoms or more.

    The gradient of a product is the product of the other bottoms, or, unless `stable`, the result divided by the
    bottom's own number: NaN where that is 0.
    """

    method: Method = "SUM"
    coefficients: tuple[float, ...] = ()
    stable: bool = True

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        match self.method:
            case "SUM":
                eltwise_sum(bottoms, self.coefficients, tops[0])
            case "PROD":
                eltwise_product(bottoms, tops[0])
            case "MAX":
                eltwise_max(bottoms, tops[0], self._winner(tops[0], len(bottoms), work))

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
        for i, dx in enumerate(dbottoms):
            if dx is None:
                continue
            match self.method:
                case "SUM":
                    np.multiply(dtops[0], dx.dtype.type(self.coefficients[i] if self.coefficients else 1), out=dx)
                case "PROD":
                    self._product_backward(i, dtops[0], bottoms, tops[0], dx)
                case "MAX":
                    for dy, winner, result in pieces(dtops[0], self._winner(tops[0], len(bottoms), work), dx):
                        np.copyto(result, np.where(winner == i, dy, 0))

    def _product_backward(self, i: int, dy: Array, bottoms: Sequence[Array], y: Array, dx: Array) -> None:
        if self.stable:
            others = [x for j, x in enumerate(bottoms) if j != i]
            dx[...] = others[0]
            for x in others[1:]:
                dx *= x
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                np.divide(y, bottoms[i], out=dx)
        dx *= dy

    def _winner(self, top: Array, bottoms: int, work: Work) -> Integers:
        return work.buffer("winner", top.shape, np.min_scalar_type(bottoms))


def axpy(scale: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """``scale * x + y`` with a scale of each image and channel. Source: axpy_layer.cpp of hujie-frank/SENet.

    Parameters
    ----------
    scale : (images, channels), and axes of 1 behind
    x, y : (images, channels, ...)

    Examples
    --------
    >>> axpy(np.float32([[2]]), np.float32([[[1, 2]]]), np.float32([[[10, 10]]]))
    array([[[12., 14.]]], dtype=float32)
    """
    output = np.multiply(x, scale.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)), out=blank(x, out))
    output += y
    return output


@dataclass(frozen=True, slots=True)
class Axpy(Operation):
    """`axpy` of three bottoms: the scale, `x` and `y`."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        axpy(bottoms[0], bottoms[1], bottoms[2], tops[0])

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
        dy, (scale, x, _), (dscale, dx, dadded) = dtops[0], bottoms, dbottoms
        if dscale is not None:
            product = np.multiply(dy, x, out=work.scratch(x.shape, x.dtype))
            places = prod(x.shape[2:])
            np.matmul(product.reshape(-1, places), np.ones(places, x.dtype), out=dscale.reshape(-1))
        if dx is not None:
            np.multiply(dy, scale.reshape(*x.shape[:2], *(1,) * (x.ndim - 2)), out=dx)
        if dadded is not None:
            dadded[...] = dy


def add(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a + b``, axes of 1 spread over the other's. Source: add_layer.cpp of synopsys-caffe.

    Examples
    --------
    >>> add(np.float32([[1], [2]]), np.float32([10, 20]))
    array([[11., 21.],
           [12., 22.]], dtype=float32)
    """
    output: Array = np.add(a, b, out=out)
    return output


def multiply(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a * b``, axes of 1 spread over the other's. Source: mul_layer.cpp of synopsys-caffe.

    Examples
    --------
    >>> multiply(np.float32([[1], [2]]), np.float32([10, 20]))
    array([[10., 20.],
           [20., 40.]], dtype=float32)
    """
    output: Array = np.multiply(a, b, out=out)
    return output


def _gathered(dy: Array, out: Array) -> None:
    """Sum `dy` over the axes along which an array of the shape of `out` was spread."""
    before = dy.ndim - out.ndim
    axes = tuple(i for i in range(dy.ndim) if i < before or (out.shape[i - before] == 1 and dy.shape[i] != 1))
    out[...] = dy.sum(axis=axes).reshape(out.shape)


@dataclass(frozen=True, slots=True)
class Add(Operation):
    """`add` of two bottoms."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        add(bottoms[0], bottoms[1], tops[0])

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
                _gathered(dtops[0], dx)


@dataclass(frozen=True, slots=True)
class Mul(Operation):
    """`multiply` of two bottoms."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        multiply(bottoms[0], bottoms[1], tops[0])

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
        for dx, other in zip(dbottoms, reversed(bottoms), strict=True):
            if dx is not None:
                _gathered(np.multiply(dtops[0], other, out=work.scratch(dtops[0].shape, dx.dtype)), dx)
