"""Accuracy and ArgMax: which classes score highest. Neither has a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import Array, Integers
from .operation import Operation, Work
from .targets import Labels, picked

__all__ = ["Accuracy", "ArgMax", "accuracy", "argmax", "class_accuracy"]


def _right(
    x: Array, labels: Labels, top_k: int, axis: int, ignore_label: int | None
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return the labels of all places that count, and which of them are right."""
    index, counted = picked(labels, x.shape, axis, ignore_label)
    with np.errstate(invalid="ignore"):
        rivals = np.count_nonzero(x >= np.take_along_axis(x, index, axis), axis=axis, keepdims=True) - 1
    return index[counted], (rivals < top_k)[counted]


def accuracy(x: Array, labels: Labels, *, top_k: int = 1, axis: int = 1, ignore_label: int | None = None) -> float:
    """Share of places whose right class is among the `top_k` highest scores.

    As in Caffe a tie counts against a place, and a score that is not a number counts as right.

    Parameters
    ----------
    x : (images, classes, ...)
    labels : as many whole numbers as there are places, in any shape

    Raises
    ------
    CaffeError
        If a label is none of the classes.

    Notes
    -----
    Source: Caffe's `accuracy_layer.cpp`. Where no place counts, the accuracy is 0.

    Examples
    --------
    >>> accuracy(np.float32([[1, 5, 2], [7, 0, 0]]), np.array([1, 1]))
    0.5
    """
    _, right = _right(x, labels, top_k, axis % x.ndim, ignore_label)
    return float(right.mean()) if right.size else 0.0


def class_accuracy(
    x: Array, labels: Labels, *, top_k: int = 1, axis: int = 1, ignore_label: int | None = None
) -> Array:
    """`accuracy` over the places of each class alone; 0 for a class that no place has.

    Examples
    --------
    >>> class_accuracy(np.float32([[1, 5, 2], [7, 0, 0]]), np.array([1, 1]))
    array([0. , 0.5, 0. ], dtype=float32)
    """
    axis %= x.ndim
    index, right = _right(x, labels, top_k, axis, ignore_label)
    places, hits = (np.bincount(i, minlength=x.shape[axis]) for i in (index, index[right]))
    return (hits / np.maximum(places, 1)).astype(x.dtype)


@dataclass(frozen=True, slots=True)
class Accuracy(Operation):
    """`accuracy`; a second top receives `class_accuracy`."""

    top_k: int = 1
    axis: int = 1
    ignore_label: int | None = None

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, labels = bottoms
        top_k, axis, ignore_label = self.top_k, self.axis, self.ignore_label
        tops[0][...] = accuracy(x, labels, top_k=top_k, axis=axis, ignore_label=ignore_label)
        if len(tops) > 1:
            tops[1][...] = class_accuracy(x, labels, top_k=top_k, axis=axis, ignore_label=ignore_label)

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
        if any(dbottom is not None for dbottom in dbottoms):
            Operation.backward(self, dtops, bottoms, tops, blobs, dbottoms, dblobs, work)


def argmax(x: Array, *, top_k: int = 1, axis: int | None = None, out_max_val: bool = False) -> Array:
    """The classes with the `top_k` highest scores, highest first.

    Among equal scores Caffe takes the last one first; NumPy, PyTorch and others take the first.

    Parameters
    ----------
    x : array of any shape
    axis : int or None
        With None all of an image's numbers are ranked together.
    out_max_val : bool
        With an axis the scores are returned instead of the places; without, they follow the places.

    Returns
    -------
    array of the type of `x`
        With an axis: the shape of `x`, with `top_k` along the axis; without: (images, 1 or 2, top_k), and axes of
        length 1 behind, so that there are as many as in `x`.

    Notes
    -----
    Source: Caffe's `argmax_layer.cpp`.

    Examples
    --------
    >>> argmax(np.float32([[1, 5, 5], [7, 0, 0]])).tolist()
    [[[2.0]], [[0.0]]]
    >>> argmax(np.float32([[1, 5, 5], [7, 0, 0]]), axis=1, top_k=2, out_max_val=True).tolist()
    [[5.0, 5.0], [7.0, 0.0]]
    """
    scores = x.reshape(len(x), int(np.prod(x.shape[1:]))) if axis is None else x
    along = 1 if axis is None else axis
    backwards = np.flip(scores, along)
    last = scores.shape[along] - 1
    if top_k == 1:
        index = last - np.expand_dims(backwards.argmax(along), along)
    else:
        order = np.argsort(scores, axis=along, kind="stable")
        index = np.flip(order, along).take(range(top_k), along)
    places = index.astype(x.dtype)
    if not out_max_val:
        ranked = places
    else:
        values = np.take_along_axis(scores, index, along)
        ranked = values if axis is not None else np.stack([places, values], axis=1)
    top: Array = ranked if axis is not None else ranked.reshape(len(x), 1 + out_max_val, top_k, *(1,) * (x.ndim - 3))
    return top


@dataclass(frozen=True, slots=True)
class ArgMax(Operation):
    """`argmax`."""

    top_k: int = 1
    axis: int | None = None
    out_max_val: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tops[0][...] = argmax(bottoms[0], top_k=self.top_k, axis=self.axis, out_max_val=self.out_max_val)
