"""Element-wise layers: what they compute, and how much of a signal they let through.

The *factor* of an activation is the mean square of its slopes on both sides of 0. It is what a small difference between
two inputs, and the variance of a gradient, is multiplied with on the way through:

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
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..layers.rule import Layer

__all__ = ["ACTIVATIONS", "Activation", "activation"]

Function = Callable[[Any], Any]


class Activation:
    """An element-wise layer: `function` of an array, and its `factor`."""

    __slots__ = ("factor", "function")

    def __init__(self, function: Function, factor: float) -> None:
        self.function, self.factor = function, factor


def _relu(layer: Layer) -> Activation:
    slope = layer.message.relu_param.negative_slope
    return Activation(lambda x: ops.relu(x, slope), (1 + slope**2) / 2)


def _prelu(layer: Layer) -> Activation:
    blob = layer.blobs[0]
    try:
        slopes = blob.data.astype(float)
    except ValueError:
        # a net without values: the slope that PReLU begins with, unless the text says otherwise
        param = layer.message.prelu_param
        slopes = np.full(blob.shape, param.filler.value if param.HasField("filler") else 0.25)
    mean = float(slopes.mean())

    def function(x: Any) -> Any:
        by_channel = slopes.reshape(-1, *(1,) * (x.ndim - 2)) if slopes.ndim and x.shape[1] == slopes.size else mean
        return np.where(x > 0, x, x * np.asarray(by_channel, x.dtype))

    return Activation(function, (1 + float((slopes**2).mean())) / 2)


def _elu(layer: Layer) -> Activation:
    alpha = layer.message.elu_param.alpha
    return Activation(lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), (1 + alpha**2) / 2)


def _swish(layer: Layer) -> Activation:
    beta = layer.message.swish_param.beta
    return Activation(lambda x: x * ops.sigmoid(beta * x), 1 / 4)


def _power(layer: Layer) -> Activation:
    param = layer.message.power_param
    power, scale, shift = param.power, param.scale, param.shift

    def function(x: Any) -> Any:
        inner = x * x.dtype.type(scale) + x.dtype.type(shift)
        return inner if power == 1 else inner ** x.dtype.type(power)

    slope = scale if power == 1 else _slope(lambda: power * scale * shift ** (power - 1))
    return Activation(function, slope**2)


def _exp(layer: Layer) -> Activation:
    param = layer.message.exp_param
    base = 1.0 if param.base == -1 else math.log(param.base)
    slope = _slope(lambda: base * param.scale * math.exp(base * param.shift))
    return Activation(lambda x: np.exp(base * (param.scale * x + param.shift)), slope**2)


def _log(layer: Layer) -> Activation:
    param = layer.message.log_param
    base = 1.0 if param.base == -1 else math.log(param.base)
    slope = _slope(lambda: param.scale / (param.shift * base))
    return Activation(lambda x: np.log(param.scale * x + param.shift) / base, slope**2)


def _slope(slope: Callable[[], float | complex]) -> float:
    """A slope at 0, or NaN where there is none."""
    try:
        value = slope()
    except (ZeroDivisionError, OverflowError):
        return math.nan
    return value if isinstance(value, (int, float)) else math.nan


def _clip(layer: Layer) -> Activation:
    low, high = layer.message.clip_param.min, layer.message.clip_param.max
    return Activation(lambda x: np.clip(x, low, high), float(low < 0 < high))


def _threshold(layer: Layer) -> Activation:
    at = layer.message.threshold_param.threshold
    return Activation(lambda x: (x > at).astype(x.dtype), 0.0)


def _always(function: Function, factor: float) -> Callable[[Layer], Activation]:
    return lambda layer: Activation(function, factor)


def _hard_swish(x: Any) -> Any:
    return x * np.clip(x + 3, 0, 6) / 6


ACTIVATIONS: dict[str, Callable[[Layer], Activation]] = {
    "AbsVal": _always(np.abs, 1.0),
    "BNLL": _always(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 1 / 4),
    "Clip": _clip,
    "ELU": _elu,
    "Exp": _exp,
    "HardSwish": _always(_hard_swish, 1 / 4),
    "Log": _log,
    "PReLU": _prelu,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _always(lambda x: np.clip(x, 0, 6), 1 / 2),
    "Sigmoid": _always(ops.sigmoid, 1 / 16),
    "Swish": _swish,
    "TanH": _always(np.tanh, 1.0),
    "Threshold": _threshold,
}


def activation(layer: Layer) -> Activation | None:
    """What the layer computes for each element; None for a layer of another kind."""
    made = ACTIVATIONS.get(layer.type)
    return None if made is None else made(layer)
