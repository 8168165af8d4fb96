"""Softmax, the losses, and what is counted beside them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import CaffeError
from .array import Array

Labels = npt.NDArray[Any]
Normalization = Literal["VALID", "FULL", "BATCH_SIZE", "NONE"]

__all__ = ["accuracy", "softmax", "softmax_backward", "softmax_loss", "softmax_loss_backward"]


def softmax(x: Array, axis: int = 1) -> Array:
    """Probabilities along `axis`; the largest number is taken off first, so nothing overflows.

    Examples
    --------
    >>> softmax(np.float32([[1000, 1000]]))
    array([[0.5, 0.5]], dtype=float32)
    """
    # In float64, because C's expf rounds (nearly) as well as this and NumPy's exp of float32 doesn't.
    y: Array = np.exp(x - x.max(axis=axis, keepdims=True), dtype=np.float64).astype(x.dtype)
    y /= y.sum(axis=axis, keepdims=True)
    return y


def softmax_backward(dy: Array, y: Array, axis: int = 1) -> Array:
    """Gradient of `softmax`, from its result."""
    dx: Array = (dy - (dy * y).sum(axis=axis, keepdims=True)) * y
    return dx


def _picked(shape: tuple[int, ...], labels: Labels, axis: int, ignore_label: int | None) -> tuple[Labels, Labels]:
    """Each place's class as an index that `take_along_axis` understands, and which places count."""
    index = labels.reshape(*shape[:axis], 1, *shape[axis + 1 :]).astype(np.intp)
    counted = np.ones(index.shape, bool) if ignore_label is None else index != ignore_label
    wrong = counted & ((index < 0) | (index >= shape[axis]))
    if wrong.any():
        raise CaffeError(f"label {index[wrong][0]} doesn't fit {shape[axis]} classes (0 to {shape[axis] - 1})")
    return np.where(counted, index, 0), counted


def _normalizer(counted: Labels, normalization: Normalization) -> int:
    match normalization:
        case "VALID":
            return max(1, int(counted.sum()))
        case "FULL":
            return max(1, int(counted.size))
        case "BATCH_SIZE":
            return max(1, len(counted))
        case "NONE":
            return 1
    raise CaffeError(f"unknown normalization {normalization!r}; one of VALID, FULL, BATCH_SIZE, NONE")


def softmax_loss(
    x: Array,
    labels: Labels,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
) -> tuple[float, Array]:
    """Mean of -log of the probability that `softmax` gives to the right class.

    Parameters
    ----------
    x : (images, classes, ...)
        Scores.
    labels : as many whole numbers as there are places, in any shape
    ignore_label : int or None
        Places with this label don't count.
    normalization : {"VALID", "FULL", "BATCH_SIZE", "NONE"}
        What the sum is divided by: places that count, all places, images, 1.

    Returns
    -------
    loss : float
    probabilities : array like `x`, for `softmax_loss_backward`

    Examples
    --------
    >>> loss, probabilities = softmax_loss(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), probabilities
    (1.3863, array([[0.25, 0.25, 0.25, 0.25]]))
    """
    probabilities = softmax(x, axis)
    index, counted = _picked(x.shape, labels, axis, ignore_label)
    right = np.take_along_axis(probabilities, index, axis)[counted]
    total = -np.log(np.maximum(right, np.finfo(x.dtype).tiny)).sum(dtype=np.float64)
    return float(total) / _normalizer(counted, normalization), probabilities


def softmax_loss_backward(
    probabilities: Array,
    labels: Labels,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    loss_weight: float = 1.0,
) -> Array:
    """Gradient of `softmax_loss` times `loss_weight` by its scores."""
    index, counted = _picked(probabilities.shape, labels, axis, ignore_label)
    dx = probabilities.copy()
    np.put_along_axis(dx, index, np.take_along_axis(dx, index, axis) - 1, axis)
    if ignore_label is not None:
        dx *= counted
    dx *= probabilities.dtype.type(loss_weight / _normalizer(counted, normalization))
    return dx


def accuracy(x: Array, labels: Labels, *, top_k: int = 1, axis: int = 1, ignore_label: int | None = None) -> float:
    """Share of places whose right class is among the `top_k` highest scores.

    As in Caffe a tie counts against a place, and a score that is not a number counts as right.

    Parameters
    ----------
    x : (images, classes, ...)
    labels : as many whole numbers as there are places, in any shape

    Examples
    --------
    >>> accuracy(np.float32([[1, 5, 2], [7, 0, 0]]), np.array([1, 1]))
    0.5
    """
    index, counted = _picked(x.shape, labels, axis, ignore_label)
    right = np.take_along_axis(x, index, axis)
    rivals = (x >= right).sum(axis=axis, keepdims=True) - 1
    return float((rivals < top_k)[counted].mean()) if counted.any() else 0.0
