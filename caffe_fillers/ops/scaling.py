"""Scale and bias: factors and terms that are broadcast over the axes of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import Array
from . import native
from .native import in_c
from .operation import Operation, Work
from .pieces import blank

__all__ = ["Bias", "Scale", "bias", "bias_backward", "scale", "scale_backward"]


def _spread(factor: Array, axes: int, axis: int) -> Array:
    """Return `factor`, which covers some axes from `axis` on, in a shape that broadcasts over `axes` axes."""
    return factor.reshape(*factor.shape, *(1,) * (axes - axis - factor.ndim)) if factor.ndim else factor


def _covered(x: Array, factor: Array, axis: int) -> tuple[int, int, int]:
    """Return the count of numbers of `x` before, along and after the axes that `factor` covers."""
    first = axis if factor.ndim else 0
    return prod(x.shape[:first]), factor.size, prod(x.shape[first + factor.ndim :])


@in_c(native.scale)
def scale(x: Array, factor: Array, term: Array | None = None, axis: int = 1, out: Array | None = None) -> Array:
    """``x * factor + term``, both spread over the axes of `x`. Source: scale_layer.cpp.

    A factor of 0 makes 0 even of what is no number, as the BLAS has it that Caffe calls.

    Parameters
    ----------
    x : any shape
    factor, term : shaped as some axes of `x` from `axis` on, or of shape ()
        A batch normalisation's factor has shape (channels,), with axis 1.

    Examples
    --------
    >>> scale(np.float32([[1, 2], [3, 4]]), np.float32([10, 100]), np.float32([0.5, 0]))
    array([[ 10.5, 200. ],
           [ 30.5, 400. ]], dtype=float32)
    """
    by = _spread(factor, x.ndim, axis)
    nothing = by == 0
    with np.errstate(invalid="ignore"):
        y = np.multiply(x, by, out=blank(x, out))
    if nothing.any():
        np.copyto(y, 0, where=nothing)
    return y if term is None else bias(y, term, axis, y)


def bias(x: Array, term: Array, axis: int = 1, out: Array | None = None) -> Array:
    """``x + term``, spread over the axes of `x` as `scale` spreads it. Source: bias_layer.cpp.

    Examples
    --------
    >>> bias(np.float32([[1, 2], [3, 4]]), np.float32([10, 100]))
    array([[ 11., 102.],
           [ 13., 104.]], dtype=float32)
    """
    return np.add(x, _spread(term, x.ndim, axis), out=blank(x, out))


def bias_backward(dy: Array, total: Array, axis: int = 1) -> Array:
    """Add the gradient of `bias` by `term` to `total`, image after image as Caffe does, and return it."""
    outer, size, inner = _covered(dy, total, axis)
    sums = np.matmul(dy.reshape(outer * size, inner), np.ones(inner, dy.dtype)).reshape(outer, size)
    if outer:
        flat = total.reshape(-1)
        sums[0] += flat
        # along the first axis NumPy adds one row after another
        flat[...] = np.add.accumulate(sums, axis=0)[-1]
    return total


def scale_backward(dy: Array, x: Array, factor: Array, axis: int = 1, product: Array | None = None) -> Array:
    """Gradient of `scale` by `factor`: the sums of ``dy * x``, places first, then images. `product` is a buffer.

    The gradient by `x` is ``scale(dy, factor, axis=axis)``.
    """
    outer, size, inner = _covered(x, factor, axis)
    product = np.multiply(dy, x, out=blank(x, product)).reshape(outer * size, inner)
    sums = (product if inner == 1 else np.matmul(product, np.ones(inner, x.dtype))).reshape(outer, size)
    result: Array = sums[0] if outer == 1 else np.matmul(np.ones(outer, x.dtype), sums)
    return result.reshape(factor.shape)


@dataclass(frozen=True, slots=True)
class Bias(Operation):
    """`bias` with the term in bottom 1 or blob 0."""

    axis: int = 1

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        bias(bottoms[0], (*bottoms[1:], *blobs)[0], self.axis, tops[0])

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
        dx, dterm = dbottoms[0], (*dbottoms[1:], *dblobs)[0]
        if dx is not None and dx is not dtops[0]:
            dx[...] = dtops[0]
        if dterm is not None:
            if len(bottoms) > 1:
                dterm[...] = 0
            bias_backward(dtops[0], dterm, self.axis)


@dataclass(frozen=True, slots=True)
class Scale(Operation):
    """`scale` with the factor in bottom 1 or blob 0 and, with `bias`, the term in the last blob.

    In place the input is kept for the gradient. Where the factor is as large as the bottom, or covers all axes before
    others that it doesn't, Caffe writes the factor's gradient over what is there, in place of adding to it, and so does
    this: with iter_size above 1 only the last pass counts.
    """

    axis: int = 1
    bias: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        work.keep_input(bottoms[0], tops[0])
        scale(bottoms[0], (*bottoms[1:], *blobs)[0], blobs[-1] if self.bias else None, self.axis, tops[0])

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
        dy, factor, dfactor = dtops[0], (*bottoms[1:], *blobs)[0], (*dbottoms[1:], *dblobs)[0]
        if self.bias and (dterm := dblobs[-1]) is not None:
            bias_backward(dy, dterm, self.axis)
        if dfactor is not None:
            x = work.kept_input(bottoms[0], tops[0])
            result = scale_backward(dy, x, factor, self.axis, work.scratch(x.shape, x.dtype))
            outer = _covered(x, factor, self.axis)[0]
            if len(bottoms) > 1 or factor.size == x.size or (outer == 1 and factor.size > 1):
                dfactor[...] = result
            else:
                dfactor += result
        if dbottoms[0] is not None:
            scale(dy, factor, None, self.axis, dbottoms[0])
