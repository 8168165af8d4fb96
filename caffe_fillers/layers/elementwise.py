"""Layers whose top is shaped as their bottom and that have no parameters."""

from __future__ import annotations

import math

from .. import ops
from ..checks import c_int, c_rem, need, need_equal
from ..ops.window import Window
from .rule import Layer, Setup, Shape, axis, layer_type, legacy, same
from .spatial import pooled

ONE = (1, 1)

layer_type(
    "BNLL", "Clip", "Dropout", "ELU", "Power", "ReLU", "Sigmoid", "Swish", "TanH", "Threshold", bottoms=ONE, tops=ONE
)(same)


@layer_type("AbsVal", bottoms=ONE, tops=ONE)
def absval(layer: Layer, bottoms: list[Shape]) -> Setup:
    need(not layer.in_place[0], "top[0] != bottom[0] AbsVal Layer does not allow in-place computation.")
    return same(layer, bottoms)


def _check_base(base: float) -> None:
    """-1 stands for e."""
    if base != -1:
        need(base > 0, f"base > 0 ({base:g} vs. 0) base must be strictly positive.", "leave base out for e")
        need(math.isfinite(base), f"!isinf(log_base) Inf result: log(base) = log({base:g}) = {base:g}")


@layer_type("Exp", bottoms=ONE, tops=ONE)
def exp(layer: Layer, bottoms: list[Shape]) -> Setup:
    _check_base(layer.message.exp_param.base)
    return same(layer, bottoms)


@layer_type("Log", bottoms=ONE, tops=ONE)
def log(layer: Layer, bottoms: list[Shape]) -> Setup:
    base = layer.message.log_param.base
    _check_base(base)
    need(base != 1, "!isinf(base_scale_)", "the logarithm to base 1 does not exist; leave base out for e")
    return same(layer, bottoms)


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
    if param.norm_region == type(param).NormRegion.Value("WITHIN_CHANNEL"):
        # a Pooling inside, whose sizes are rounded in float32, makes what the bottom is multiplied with
        sums = pooled(bottoms[0], Window.square(size, pad=(size - 1) // 2))
        need(sums == bottoms[0], "bottom[0]->shape() == bottom[i]->shape()", f"{bottoms[0]} is too large for LRN")
    return same(layer, bottoms)


@layer_type("MVN", bottoms=ONE, tops=ONE)
def mvn(layer: Layer, bottoms: list[Shape]) -> Setup:
    top = legacy(bottoms[0])
    across = layer.message.mvn_param.across_channels
    need(math.prod(top[1:] if across else top[2:]) > 0, "data_", f"nothing to normalise in a bottom of shape {top}")
    return Setup([top])
