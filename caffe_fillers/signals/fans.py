"""The number of inputs that a layer with weights sums over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .. import ops
from ..layers.rule import Shape
from ..ops import Window

__all__ = ["Fans", "true_fans", "values_pooled"]


@dataclass(slots=True)
class Fans:
    """The terms of one output, the outputs that an input goes to, and the share of either that lies off padding."""

    into: float
    out: float
    inside: float = 1.0


def _reached(window: Window, size: Shape, places: Shape) -> int:
    """Return the number of pairs of a place and an offset of the kernel that meet an existing pixel."""
    met = 1
    for n, o, k, s, p, d in zip(size, places, window.kernel, window.stride, window.pad, window.dilation, strict=True):
        pairs = 0
        for tap in range(k):
            offset = tap * d - p
            first, last = max(0, -(offset // s)), min(o - 1, (n - 1 - offset) // s)
            pairs += max(0, last - first + 1)
        met *= pairs
    return met


def true_fans(operation: object, weight: Shape, bottom: Shape, top: Shape) -> Fans | None:
    """Return the fans of an operation's sums with a weight of that shape; None if it makes no sums."""
    if isinstance(operation, ops.Embed):
        # a row is looked up: nothing is summed
        return Fans(1, weight[1])
    if isinstance(operation, (ops.Convolution, ops.Deconvolution)):
        return _convolved(operation, weight, bottom, top)
    # up to rc2 a matrix had two axes of 1 before it
    matrix = weight[:-3:-1] if isinstance(operation, ops.InnerProduct) and operation.transpose else weight[-2:]
    # a fork's layer that multiplies with a matrix as an inner product does
    alike = operation is None and top and matrix == (top[-1], math.prod(bottom[1:]))
    return Fans(matrix[1], matrix[0]) if isinstance(operation, ops.InnerProduct) or alike else None


def _convolved(operation: ops.Convolution | ops.Deconvolution, weight: Shape, bottom: Shape, top: Shape) -> Fans:
    window, axes = operation.window, len(operation.window.kernel)
    taps, steps = math.prod(window.kernel), math.prod(window.stride)
    transposed = isinstance(operation, ops.Deconvolution)
    small, large = (bottom, top) if transposed else (top, bottom)
    met = _reached(window, large[-axes:], small[-axes:])
    # the mean number of taps that reach an output, against that away from borders
    places, full = math.prod(top[-axes:]), taps / steps if transposed else taps
    inside = met / (places * full) if places else 0.0
    if transposed:
        return Fans(weight[0] / operation.group * taps / steps, weight[1] * taps, inside)
    return Fans(weight[1] * taps, weight[0] / operation.group * taps / steps, inside)


def values_pooled(window: Window, bottom: Shape, top: Shape) -> float:
    """The average number of values in a pooling window."""
    places = math.prod(top[2:])
    return _reached(window, bottom[2:], top[2:]) / places if places else 1.0
