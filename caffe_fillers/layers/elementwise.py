"""Element-wise layers without parameters: the top has the shape of the bottom."""

from __future__ import annotations

import math
from collections.abc import Callable

from .. import ops
from ..checks import c_int, c_rem, need, need_equal
from ..ops.window import Window
from .rule import Layer, RuleFunction, Setup, Shape, axis, layer_type, legacy
from .spatial import pooled

__all__ = ["each"]

ONE = (1, 1)


def each(operation: Callable[[Layer], ops.Operation]) -> RuleFunction:
    """Return the rule of a layer whose top has its bottom's shape; its operation is made from its message."""

    def rule(layer: Layer, bottoms: list[Shape]) -> Setup:
        return Setup([bottoms[0]], operation=operation(layer))

    return rule


def _layer_type(name: str, operation: Callable[[Layer], ops.Operation]) -> None:
    layer_type(name, bottoms=ONE, tops=ONE)(each(operation))


_layer_type("BNLL", lambda layer: ops.BNLL())
_layer_type("Clip", lambda layer: ops.Clip(layer.message.clip_param.min, layer.message.clip_param.max))
_layer_type("Dropout", lambda layer: ops.Dropout(layer.message.dropout_param.dropout_ratio, layer.phase == "TRAIN"))
_layer_type("ELU", lambda layer: ops.ELU(layer.message.elu_param.alpha))
_layer_type("ReLU", lambda layer: ops.ReLU(layer.message.relu_param.negative_slope))
_layer_type("Sigmoid", lambda layer: ops.Sigmoid())
_layer_type("Swish", lambda layer: ops.Swish(layer.message.swish_param.beta))
_layer_type("TanH", lambda layer: ops.TanH())
_layer_type("Threshold", lambda layer: ops.Threshold(layer.message.threshold_param.threshold))


@layer_type("Power", bottoms=ONE, tops=ONE)
def power(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.power_param
    return Setup([bottoms[0]], operation=ops.Power(param.power, param.scale, param.shift))


@layer_type("AbsVal", bottoms=ONE, tops=ONE)
def absval(layer: Layer, bottoms: list[Shape]) -> Setup:
    need(not layer.in_place[0], "top[0] != bottom[0] AbsVal Layer does not allow in-place computation.")
    return Setup([bottoms[0]], operation=ops.AbsVal())


def _check_base(base: float) -> None:
    """Refuse a base that has no logarithm; -1 stands for e."""
    if base != -1:
        need(base > 0, f"base > 0 ({base:g} vs. 0) base must be strictly positive.", "leave base out for e")
        need(math.isfinite(base), f"!isinf(log_base) Inf result: log(base) = log({base:g}) = {base:g}")


@layer_type("Exp", bottoms=ONE, tops=ONE)
def exp(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.exp_param
    _check_base(param.base)
    return Setup([bottoms[0]], operation=ops.Exp(param.base, param.scale, param.shift))


@layer_type("Log", bottoms=ONE, tops=ONE)
def log(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.log_param
    _check_base(param.base)
    need(param.base != 1, "!isinf(base_scale_)", "the logarithm to base 1 does not exist; leave base out for e")
    return Setup([bottoms[0]], operation=ops.Log(param.base, param.scale, param.shift))


@layer_type("Softmax", bottoms=ONE, tops=ONE)
def softmax(layer: Layer, bottoms: list[Shape]) -> Setup:
    a = axis(bottoms[0], layer.message.softmax_param.axis)
    need(bottoms[0][a] > 0, "data_", f"axis {a} of the bottom, {bottoms[0]}, is empty")
    return Setup([bottoms[0]], operation=ops.Softmax(a))


@layer_type("LRN", bottoms=ONE, tops=ONE)
def lrn(layer: Layer, bottoms: list[Shape]) -> Setup:
    size = c_int(layer.message.lrn_param.local_size)
    need_equal(c_rem(size, 2), 1, "size_ % 2 == 1", f"local_size must be odd, got {size}")
    need_equal(4, len(bottoms[0]), "4 == bottom[0]->num_axes()", "LRN takes (num, channels, height, width)")
    param = layer.message.lrn_param
    within = param.norm_region == type(param).NormRegion.Value("WITHIN_CHANNEL")
    if within:
        # the inner Pooling, whose sizes are rounded in float32, computes the factor of the bottom
        sums = pooled(bottoms[0], Window.square(size, pad=(size - 1) // 2))
        need(sums == bottoms[0], "bottom[0]->shape() == bottom[i]->shape()", f"{bottoms[0]} is too large for LRN")
    operation = ops.LRN(size, param.alpha, param.beta, param.k, within)
    return Setup([tuple(bottoms[0])], operation=operation)


@layer_type("MVN", bottoms=ONE, tops=ONE)
def mvn(layer: Layer, bottoms: list[Shape]) -> Setup:
    top = legacy(bottoms[0])
    param = layer.message.mvn_param
    across = param.across_channels
    need(math.prod(top[1:] if across else top[2:]) > 0, "data_", f"nothing to normalise in a bottom of shape {top}")
    return Setup([top], operation=ops.MVN(across, param.normalize_variance, param.eps))
