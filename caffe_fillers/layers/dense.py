"""Layers with parameters that are not convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..blob import Blob, describe
from ..fillers import Spec
from .extras import Fields
from .rule import (
    Layer,
    Param,
    Setup,
    Shape,
    axis,
    c_int,
    count,
    filler,
    layer_type,
    legacy,
    need,
    need_equal,
)

ONE = (1, 1)


@layer_type("InnerProduct", bottoms=ONE, tops=ONE)
def inner_product(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.inner_product_param
    first = axis(bottoms[0], param.axis)
    n, k = c_int(param.num_output), math.prod(bottoms[0][first:])
    matrix = (k, n) if param.transpose else (n, k)
    # up to rc2 every blob had four axes
    old = layer.age <= 2
    params = [Param((1, 1, *matrix) if old else matrix, filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((1, 1, 1, n) if old else (n,), filler(param, "bias_filler"), "bias"))
        need(math.prod(bottoms[0][:first]) > 0, "data_", f"the bottom, {bottoms[0]}, has no rows for the bias")
    return Setup([(*bottoms[0][:first], n)], params)


@layer_type("Embed", bottoms=ONE, tops=ONE, since="rc3")
def embed(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.embed_param
    n, k = c_int(param.num_output), c_int(param.input_dim)
    need(n > 0, f"N_ > 0 ({n} vs. 0) EmbedLayer num_output must be positive.")
    need(k > 0, f"K_ > 0 ({k} vs. 0) EmbedLayer input_dim must be positive.")
    params = [Param((k, n), filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((n,), filler(param, "bias_filler"), "bias"))
        need(count(bottoms[0]) > 0, "data_", f"the bottom, {bottoms[0]}, has no elements for the bias")
    return Setup([(*bottoms[0], n)], params)


def _covered(param: Any, bottoms: Sequence[Shape], name: str) -> tuple[int, Shape]:
    """The axis at which a scale or bias starts, and its shape: the second bottom's, or as many dims as it covers."""
    bottom = bottoms[0]
    if len(bottoms) > 1:
        shape = bottoms[1]
        first = 0 if not shape else axis(bottom, param.axis)
        axes = len(shape)
        count_text = f"{name}->num_axes()"
    else:
        need(
            param.num_axes >= -1,
            f"num_axes >= -1 ({param.num_axes} vs. -1) num_axes must be non-negative, or -1 to extend to the end",
        )
        first = axis(bottom, param.axis)
        axes = len(bottom) - first if param.num_axes == -1 else param.num_axes
        shape = bottom[first : first + axes]
        count_text = "num_axes"
    need(
        len(bottom) >= first + axes,
        f"bottom[0]->num_axes() >= axis_ + {count_text} ({len(bottom)} vs. {first + axes}) "
        f"{name} blob's shape extends past bottom[0]'s shape when applied starting with bottom[0] axis = {first}",
    )
    for i, dim in enumerate(shape):
        need_equal(
            bottom[first + i],
            dim,
            f"bottom[0]->shape({'axis_' if name == 'scale' else 'axis'} + i) == {name}->shape(i)",
            f"bottom 0 is {bottom}, bottom 1 is {shape}, applied from axis {first}",
        )
    return first, shape


@layer_type("Scale", bottoms=(1, 2), tops=ONE, since="rc3")
def scale(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.scale_param
    first, shape = _covered(param, bottoms, "scale")
    params = []
    if len(bottoms) == 1:
        params.append(Param(shape, filler(param, "filler", absent=Spec(value=1.0)), "scale"))
    if param.bias_term:
        params.append(Param(shape, filler(param, "bias_filler"), "bias"))
    outer, inner = math.prod(bottoms[0][:first]), math.prod(bottoms[0][first + len(shape) :])
    need(max(outer, inner) > 0, "data_", f"the bottom, {bottoms[0]}, is empty")
    need(not param.bias_term or inner > 0, "data_", f"the bottom, {bottoms[0]}, is empty")

    def text_blobs(blobs: list[Blob]) -> list[Blob]:
        if param.bias_term and len(blobs) + len(bottoms) < 3:
            return [*blobs, Blob.from_array(blobs[0].data.copy())]
        return blobs

    return Setup([bottoms[0]], params, text_blobs=text_blobs)


@layer_type("Bias", bottoms=(1, 2), tops=ONE, since="rc3")
def bias(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.bias_param
    first, shape = _covered(param, bottoms, "bias")
    params = [Param(shape, filler(param, "filler"), "bias")] if len(bottoms) == 1 else []
    need(math.prod(bottoms[0][first + len(shape) :]) > 0, "data_", f"the bottom, {bottoms[0]}, is empty")
    return Setup([bottoms[0]], params)


@layer_type("PReLU", bottoms=ONE, tops=ONE, since="rc3")
def prelu(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.prelu_param
    bottom = bottoms[0]
    need(
        len(bottom) >= 2,
        f"bottom[0]->num_axes() >= 2 ({len(bottom)} vs. 2) Number of axes of bottom blob must be >=2.",
    )
    channels = legacy(bottom)[1]
    shape = () if param.channel_shared else (channels,)
    need(math.prod(bottom[1:]) > 0, "data_", f"the bottom, {bottom}, is empty")

    def text_blobs(blobs: list[Blob]) -> list[Blob]:
        size = "1" if param.channel_shared else "channels"
        need_equal(
            blobs[0].count(), math.prod(shape), f"blobs_[0]->count() == {size}", "PReLU has one slope per channel"
        )
        return blobs

    slope = Param(shape, filler(param, "filler", absent=Spec(value=0.25)), "slope")
    return Setup([bottom], [slope], text_blobs=text_blobs)


def _scaled_batch_norm(layer: Layer, bottom: Shape) -> list[Param] | None:
    """The parameters of a BatchNorm whose text asks for a scale and bias of its own, as in forks; else None."""
    fields = Fields.of(layer, "batch_norm_param")
    shape = (bottom[axis(bottom, 1)],) if len(bottom) > 1 else (1,)
    mean, variance = Param(shape, None, "mean"), Param(shape, None, "variance")
    if fields.flag("scale_bias") or "scale_filler" in fields:
        # NVIDIA/caffe from 0.16 on, and caffe-jacinto after it: the factor begins with 1
        scale = Param(shape, fields.filler("scale_filler", Spec(value=1.0)), "scale")
        bias = Param(shape, fields.filler("bias_filler"), "bias")
        return [mean, variance, Param((1,), Spec(value=1.0), "factor"), scale, bias]
    # in intel/caffe only its own engines have them
    if fields.text("engine") in ("MKL2017", "MKLDNN") and fields.flag("use_weight_bias", True):
        params = [mean, variance, Param((1,), None, "factor")]
        params.append(Param(shape, fields.filler("filler", Spec(value=1.0)), "scale"))
        if fields.flag("bias_term", True):
            params.append(Param(shape, fields.filler("bias_filler"), "bias"))
        return params
    return None


@layer_type("BatchNorm", bottoms=ONE, tops=ONE, since="rc3")
def batch_norm(layer: Layer, bottoms: list[Shape]) -> Setup:
    bottom = bottoms[0]
    scaled = _scaled_batch_norm(layer, bottom) if layer.extras else None
    if scaled is not None:
        return Setup([bottom], scaled)
    for spec in layer.message.param[:3]:
        need(
            spec.lr_mult == 0,
            f"this->layer_param_.param(i).lr_mult() == 0.f ({spec.lr_mult:g} vs. 0) "
            "Cannot configure batch normalization statistics as layer parameters.",
            "write lr_mult: 0 in each param of a BatchNorm layer, or leave them out",
        )
    channels = bottom[axis(bottom, 1)]
    need(math.prod(bottom) > 0, "data_", f"the bottom, {bottom}, is empty")
    return Setup(
        [bottom], [Param((channels,), None, "mean"), Param((channels,), None, "variance"), Param((1,), None, "factor")]
    )


@layer_type("Parameter", bottoms=(0, 0), tops=ONE, since="1.0")
def parameter(layer: Layer, bottoms: list[Shape]) -> Setup:
    shape = tuple(layer.message.parameter_param.shape.dim)
    need(
        math.prod(shape) > 0 or bool(layer.message.blobs), "data_", f"parameter_param.shape is {describe(shape)}: empty"
    )
    return Setup([shape], [Param(shape, None, "value")])
