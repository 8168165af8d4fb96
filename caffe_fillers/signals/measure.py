"""Pushing noise through a net's layers in NumPy, where it can be done, to measure what the theory predicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import ops
from ..errors import CaffeError
from ..layers import spatial
from ..layers.rule import Layer, Shape, axis
from ..net import Net
from .activations import activation
from .fans import WEIGHTED
from .moments import histogram

__all__ = ["Measured", "measure"]

_BUDGET = 4 << 20  # values in the largest blob
_MOST_IMAGES = 32

Array = Any


@dataclass(slots=True)
class Measured:
    """Variances and histograms of what layers with weights make, by their place in the net; where it had to stop."""

    images: int = 0
    variances: dict[int, float] = field(default_factory=dict)
    histograms: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)


def _convolution(layer: Layer, x: Array, net: Net) -> Array:
    param = layer.message.convolution_param
    if axis(x.shape, param.axis) != 1:
        raise CaffeError("channels on another axis than 1")
    window = spatial.convolution_window(param, x.ndim - 2)
    weight = layer.blobs[0].data
    bias = layer.blobs[1].data if len(layer.blobs) > 1 else None
    if layer.type == "Deconvolution":
        return ops.deconvolution(x, weight, bias, window, group=param.group)
    group = x.shape[1] if layer.type == "ConvolutionDepthwise" else param.group
    made = ops.convolution(x, weight, bias, window, group=group)
    if made.shape[1:] != net.blobs[layer.tops[0]].shape[1:]:
        raise CaffeError("padding that differs from side to side")
    return made


def _inner_product(layer: Layer, x: Array, net: Net) -> Array:
    param = layer.message.inner_product_param
    first = axis(x.shape, param.axis)
    weight = layer.blobs[0].data
    weight = weight.T if param.transpose else weight.reshape(weight.shape[-2:])
    bias = layer.blobs[1].data.reshape(-1) if len(layer.blobs) > 1 else None
    rows = ops.inner_product(x.reshape(math.prod(x.shape[:first]), -1), weight, bias)
    return rows.reshape(*x.shape[:first], -1)


def _pooling(layer: Layer, x: Array, net: Net) -> Array:
    param = layer.message.pooling_param
    window = spatial.pooling_window(param, x.shape[2:])
    places = net.blobs[layer.tops[0]].shape[2:]
    ceil = window.pooled(x.shape[2:], ceil=True) == places
    method = type(param).PoolMethod.Name(param.pool)
    if method == "STOCHASTIC" or len(layer.tops) > 1:
        raise CaffeError("stochastic pooling, or one with a mask")
    return (ops.max_pool if method == "MAX" else ops.average_pool)(x, window, ceil=ceil)


def _lrn(layer: Layer, x: Array, net: Net) -> Array:
    param = layer.message.lrn_param
    size, alpha, beta = param.local_size, param.alpha, param.beta
    if param.norm_region == type(param).NormRegion.Value("ACROSS_CHANNELS"):
        half = size // 2
        sums = np.cumsum(np.pad(x * x, ((0, 0), (half + 1, half), (0, 0), (0, 0))), axis=1)
        return x * (param.k + alpha / size * (sums[:, size:] - sums[:, :-size])) ** np.float32(-beta)
    window = ops.Window.square(size, pad=size // 2)
    return x * (1 + alpha * ops.average_pool(x * x, window)) ** np.float32(-beta)


def _normalise(layer: Layer, x: Array, net: Net) -> Array:
    """With the statistics of these images themselves, as in training."""
    if layer.type == "MVN":
        param = layer.message.mvn_param
        axes = tuple(range(1 if param.across_channels else 2, x.ndim))
        centred = x - x.mean(axis=axes, keepdims=True)
        if not param.normalize_variance:
            return centred
        return centred / (np.sqrt((centred**2).mean(axis=axes, keepdims=True)) + param.eps)
    axes = (0, *range(2, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    made = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + layer.message.batch_norm_param.eps)
    if len(layer.blobs) == 5:
        made = made * _broadcast(layer.blobs[3].data, x, 1) + _broadcast(layer.blobs[4].data, x, 1)
    return made


def _broadcast(values: Array, x: Array, first: int) -> Array:
    return values.reshape(values.shape + (1,) * (x.ndim - first - values.ndim))


def _scale(layer: Layer, x: Array, net: Net) -> Array:
    param = layer.message.scale_param if layer.type == "Scale" else layer.message.bias_param
    first = axis(x.shape, param.axis)
    if layer.type == "Bias":
        return x + _broadcast(layer.blobs[0].data, x, first)
    made = x * _broadcast(layer.blobs[0].data, x, first)
    return made + _broadcast(layer.blobs[1].data, x, first) if len(layer.blobs) > 1 else made


def _reshaped(layer: Layer, x: Array, net: Net) -> Array:
    shape = net.blobs[layer.tops[0]].shape
    return x.reshape(-1, *shape[1:])


def _permuted(layer: Layer, x: Array, net: Net) -> Array:
    before, after = net.blobs[layer.bottoms[0]].shape, net.blobs[layer.tops[0]].shape
    order = list(layer.extras.get("permute_param", [{}])[-1].get("order", ()))
    order += [i for i in range(x.ndim) if i not in order]
    if order[0] != 0 or tuple(before[i] for i in order) != after:
        raise CaffeError("images on another axis")
    return x.transpose(order)


_ONE: dict[str, Callable[[Layer, Array, Net], Array]] = {
    "BatchNorm": _normalise,
    "Bias": _scale,
    "Convolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "Flatten": _reshaped,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "MVN": _normalise,
    "Permute": _permuted,
    "Pooling": _pooling,
    "Reshape": _reshaped,
    "Scale": _scale,
}


def _eltwise(layer: Layer, bottoms: list[Array]) -> Array:
    param = layer.message.eltwise_param
    operation = type(param).EltwiseOp.Name(param.operation)
    if operation == "SUM":
        coefficients = list(param.coeff) or [1.0] * len(bottoms)
        return sum(x * np.float32(c) for x, c in zip(bottoms, coefficients, strict=True))
    made = bottoms[0]
    for x in bottoms[1:]:
        made = made * x if operation == "PROD" else np.maximum(made, x)
    return made


def _concatenated(layer: Layer, bottoms: list[Array]) -> Array:
    param = layer.message.concat_param
    at = param.concat_dim if param.HasField("concat_dim") else axis(bottoms[0].shape, param.axis)
    if at == 0:
        raise CaffeError("a Concat of images")
    return np.concatenate(bottoms, axis=at)


def _sliced(layer: Layer, x: Array, net: Net) -> list[Array]:
    param = layer.message.slice_param
    at = param.slice_dim if param.HasField("slice_dim") else axis(x.shape, param.axis)
    if at == 0:
        raise CaffeError("a Slice of images")
    ends = np.cumsum([net.blobs[name].shape[at] for name in layer.tops])
    return np.split(x, ends[:-1], axis=at)


def _compute(layer: Layer, bottoms: list[Array], net: Net, rng: np.random.Generator) -> list[Array] | None:
    """The tops, or None where this can't be computed here."""
    x = bottoms[0]
    made = activation(layer)
    if made is not None:
        return [made.function(x).astype(x.dtype, copy=False)]
    if layer.type in _ONE and len(bottoms) == 1:
        return [_ONE[layer.type](layer, x, net)]
    if layer.type in ("Convolution", "Deconvolution", "DepthwiseConvolution"):
        return [_convolution(layer, bottom, net) for bottom in bottoms]
    if layer.type == "Dropout":
        ratio = layer.message.dropout_param.dropout_ratio if layer.phase == "TRAIN" else 0.0
        return [x * ((rng.random(x.shape, np.float32) >= ratio) / np.float32(1 - ratio)) if ratio else x]
    if layer.type == "Eltwise":
        return [_eltwise(layer, bottoms)]
    if layer.type == "Scale":
        first = axis(x.shape, layer.message.scale_param.axis)
        return [x * bottoms[1].reshape(bottoms[1].shape + (1,) * (x.ndim - first - bottoms[1].ndim))]
    if layer.type in ("Add", "Mul"):
        return [x + bottoms[1] if layer.type == "Add" else x * bottoms[1]]
    if layer.type == "Axpy":
        scale = x.reshape(x.shape[:2] + (1,) * (bottoms[1].ndim - 2))
        return [scale * bottoms[1] + bottoms[2]]
    if layer.type == "Concat":
        return [_concatenated(layer, bottoms)]
    if layer.type == "Slice":
        return _sliced(layer, x, net)
    if layer.type == "Split":
        return [x] * len(layer.tops)
    if layer.type == "Softmax":
        return [ops.softmax(x, axis(x.shape, layer.message.softmax_param.axis))]
    return None


def _noise(shape: Shape, images: int, rng: np.random.Generator, dtype: Any) -> Array:
    return rng.standard_normal((images, *shape[1:])).astype(dtype)


def _quick(net: Net) -> int:
    largest = max((math.prod(blob.shape[1:]) for blob in net.blobs.values() if len(blob.shape) > 1), default=1)
    return max(2, min(_MOST_IMAGES, _BUDGET // max(largest, 1)))


def measure(net: Net, images: int | None = None) -> Measured:
    """Push noise through `net` and measure the results of its layers with weights."""
    if images is not None and images < 1:
        raise CaffeError(f"images is a number above 0, got {images}")
    for blobs in net.params.values():
        for blob in blobs:
            try:
                _ = blob.data
            except CaffeError:
                raise CaffeError("measuring needs the weights; build the net with fill=True") from None
    results = Measured(_quick(net) if images is None else images)
    rng = np.random.default_rng(0)
    last_use = {name: i for i, layer in enumerate(net.layers) for name in layer.bottoms}
    values: dict[str, Array | None] = {}
    for i, layer in enumerate(net.layers):
        tops: list[Array] | None = None
        bottoms = [values[name] for name in layer.bottoms]
        if not bottoms:
            shapes = [net.blobs[name].shape for name in layer.tops]
            tops = [_noise(shape, results.images, rng, net.dtype) for shape in shapes]
        elif all(bottom is not None for bottom in bottoms):
            try:
                with np.errstate(all="ignore"):
                    tops = _compute(layer, bottoms, net, rng)
            except (CaffeError, ValueError, IndexError):
                tops = None
            if tops is None and _leads_on(net, i):
                results.stopped.append(f"'{layer.name}' ({layer.type})")
        if tops is not None and layer.type in WEIGHTED:
            results.variances[i] = float(np.var(tops[0], dtype=np.float64))
            results.histograms[i] = histogram(tops[0])
        values.update(zip(layer.tops, tops if tops is not None else [None] * len(layer.tops), strict=False))
        for name in layer.bottoms:
            if last_use[name] == i and name not in layer.tops:
                values.pop(name, None)
    return results


def _leads_on(net: Net, i: int) -> bool:
    """Whether a layer with weights follows layer `i`."""
    reached = set(net.layers[i].tops)
    for layer in net.layers[i + 1 :]:
        if reached & set(layer.bottoms):
            if layer.type in WEIGHTED:
                return True
            reached |= set(layer.tops)
    return False
