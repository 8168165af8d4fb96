"""Functions of each element."""

from __future__ import annotations

import numpy as np

from .array import Array

__all__ = ["relu", "relu_backward", "sigmoid", "sigmoid_backward", "tanh", "tanh_backward"]


def relu(x: Array, negative_slope: float = 0.0) -> Array:
    """``max(x, 0) + negative_slope * min(x, 0)``.

    Examples
    --------
    >>> relu(np.float32([-2, 0, 3]), 0.5)
    array([-1.,  0.,  3.], dtype=float32)
    """
    y = np.maximum(x, 0)
    if negative_slope:
        y += x.dtype.type(negative_slope) * np.minimum(x, 0)
    return y


def relu_backward(dy: Array, x: Array, negative_slope: float = 0.0) -> Array:
    """Gradient of `relu`; `x` is the input, or the result where it was computed in place."""
    dx = dy * (x > 0)
    if negative_slope:
        dx += dy * (x <= 0) * x.dtype.type(negative_slope)
    return dx


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, computed as Caffe does, ``tanh(x / 2) / 2 + 1 / 2``: nothing overflows.

    Examples
    --------
    >>> sigmoid(np.float32([-1000, 0, 1000]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    y: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return y


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """Gradient of `sigmoid`, from its result."""
    dx: Array = dy * y * (1 - y)
    return dx


def tanh(x: Array) -> Array:
    """The hyperbolic tangent.

    Examples
    --------
    >>> tanh(np.float32([0]))
    array([0.], dtype=float32)
    """
    return np.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """Gradient of `tanh`, from its result."""
    dx: Array = dy * (1 - y * y)
    return dx
