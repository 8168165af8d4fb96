"""Layers that slide a window over the spatial axes: convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from .. import ops
from ..blob import Blob, check_shape, describe
from ..checks import c_div, c_int, fail, need, need_equal
from ..errors import CaffeError
from ..ops.window import Window
from ..revisions import RC2
from .extras import Fields
from .rule import Layer, Param, Setup, Shape, axis, count, filler, layer_type, legacy

__all__ = ["convolution_window", "height_width", "pooled", "pooling_window"]

if TYPE_CHECKING:
    from .. import schema
    from ..schema import PoolingParameter

ONE = (1, 1)


def _per_axis(param: Message, name: str, spatial: int, default: int | None) -> list[int]:
    """Return kernel_size, stride, pad or dilation per spatial axis: from the _h and _w pair, or the repeated field."""
    given = [c_int(value) for value in getattr(param, name)]
    short = name.removesuffix("_size")
    if name != "dilation" and (param.HasField(f"{short}_h") or param.HasField(f"{short}_w")):
        need(
            spatial == 2,
            f"num_spatial_axes_ == 2 ({spatial} vs. 2) {short}_h & {short}_w can only be used for 2D convolution.",
            f"give {name} once, or once per spatial axis",
        )
        need(
            not given,
            f"0 == conv_param.{name}_size() (0 vs. {len(given)}) "
            f"Either {name} or {short}_h/w should be specified; not both.",
        )
        return [c_int(getattr(param, f"{short}_h")), c_int(getattr(param, f"{short}_w"))]
    if not given and default is not None:
        return [default] * spatial
    if len(given) not in (1, spatial):
        dims = f"num_{short}_dims"
        none = "" if default is None else f"{dims} == 0 || "
        fail(
            f"{none}{dims} == 1 || {dims} == num_spatial_axes_ {name} must be specified once, or once per spatial "
            f"dimension ({name} specified {len(given)} times; {spatial} spatial dims)."
        )
    return given * spatial if len(given) == 1 else given


def convolution_window(param: schema.ConvolutionParameter, spatial: int) -> Window:
    """Return the window of a ConvolutionParameter over `spatial` axes."""
    kernel = _per_axis(param, "kernel_size", spatial, None)
    for size in kernel:
        if size <= 0:
            fail(
                f"kernel_shape_data[i] > 0 ({size} vs. 0) Filter dimensions must be nonzero.",
                "give kernel_size, or both kernel_h and kernel_w",
            )
    stride = _per_axis(param, "stride", spatial, 1)
    for step in stride if param.stride else ():
        if step <= 0:
            fail(
                f"stride_data[i] > 0 ({step} vs. 0) Stride dimensions must be nonzero.",
                "a stride is 1 or more",
            )
    pad, dilation = _per_axis(param, "pad", spatial, 0), _per_axis(param, "dilation", spatial, 1)
    return Window(tuple(kernel), tuple(stride), tuple(pad), tuple(dilation))


def exact_blobs(params: Sequence[Param]) -> Callable[[list[Blob]], list[Blob]]:
    """For `Setup.text_blobs`: require that the blobs in a layer's text have the shapes that it would make."""

    def check(blobs: list[Blob]) -> list[Blob]:
        need_equal(
            len(params), len(blobs), "1 + bias_term_ == this->blobs_.size()", "Incorrect number of weight blobs."
        )
        for param, blob in zip(params, blobs, strict=True):
            if param.shape != blob.shape:
                raise CaffeError(
                    f"Incorrect {param.name} shape: expected shape {describe(param.shape)}; "
                    f"instead, shape was {describe(blob.shape)}"
                )
        return blobs

    return check


def padded(layer: Layer, window: Window, message: str = "convolution_param") -> Window:
    """Return the window with another padding per side, as a fork (synopsys-caffe) has it."""
    if message not in layer.extras:
        return window
    fields = Fields.of(layer, message)
    before, behind = (tuple(fields.integer(f"pad_{side}") for side in sides) for sides in ("tl", "br"))
    if not any(before + behind):
        return window
    need_equal(2, len(window.pad), "num_spatial_axes_ == 2", "pad_t, pad_b, pad_l and pad_r are for two spatial axes")
    return replace(window, pad=before, behind=behind)


def dilated(layer: Layer, window: Window) -> Window:
    """Return the window with the dilation fields of forks from before BVLC Caffe's: DeepLab, naibaf7/caffe."""
    if "convolution_param" not in layer.extras:
        return window
    fields, axes = Fields.of(layer, "convolution_param"), len(window.kernel)
    for name in ("hole", "kstride"):
        pair = (f"{name}_h", f"{name}_w")
        if all(each in fields for each in pair) and axes == 2:
            return replace(window, dilation=tuple(fields.integer(each) for each in pair))
        given = fields.integers(name)
        if given:
            need(len(given) in (1, axes), f"{name} is given once, or once per spatial axis ({len(given)} vs. {axes})")
            return replace(window, dilation=tuple(given if len(given) == axes else given * axes))
    return window


def convolved(
    layer: Layer, bottoms: list[Shape], outputs: int, inputs_axis: int, window: Window, transposed: bool
) -> list[Shape]:
    kernel, stride, padding, dilation = window.kernel, window.stride, window.padding, window.dilation
    for i, bottom in enumerate(bottoms):
        if bottom != bottoms[0]:
            fail(
                f"bottom[0]->shape() == bottom[{i}]->shape() All inputs must have the same shape.",
                f"bottom 0 is {bottoms[0]}, bottom {i} is {bottom}",
            )
    out = []
    for i, size in enumerate(bottoms[0][inputs_axis + 1 :]):
        extent = dilation[i] * (kernel[i] - 1) + 1
        if transposed:
            out.append(stride[i] * (size - 1) + extent - padding[i])
        else:
            # Caffe divides by it; only a Deconvolution accepts a stride_h or stride_w of 0
            need(stride[i] != 0, "stride_data[i] > 0 (0 vs. 0)", "give stride, or both stride_h and stride_w")
            out.append(c_div(size + padding[i] - extent, stride[i]) + 1)
    top = (*bottoms[0][:inputs_axis], outputs, *out)
    if layer.age <= RC2:
        for size, name in zip(out, ("height", "width"), strict=False):
            need(size >= 0, f"{name} >= 0 ({size} vs. 0)", f"the kernel does not fit a bottom of {bottoms[0]}")
    check_shape(top)
    return [top] * len(layer.tops)


def _convolution(layer: Layer, bottoms: list[Shape], transposed: bool) -> Setup:
    param = layer.message.convolution_param
    channel_axis = axis(bottoms[0], param.axis)
    window = convolution_window(param, len(bottoms[0]) - channel_axis - 1)
    window = padded(layer, dilated(layer, window))
    channels, outputs, group = bottoms[0][channel_axis], c_int(param.num_output), c_int(param.group)
    need(outputs > 0, f"num_output_ > 0 ({outputs} vs. 0)", "give num_output")
    need(group != 0, "group_ > 0 (0 vs. 0)", "group: 0 crashes Caffe; leave it out for one group")
    if channels % group:
        fail(
            f"channels_ % group_ == 0 ({channels % group} vs. 0)",
            f"{channels} input channels can't be divided into {group} groups",
        )
    if outputs % group:
        fail(
            f"num_output_ % group_ == 0 ({outputs % group} vs. 0) Number of output should be multiples of group.",
            f"{outputs} outputs can't be divided into {group} groups",
        )
    if transposed:
        weight = (channels, c_div(outputs, group), *window.kernel)
    else:
        weight = (outputs, c_div(channels, group), *window.kernel)
    params = [Param(weight, filler(param, "weight_filler"))]
    if param.bias_term:
        # N-d blobs came after rc2
        bias = (outputs,) if layer.age > RC2 else (1, 1, 1, outputs)
        params.append(Param(bias, filler(param, "bias_filler"), "bias"))
    tops = convolved(layer, bottoms, outputs, channel_axis, window, transposed)
    # the image that im2col unfolds: the output of a convolution, the input of a deconvolution
    spatial = (bottoms if transposed else tops)[0][channel_axis + 1 :]
    check_shape((math.prod(weight[1:]) * group, *spatial))
    if param.bias_term:
        need(
            math.prod(tops[0][channel_axis + 1 :]) > 0,
            "data_",
            f"the output, {tops[0]}, is empty, which works with bias_term: false only",
        )
    if transposed:
        # Caffe accepts a stride of 0 here, but it can only be a mistake
        runs = ops.Deconvolution(window, group) if 0 not in window.stride else None
        return Setup(tops, params, text_blobs=exact_blobs(params), operation=runs)
    return Setup(tops, params, text_blobs=exact_blobs(params), operation=ops.Convolution(window, group))


@layer_type("Convolution", bottoms=(1, None), tops=(1, None), equal=True)
def convolution(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _convolution(layer, bottoms, transposed=False)


@layer_type("Deconvolution", bottoms=(1, None), tops=(1, None), equal=True, since="rc2")
def deconvolution(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _convolution(layer, bottoms, transposed=True)


@layer_type("Im2col", bottoms=ONE, tops=ONE)
def im2col(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.convolution_param
    channel_axis = axis(bottoms[0], param.axis)
    spatial = len(bottoms[0]) - channel_axis - 1
    need(spatial >= 1, f"num_spatial_axes_ >= 1 ({spatial} vs. 1)", "Im2col needs an axis after the channels")
    window = padded(layer, convolution_window(param, spatial))
    columns = bottoms[0][channel_axis] * math.prod(window.kernel)
    tops = convolved(layer, bottoms, columns, channel_axis, window, False)
    return Setup(tops, operation=ops.Im2col(window))


# --- pooling -------------------------------------------------------------------------------------------------------


def pooled(bottom: Shape, window: Window, up: bool = True) -> Shape:
    """Return the top of a pooling layer over `bottom`, (N, C, H, W)."""
    return check_shape((*bottom[:2], *window.pooled(bottom[2:], ceil=up)))


_PADDED = (
    "this->layer_param_.pooling_param().pool() == PoolingParameter_PoolMethod_AVE || "
    "this->layer_param_.pooling_param().pool() == PoolingParameter_PoolMethod_MAX "
    "Padding implemented only for average and max pooling.",
    "pad works with pool: MAX and pool: AVE only",
)


def pooling_window(param: schema.PoolingParameter, size: Sequence[int]) -> Window:
    """Return the window of a PoolingParameter over images of `size`, (height, width)."""
    kernel = tuple(size) if param.global_pooling else height_width(param, "kernel")
    return Window(kernel, height_width(param, "stride"), height_width(param, "pad"), (1, 1))


def height_width(param: Message, name: str) -> tuple[int, int]:
    field = "kernel_size" if name == "kernel" else name
    if param.HasField(f"{name}_h") and not (name == "kernel" and param.HasField(field)):
        return c_int(getattr(param, f"{name}_h")), c_int(getattr(param, f"{name}_w"))
    return (c_int(getattr(param, field)),) * 2


def _check_given(param: PoolingParameter) -> None:
    """Refuse sizes that are given twice, or by halves."""
    has = param.HasField
    if param.global_pooling:
        need(
            not (has("kernel_size") or has("kernel_h") or has("kernel_w")),
            "!(pool_param.has_kernel_size() || pool_param.has_kernel_h() || pool_param.has_kernel_w())",
            "with global_pooling: true the kernel is the whole bottom; leave its size out",
        )
    else:
        need(
            has("kernel_size") != (has("kernel_h") and has("kernel_w")),
            "!pool_param.has_kernel_size() != !(pool_param.has_kernel_h() && pool_param.has_kernel_w())",
            "give kernel_size, or kernel_h and kernel_w; not both",
        )
        need(
            has("kernel_size") or (has("kernel_h") and has("kernel_w")),
            "pool_param.has_kernel_size() || (pool_param.has_kernel_h() && pool_param.has_kernel_w())",
            "give kernel_size, or kernel_h and kernel_w",
        )
    for name in ("pad", "stride"):
        pair = has(f"{name}_h"), has(f"{name}_w")
        need(
            (not has(name) and all(pair)) or not any(pair),
            f"(!pool_param.has_{name}() && pool_param.has_{name}_h() && pool_param.has_{name}_w()) || "
            f"(!pool_param.has_{name}_h() && !pool_param.has_{name}_w())",
            f"give {name}, or {name}_h and {name}_w; not both",
        )


@layer_type("Pooling", bottoms=ONE, tops=(1, 2))
def pooling(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.pooling_param
    methods = type(param).PoolMethod
    if param.pool != methods.Value("MAX"):
        need(
            len(layer.tops) == 1,
            f"MaxTopBlobs() >= top.size() (1 vs. {len(layer.tops)}) "
            "Pooling Layer produces at most 1 top blob(s) as output.",
            "only pool: MAX has a second top, the mask",
        )
    _check_given(param)
    bottom = bottoms[0]
    kernel = legacy(bottom)[2:] if param.global_pooling else height_width(param, "kernel")
    for size, letter in zip(kernel, "hw", strict=True):
        need(size > 0, f"kernel_{letter}_ > 0 ({size} vs. 0) Filter dimensions cannot be zero.")
    pad, stride = height_width(param, "pad"), height_width(param, "stride")
    if param.global_pooling:
        need(
            pad == (0, 0) and stride == (1, 1),
            "pad_h_ == 0 && pad_w_ == 0 && stride_h_ == 1 && stride_w_ == 1",
            "with global_pooling: true pad must be 0 and stride 1",
        )
    if any(pad):
        need(param.pool in (methods.Value("AVE"), methods.Value("MAX")), *_PADDED)
        for i, letter in enumerate("hw"):
            need(
                pad[i] < kernel[i],
                f"pad_{letter}_ < kernel_{letter}_ ({pad[i]} vs. {kernel[i]})",
                "the padding must be smaller than the kernel",
            )
    need_equal(4, len(bottom), "4 == bottom[0]->num_axes()", "Pooling takes (num, channels, height, width)")
    up = param.round_mode == type(param).RoundMode.Value("CEIL")
    fields = Fields.of(layer, "pooling_param")
    rounded = "ceil_mode" in fields, "round_below" in fields
    if not param.HasField("round_mode") and any(rounded):
        # the field names of forks (caffe-rfcn) from before BVLC Caffe had the layer
        up = fields.flag("ceil_mode", True) and not fields.flag("round_below")
    window = padded(layer, Window(kernel, stride, pad, (1, 1)), "pooling_param")
    method = methods.Name(param.pool)
    if fields.integer("pad_type") == 1:
        # synopsys-caffe: TensorFlow's SAME
        need(min(stride) > 0, f"stride > 0 ({min(stride)} vs. 0)")
        same = [-(-size // step) for size, step in zip(bottom[2:], stride, strict=True)]
        return Setup([(*bottom[:2], *same)] * len(layer.tops))
    # a method that BVLC Caffe doesn't know, such as synopsys-caffe's AVE_EXC_PAD
    known = not fields.values.get("pool") and window.behind is None
    operation = ops.Pooling(window, method, up) if known else None
    return Setup([pooled(bottom, window, up)] * len(layer.tops), operation=operation)


@layer_type("SPP", bottoms=ONE, tops=ONE)
def spp(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.spp_param
    levels = c_int(param.pyramid_height)
    stochastic = param.pool == type(param).PoolMethod.Value("STOCHASTIC")
    bottom = bottoms[0]
    check = "4 == bottom[0]->num_axes()"
    need_equal(4, len(bottom), check, "SPP takes (num, channels, height, width)")
    height, width = bottom[2:]
    need(height > 0, f"bottom_h_ > 0 ({height} vs. 0) Input dimensions cannot be zero.")
    need(width > 0, f"bottom_w_ > 0 ({width} vs. 0) Input dimensions cannot be zero.")
    need(
        levels > 0,
        "MinTopBlobs() <= top.size() (1 vs. 0) Split Layer produces at least 1 top blob(s) as output.",
        f"pyramid_height is at least 1, got {levels}",
    )
    if levels > 1:
        need(not layer.in_place[0], f"{check} (4 vs. 2)", "SPP with more than one level can't work in place")
    total = 0
    top: Shape = ()
    windows = []
    for level in range(levels):
        bins = 2**level
        kernel = (-(-height // bins), -(-width // bins))
        pad = ((kernel[0] * bins - height + 1) // 2, (kernel[1] * bins - width + 1) // 2)
        need(not (stochastic and any(pad)), *_PADDED)
        for i, letter in enumerate("hw"):
            need(
                pad[i] < kernel[i] or not any(pad),
                f"pad_{letter}_ < kernel_{letter}_ ({pad[i]} vs. {kernel[i]})",
                f"a bottom of {height}x{width} is too small for {levels} levels",
            )
        windows.append(Window(kernel, kernel, pad, (1, 1)))
        top = pooled(bottom, windows[-1])
        total += count(top[1:])
    operation = ops.SPP(tuple(windows), type(param).PoolMethod.Name(param.pool))
    return Setup([top if levels == 1 else (bottom[0], total)], operation=operation)
