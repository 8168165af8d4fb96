"""What a layer with weights sums: over how many inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..layers import spatial
from ..layers.rule import Layer, Shape, axis

__all__ = ["WEIGHTED", "Fans", "true_fans", "values_pooled"]

WEIGHTED = {
    "Convolution",
    "ConvolutionDepthwise",
    "Deconvolution",
    "DepthwiseConvolution",
    "Embed",
    "InnerProduct",
    "MarginInnerProduct",
}


# --- fans ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Fans:
    """How many terms make one output, how many outputs an input goes to, and how much of either lies off padding."""

    into: float
    out: float
    inside: float = 1.0


def _reached(size: int, places: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    """How many pairs of a place and an offset of the kernel meet a pixel that exists."""
    met = 0
    for tap in range(kernel):
        offset = tap * dilation - pad
        first = max(0, -(offset // stride))
        last = min(places - 1, (size - 1 - offset) // stride)
        met += max(0, last - first + 1)
    return met


def true_fans(layer: Layer, weight: Shape, bottom: Shape, top: Shape) -> Fans:
    if layer.type in ("InnerProduct", "MarginInnerProduct"):
        transposed = layer.type == "InnerProduct" and layer.message.inner_product_param.transpose
        # up to rc2 a matrix had two axes of 1 before it
        outputs, inputs = weight[:-3:-1] if transposed else weight[-2:]
        return Fans(inputs, outputs)
    if layer.type == "Embed":
        # one row is looked up: nothing is summed
        return Fans(1, weight[1])
    param = layer.message.convolution_param
    first = axis(bottom, param.axis) + 1
    axes = len(bottom) - first
    window = spatial.convolution_window(param, axes)
    kernel, stride, pad, dilation = window.kernel, window.stride, window.pad, window.dilation
    taps, steps = math.prod(kernel), math.prod(stride)
    transposed = layer.type == "Deconvolution"
    met = 1
    for i in range(axes):
        small, large = (bottom, top) if transposed else (top, bottom)
        met *= _reached(large[first + i], small[first + i], kernel[i], stride[i], pad[i], dilation[i])
    # the mean number of taps that reach an output, against that away from borders
    places, full = math.prod(top[first:]), taps / steps if transposed else taps
    inside = met / (places * full) if places else 0.0
    if transposed:
        per_group = bottom[first - 1] / (1 if layer.type == "ConvolutionDepthwise" else param.group)
        return Fans(per_group * taps / steps, weight[1] * taps, inside)
    outputs = 1 if layer.type == "ConvolutionDepthwise" else weight[0] / param.group
    return Fans(weight[1] * taps, outputs * taps / steps, inside)


def values_pooled(layer: Layer, bottom: Shape, top: Shape) -> float:
    """How many values a pooling looks at, on average."""
    window = spatial.pooling_window(layer.message.pooling_param, bottom[2:])
    mean = 1.0
    for i in range(2):
        places = top[2 + i]
        met = _reached(bottom[2 + i], places, window.kernel[i], window.stride[i], window.pad[i], 1)
        mean *= met / places if places else 1.0
    return mean
