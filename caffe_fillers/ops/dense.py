"""Products with a matrix of weights."""

from __future__ import annotations

import numpy as np

from .array import Array

__all__ = ["inner_product", "inner_product_backward"]


def inner_product(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x @ weight.T + bias``.

    Parameters
    ----------
    x : (rows, inputs)
    weight : (outputs, inputs)
        Hand the transpose in for a layer with `transpose: true`.
    bias : (outputs,) or None

    Returns
    -------
    (rows, outputs)

    Examples
    --------
    >>> inner_product(np.float32([[1, 2]]), np.float32([[3, 4]]), np.float32([0.5]))
    array([[11.5]], dtype=float32)
    """
    y: Array = x @ weight.T
    if bias is not None:
        y += bias
    return y


def inner_product_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `inner_product`."""
    return dy @ weight, dy.T @ x, np.ones(len(dy), dy.dtype) @ dy
