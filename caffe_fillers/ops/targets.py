"""Shared functions of losses: labels as indices, the divisor of a sum, and sums in the order of a C loop."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..arrays import Array, Integers
from ..checks import fail, need
from ..errors import CaffeError
from . import native
from .native import in_c
from .operation import Operation

__all__ = ["LEAST", "Labels", "Loss", "Normalization", "in_order", "normalizer", "picked", "refuse_many_axes", "whole"]

Labels = Array | Integers
Normalization = Literal["VALID", "FULL", "BATCH_SIZE", "NONE"]
LEAST = np.float32(1e-20)
"""The smallest probability that counts in the losses that take a logarithm; float32 in nets of either type."""
_INT_MIN = -(2**31)


@in_c(native.in_order)
def in_order(terms: Array) -> float:
    """Return the sum of `terms`, added one after another in their own type, as a C loop adds them.

    `terms` may be overwritten. NumPy's own sum adds in pairs, which is closer to the truth and further from Caffe.

    Examples
    --------
    >>> in_order(np.float32([1, 2.0**-24, 2.0**-24])), in_order(np.float32([2.0**-24, 2.0**-24, 1]))
    (1.0, 1.0000001192092896)
    >>> in_order(np.array([], np.float32))
    0.0
    """
    flat = terms.reshape(-1)
    if not flat.size:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.accumulate(flat, out=flat)
    return float(flat[-1]) + 0.0  # C starts at 0, and 0 + -0 is 0


def whole(labels: Labels) -> Integers:
    """Return labels cast to C ints; NaN and numbers that are too large become the smallest int."""
    if labels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            fits = np.abs(labels) < 2.0**31
            return np.where(fits, labels, _INT_MIN).astype(np.intp)
    return labels.astype(np.intp)


def picked(
    labels: Labels, shape: Sequence[int], axis: int, ignore_label: int | None, classes: str = "num_labels"
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return each place's class as an index for `take_along_axis`, and which places count.

    `classes` is what Caffe calls their number in its CHECK.
    """
    index = whole(labels).reshape(*shape[:axis], 1, *shape[axis + 1 :])
    counted = np.ones(index.shape, bool) if ignore_label is None else index != ignore_label
    wrong = counted & ((index < 0) | (index >= shape[axis]))
    if wrong.any():
        label = int(index[wrong][0])
        check = f"label_value < {classes} ({label} vs. {shape[axis]})"
        check = check if label >= 0 else f"label_value >= 0 ({label} vs. 0)"
        fail(check, f"label {label} doesn't fit {shape[axis]} classes (0 to {shape[axis] - 1})")
    return np.where(counted, index, 0), counted


def normalizer(normalization: Normalization, counted: int, shape: Sequence[int], axis: int) -> int:
    """Return the divisor of a sum: the places that count, all places, the dims before the axis, or 1; at least 1."""
    match normalization:
        case "VALID":
            return max(1, counted)
        case "FULL":
            return max(1, prod(shape[:axis]) * prod(shape[axis + 1 :]))
        case "BATCH_SIZE":
            return max(1, prod(shape[:axis]))
        case "NONE":
            return 1
    raise CaffeError(f"unknown normalization {normalization!r}; one of VALID, FULL, BATCH_SIZE, NONE")


def refuse_many_axes(x: Array) -> None:
    """Raise Caffe's error of layers that ask an array for its `num` only when they run."""
    need(
        x.ndim <= 4,
        f"num_axes() <= 4 ({x.ndim} vs. 4) Cannot use legacy accessors on Blobs with > 4 axes.",
        f"this loss takes at most four axes, not {x.shape}: put a Flatten before it",
    )


class Loss(Operation):
    """A loss, which compares bottom 0 with labels; labels get no gradient."""

    __slots__ = ()

    def forces(self, bottom: int) -> bool:
        return bottom != 1

    def refuse_labels(self, dbottoms: Sequence[Array | None]) -> None:
        """Raise Caffe's error where someone wants the gradient of bottom 1, or of any further one."""
        for dbottom, name in zip(dbottoms[1:], ("label", "infogain"), strict=False):
            if dbottom is not None:
                raise CaffeError(f"{type(self).__name__} Layer cannot backpropagate to {name} inputs.")
