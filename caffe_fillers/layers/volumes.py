"""Layers of forks with five axes: C3D's of 2014, and those with a kernel_shape."""

from __future__ import annotations

import math

from ..checks import c_div, c_int, need, need_equal
from ..errors import CaffeError
from .data import datum_shape
from .extras import Fields
from .rule import Layer, Param, Setup, Shape, filler, layer_type
from .transforming import draws_of

ONE = (1, 1)
C3D = "facebookarchive/C3D"
ND = "chuckcho/video-caffe and others (kernel_shape)"


def _volume(layer: Layer, bottom: Shape) -> Shape:
    need_equal(
        5, len(bottom), "5 == bottom[0]->num_axes()", f"{layer.type} takes (num, channels, length, height, width)"
    )
    return bottom


def _given(param: object, name: str, default: int = 0) -> int:
    values = getattr(param, name)
    if isinstance(values, int):
        return c_int(values)
    need(len(values) < 2, f"{name} is given once there ({len(values)} vs. 1)")
    return c_int(values[0]) if values else default


def _sizes(layer: Layer, message: str) -> tuple[list[int], list[int], list[int]]:
    """Return kernel, stride and padding of length, height and width."""
    param, fields = getattr(layer.message, message), Fields.of(layer, message)
    kernel, stride, pad = _given(param, "kernel_size"), _given(param, "stride", 1), _given(param, "pad")
    kernels = [fields.integer("kernel_depth", 1), kernel, kernel]
    strides = [fields.integer("temporal_stride", 1), stride, stride]
    for value in (*kernels, *strides):
        need(value > 0, f"kernel and stride > 0 ({value} vs. 0)", f"{message} needs kernel_size and kernel_depth")
    return kernels, strides, [fields.integer("temporal_pad"), pad, pad]


@layer_type("CONVOLUTION3D", "Convolution3D", bottoms=ONE, tops=ONE, fork=C3D, runs=False)
def convolution3d(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _convolution3d(layer, bottoms, transposed=False)


@layer_type("DECONVOLUTION3D", "Deconvolution3D", bottoms=ONE, tops=ONE, fork=C3D, runs=False)
def deconvolution3d(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _convolution3d(layer, bottoms, transposed=True)


def _convolution3d(layer: Layer, bottoms: list[Shape], transposed: bool) -> Setup:
    num, channels, *size = _volume(layer, bottoms[0])
    param, (kernel, stride, pad) = layer.message.convolution_param, _sizes(layer, "convolution_param")
    outputs = c_int(param.num_output)
    groups = Fields.of(layer, "convolution_param").integer("filter_group", 1)
    need(outputs > 0, f"num_output_ > 0 ({outputs} vs. 0)", "give num_output")
    need(groups > 0 and outputs % groups == 0, f"num_output_ % filter_group_ == 0 ({outputs} in {groups} groups)")
    steps = zip(size, kernel, stride, pad, strict=True)
    if transposed:
        top = [s * (n - 1) + k - 2 * p for n, k, s, p in steps]
    else:
        top = [c_div(n + 2 * p - k, s) + 1 for n, k, s, p in steps]
    ends = (channels, outputs) if transposed else (outputs, channels)
    params = [Param((*ends, *kernel), filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((1, 1, 1, 1, outputs), filler(param, "bias_filler"), "bias"))
    return Setup([(num, outputs, *top)], params)


@layer_type("POOLING3D", "Pooling3D", bottoms=ONE, tops=ONE, fork=C3D, runs=False)
def pooling3d(layer: Layer, bottoms: list[Shape]) -> Setup:
    num, channels, *size = _volume(layer, bottoms[0])
    kernel, stride, pad = _sizes(layer, "pooling_param")
    # rounded up as in Caffe, and never padded along the length
    pad[0] = 0
    steps = zip(size, kernel, stride, pad, strict=True)
    return Setup([(num, channels, *(math.ceil((n + 2 * p - k) / s) + 1 for n, k, s, p in steps))])


@layer_type("VIDEO_DATA", bottoms=(0, 0), tops=(1, 2), fork=C3D, runs=False)
def video_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    """Set up clips from an image list: (batch, channels, length, height, width), then the labels."""
    param, fields = layer.message.image_data_param, Fields.of(layer, "image_data_param")
    batch, length = c_int(param.batch_size), fields.integer("new_length", 1)
    height, width = c_int(param.new_height), c_int(param.new_width)
    crop = c_int(layer.message.transform_param.crop_size)
    given = layer.given(*layer.tops[:1])
    if given is not None and len(given) == 4:
        channels, length, height, width = given
    elif not height:
        channels, height, width = datum_shape(layer, given, "a clip", param.source)
    else:
        channels = 2 if fields.flag("is_flow") else 3
    need(batch > 0 and length > 0, f"batch_size > 0 and new_length > 0 ({batch} and {length})")
    top = (batch, channels, length, crop or height, crop or width)
    draws = draws_of(layer, shuffle=param.shuffle, skip=param.rand_skip > 0)
    tops: list[Shape] = [top, (batch, 1, 1, 1, 1)]
    return Setup(tops[: len(layer.tops)], draws=draws)


@layer_type("NdConvolution", bottoms=(1, None), tops=(1, None), equal=True, fork=ND, runs=False)
def nd_convolution(layer: Layer, bottoms: list[Shape]) -> Setup:
    param, fields = layer.message.convolution_param, Fields.of(layer, "convolution_param")
    num, channels, *size = bottoms[0]
    shapes = {}
    for name, default in (("kernel_shape", None), ("stride_shape", 1), ("pad_shape", 0)):
        if name in fields:
            shapes[name] = Fields.of_value(f"convolution_param.{name}", fields.values[name][-1]).integers("dim")
        elif default is None:
            raise CaffeError("Check failed: conv_param.has_kernel_shape() Kernel shape is required.")
        else:
            shapes[name] = [default] * len(size)
        need_equal(len(size), len(shapes[name]), f"the axes of {name}", f"the bottom, {bottoms[0]}, has {len(size)}")
    kernel, stride, pad = shapes["kernel_shape"], shapes["stride_shape"], shapes["pad_shape"]
    outputs, group = c_int(param.num_output), c_int(param.group)
    need(min(*kernel, *stride, 1) > 0, f"kernel and stride > 0, got {kernel} and {stride}")
    need(outputs > 0, f"num_output_ > 0 ({outputs} vs. 0)", "give num_output")
    need(group > 0 and channels % group == 0, f"channels_ % group_ == 0 ({channels} in {group} groups)")
    need(outputs % group == 0, f"num_output_ % group_ == 0 ({outputs} in {group} groups)")
    for i, bottom in enumerate(bottoms):
        need_equal(bottoms[0], bottom, f"bottom[0]->shape() == bottom[{i}]->shape()")
    params = [Param((outputs, channels // group, *kernel), filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((outputs,), filler(param, "bias_filler"), "bias"))
    steps = zip(size, kernel, stride, pad, strict=True)
    top = (num, outputs, *(c_div(n + 2 * p - k, s) + 1 for n, k, s, p in steps))
    return Setup([top] * len(layer.tops), params)
