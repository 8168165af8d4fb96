"""Layers that move, rank or sum values, and matrix products, in ONNX."""

from __future__ import annotations

from math import prod

import numpy as np

from ... import ops
from ..plan import Entry, refuse
from .builder import Builder, translate

__all__: list[str] = []


@translate.register
def _(operation: ops.Reshape, g: Builder, e: Entry) -> None:
    if e.x.dims == e.y.dims:
        g.add("Identity", [e.x.name], e.y.name)
    elif len(e.y.shape) == 2 and e.x.dims[0] == e.y.dims[0]:
        g.add("Flatten", [e.x.name], e.y.name, axis=1)
    else:
        g.reshape_to(e.x.name, e.x, e.y, e, e.y.name)


@translate.register
def _(operation: ops.Split, g: Builder, e: Entry) -> None:
    for value in e.writes:
        g.add("Identity", [e.x.name], value.name)


@translate.register
def _(operation: ops.Concat, g: Builder, e: Entry) -> None:
    g.add("Concat", [value.name for value in e.reads], e.y.name, axis=operation.axis)


@translate.register
def _(operation: ops.Slice, g: Builder, e: Entry) -> None:
    sizes = [value.dims[operation.axis] for value in e.writes]
    if any(isinstance(size, str) for size in sizes):
        raise refuse(e.where, e.layer, "cuts an axis of any size", "export without dynamic=True (--dynamic)")
    names = [value.name for value in e.writes]
    g.add_many("Split", [e.x.name, g.whole([int(size) for size in sizes])], names, axis=operation.axis)


@translate.register
def _(operation: ops.Crop, g: Builder, e: Entry) -> None:
    cut = [
        (axis, start, start + length)
        for axis, (start, length) in enumerate(zip(operation.offsets, e.y.shape, strict=True))
        if start or e.x.dims[axis] != e.y.dims[axis]
    ]
    if not cut:
        g.add("Identity", [e.x.name], e.y.name)
        return
    if any(isinstance(e.y.dims[axis], str) for axis, _, _ in cut):
        raise refuse(e.where, e.layer, "crops to any size", "export without dynamic=True (--dynamic)")
    axes, starts, ends = (g.whole(list(numbers)) for numbers in zip(*cut, strict=True))
    g.add("Slice", [e.x.name, starts, ends, axes], e.y.name)


@translate.register
def _(operation: ops.Permute, g: Builder, e: Entry) -> None:
    g.add("Transpose", [e.x.name], e.y.name, perm=list(operation.order))


@translate.register
def _(operation: ops.ShuffleChannel, g: Builder, e: Entry) -> None:
    channels, group = e.x.shape[1], operation.group
    parts = g.reshape(e.x.name, [0, group, channels // group, -1])
    turned = g.add("Transpose", [parts], perm=[0, 2, 1, 3])
    g.reshape_to(turned, e.x, e.y, e, e.y.name) if len(e.x.shape) < 4 else _same(g, e, turned)


def _same(g: Builder, e: Entry, turned: str) -> None:
    """Reshape back to the shape of the input, whose height and width may have any size."""
    if sum(isinstance(dim, str) for dim in e.y.dims[1:]) > 1:
        g.add("Reshape", [turned, g.add("Shape", [e.x.name])], e.y.name)
    else:
        dims = [0 if i == 0 else -1 if isinstance(dim, str) else dim for i, dim in enumerate(e.y.dims)]
        g.reshape(turned, [int(dim) for dim in dims], e.y.name)


@translate.register
def _(operation: ops.Tile, g: Builder, e: Entry) -> None:
    repeats = [operation.tiles if axis == operation.axis else 1 for axis in range(len(e.x.shape))]
    g.add("Tile", [e.x.name, g.whole(repeats)], e.y.name)


@translate.register
def _(operation: ops.Reduction, g: Builder, e: Entry) -> None:
    kinds = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}
    axes = list(range(operation.axis, len(e.x.shape)))
    output = e.y.name if operation.coefficient == 1 else ""
    if not axes:
        result = {"ASUM": lambda: g.add("Abs", [e.x.name]), "SUMSQ": lambda: g.add("Mul", [e.x.name, e.x.name])}.get(
            operation.method, lambda: e.x.name
        )()
        g.add("Mul", [result, g.number(operation.coefficient)], e.y.name)
        return
    result = g.reduce(kinds[operation.method], e.x.name, axes, output, keepdims=False)
    if not output:
        g.add("Mul", [result, g.number(operation.coefficient)], e.y.name)


@translate.register
def _(operation: ops.ArgMax, g: Builder, e: Entry) -> None:
    axis = operation.axis
    x, along = (g.add("Flatten", [e.x.name], axis=1), 1) if axis is None else (e.x.name, axis)
    if isinstance(e.x.dims[along], str):
        raise refuse(e.where, e.layer, "ranks an axis of any size", "export without dynamic=True (--dynamic)")
    last = (prod(e.x.shape[1:]) if axis is None else e.x.shape[axis]) - 1
    # of equal values Caffe takes the last, ONNX the first
    turned = g.add("Slice", [x, g.whole([-1]), g.whole([-(2**31)]), g.whole([along]), g.whole([-1])])
    values, index = g.add_many("TopK", [turned, g.whole([operation.top_k])], ["", ""], axis=along)
    if axis is not None and operation.out_max_val:
        g.add("Identity", [values], e.y.name)
        return
    places = g.add("Sub", [g.whole(last), index])
    if axis is not None:
        g.add("Cast", [places], e.y.name, to=1)
        return
    ranked = g.add("Cast", [places], to=1)
    if operation.out_max_val:
        ranked = g.add("Concat", [ranked, values], axis=1)
    g.reshape(ranked, [0, *e.y.shape[1:]], e.y.name)


@translate.register
def _(operation: ops.InnerProduct, g: Builder, e: Entry) -> None:
    outputs, axis = e.y.shape[-1], operation.axis
    weight = g.parameter(e, 0, [-1, outputs] if operation.transpose else [outputs, -1])
    bias = [g.parameter(e, 1, [-1]) for _ in e.blobs[1:2]]
    plain = len(e.y.shape) == 2 and axis == 1
    x = e.x.name if plain and len(e.x.shape) == 2 else g.add("Flatten", [e.x.name], axis=axis)
    result = g.add("Gemm", [x, weight, *bias], e.y.name if plain else "", transB=int(not operation.transpose))
    if not plain:
        dims = [dim if isinstance(dim, int) else -1 for dim in e.y.dims]
        if dims.count(-1) > 1:
            dims = [0 if i == 0 else dim for i, dim in enumerate(dims)]
        if dims.count(-1) > 1 or (dims and dims[0] == 0):
            raise refuse(e.where, e.layer, "has several axes of any size", "export without dynamic=True (--dynamic)")
        g.reshape(result, dims, e.y.name)


@translate.register
def _(operation: ops.Embed, g: Builder, e: Entry) -> None:
    index = g.add("Cast", [e.x.name], to=7)
    result = g.add("Gather", [g.parameter(e, 0), index], "" if len(e.blobs) > 1 else e.y.name, axis=0)
    if len(e.blobs) > 1:
        g.add("Add", [result, g.parameter(e, 1, [-1])], e.y.name)


@translate.register
def _(operation: ops.Parameter, g: Builder, e: Entry) -> None:
    g.add("Identity", [g.parameter(e, 0, e.y.shape)], e.y.name)


@translate.register
def _(operation: ops.BatchReindex, g: Builder, e: Entry) -> None:
    index = g.add("Cast", [g.reshape(e.reads[1].name, [-1])], to=7)
    g.add("Gather", [e.x.name, index], e.y.name, axis=0)


@translate.register
def _(operation: ops.Filter, g: Builder, e: Entry) -> None:
    selector = g.reshape(e.reads[-1].name, [-1])
    chosen = g.add("Not", [g.add("Equal", [selector, g.number(0.0)])])
    for x, y in zip(e.reads[:-1], e.writes, strict=True):
        g.add("Compress", [x.name, chosen], y.name, axis=0)


@translate.register
def _(operation: ops.Interp, g: Builder, e: Entry) -> None:
    dims = [*e.x.dims[2:], *e.y.dims[2:]]
    if any(isinstance(dim, str) for dim in dims):
        raise refuse(e.where, e.layer, "resizes from or to any size", "export without dynamic=True (--dynamic)")
    front, behind = operation.crop
    x, size = e.x.name, [n - front - behind for n in e.x.shape[2:]]
    if front or behind:
        ends = [front + n for n in size]
        x = g.add("Slice", [x, g.whole([front] * 2), g.whole(ends), g.whole([2, 3])])
    lines = [_line(n, to) for n, to in zip(size, e.y.shape[2:], strict=True)]
    # Caffe's weights of the pixels before and after; Resize rounds in another way
    rows = g.add("MatMul", [x, g.weight(lines[1].T, "columns")])
    g.add("MatMul", [g.weight(lines[0], "rows"), rows], e.y.name)


def _line(size: int, to: int) -> np.ndarray:
    """Return the weight of each of `size` pixels in each of `to` places."""
    picture = np.eye(size, dtype=np.float32)[None, None]
    result: np.ndarray = ops.interpolate(picture, (to, size))[0, 0]
    return result


@translate.register
def _(operation: ops.Upsample, g: Builder, e: Entry) -> None:
    if len(e.reads) == 1:
        scales = g.numbers([1, 1, operation.scale, operation.scale])
        g.add(
            "Resize",
            [e.x.name, "", scales],
            e.y.name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return
    if any(isinstance(dim, str) for dim in e.y.dims[1:]):
        raise refuse(e.where, e.layer, "fills images of any size", "export without dynamic=True (--dynamic)")
    channels, pixels = e.y.shape[1], prod(e.y.shape[2:])
    values, mask = (g.reshape(value.name, [0, 0, -1]) for value in e.reads)
    index = g.add("Cast", [mask], to=7)
    first = g.add("Slice", [values, g.whole([0]), g.whole([1]), g.whole([2])])
    empty = g.add("Expand", [g.add("Mul", [first, g.number(0.0)]), g.whole([1, channels, pixels])])
    g.reshape(g.add("ScatterElements", [empty, index, values], axis=2), [0, *e.y.shape[1:]], e.y.name)


@translate.register
def _(operation: ops.Reorg, g: Builder, e: Entry) -> None:
    _, channels, height, width = e.x.shape
    if any(isinstance(dim, str) for dim in e.x.dims[1:]):
        raise refuse(e.where, e.layer, "takes images of any size", "export without dynamic=True (--dynamic)")
    stride, few = operation.stride, channels // operation.stride**2
    if operation.reverse:
        parts, order = [0, stride, stride, few, height, width], [0, 3, 4, 1, 5, 2]
    else:
        parts, order = [0, few, height, stride, width, stride], [0, 3, 5, 1, 2, 4]
    turned = g.add("Transpose", [g.reshape(e.x.name, parts)], perm=order)
    g.reshape(turned, [0, *e.y.shape[1:]], e.y.name)


@translate.register
def _(operation: ops.PriorBox, g: Builder, e: Entry) -> None:
    if any(isinstance(dim, str) for dim in e.y.dims):
        raise refuse(e.where, e.layer, "makes boxes for images of any size", "export without dynamic=True (--dynamic)")
    boxes = np.empty(e.y.shape, np.float32)
    operation.forward([np.empty(value.shape, np.float32) for value in e.reads], [boxes], [], ops.Work())
    g.add("Identity", [g.weight(boxes, "boxes")], e.y.name)


@translate.register
def _(operation: ops.ROIPooling, g: Builder, e: Entry) -> None:
    regions = g.reshape(e.reads[1].name, [-1, 5])
    g.add("MaxRoiPool", [e.x.name, regions], e.y.name, pooled_shape=list(operation.size), spatial_scale=operation.scale)
