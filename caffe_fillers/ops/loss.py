"""Losses of features and labels, without a softmax or sigmoid of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .array import Array
from .operation import Operation, Work

__all__ = ["EuclideanLoss", "euclidean_loss", "euclidean_loss_backward"]


def euclidean_loss(x: Array, target: Array, *, out: Array | None = None) -> tuple[float, Array]:
    """Half the squared distance, per image: ``sum((x - target) ** 2) / images / 2``.

    Other frameworks' mean squared error divides by the count of all numbers, and not by 2.

    Parameters
    ----------
    x : (images, ...)
    target : as many numbers, in any shape
    out : C-contiguous array like `x`, optional
        Receives the difference.

    Returns
    -------
    loss : float
    difference : array like `x`, for `euclidean_loss_backward`

    Notes
    -----
    Source: Caffe's `euclidean_loss_layer.cpp`. A batch without images makes the loss 0 / 0, not a number.

    Examples
    --------
    >>> euclidean_loss(np.float32([[1, 2]]), np.float32([[0, 0]]))
    (2.5, array([[1., 2.]], dtype=float32))
    """
    difference = np.empty(x.shape, x.dtype) if out is None else out
    number = x.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(x, target.reshape(x.shape), out=difference)
        flat = difference.reshape(-1)
        total = number(np.dot(flat, flat)) / number(len(x) if x.ndim else 1)
        return float(total / number(2)), difference


def euclidean_loss_backward(difference: Array, *, loss_weight: float = 1.0, out: Array | None = None) -> Array:
    """Gradient of `euclidean_loss` times `loss_weight` by `x`; that by the target is its negative.

    Hand ``-loss_weight`` in for the latter.
    """
    dx = np.empty(difference.shape, difference.dtype) if out is None else out
    number = dx.dtype.type
    if dx.size:
        with np.errstate(over="ignore", invalid="ignore"):
            np.multiply(difference.reshape(dx.shape), number(loss_weight) / number(len(difference)), out=dx)
    return dx


@dataclass(frozen=True, slots=True)
class EuclideanLoss(Operation):
    """`euclidean_loss`; both bottoms have a gradient."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, target = bottoms
        tops[0][...], _ = euclidean_loss(x, target, out=work.buffer("difference", x.shape, x.dtype))

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
        difference = work.buffer("difference", bottoms[0].shape, bottoms[0].dtype)
        for sign, dbottom in zip((1, -1), dbottoms, strict=True):
            if dbottom is not None:
                euclidean_loss_backward(difference, loss_weight=sign * dtops[0].item(), out=dbottom)
