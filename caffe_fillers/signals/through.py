"""The change of the values' distribution and of the gradient, for each kind of operation.

The *factor* of an activation is the mean square of its slopes just left and right of 0. It is what a small difference
between two inputs, and the variance of a gradient, is multiplied with on the way through:

=====================  =====================  ==================================================================
activation             factor                 source
=====================  =====================  ==================================================================
none, TanH, AbsVal     1                      Glorot and Bengio 2010, section 4.2.1: f'(0) = 1
ReLU                   (1 + a^2) / 2          He et al. 2015, section 2.2; a is negative_slope, 1/2 without
PReLU                  (1 + a^2) / 2          He et al. 2015, equation 15, over the slopes it begins with
Sigmoid                1 / 16                 slope 1/4 at 0: Glorot and Bengio 2010, section 4.2.1, with f'(0) = 1/4
ELU                    (1 + alpha^2) / 2      slopes 1 and alpha at 0: Clevert et al. 2016
BNLL, Swish            1 / 4                  slope 1/2 at 0
Power, Exp, Log        the square of the      by differentiation
                       slope at 0
=====================  =====================  ==================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import ops
from ..errors import CaffeError
from ..layers.rule import Layer, Shape
from .fans import values_pooled
from .meanfield import Table, Values

__all__ = ["Passing", "Signal", "Through", "activation", "affine", "through"]

_CLOSE = 1e-9  # to 0, the point at which slopes are taken


@dataclass(slots=True)
class Signal:
    """The signal of a blob at one point of the net (a layer in place makes a second one of the same name)."""

    shape: Shape
    values: Values
    product: float
    depth: int = 0
    back: float = 0.0
    read: bool = False
    matters: bool = False


@dataclass(slots=True)
class Through:
    """Values and product of gains of each top, and the factors of the gradients: (bottom, top, factor)."""

    tops: list[tuple[Values, float]]
    down: list[tuple[int, int, float]] = field(default_factory=list)


@dataclass(slots=True)
class Passing:
    """A signal about to go through a layer.

    `weight(i)` gives mean and variance of parameter i; `tops` the shapes of the tops.
    """

    layer: Layer
    operation: Any
    bottoms: list[Signal]
    tops: list[Shape]
    weight: Callable[[int], tuple[float, float]]
    rng: np.random.Generator

    @property
    def first(self) -> Signal:
        return self.bottoms[0]


def activation(operation: ops.Operation | None, slope: float = 0.25) -> tuple[Callable[[Table], Table], float] | None:
    """The function of an element-wise operation and its factor, or None for another kind.

    `slope` is the root mean square of the slopes that a PReLU begins with.
    """
    if isinstance(operation, ops.PReLU):
        slopes = np.array([slope])
        return (lambda x: ops.prelu(x.reshape(1, 1, -1), slopes).reshape(x.shape)), (1 + slope**2) / 2
    if not isinstance(operation, ops.Elementwise):
        return None
    at = np.array([-_CLOSE, _CLOSE])
    with np.errstate(all="ignore"):
        y = operation.value(at)
        try:
            slopes = operation.gradient(np.ones(2), at, y)
        except CaffeError:
            slopes = np.zeros(2)  # Caffe has none for a step
        # without a slope at 0 it grows without bound near it
        factor = float(np.mean(slopes**2)) if np.abs(slopes).max() < 1 / math.sqrt(_CLOSE) else math.nan
    return operation.value, factor if np.isfinite(y).all() else math.nan


def affine(values: Values, scale: tuple[float, float] | None, bias: tuple[float, float] | None) -> tuple[Values, float]:
    """Each channel times a random scale, plus a random bias, both by mean and variance; and the gain."""
    gain = 1.0
    if scale is not None:
        mean, variance = scale
        gain = mean**2 + variance
        grown = values.variance * gain + values.mean**2 * variance
        values = (
            values.scaled(mean)
            if variance == 0
            else Values.normal(values.mean * mean, max(grown - values.within * gain, 0.0), values.within * gain)
        )
    if bias is not None:
        values = values.shifted(*bias)
    return values, gain


def _same(at: Passing) -> Through:
    """Values keep their distribution: they are moved, copied, or interpolated."""
    count = len(at.tops)
    return Through([(at.first.values, at.first.product)] * count, [(0, t, 1.0) for t in range(count)])


def _normalised(at: Passing, eps: float, divide: bool, scale: int | None = None, bias: int | None = None) -> Through:
    """As in training, with the batch's own statistics: at the start there are no stored ones."""
    values = at.first.values
    within = values.within if divide else 1.0
    gain = 1 / (within + eps) if divide else 1.0
    # in the forward direction the signal itself gets variance 1
    product = 1.0 if divide and at.first.product > 0 and within > eps else at.first.product * gain
    result = values.normalised(eps, divide)
    if scale is not None:
        result, scaled = affine(result, at.weight(scale), None if bias is None else at.weight(bias))
        product, gain = product * scaled, gain * scaled
    return Through([(result, product)] * len(at.tops), [(0, 0, gain)])


def _batch_norm(at: Passing) -> Through:
    own = len(at.layer.blobs)
    return _normalised(at, at.operation.eps, True, 3 if own > 3 else None, 4 if own > 4 else None)


def _scale_first(at: Passing) -> Through:
    return _normalised(at, at.operation.eps, True, 0, 1)


def _mvn(at: Passing) -> Through:
    return _normalised(at, at.operation.eps, at.operation.variance)


def _sum(at: Passing, coefficients: Sequence[float] = ()) -> Through:
    """Residual sums: variances add."""
    factors = list(coefficients) or [1.0] * len(at.bottoms)
    parts = [b.values.scaled(c) for b, c in zip(at.bottoms, factors, strict=True)]
    product = sum(b.product * c**2 for b, c in zip(at.bottoms, factors, strict=True))
    return Through([(Values.summed(parts, at.rng), product)], [(i, 0, c**2) for i, c in enumerate(factors)])


def _product(at: Passing) -> Through:
    squares = [b.values.square for b in at.bottoms]
    others = [math.prod(squares[:i] + squares[i + 1 :]) for i in range(len(at.bottoms))]
    product = sum(b.product * other for b, other in zip(at.bottoms, others, strict=True))
    result = Values.combined([b.values for b in at.bottoms], np.multiply, at.rng)
    return Through([(result, product)], [(i, 0, other) for i, other in enumerate(others)])


def _largest(at: Passing) -> Through:
    """An element-wise maximum: one of the values passes at each place."""
    count = len(at.bottoms)
    values = Values.combined([b.values for b in at.bottoms], np.maximum, at.rng)
    return Through([(values, sum(b.product for b in at.bottoms) / count)], [(i, 0, 1 / count) for i in range(count)])


def _eltwise(at: Passing) -> Through:
    if at.operation.method == "SUM":
        return _sum(at, at.operation.coefficients)
    return _product(at) if at.operation.method == "PROD" else _largest(at)


def _axpy(at: Passing) -> Through:
    factor, x, y = at.bottoms
    square = factor.values.square
    scaled = Values.combined([x.values, factor.values], np.multiply, at.rng)
    result = Values.summed([scaled, y.values], at.rng)
    return Through([(result, x.product * square + y.product)], [(0, 0, x.values.square), (1, 0, square), (2, 0, 1.0)])


def _scale(at: Passing) -> Through:
    blobs = len(at.layer.blobs)
    if len(at.bottoms) == 1:
        values, gain = affine(at.first.values, at.weight(0), at.weight(1) if blobs > 1 else None)
        return Through([(values, at.first.product * gain)], [(0, 0, gain)])
    result = _product(at)
    if blobs:
        values, product = result.tops[0]
        result.tops = [(values.shifted(*at.weight(0)), product)]
    return result


def _bias(at: Passing) -> Through:
    if len(at.bottoms) > 1:
        return _sum(at)
    return Through([(at.first.values.shifted(*at.weight(0)), at.first.product)], [(0, 0, 1.0)])


def _normalize(at: Passing) -> Through:
    """SSD's: each place's channels divided by their length, then scaled."""
    channels = at.first.shape[1] if len(at.first.shape) > 1 else 1
    length = math.sqrt(channels * at.first.values.square)
    gain = 1 / length if length > 0 else 0.0
    values, scaled = affine(at.first.values.scaled(gain), at.weight(0) if at.layer.blobs else None, None)
    gain = gain**2 * scaled
    return Through([(values, at.first.product * gain)] * len(at.tops), [(0, 0, gain)])


def _concat(at: Passing) -> Through:
    shares = [float(math.prod(b.shape)) for b in at.bottoms]
    if not all(shares):
        shares = [1.0] * len(at.bottoms)
    product = sum(b.product * share for b, share in zip(at.bottoms, shares, strict=True)) / sum(shares)
    result = Values.mixed([b.values for b in at.bottoms], shares)
    return Through([(result, product)], [(i, 0, 1.0) for i in range(len(at.bottoms))])


def _slice(at: Passing) -> Through:
    whole = math.prod(at.first.shape)
    down = [(0, t, math.prod(shape) / whole if whole else 0.0) for t, shape in enumerate(at.tops)]
    return Through([(at.first.values, at.first.product)] * len(at.tops), down)


def _pooling(at: Passing) -> Through:
    """Counts as 1 in the products, as in the papers; the prediction includes its effect."""
    number = values_pooled(at.operation.window, at.first.shape, at.tops[0])
    values = at.first.values
    result = values.largest_of(number) if at.operation.method == "MAX" else values.average_of(number)
    return Through([(result, at.first.product)] * len(at.tops), [(0, 0, 1.0)])


def _lrn(at: Passing) -> Through:
    """The sum of squares taken at its mean."""
    lrn = at.operation
    base = (1.0 if lrn.within else lrn.k) + lrn.alpha * at.first.values.square
    scale = base**-lrn.beta if base > 0 and math.isfinite(base) else 0.0
    return Through([(at.first.values.scaled(scale), at.first.product * scale**2)], [(0, 0, scale**2)])


def _dropout(at: Passing) -> Through:
    """In training the values that stay are scaled up, so that variances grow by 1 / (1 - ratio)."""
    ratio = at.operation.ratio if at.operation.training else 0.0
    gain = 1 / (1 - ratio) if ratio < 1 else 0.0
    return Through([(at.first.values.dropped(ratio, at.rng), at.first.product * gain)], [(0, 0, gain)])


_RULES: dict[type, Callable[[Passing], Through]] = {
    ops.Add: _sum,
    ops.Axpy: _axpy,
    ops.BN: _scale_first,
    ops.BatchNorm: _batch_norm,
    ops.Bias: _bias,
    ops.Concat: _concat,
    ops.Crop: _same,
    ops.Dropout: _dropout,
    ops.Eltwise: _eltwise,
    ops.Im2col: _same,
    ops.Interp: _same,
    ops.LRN: _lrn,
    ops.MVN: _mvn,
    ops.MovingBN: _scale_first,
    ops.Mul: _product,
    ops.Normalize: _normalize,
    ops.Permute: _same,
    ops.Pooling: _pooling,
    ops.ROIPooling: _same,
    ops.Reorg: _same,
    ops.Reshape: _same,
    ops.Scale: _scale,
    ops.ShuffleChannel: _same,
    ops.Slice: _slice,
    ops.Split: _same,
    ops.Tile: _same,
    ops.Upsample: _same,
}


def through(at: Passing) -> Through | None:
    """Pass a signal through a layer without weights; None if nothing is known of its kind."""
    rule = _RULES.get(type(at.operation))
    return None if rule is None else rule(at)
