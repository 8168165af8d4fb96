"""Losses on logits or probabilities: sigmoid cross entropy and information gain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..arrays import Array
from ..checks import need
from .elementwise import sigmoid
from .operation import Work
from .probability import softmax
from .targets import LEAST, Labels, Loss, Normalization, in_order, normalizer, picked, whole

__all__ = [
    "InfogainLoss",
    "SigmoidCrossEntropyLoss",
    "infogain_loss",
    "infogain_loss_backward",
    "sigmoid_cross_entropy_loss",
    "sigmoid_cross_entropy_loss_backward",
]


def sigmoid_cross_entropy_loss(
    x: Array,
    target: Array,
    *,
    ignore_label: int | None = None,
    normalization: Normalization = "BATCH_SIZE",
    out: Array | None = None,
    buffer: Array | None = None,
) -> tuple[float, Array]:
    """Cross entropy of targets between 0 and 1 with the sigmoids of scores.

    ``-(t * log(s) + (1 - t) * log(1 - s))``, s = sigmoid(x), in a form that does not overflow.

    Parameters
    ----------
    x : (images, ...)
        Scores.
    target : as many numbers, in any shape
    ignore_label : int or None
        Targets that are this number, cut to a whole one, don't count.
    normalization : {"BATCH_SIZE", "VALID", "FULL", "NONE"}
        What the sum is divided by: images (Caffe's default for this loss alone), numbers that count, all numbers, 1.
    out, buffer : C-contiguous arrays like `x`, optional
        `out` receives the sigmoids; `buffer` is overwritten.

    Returns
    -------
    loss : float
    probabilities : array like `x`, for `sigmoid_cross_entropy_loss_backward`

    Notes
    -----
    Source: Caffe's `sigmoid_cross_entropy_loss_layer.cpp`. The terms are added one after another in the type of `x`.

    Examples
    --------
    >>> loss, probabilities = sigmoid_cross_entropy_loss(np.float32([[0, 0]]), np.float32([[1, 0]]))
    >>> round(loss, 4), probabilities
    (1.3863, array([[0.5, 0.5]], dtype=float32))
    """
    terms = np.empty(x.shape, x.dtype) if out is None else out
    logs = np.empty(x.shape, x.dtype) if buffer is None else buffer
    given, number = target.reshape(x.shape), x.dtype.type
    counted = None if ignore_label is None else whole(given) != ignore_label
    valid = x.size if counted is None else int(np.count_nonzero(counted))
    divisor = _images_divisor(normalization, valid, x)
    with np.errstate(over="ignore", invalid="ignore"):
        positive = x >= 0
        np.multiply(x, number(2), out=logs)
        logs *= positive
        np.subtract(x, logs, out=logs)
        np.exp(logs, out=logs, dtype=np.float64, casting="same_kind")
        logs += 1
        np.log(logs, out=logs, dtype=np.float64, casting="same_kind")
        np.subtract(given, positive, out=terms)
        terms *= x
        terms -= logs
        total = -in_order(terms if counted is None else terms[counted])
        sigmoid(x, terms)
        return float(number(total) / number(divisor)) + 0.0, terms


def sigmoid_cross_entropy_loss_backward(
    probabilities: Array,
    target: Array,
    *,
    ignore_label: int | None = None,
    normalization: Normalization = "BATCH_SIZE",
    loss_weight: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient of `sigmoid_cross_entropy_loss` times `loss_weight` by its scores."""
    dx = np.empty(probabilities.shape, probabilities.dtype) if out is None else out
    given, number = target.reshape(dx.shape), dx.dtype.type
    ignored = None if ignore_label is None else whole(given) == ignore_label
    valid = dx.size - (0 if ignored is None else int(np.count_nonzero(ignored)))
    with np.errstate(over="ignore", invalid="ignore"):
        np.subtract(probabilities, given, out=dx)
        if ignored is not None:
            dx[ignored] = 0
        dx *= number(loss_weight) / number(_images_divisor(normalization, valid, dx))
    return dx


def _images_divisor(normalization: Normalization, valid: int, x: Array) -> int:
    return normalizer(normalization, valid, (len(x), 1, prod(x.shape[1:])), 1)


def infogain_loss(
    x: Array,
    labels: Labels,
    matrix: Array,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    out: Array | None = None,
) -> tuple[float, Array]:
    """`softmax_loss` in which every class counts as much as the row of the right one in a matrix says.

    Parameters
    ----------
    x : (images, classes, ...)
        Scores.
    labels : as many whole numbers as there are places, in any shape
    matrix : classes x classes numbers, in any shape
        The identity makes this `softmax_loss`.
    axis, ignore_label, normalization, out
        As for `softmax_loss`.

    Returns
    -------
    loss : float
    probabilities : array like `x`, for `infogain_loss_backward`

    Raises
    ------
    CaffeError
        If a label is none of the classes, or the matrix has another size.

    Notes
    -----
    Source: Caffe's `infogain_loss_layer.cpp`. A probability counts as 1e-20 at least. The terms are added one after
    another in the type of `x`, for each place those of all classes.

    Examples
    --------
    >>> loss, _ = infogain_loss(np.zeros((1, 2)), np.array([1]), np.array([[1, 0], [0.5, 2]]))
    >>> round(loss, 4)  # 2.5 * log(2)
    1.7329
    """
    axis %= x.ndim
    index, counted = picked(labels, x.shape, axis, ignore_label)
    divisor = normalizer(normalization, int(np.count_nonzero(counted)), x.shape, axis)
    rows = _square(matrix, x.shape[axis], x.dtype)
    probabilities = softmax(x, axis, out=out)
    number = x.dtype.type
    logs = np.maximum(probabilities, number(LEAST))
    np.log(logs, out=logs, dtype=np.float64, casting="same_kind")
    with np.errstate(over="ignore", invalid="ignore"):
        terms = np.moveaxis(logs, axis, -1)[counted.squeeze(axis)] * rows[index[counted]]
    return float(number(-in_order(terms)) / number(divisor)) + 0.0, probabilities


def infogain_loss_backward(
    probabilities: Array,
    labels: Labels,
    matrix: Array,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    loss_weight: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Gradient of `infogain_loss` times `loss_weight` by its scores."""
    axis %= probabilities.ndim
    index, counted = picked(labels, probabilities.shape, axis, ignore_label)
    divisor = normalizer(normalization, int(np.count_nonzero(counted)), probabilities.shape, axis)
    dx = np.empty(probabilities.shape, probabilities.dtype) if out is None else out
    rows, number = _square(matrix, dx.shape[axis], dx.dtype), dx.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.add.accumulate(rows, axis=1)[:, -1]
        np.multiply(probabilities, sums[index], out=dx)
        dx -= np.moveaxis(rows[index.squeeze(axis)], -1, axis)
        if ignore_label is not None:
            np.copyto(dx, 0, where=~counted)
        dx *= number(loss_weight) / number(divisor)
    return dx


def _square(matrix: Array, classes: int, dtype: np.dtype[np.floating]) -> Array:
    need(
        matrix.size == classes * classes,
        f"infogain->count() == num_labels_*num_labels_ ({matrix.size} vs. {classes * classes})",
        f"the infogain matrix of {classes} classes has {classes * classes} values",
    )
    return matrix.reshape(classes, classes).astype(dtype, copy=False)


@dataclass(frozen=True, slots=True)
class SigmoidCrossEntropyLoss(Loss):
    """`sigmoid_cross_entropy_loss` of scores and targets."""

    ignore_label: int | None = None
    normalization: Normalization = "BATCH_SIZE"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, target = bottoms
        tops[0][...], _ = sigmoid_cross_entropy_loss(
            x,
            target,
            ignore_label=self.ignore_label,
            normalization=self.normalization,
            out=work.buffer("probabilities", x.shape, x.dtype),
            buffer=work.scratch(x.shape, x.dtype),
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
            sigmoid_cross_entropy_loss_backward(
                work.buffer("probabilities", bottoms[0].shape, bottoms[0].dtype),
                bottoms[1],
                ignore_label=self.ignore_label,
                normalization=self.normalization,
                loss_weight=dtops[0].item(),
                out=dbottoms[0],
            )


@dataclass(frozen=True, slots=True)
class InfogainLoss(Loss):
    """`infogain_loss` of scores and labels; the matrix is bottom 2, or else what `read` brings.

    A second top receives the probabilities.
    """

    axis: int = 1
    ignore_label: int | None = None
    normalization: Normalization = "VALID"
    read: Callable[[], Array] | None = None

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tops[0][...], _ = infogain_loss(
            bottoms[0],
            bottoms[1],
            self._matrix(bottoms, work),
            axis=self.axis,
            ignore_label=self.ignore_label,
            normalization=self.normalization,
            out=self._probabilities(bottoms[0], tops, work),
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
            infogain_loss_backward(
                self._probabilities(bottoms[0], tops, work),
                bottoms[1],
                self._matrix(bottoms, work),
                axis=self.axis,
                ignore_label=self.ignore_label,
                normalization=self.normalization,
                loss_weight=dtops[0].item(),
                out=dbottoms[0],
            )

    def _matrix(self, bottoms: Sequence[Array], work: Work) -> Array:
        if len(bottoms) > 2:
            return bottoms[2]
        assert self.read is not None
        return work.once("matrix", self.read)

    @staticmethod
    def _probabilities(x: Array, tops: Sequence[Array], work: Work) -> Array:
        return tops[1] if len(tops) > 1 else work.buffer("probabilities", x.shape, x.dtype)
