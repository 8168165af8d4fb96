"""Products with a weight matrix, and look-up of its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..errors import CaffeError
from . import native
from .native import in_c
from .operation import Operation, Work
from .products import matrix_product

__all__ = [
    "Embed",
    "InnerProduct",
    "Parameter",
    "embed",
    "embed_backward",
    "inner_product",
    "inner_product_backward",
    "transposed",
]


def inner_product(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """``x @ weight.T + bias``. Source: inner_product_layer.cpp.

    Parameters
    ----------
    x : (rows, inputs)
    weight : (outputs, inputs)
        Hand the transpose in for a layer with `transpose: true`.
    bias : (outputs,) or None
    empty : callable, optional
        Makes an array of a shape and a dtype for what is used here alone.

    Returns
    -------
    (rows, outputs)

    Examples
    --------
    >>> inner_product(np.float32([[1, 2]]), np.float32([[3, 4]]), np.float32([0.5]))
    array([[11.5]], dtype=float32)
    """
    rows, inputs = x.shape
    y = np.empty((rows, len(weight)), np.result_type(x, weight)) if out is None else out
    if rows < 2 or rows > min(inputs // 4, len(weight)) or not weight.flags.c_contiguous:
        matrix_product(x, weight.T, y)
        if bias is not None:
            y += bias
        return y
    # few rows: a BLAS packs `weight` as it is in a half to a tenth less time than transposed
    product = matrix_product(weight, x.T, empty((len(weight), rows), y.dtype))
    transposed(product, bias, y)
    return y


@in_c(native.transposed)
def transposed(x: Array, bias: Array | None, out: Array) -> None:
    """Write ``x.T``, plus `bias` in each row, to `out`."""
    if bias is None:
        out[...] = x.T
    else:
        np.add(x.T, bias, out=out)


def inner_product_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `inner_product`."""
    return dy @ weight, dy.T @ x, np.ones(len(dy), dy.dtype) @ dy


def _add_product(a: Array, b: Array, total: Array, work: Work) -> None:
    """Add ``a @ b`` to a gradient, or write it where that is fresh."""
    if work.fresh:
        matrix_product(a, b, total)
    else:
        total += matrix_product(a, b, work.scratch(total.shape, total.dtype))


@dataclass(frozen=True, slots=True)
class InnerProduct(Operation):
    """`inner_product` of what follows `axis`, laid out as a row, with the weights in blob 0 and the bias in blob 1.

    With `transpose` the weights are (inputs, outputs). In nets of rc2 and older blobs have four axes; only their
    last counts here.
    """

    in_place = False
    overwrites: ClassVar[bool] = True

    axis: int = 1
    transpose: bool = False

    def _matrices(self, x: Array, y: Array, weight: Array) -> tuple[Array, Array, Array]:
        outputs = y.shape[-1]
        rows, inputs = y.size // outputs, weight.size // outputs
        matrix = weight.reshape(inputs, outputs).T if self.transpose else weight.reshape(outputs, inputs)
        return x.reshape(rows, inputs), y.reshape(rows, outputs), matrix

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, y, weight = self._matrices(bottoms[0], tops[0], blobs[0])
        inner_product(x, weight, blobs[1].reshape(-1) if len(blobs) > 1 else None, y, work.scratch)

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
        x, dy, weight = self._matrices(bottoms[0], dtops[0], blobs[0])
        if dblobs[0] is not None:
            left, right = (x, dy) if self.transpose else (dy, x)
            _add_product(left.T, right, dblobs[0].reshape(left.shape[1], right.shape[1]), work)
        for dbias in dblobs[1:]:
            if dbias is not None:
                sums, total = np.ones(len(dy), dy.dtype) @ dy, dbias.reshape(-1)
                if work.fresh:
                    total[...] = sums
                else:
                    total += sums
        if dbottoms[0] is not None:
            matrix_product(dy, weight, dbottoms[0].reshape(x.shape))


def _rows(x: Array, count: int) -> npt.NDArray[np.intp]:
    """The numbers in `x` as indices of rows."""
    with np.errstate(invalid="ignore"):
        index = x.reshape(-1).astype(np.intp)
    wrong = ~((x.reshape(-1) >= 0) & (x.reshape(-1) < count) & (index == x.reshape(-1)))
    if wrong.any():
        raise CaffeError(
            f"Check failed: index < K_: an Embed layer with input_dim: {count} got {x.reshape(-1)[wrong][0]:g}\n"
            f"its input holds whole numbers from 0 to {count - 1}"
        )
    return index


def embed(x: Array, weight: Array, bias: Array | None, out: Array | None = None) -> Array:
    """The row of `weight` that each number in `x` names. Source: embed_layer.cpp.

    Parameters
    ----------
    x : any shape
        Whole numbers from 0 to inputs - 1; Caffe reads foreign memory for others, here they are refused.
    weight : (inputs, outputs)
    bias : (outputs,) or None

    Returns
    -------
    (*shape of x, outputs)

    Examples
    --------
    >>> embed(np.float32([1, 0]), np.float32([[1, 2], [3, 4]]), None)
    array([[3., 4.],
           [1., 2.]], dtype=float32)
    """
    index = _rows(x, len(weight)).reshape(x.shape)
    y: Array = np.take(weight, index, axis=0, out=out, mode="clip")
    if bias is not None:
        y += bias
    return y


def embed_backward(dy: Array, x: Array, dweight: Array) -> Array:
    """Add the gradient of `embed` by its weight to `dweight`, one row after another, and return it."""
    np.add.at(dweight, _rows(x, len(dweight)), dy.reshape(-1, dweight.shape[1]))
    return dweight


@dataclass(frozen=True, slots=True)
class Embed(Operation):
    """`embed` with the weights in blob 0 and the bias in blob 1. The indices have no gradient."""

    in_place = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        embed(bottoms[0], blobs[0], blobs[1] if len(blobs) > 1 else None, tops[0])

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
            raise CaffeError("Check failed: !propagate_down[0] Can't backpropagate to EmbedLayer input.")
        dy = dtops[0].reshape(-1, blobs[0].shape[1])
        if dblobs[0] is not None:
            embed_backward(dy, bottoms[0], dblobs[0])
        for dbias in dblobs[1:]:
            if dbias is not None:
                dbias += np.ones(len(dy), dy.dtype) @ dy


@dataclass(frozen=True, slots=True)
class Parameter(Operation):
    """Blob 0 as a top.

    In Caffe the two share memory, values and gradient. So the gradient is not added to what is there, as that of other
    parameters is, but replaces it: with iter_size above 1 only the last pass counts.
    """

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tops[0][...] = blobs[0].reshape(tops[0].shape)

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
        if dblobs[0] is not None:
            dblobs[0][...] = dtops[0].reshape(dblobs[0].shape)
