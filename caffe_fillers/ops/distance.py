"""Distance losses: between predictions and targets, and between the features of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from .operation import Operation, Work
from .targets import Labels, in_order, refuse_many_axes, whole

__all__ = [
    "ContrastiveLoss",
    "EuclideanLoss",
    "contrastive_loss",
    "contrastive_loss_backward",
    "euclidean_loss",
    "euclidean_loss_backward",
]


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


def contrastive_loss(
    x: Array, y: Array, similar: Labels, *, margin: float = 1.0, legacy: bool = False, out: Array | None = None
) -> tuple[float, Array]:
    """Draw features of similar pairs together, and push those of others `margin` apart.

    Half the mean over the pairs of ``d ** 2`` for similar ones and ``max(0, margin - d) ** 2`` for others, where d is
    the distance; ``max(0, margin - d ** 2)`` in the legacy version.

    Parameters
    ----------
    x, y : (pairs, features) and axes of length 1
    similar : (pairs,)
        Whole numbers; not 0 for similar pairs.
    out : C-contiguous array like `x`, optional
        Receives the difference.

    Returns
    -------
    loss : float
    difference : array like `x`, for `contrastive_loss_backward`

    Notes
    -----
    Source: Caffe's `contrastive_loss_layer.cpp`; Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an
    invariant mapping", 2006. The terms are added one after another in the type of `x`.

    Examples
    --------
    >>> x, y = np.float32([[3, 0], [0, 0]]), np.float32([[0, 4], [0, 0.5]])
    >>> loss, _ = contrastive_loss(x, y, np.array([1, 0]))
    >>> loss  # (25 + 0.5 ** 2) / 2 / 2
    6.3125
    """
    difference = np.empty(x.shape, x.dtype) if out is None else out
    number = x.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(x, y.reshape(x.shape), out=difference)
        squared = _squared(difference)
        apart = number(margin) - (squared if legacy else np.sqrt(squared))
        np.maximum(apart, 0, out=apart)
        terms = np.where(_similar(similar, len(squared)), squared, apart if legacy else apart * apart)
        return float(number(in_order(terms)) / number(len(squared)) / number(2)), difference


def contrastive_loss_backward(
    difference: Array,
    similar: Labels,
    *,
    margin: float = 1.0,
    legacy: bool = False,
    loss_weight: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient of `contrastive_loss` times `loss_weight` by `x`; that by `y` is its negative.

    Hand ``-loss_weight`` in for the latter. As in Caffe the distance that this divides by is 1e-4 larger than it is.
    """
    dx = np.empty(difference.shape, difference.dtype) if out is None else out
    number = dx.dtype.type
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        squared = _squared(difference)
        near, alpha = _similar(similar, len(squared)), number(loss_weight) / number(len(squared))
        if legacy:
            apart = number(margin) - squared
            beta = np.full_like(squared, -alpha)
        else:
            distance = np.sqrt(squared)
            apart = number(margin) - distance
            beta = -alpha * apart / (distance + number(1e-4))
        rows = dx.reshape(len(squared), prod(dx.shape[1:]))
        np.multiply(difference.reshape(rows.shape), np.where(near, alpha, beta)[:, None], out=rows)
        rows[~(near | (apart > 0))] = 0
    return dx


def _squared(difference: Array) -> Array:
    rows = difference.reshape(len(difference), prod(difference.shape[1:]))
    squared: Array = np.matmul(rows[:, None, :], rows[:, :, None]).reshape(-1)
    return squared


def _similar(similar: Labels, pairs: int) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = whole(similar).reshape(-1)[:pairs] != 0
    return near


@dataclass(frozen=True, slots=True)
class EuclideanLoss(Operation):
    """`euclidean_loss`; both bottoms have a gradient."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, target = bottoms
        refuse_many_axes(x)
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
                refuse_many_axes(dbottom)
                euclidean_loss_backward(difference, loss_weight=sign * dtops[0].item(), out=dbottom)


@dataclass(frozen=True, slots=True)
class ContrastiveLoss(Operation):
    """`contrastive_loss`; both features have a gradient."""

    margin: float = 1.0
    legacy: bool = False

    def forces(self, bottom: int) -> bool:
        return bottom != 2

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, y, similar = bottoms
        difference = work.buffer("difference", x.shape, x.dtype)
        tops[0][...], _ = contrastive_loss(x, y, similar, margin=self.margin, legacy=self.legacy, out=difference)

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
        for sign, dbottom in zip((1, -1), dbottoms[:2], strict=True):
            if dbottom is not None:
                contrastive_loss_backward(
                    difference,
                    bottoms[2],
                    margin=self.margin,
                    legacy=self.legacy,
                    loss_weight=sign * dtops[0].item(),
                    out=dbottom.reshape(difference.shape),
                )
