"""Batch, image and vector normalisation, and softmax, in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ... import ops
from ..plan import Entry
from .builder import Builder, translate

__all__ = ["folds", "stored_norm"]


def folds(operation: ops.Operation) -> bool:
    """Return whether a scale right after the operation can be written into it."""
    return isinstance(operation, ops.BatchNorm) and operation.stored


def stored_norm(g: Builder, e: Entry, scale: Entry | None = None) -> None:
    """Add a normalisation with stored statistics, with the scale and bias of its own or of the next layer."""
    operation = e.operation
    if isinstance(operation, ops.MovingBN):
        factor_blob, bias_blob, mean, variance = (blob.reshape(-1) for blob in e.blobs)
        divisor = 1.0
        shifts: Sequence[np.ndarray | None] = (factor_blob, bias_blob)
    else:
        assert isinstance(operation, ops.BatchNorm)
        mean, variance = (blob.reshape(-1) for blob in e.blobs[:2])
        divisor = 1.0 if operation.renewed else float(e.blobs[2].flat[0])
        shifts = (*e.blobs[3:], None, None)[:2] if scale is None else (*scale.blobs, None)[:2]
    weight = np.float32(0) if divisor == 0 else np.float32(1) / np.float32(divisor)
    result = [np.ones(mean.size, np.float32), np.zeros(mean.size, np.float32)]
    result = [one if given is None else given.reshape(-1) for one, given in zip(result, shifts, strict=True)]
    statistics = [mean, variance] if weight == 1 else [mean * weight, variance * weight]
    names = [g.weight(a, n) for a, n in zip((*result, *statistics), ("scale", "bias", "mean", "variance"), strict=True)]
    output = (e if scale is None else scale).y.name
    g.add("BatchNormalization", [e.x.name, *names], output, epsilon=operation.eps)


def _batch_norm(g: Builder, e: Entry, eps: float, scale: np.ndarray | None, bias: np.ndarray | None) -> tuple[str, str]:
    """Add a normalisation with the batch's own statistics; return the names of mean and variance."""
    shape = [-1, *[1] * (len(e.x.shape) - 2)]
    axes = [axis for axis in range(len(e.x.shape)) if axis != 1]
    mean = g.reduce("ReduceMean", e.x.name, axes)
    apart = g.add("Sub", [e.x.name, mean])
    variance = g.reduce("ReduceMean", g.add("Mul", [apart, apart]), axes)
    steps = [("Div", g.add("Sqrt", [g.add("Add", [variance, g.number(eps)])]))]
    steps += [("Mul", g.weight(scale.reshape(shape), "scale"))] if scale is not None else []
    steps += [("Add", g.weight(bias.reshape(shape), "bias"))] if bias is not None else []
    for i, (kind, by) in enumerate(steps, 1):
        apart = g.add(kind, [apart, by], e.y.name if i == len(steps) else "")
    return mean, variance


@translate.register
def _(operation: ops.BatchNorm, g: Builder, e: Entry) -> None:
    if operation.stored:
        stored_norm(g, e)
        return
    scale, bias = (*e.blobs[3:], None, None)[:2]
    _batch_norm(g, e, operation.eps, scale, bias)


@translate.register
def _(operation: ops.MovingBN, g: Builder, e: Entry) -> None:
    if operation.stored or operation.frozen:
        stored_norm(g, e)
    else:
        _batch_norm(g, e, operation.eps, e.blobs[0], e.blobs[1])


@translate.register
def _(operation: ops.BN, g: Builder, e: Entry) -> None:
    shape = [-1, *[1] * (len(e.x.shape) - 2)]
    if not operation.learn:
        scaled = g.add("Mul", [e.x.name, g.parameter(e, 0, shape)])
        g.add("Add", [scaled, g.parameter(e, 1, shape)], e.y.name)
        return
    result = _batch_norm(g, e, operation.eps, e.blobs[0], e.blobs[1])
    for name, value in zip(result, e.writes[1:], strict=False):
        g.reshape(name, [int(dim) for dim in value.shape], value.name)


@translate.register
def _(operation: ops.MVN, g: Builder, e: Entry) -> None:
    first = 1 if operation.across_channels else 2
    x = e.x.name
    if len(e.x.shape) < len(e.y.shape):
        # the top always has four axes
        x = g.add("Unsqueeze", [x, g.whole(list(range(len(e.x.shape), len(e.y.shape))))])
    axes = list(range(first, len(e.y.shape)))
    apart = g.add("Sub", [x, g.reduce("ReduceMean", x, axes)], "" if operation.variance else e.y.name)
    if operation.variance:
        square = g.reduce("ReduceMean", g.add("Mul", [apart, apart]), axes)
        deviation = g.add("Add", [g.add("Sqrt", [square]), g.number(operation.eps)])
        g.add("Div", [apart, deviation], e.y.name)


@translate.register
def _(operation: ops.Normalize, g: Builder, e: Entry) -> None:
    axes = list(range(1, len(e.x.shape))) if operation.across_spatial else [1]
    total = g.add("Add", [g.reduce("ReduceSumSquare", e.x.name, axes), g.number(operation.eps)])
    unit = g.add("Div", [e.x.name, g.add("Sqrt", [total])])
    shape = [-1, *[1] * (len(e.x.shape) - 2)]
    g.add("Mul", [unit, g.parameter(e, 0, shape)], e.y.name)


@translate.register
def _(operation: ops.Softmax, g: Builder, e: Entry) -> None:
    g.add("Softmax", [e.x.name], e.y.name, axis=operation.axis % len(e.x.shape))
