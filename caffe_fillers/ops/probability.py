"""Softmax and the softmax loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import Array
from .operation import Operation, Work
from .targets import Labels, Loss, Normalization, in_order, normalizer, picked

__all__ = ["Softmax", "SoftmaxWithLoss", "softmax", "softmax_backward", "softmax_loss", "softmax_loss_backward"]


def _around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """The shape as three axes: what is before `axis`, it, and what is behind it."""
    axis %= len(shape)
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def softmax(x: Array, axis: int = 1, *, out: Array | None = None) -> Array:
    """Probabilities along `axis`; the largest number is taken off first, so nothing overflows.

    Parameters
    ----------
    x : array of any shape
    axis : int
        Caffe's default is 1; of other frameworks mostly the last.
    out : C-contiguous array like `x`, optional
        May be `x` itself.

    Returns
    -------
    array like `x`
        ``exp(x - max) / sum(exp(x - max))``.

    Notes
    -----
    Source: Caffe's `softmax_layer.cpp`. The sum is a product with ones.

    Examples
    --------
    >>> softmax(np.float32([[1000, 1000]]))
    array([[0.5, 0.5]], dtype=float32)
    """
    y = np.empty(x.shape, x.dtype) if out is None else out
    outer, classes, inner = _around(x.shape, axis)
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(x, x.max(axis=axis, keepdims=True), out=y)
        # In float64, because C's expf rounds (nearly) as well as this and NumPy's exp of float32 doesn't.
        np.exp(y, out=y, dtype=np.float64, casting="same_kind")
        columns, ones = y.reshape(outer, classes, inner), np.ones(classes, y.dtype)
        sums = np.matmul(columns[:, :, 0], ones)[:, None] if inner == 1 else np.matmul(ones, columns)
        columns /= sums[:, None, :]
    return y


def softmax_backward(dy: Array, y: Array, axis: int = 1, *, out: Array | None = None) -> Array:
    """Gradient of `softmax`, from its result: ``(dy - sum(dy * y)) * y``.

    Parameters
    ----------
    dy, y : arrays of one shape
    axis : int
    out : C-contiguous array like `y`, optional
        May be `dy` itself.
    """
    dx = np.empty(y.shape, y.dtype) if out is None else out
    shape = _around(y.shape, axis)
    with np.errstate(over="ignore", invalid="ignore"):
        dots = np.einsum("ock,ock->ok", dy.reshape(shape), y.reshape(shape))
        np.subtract(dy.reshape(shape), dots[:, None, :], out=dx.reshape(shape))
        dx *= y
    return dx


def softmax_loss(
    x: Array,
    labels: Labels,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    out: Array | None = None,
) -> tuple[float, Array]:
    """Mean of -log of the probability that `softmax` gives to the right class.

    Parameters
    ----------
    x : (images, classes, ...)
        Scores.
    labels : as many whole numbers as there are places, in any shape
    axis : int
        Where the classes are.
    ignore_label : int or None
        Places with this label don't count.
    normalization : {"VALID", "FULL", "BATCH_SIZE", "NONE"}
        What the sum is divided by: places that count, all places, images (all axes before `axis`), 1.
    out : C-contiguous array like `x`, optional
        Receives the probabilities.

    Returns
    -------
    loss : float
    probabilities : array like `x`, for `softmax_loss_backward`

    Raises
    ------
    CaffeError
        If a label is none of the classes.

    Notes
    -----
    Source: Caffe's `softmax_loss_layer.cpp`. A probability counts as float32's smallest normal number at least, so that
    no place costs more than 87.3365. The terms are added one after another in the type of `x`.

    Examples
    --------
    >>> loss, probabilities = softmax_loss(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), probabilities
    (1.3863, array([[0.25, 0.25, 0.25, 0.25]]))
    """
    axis %= x.ndim
    index, counted = picked(labels, x.shape, axis, ignore_label, "prob_.shape(softmax_axis_)")
    right_places = int(np.count_nonzero(counted))
    divisor = normalizer(normalization, right_places, x.shape, axis)
    probabilities = softmax(x, axis, out=out)
    right = np.take_along_axis(probabilities, index, axis)[counted]
    np.maximum(right, np.finfo(np.float32).tiny, out=right)
    np.log(right, out=right, dtype=np.float64, casting="same_kind")
    number = x.dtype.type
    return float(number(-in_order(right)) / number(divisor)) + 0.0, probabilities


def softmax_loss_backward(
    probabilities: Array,
    labels: Labels,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    loss_weight: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient of `softmax_loss` times `loss_weight` by its scores.

    It doesn't know that the loss stops growing at the smallest probability, as Caffe's doesn't.
    """
    axis %= probabilities.ndim
    index, counted = picked(labels, probabilities.shape, axis, ignore_label, "prob_.shape(softmax_axis_)")
    divisor = normalizer(normalization, int(np.count_nonzero(counted)), probabilities.shape, axis)
    dx = np.empty(probabilities.shape, probabilities.dtype) if out is None else out
    number = dx.dtype.type
    np.copyto(dx, probabilities)
    np.put_along_axis(dx, index, np.take_along_axis(dx, index, axis) - 1, axis)
    if ignore_label is not None:
        np.copyto(dx, 0, where=~counted)
    with np.errstate(invalid="ignore"):
        dx *= number(loss_weight) / number(divisor)
    return dx


@dataclass(frozen=True, slots=True)
class Softmax(Operation):
    """`softmax` along one axis."""

    axis: int = 1

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        softmax(bottoms[0], self.axis, out=tops[0])

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
            softmax_backward(dtops[0], tops[0], self.axis, out=dbottoms[0])


@dataclass(frozen=True, slots=True)
class SoftmaxWithLoss(Loss):
    """`softmax_loss` of scores and labels; a second top receives the probabilities."""

    axis: int = 1
    ignore_label: int | None = None
    normalization: Normalization = "VALID"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, labels = bottoms
        tops[0][...], _ = softmax_loss(
            x,
            labels,
            axis=self.axis,
            ignore_label=self.ignore_label,
            normalization=self.normalization,
            out=self._probabilities(x, tops, work),
        )

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
            softmax_loss_backward(
                self._probabilities(bottoms[0], tops, work),
                bottoms[1],
                axis=self.axis,
                ignore_label=self.ignore_label,
                normalization=self.normalization,
                loss_weight=dtops[0].item(),
                out=dbottoms[0],
            )

    @staticmethod
    def _probabilities(x: Array, tops: Sequence[Array], work: Work) -> Array:
        return tops[1] if len(tops) > 1 else work.buffer("probabilities", x.shape, x.dtype)
