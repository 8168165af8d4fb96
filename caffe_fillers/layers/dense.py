"""Layers with parameters, except convolutions."""

from __future__ import annotations

import math

import numpy as np

from .. import ops, schema
from ..blob import Blob, describe
from ..checks import c_int, fail, need, need_equal
from ..fillers import Spec
from ..revisions import RC2
from .extras import Fields
from .rule import Layer, Param, Setup, Shape, axis, count, filler, layer_type, legacy

ONE = (1, 1)


@layer_type("InnerProduct", bottoms=ONE, tops=ONE)
def inner_product(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.inner_product_param
    first = axis(bottoms[0], param.axis)
    n, k = c_int(param.num_output), math.prod(bottoms[0][first:])
    matrix = (k, n) if param.transpose else (n, k)
    # up to rc2 every blob had four axes
    old = layer.age <= RC2
    params = [Param((1, 1, *matrix) if old else matrix, filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((1, 1, 1, n) if old else (n,), filler(param, "bias_filler"), "bias"))
        need(math.prod(bottoms[0][:first]) > 0, "data_", f"the bottom, {bottoms[0]}, has no rows for the bias")
    return Setup([(*bottoms[0][:first], n)], params, operation=ops.InnerProduct(first, param.transpose))


@layer_type("Embed", bottoms=ONE, tops=ONE, since="rc3")
def embed(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.embed_param
    n, k = c_int(param.num_output), c_int(param.input_dim)
    need(n > 0, f"N_ > 0 ({n} vs. 0) EmbedLayer num_output must be positive.", "give num_output")
    need(k > 0, f"K_ > 0 ({k} vs. 0) EmbedLayer input_dim must be positive.")
    params = [Param((k, n), filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((n,), filler(param, "bias_filler"), "bias"))
        need(count(bottoms[0]) > 0, "data_", f"the bottom, {bottoms[0]}, has no elements for the bias")
    return Setup([(*bottoms[0], n)], params, operation=ops.Embed())


def _own_shape(param: schema.ScaleParameter | schema.BiasParameter, bottom: Shape, axes: int, name: str) -> Shape:
    """Return the dims of the bottom under the layer's own scale or bias: `axes` of them, -1 for all to the end."""
    if axes < -1:
        fail(f"num_axes >= -1 ({axes} vs. -1) num_axes must be non-negative, or -1 to extend to the end")
    first = axis(bottom, param.axis)
    _inside(bottom, first, max(axes, 0), name, "num_axes")
    return bottom[first:] if axes == -1 else bottom[first : first + axes]


def _inside(bottom: Shape, first: int, axes: int, name: str, what: str) -> None:
    if len(bottom) < first + axes:
        fail(
            f"bottom[0]->num_axes() >= {_AXIS[name]} + {what} ({len(bottom)} vs. {first + axes}) "
            f"{name} blob's shape extends past bottom[0]'s shape when applied starting with bottom[0] axis = {first}"
        )


_AXIS = {"scale": "axis_", "bias": "axis"}


def _fit(param: schema.ScaleParameter | schema.BiasParameter, bottom: Shape, shape: Shape, name: str) -> None:
    """Refuse a scale or bias of `shape`, from any source, that does not fit the bottom."""
    first = axis(bottom, param.axis) if shape else 0
    _inside(bottom, first, len(shape), name, f"{name}->num_axes()")
    for covered, dim in zip(bottom[first:], shape, strict=False):
        if covered != dim:
            fail(
                f"bottom[0]->shape({_AXIS[name]} + i) == {name}->shape(i) ({covered} vs. {dim})",
                f"the bottom is {bottom}, the {name} {shape}, applied from axis {first}",
            )
    outer, inner = math.prod(bottom[:first]), math.prod(bottom[first + len(shape) :])
    if inner == 0 and (name != "scale" or outer == 0):
        fail("data_", f"the bottom, {bottom}, is empty")


def _first_axis(param: schema.ScaleParameter | schema.BiasParameter, bottoms: list[Shape]) -> int:
    """Return the first axis that is covered; a second bottom without axes covers none, whatever `axis` says."""
    return axis(bottoms[0], param.axis) if bottoms[-1] or len(bottoms) == 1 else 0


@layer_type("Scale", bottoms=(1, 2), tops=ONE, since="rc3")
def scale(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, bottom = layer.message.scale_param, bottoms[0]

    def text_blobs(blobs: list[Blob]) -> list[Blob]:
        if param.bias_term:
            _fit(param, bottom, blobs[0].shape, "bias")
            if len(blobs) + len(bottoms) < 3:
                blobs = [*blobs, Blob.from_array(blobs[0].data.copy())]
        _fit(param, bottom, bottoms[1] if len(bottoms) > 1 else blobs[0].shape, "scale")
        if param.bias_term:
            _fit(param, bottom, blobs[-1].shape, "bias")
        return blobs

    params: list[Param] = []
    if not layer.message.blobs:
        shapes = {"scale": bottoms[-1]}
        if len(bottoms) == 1:
            shapes["scale"] = _own_shape(param, bottom, param.num_axes, "scale")
            params.append(Param(shapes["scale"], filler(param, "filler", absent=Spec(value=1.0)), "scale"))
        if param.bias_term:
            # the bias is a Bias layer inside this one, which looks at the first bottom only
            axes = len(bottoms[1]) if len(bottoms) > 1 else param.num_axes
            shapes["bias"] = _own_shape(param, bottom, axes, "bias")
            params.append(Param(shapes["bias"], filler(param, "bias_filler"), "bias"))
        for name in sorted(shapes):
            _fit(param, bottom, shapes[name], name)
    operation = ops.Scale(_first_axis(param, bottoms), param.bias_term)
    return Setup([bottom], params, text_blobs=text_blobs, operation=operation)


@layer_type("Bias", bottoms=(1, 2), tops=ONE, since="rc3")
def bias(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, bottom = layer.message.bias_param, bottoms[0]

    def text_blobs(blobs: list[Blob]) -> list[Blob]:
        if len(bottoms) == 1:
            _fit(param, bottom, blobs[0].shape, "bias")
        return blobs

    params: list[Param] = []
    if len(bottoms) > 1:
        _fit(param, bottom, bottoms[1], "bias")
    elif not layer.message.blobs:
        shape = _own_shape(param, bottom, param.num_axes, "bias")
        params.append(Param(shape, filler(param, "filler"), "bias"))
        _fit(param, bottom, shape, "bias")
    return Setup([bottom], params, text_blobs=text_blobs, operation=ops.Bias(_first_axis(param, bottoms)))


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
            blobs[0].count(), math.prod(shape), f"this->blobs_[0]->count() == {size}", "PReLU has one slope per channel"
        )
        return blobs

    slope = Param(shape, filler(param, "filler", absent=Spec(value=0.25)), "slope")
    return Setup([bottom], [slope], text_blobs=text_blobs, operation=ops.PReLU())


def _scaled_batch_norm(layer: Layer, bottom: Shape) -> Setup | None:
    """Return the set-up of a BatchNorm with a scale and bias of its own, as in forks, or None."""
    fields = Fields.of(layer, "batch_norm_param")
    shape = (bottom[axis(bottom, 1)],) if len(bottom) > 1 else (1,)
    mean, variance = Param(shape, None, "mean", learned=False), Param(shape, None, "variance", learned=False)
    if fields.flag("scale_bias") or "scale_filler" in fields:
        # NVIDIA/caffe from 0.16 on, and caffe-jacinto after it: the factor begins with 1
        scale = Param(shape, fields.filler("scale_filler", Spec(value=1.0)), "scale")
        bias = Param(shape, fields.filler("bias_filler"), "bias")
        params = [mean, variance, Param((1,), Spec(value=1.0), "factor", learned=False), scale, bias]
        param, least = layer.message.batch_norm_param, float(np.float32(1e-5))
        # use_global_stats has no effect there
        runs = ops.BatchNorm(max(param.eps, least), param.moving_average_fraction, layer.phase == "TEST", renewed=True)
        return Setup([bottom], params, operation=runs)
    # in intel/caffe only its own engines have them
    if fields.text("engine") in ("MKL2017", "MKLDNN") and fields.flag("use_weight_bias", True):
        params = [mean, variance, Param((1,), None, "factor", learned=False)]
        params.append(Param(shape, fields.filler("filler", Spec(value=1.0)), "scale"))
        if fields.flag("bias_term", True):
            params.append(Param(shape, fields.filler("bias_filler"), "bias"))
        return Setup([bottom], params, operation=_batch_norm(layer))
    return None


def _batch_norm(layer: Layer) -> ops.BatchNorm:
    param = layer.message.batch_norm_param
    stored = param.use_global_stats if param.HasField("use_global_stats") else layer.phase == "TEST"
    return ops.BatchNorm(param.eps, param.moving_average_fraction, stored)


@layer_type("BatchNorm", bottoms=ONE, tops=ONE, since="rc3")
def batch_norm(layer: Layer, bottoms: list[Shape]) -> Setup:
    bottom = bottoms[0]
    scaled = _scaled_batch_norm(layer, bottom) if layer.extras else None
    if scaled is not None:
        return scaled
    for spec in layer.message.param[:3]:
        if spec.lr_mult != 0:
            fail(
                f"this->layer_param_.param(i).lr_mult() == 0.f ({spec.lr_mult:g} vs. 0) "
                "Cannot configure batch normalization statistics as layer parameters.",
                "write lr_mult: 0 in each param of a BatchNorm layer, or leave them out",
            )
    channels = bottom[axis(bottom, 1)]
    if 0 in bottom:
        fail("data_", f"the bottom, {bottom}, is empty")
    statistics = (("mean", (channels,)), ("variance", (channels,)), ("factor", (1,)))
    params = [Param(shape, None, name, learned=False) for name, shape in statistics]
    return Setup([bottom], params, operation=_batch_norm(layer))


@layer_type("Parameter", bottoms=(0, 0), tops=ONE, since="1.0")
def parameter(layer: Layer, bottoms: list[Shape]) -> Setup:
    shape = tuple(layer.message.parameter_param.shape.dim)
    need(
        math.prod(shape) > 0 or bool(layer.message.blobs), "data_", f"parameter_param.shape is {describe(shape)}: empty"
    )
    return Setup([shape], [Param(shape, None, "value")], operation=ops.Parameter())
