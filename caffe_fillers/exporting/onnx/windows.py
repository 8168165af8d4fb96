"""Layers that slide a window over images, such as convolution and pooling, in ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ... import ops
from ...ops.pool import window_sizes
from ..plan import Entry, Value, refuse
from .builder import Builder, translate

__all__: list[str] = []

Window = ops.Window


def _reaches(window: Window, size: Sequence[int], places: Sequence[int]) -> list[int]:
    """Return the padding that the last place needs after each axis; it is negative if pixels are left over."""
    return [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for n, o, k, s, p, d in zip(
            size, places, window.kernel, window.stride, window.pad, window.dilation, strict=True
        )
    ]


def _behind(window: Window) -> tuple[int, ...]:
    return window.behind or window.pad


def _as_images(g: Builder, e: Entry, value: Value, axes: int) -> str:
    """Return a value with exactly one axis before the channels."""
    if len(value.shape) == axes + 2 and axes:
        return value.name
    return g.reshape(value.name, [-1, *_fixed(e, value.dims[len(value.dims) - axes - 1 :]), *(() if axes else (1,))])


def _with_an_axis(window: Window) -> Window:
    """Return the window with an axis of one place added if it has none: ONNX's operators need one, Caffe's don't."""
    return window if window.kernel else Window.square(1, axes=1)


def _fixed(e: Entry, dims: Sequence[int | str]) -> list[int]:
    """Return dims that must be numbers; refuse named ones."""
    if any(isinstance(dim, str) for dim in dims):
        raise refuse(
            e.where, e.layer, "needs its height and width as numbers", "export without dynamic=True (--dynamic)"
        )
    return [int(dim) for dim in dims]


def _from_images(g: Builder, e: Entry, result: str, axes: int, k: int) -> None:
    """Reshape a result to the axes of its blob: the inverse of `_as_images`."""
    value = e.writes[k]
    if result != value.name:
        dims = _fixed(e, value.dims[1:]) if isinstance(value.dims[0], str) else _fixed(e, value.dims)
        g.reshape(result, [-1, *dims] if isinstance(value.dims[0], str) else dims, value.name)


def _slid(g: Builder, e: Entry, k: int, kind: str, weight: Sequence[str], window: Window, group: int) -> None:
    """Add a node that slides `window` over bottom k: a Conv or a ConvTranspose."""
    x, y, axes = e.reads[k], e.writes[k], len(window.kernel)
    window = _with_an_axis(window)
    images = _as_images(g, e, x, axes)
    output = y.name if images == x.name else ""
    pads = [*window.pad, *_behind(window)]
    extents = [d * (size - 1) + 1 for size, d in zip(window.kernel, window.dilation, strict=True)]
    if kind == "Conv" and any(p >= extent for p, extent in zip(pads, extents * 2, strict=True)):
        # for places that hold only padding OpenCV 5 computes something else
        images = g.add("Pad", [images, g.whole([0, 0, *window.pad, 0, 0, *_behind(window)])])
        pads = [0] * len(pads)
    result = g.add(
        kind,
        [images, *weight],
        output,
        kernel_shape=window.kernel,
        strides=window.stride,
        pads=pads,
        dilations=window.dilation,
        group=group,
    )
    _from_images(g, e, result, axes, k)


def _parameters(g: Builder, e: Entry, axes: int) -> list[str]:
    weight = g.parameter(e, 0) if axes else g.parameter(e, 0, [*e.blobs[0].shape, 1])
    return [weight, *(g.parameter(e, 1, [-1]) for _ in e.blobs[1:2])]


@translate.register
def _(operation: ops.Convolution, g: Builder, e: Entry) -> None:
    window, axes = operation.window, len(operation.window.kernel)
    weight = _parameters(g, e, axes)
    for k, (x, y) in enumerate(zip(e.reads, e.writes, strict=True)):
        size, places = x.shape[len(x.shape) - axes :], y.shape[len(y.shape) - axes :]
        # a kernel larger than the padded image: C's division gives one place, floor gives none
        behind = tuple(map(max, _behind(window), _reaches(window, size, places)))
        _slid(g, e, k, "Conv", weight, replace(window, behind=behind), operation.group)


@translate.register
def _(operation: ops.Deconvolution, g: Builder, e: Entry) -> None:
    weight = _parameters(g, e, len(operation.window.kernel))
    for k in range(len(e.reads)):
        _slid(g, e, k, "ConvTranspose", weight, operation.window, operation.group)


@translate.register
def _(operation: ops.Im2col, g: Builder, e: Entry) -> None:
    window = operation.window
    channels, kernel = e.x.shape[-len(window.kernel) - 1], math.prod(window.kernel)
    picks = np.tile(np.eye(kernel, dtype=np.float32), (channels, 1)).reshape(channels * kernel, 1, *window.kernel)
    _slid(g, e, 0, "Conv", [g.weight(picks, "picks")], window, channels)


def pooled(g: Builder, e: Entry, x: str, window: Window, method: str, *, ceil: bool, tops: Sequence[str]) -> list[str]:
    """Add nodes for one pooling of `x`, an input of the layer's size; `tops` are names of result and mask."""
    dims = e.x.dims[2:]
    if any(isinstance(dim, str) for dim in dims):
        return _pooled_any_size(g, e, x, window, method, ceil, tops)
    size = e.x.shape[2:]
    places = window.pooled(size, ceil=ceil)
    behind = [max(0, reach) for reach in _reaches(window, size, places)]
    pads = [*window.pad, *behind]
    whole = places == (1, 1) and not any(pads) and all(r == 0 for r in _reaches(window, size, places))
    if whole and len(tops) == 1:
        return [g.add("GlobalMaxPool" if method == "MAX" else "GlobalAveragePool", [x], tops[0])]
    if any(p >= k for p, k in zip(pads, window.kernel * 2, strict=True)):
        # a stride larger than the kernel: the last window holds no pixel
        if len(tops) > 1:
            raise refuse(e.where, e.layer, "has a window without a pixel, and a mask")
        filler = float(np.finfo(np.float32).min) if method == "MAX" else 0.0
        amounts = [0, 0, *window.pad, 0, 0, *behind]
        x = g.add("Pad", [x, g.whole(amounts), g.number(filler)])
        pads = [0] * 4
    options: dict[str, object] = {"kernel_shape": window.kernel, "strides": window.stride, "pads": pads}
    if method == "MAX":
        if len(tops) == 1:
            return [g.add("MaxPool", [x], tops[0], **options)]
        result, index = g.add_many("MaxPool", [x], [tops[0], ""], **options)
        within = g.add("Mod", [index, g.whole(math.prod(size))])
        return [result, g.add("Cast", [within], tops[1], to=1)]
    divisors = window_sizes(window, size, places, np.float32)
    area = np.float32(math.prod(window.kernel))
    if (divisors == area).all():
        return [g.add("AveragePool", [x], tops[0], count_include_pad=1, **options)]
    mean = g.add("AveragePool", [x], "", count_include_pad=1, **options)
    with np.errstate(divide="ignore"):
        shares = area / divisors
    return [g.add("Mul", [mean, g.weight(shares, "overhang")], tops[0])]


def _pooled_any_size(
    g: Builder, e: Entry, x: str, window: Window, method: str, ceil: bool, tops: Sequence[str]
) -> list[str]:
    """Add a pooling of images of any size. ONNX's rounding up is Caffe's if no window is clipped."""
    if e.y.dims[2:] == (1, 1) and window.kernel == e.x.shape[2:] and not any(window.padding) and len(tops) == 1:
        return [g.add("GlobalMaxPool" if method == "MAX" else "GlobalAveragePool", [x], tops[0])]
    clips = any(window.padding) or any(s > k for s, k in zip(window.stride, window.kernel, strict=True))
    if method != "MAX" or len(tops) > 1 or (ceil and clips):
        _fixed(e, e.x.dims[2:])
    options: dict[str, object] = {"kernel_shape": window.kernel, "strides": window.stride}
    return [g.add("MaxPool", [x], tops[0], pads=[*window.pad, *_behind(window)], ceil_mode=int(ceil), **options)]


@translate.register
def _(operation: ops.Pooling, g: Builder, e: Entry) -> None:
    if operation.method not in ("MAX", "AVE"):
        raise refuse(e.where, e.layer, f"pools by {operation.method}, which is not computed here")
    tops = [value.name for value in e.writes]
    pooled(g, e, e.x.name, operation.window, operation.method, ceil=operation.ceil, tops=tops)


@translate.register
def _(operation: ops.SPP, g: Builder, e: Entry) -> None:
    if operation.method not in ("MAX", "AVE"):
        raise refuse(e.where, e.layer, f"pools by {operation.method}, which is not computed here")
    _fixed(e, e.x.dims[1:])
    if len(operation.windows) == 1:
        pooled(g, e, e.x.name, operation.windows[0], operation.method, ceil=True, tops=[e.y.name])
        return
    levels = [
        g.add("Flatten", pooled(g, e, e.x.name, window, operation.method, ceil=True, tops=[""]), axis=1)
        for window in operation.windows
    ]
    g.add("Concat", levels, e.y.name, axis=1)


@translate.register
def _(operation: ops.LRN, g: Builder, e: Entry) -> None:
    if not operation.within and operation.beta == 0:
        g.add("Identity", [e.x.name], e.y.name)
        return
    if not operation.within:
        if min(operation.alpha, operation.beta) <= 0:
            raise refuse(e.where, e.layer, "has an alpha or beta that ONNX's LRN does not take: they are above 0")
        g.add(
            "LRN",
            [e.x.name],
            e.y.name,
            size=operation.size,
            alpha=operation.alpha,
            beta=operation.beta,
            bias=operation.k,
        )
        return
    half, size = operation.size // 2, operation.size
    squares = g.add("Mul", [e.x.name, e.x.name])
    mean = g.add(
        "AveragePool", [squares], kernel_shape=[size] * 2, strides=[1, 1], pads=[half] * 4, count_include_pad=1
    )
    inner = g.add("Add", [g.add("Mul", [mean, g.number(operation.alpha)]), g.number(1.0)])
    g.add("Mul", [e.x.name, g.add("Pow", [inner, g.number(-operation.beta)])], e.y.name)
