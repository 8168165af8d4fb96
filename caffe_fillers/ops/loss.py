"""Losses that use their inputs as given, without a softmax or sigmoid of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import Array, Integers
from ..checks import need
from .operation import Work
from .targets import LEAST, Labels, Loss, in_order, picked, refuse_many_axes

__all__ = [
    "HingeLoss",
    "MultinomialLogisticLoss",
    "hinge_loss",
    "hinge_loss_backward",
    "multinomial_logistic_loss",
    "multinomial_logistic_loss_backward",
]


def _classes(x: Array, labels: Labels) -> tuple[Array, Integers]:
    """Return the scores as (images, numbers), and each image's label as an index into them."""
    need(len(x) > 0, "num > 0 (0 vs. 0)", f"Caffe divides by the number of images: there are none in {x.shape}")
    rows = x.reshape(len(x), prod(x.shape[1:]))
    index, _ = picked(labels.reshape(-1)[: len(x)], rows.shape, 1, None, "dim")
    return rows, index


def hinge_loss(x: Array, labels: Labels, *, norm: str = "L1", out: Array | None = None) -> tuple[float, Array]:
    """One against all: how far each score falls short of its side of the margin.

    Per image the sum over its classes of ``max(0, 1 - x)`` for the right one and ``max(0, 1 + x)`` for all others,
    squared with norm "L2". Other frameworks' multi-class hinge loss compares each score with the right one instead.

    Parameters
    ----------
    x : (images, ...)
        All numbers behind the first axis are classes.
    labels : whole numbers, the first of which belong to the images
    norm : {"L1", "L2"}
    out : C-contiguous array like `x`, optional
        Receives the margins.

    Returns
    -------
    loss : float
    margins : array like `x`, for `hinge_loss_backward`

    Raises
    ------
    CaffeError
        If a label is none of the classes, or there are no images.

    Notes
    -----
    Source: Caffe's `hinge_loss_layer.cpp`.

    Examples
    --------
    >>> hinge_loss(np.float32([[2, -0.5]]), np.array([1]))
    (4.5, array([[3. , 1.5]], dtype=float32))
    """
    rows, index = _classes(x, labels)
    margins = np.empty(x.shape, x.dtype) if out is None else out
    np.copyto(margins, x)
    flipped = margins.reshape(rows.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        np.put_along_axis(flipped, index, -np.take_along_axis(flipped, index, 1), 1)
        margins += 1
        np.fmax(margins, 0, out=margins)  # NaN counts as 0
        flat = margins.reshape(-1)
        total = flat.sum(dtype=x.dtype) if norm == "L1" else np.dot(flat, flat)
        return float(total / x.dtype.type(len(x))), margins


def hinge_loss_backward(
    margins: Array, labels: Labels, *, norm: str = "L1", loss_weight: float = 1.0, out: Array | None = None
) -> Array:
    """Gradient of `hinge_loss` times `loss_weight` by its scores."""
    _, index = _classes(margins, labels)
    dx = np.empty(margins.shape, margins.dtype) if out is None else out
    np.copyto(dx, margins)
    rows, number = dx.reshape(len(dx), prod(dx.shape[1:])), dx.dtype.type
    np.put_along_axis(rows, index, -np.take_along_axis(rows, index, 1), 1)
    scale = number(loss_weight)
    if norm == "L1":
        np.sign(dx, out=dx)
    else:
        scale *= number(2)
    dx *= scale / number(len(dx))
    return dx


def multinomial_logistic_loss(x: Array, labels: Labels) -> float:
    """Mean of -log of the right class's probability, for probabilities that are given.

    Parameters
    ----------
    x : (images, ...)
        Probabilities. One below 1e-20 counts as that.
    labels : whole numbers, the first of which belong to the images

    Raises
    ------
    CaffeError
        If a label is none of the classes, or there are no images.

    Notes
    -----
    Source: Caffe's `multinomial_logistic_loss_layer.cpp`. The terms are added one after another in the type of `x`.

    Examples
    --------
    >>> multinomial_logistic_loss(np.float32([[0.5, 0.5], [1, 0]]), np.array([1, 0]))
    0.3465735912322998
    """
    rows, index = _classes(x, labels)
    right = np.maximum(np.take_along_axis(rows, index, 1), x.dtype.type(LEAST))
    np.log(right, out=right, dtype=np.float64, casting="same_kind")
    number = x.dtype.type
    return float(number(-in_order(right)) / number(len(x))) + 0.0


def multinomial_logistic_loss_backward(
    x: Array, labels: Labels, *, loss_weight: float = 1.0, out: Array | None = None
) -> Array:
    """Gradient of `multinomial_logistic_loss` times `loss_weight` by the probabilities."""
    rows, index = _classes(x, labels)
    dx = np.empty(x.shape, x.dtype) if out is None else out
    number = dx.dtype.type
    dx.fill(0)
    scale = -number(loss_weight) / number(len(x))
    right = np.maximum(np.take_along_axis(rows, index, 1), number(LEAST))
    np.put_along_axis(dx.reshape(rows.shape), index, scale / right, 1)
    return dx


@dataclass(frozen=True, slots=True)
class HingeLoss(Loss):
    """`hinge_loss` of scores and labels."""

    norm: str = "L1"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, labels = bottoms
        refuse_many_axes(x)
        margins = work.buffer("margins", x.shape, x.dtype)
        tops[0][...], _ = hinge_loss(x, labels, norm=self.norm, out=margins)

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
        self.refuse_labels(dbottoms)
        if dbottoms[0] is not None:
            x, labels = bottoms
            margins = work.buffer("margins", x.shape, x.dtype)
            hinge_loss_backward(margins, labels, norm=self.norm, loss_weight=dtops[0].item(), out=dbottoms[0])


@dataclass(frozen=True, slots=True)
class MultinomialLogisticLoss(Loss):
    """`multinomial_logistic_loss` of probabilities and labels."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        refuse_many_axes(bottoms[0])
        tops[0][...] = multinomial_logistic_loss(*bottoms)

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
        self.refuse_labels(dbottoms)
        if dbottoms[0] is not None:
            multinomial_logistic_loss_backward(*bottoms, loss_weight=dtops[0].item(), out=dbottoms[0])
