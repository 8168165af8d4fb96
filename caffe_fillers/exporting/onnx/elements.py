"""Element-wise layers, with one input or with several of the same shape, in ONNX."""

from __future__ import annotations

import numpy as np

from ... import ops
from ..plan import Entry, refuse
from .builder import Builder, translate

__all__: list[str] = []


@translate.register
def _(operation: ops.ReLU, g: Builder, e: Entry) -> None:
    if operation.negative_slope:
        g.add("LeakyRelu", [e.x.name], e.y.name, alpha=operation.negative_slope)
    else:
        g.add("Relu", [e.x.name], e.y.name)


@translate.register
def _(operation: ops.PReLU, g: Builder, e: Entry) -> None:
    shape = [1] if e.blobs[0].size == 1 else [-1, *[1] * (len(e.x.shape) - 2)]
    g.add("PRelu", [e.x.name, g.parameter(e, 0, shape)], e.y.name)


@translate.register
def _(operation: ops.ReLU6, g: Builder, e: Entry) -> None:
    g.add("Clip", [e.x.name, g.number(0.0), g.number(6.0)], e.y.name)


@translate.register
def _(operation: ops.Clip, g: Builder, e: Entry) -> None:
    g.add("Clip", [e.x.name, g.number(operation.low), g.number(operation.high)], e.y.name)


@translate.register
def _(operation: ops.HardSwish, g: Builder, e: Entry) -> None:
    if g.opset >= 14:
        g.add("HardSwish", [e.x.name], e.y.name)
    else:
        gate = g.add("HardSigmoid", [e.x.name], alpha=1 / 6, beta=0.5)
        g.add("Mul", [e.x.name, gate], e.y.name)


@translate.register
def _(operation: ops.Threshold, g: Builder, e: Entry) -> None:
    g.add("Cast", [g.add("Greater", [e.x.name, g.number(operation.at)])], e.y.name, to=1)


@translate.register
def _(operation: ops.AbsVal, g: Builder, e: Entry) -> None:
    g.add("Abs", [e.x.name], e.y.name)


@translate.register
def _(operation: ops.Sigmoid, g: Builder, e: Entry) -> None:
    g.add("Sigmoid", [e.x.name], e.y.name)


@translate.register
def _(operation: ops.TanH, g: Builder, e: Entry) -> None:
    g.add("Tanh", [e.x.name], e.y.name)


@translate.register
def _(operation: ops.BNLL, g: Builder, e: Entry) -> None:
    g.add("Softplus", [e.x.name], e.y.name)


@translate.register
def _(operation: ops.ELU, g: Builder, e: Entry) -> None:
    g.add("Elu", [e.x.name], e.y.name, alpha=operation.alpha)


@translate.register
def _(operation: ops.Swish, g: Builder, e: Entry) -> None:
    inner = e.x.name if operation.beta == 1 else g.add("Mul", [e.x.name, g.number(operation.beta)])
    g.add("Mul", [e.x.name, g.add("Sigmoid", [inner])], e.y.name)


def _straight(g: Builder, x: str, factor: float, term: float, output: str = "") -> str:
    """Add ``factor * x + term`` with as few nodes as possible, none at all if `output` is not asked for."""
    steps = [("Mul", factor)] * (factor != 1) + [("Add", term)] * (term != 0)
    if not steps and output:
        return g.add("Identity", [x], output)
    for i, (kind, value) in enumerate(steps, 1):
        x = g.add(kind, [x, g.number(value)], output if i == len(steps) else "")
    return x


@translate.register
def _(operation: ops.Power, g: Builder, e: Entry) -> None:
    power, scale, shift = operation.power, operation.scale, operation.shift
    if power == 1:
        _straight(g, e.x.name, scale, shift, e.y.name)
    else:
        inner = _straight(g, e.x.name, scale, shift)
        if power == 0:
            # 0 for NaN too
            g.add("Pow", [g.add("Mul", [inner, g.number(0.0)]), g.number(0.0)], e.y.name)
        else:
            g.add("Pow", [inner, g.number(power)], e.y.name)


@translate.register
def _(operation: ops.Exp, g: Builder, e: Entry) -> None:
    base = 1.0 if operation.base == -1 else float(np.log(operation.base))
    inner = _straight(g, e.x.name, base * operation.scale, base * operation.shift)
    g.add("Exp", [inner], e.y.name)


@translate.register
def _(operation: ops.Log, g: Builder, e: Entry) -> None:
    inner = _straight(g, e.x.name, operation.scale, operation.shift)
    if operation.base == -1:
        g.add("Log", [inner], e.y.name)
    else:
        _straight(g, g.add("Log", [inner]), float(1 / np.log(operation.base)), 0.0, e.y.name)


@translate.register
def _(operation: ops.Dropout, g: Builder, e: Entry) -> None:
    g.add("Identity", [e.x.name], e.y.name)


@translate.register
def _(operation: ops.Eltwise, g: Builder, e: Entry) -> None:
    over = [value.blob == e.y.blob and e.in_place[0] for value in e.reads]
    if operation.method == "PROD":
        if any(over[2:]):
            raise refuse(e.where, e.layer, "multiplies in place by a bottom that is overwritten before it is read")
        result = e.x.name
        for i, value in enumerate(e.reads[1:], 2):
            result = g.add("Mul", [result, value.name], e.y.name if i == len(e.reads) else "")
        return
    # Caffe clears the top first, so a bottom in the same place is lost
    kept = [(value.name, i) for i, value in enumerate(e.reads) if not over[i]]
    if operation.method == "MAX":
        g.add("Max", [name for name, _ in kept], e.y.name)
        return
    terms = []
    for name, i in kept:
        coefficient = operation.coefficients[i] if operation.coefficients else 1.0
        terms.append(name if coefficient == 1 else g.add("Mul", [name, g.number(coefficient)]))
    if len(terms) == 2:
        g.add("Add", terms, e.y.name)
    else:
        g.add("Sum", terms, e.y.name)


@translate.register
def _(operation: ops.Axpy, g: Builder, e: Entry) -> None:
    scale, x, y = e.reads
    spread = g.reshape(scale.name, [0, 0, *[1] * (len(x.shape) - 2)])
    g.add("Add", [g.add("Mul", [spread, x.name]), y.name], e.y.name)


@translate.register
def _(operation: ops.Add, g: Builder, e: Entry) -> None:
    g.add("Add", [value.name for value in e.reads], e.y.name)


@translate.register
def _(operation: ops.Mul, g: Builder, e: Entry) -> None:
    g.add("Mul", [value.name for value in e.reads], e.y.name)


def _spread(g: Builder, e: Entry, axis: int, which: int) -> str:
    """Add the factor or term of a layer, shaped to broadcast over its input from `axis` on."""
    axes = len(e.x.shape)
    if len(e.reads) > 1 and which == 0:
        value = e.reads[1]
        behind = axes - axis - len(value.shape)
        if not value.shape or behind == 0:
            return value.name
        return g.add("Unsqueeze", [value.name, g.whole(range(len(value.shape), len(value.shape) + behind))])
    array = e.blobs[which if len(e.reads) == 1 else which - 1]
    i = which if len(e.reads) == 1 else which - 1
    return g.parameter(e, i, [*array.shape, *[1] * (axes - axis - array.ndim)] if array.ndim else [])


@translate.register
def _(operation: ops.Scale, g: Builder, e: Entry) -> None:
    factor = _spread(g, e, operation.axis, 0)
    result = g.add("Mul", [e.x.name, factor], "" if operation.bias else e.y.name)
    if operation.bias:
        g.add("Add", [result, _spread(g, e, operation.axis, 1)], e.y.name)


@translate.register
def _(operation: ops.Bias, g: Builder, e: Entry) -> None:
    g.add("Add", [e.x.name, _spread(g, e, operation.axis, 0)], e.y.name)
