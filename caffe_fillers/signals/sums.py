"""What a layer with weights sums: over how many inputs, and how its weights are distributed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..blob import Blob
from ..errors import CaffeError
from ..layers import spatial
from ..layers.rule import Layer, Shape, axis

__all__ = ["WEIGHTED", "Fans", "designed_moments", "histogram", "measured_moments", "true_fans", "values_pooled"]

_BINS = 41

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


# --- weights -------------------------------------------------------------------------------------------------------


def designed_moments(filler: dict[str, Any], std: float | None) -> tuple[float, float] | None:
    """Mean and variance that a filler is designed to give, where it is."""
    kind = filler["type"]
    if kind == "positive_unitball" or std is None or not math.isfinite(std):
        return None
    mean = 0.0
    if kind == "constant":
        mean = filler.get("value", 0.0)
    elif kind == "uniform":
        mean = (filler.get("min", 0.0) + filler.get("max", 1.0)) / 2
    elif kind == "gaussian":
        mean = filler.get("mean", 0.0)
    elif kind == "bilinear":
        return None
    return mean, std**2


def measured_moments(blob: Blob) -> tuple[float, float] | None:
    try:
        data = blob.data
    except CaffeError:
        return None
    total = square = 0.0
    flat = data.reshape(-1)
    for start in range(0, flat.size, 1 << 20):
        piece = flat[start : start + (1 << 20)].astype(np.float64)
        total += float(piece.sum())
        square += float(piece @ piece)
    if not flat.size:
        return None
    mean = total / flat.size
    return mean, max(square / flat.size - mean**2, 0.0)


def histogram(values: np.ndarray) -> dict[str, list[float]]:
    """Counts of `values` in even bins that reach four deviations, or as far as there are values."""
    flat = values.reshape(-1)
    if flat.size > 200_000:
        flat = flat[:: flat.size // 200_000 + 1]
    flat = flat[np.isfinite(flat)].astype(np.float64)
    if not flat.size:
        return {"edges": [], "counts": []}
    mean, std = float(flat.mean()), float(flat.std())
    low, high = max(float(flat.min()), mean - 4 * std), min(float(flat.max()), mean + 4 * std)
    if not low < high:
        return {"edges": [low, high], "counts": [int(flat.size)]}
    counts, edges = np.histogram(flat, _BINS, (low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}
