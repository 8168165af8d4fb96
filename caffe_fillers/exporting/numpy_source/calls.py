"""Writes each operation as a call of the function that computes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import numpy as np

from ... import ops
from ...ops.batchnorm import as_channels, scale_and_shift
from ..plan import Entry, refuse
from .writing import Call, Items, Script

__all__ = ["one", "write"]


@singledispatch
def write(operation: ops.Operation, s: Script, e: Entry) -> None:
    """Write the statements of a layer; a function for each class of operation."""
    raise refuse(e.where, e.layer, f"{type(operation).__name__} is no call of one function")


def one(s: Script, e: Entry, function: Callable[..., object], *given: str | Items, **options: object) -> None:
    s.statement(e, s.var(e.y), s.call(function, s.var(e.x), *given, behind="", **options))


def _bias(s: Script, e: Entry, i: int = 1) -> str:
    return s.parameter(e, i, [-1]) if len(e.blobs) > i else "None"


# --- windows -----------------------------------------------------------------------------------------------------


@write.register
def _(operation: ops.Convolution, s: Script, e: Entry) -> None:
    _convolved(s, e, ops.convolution, operation)


@write.register
def _(operation: ops.Deconvolution, s: Script, e: Entry) -> None:
    _convolved(s, e, ops.deconvolution, operation)


def _convolved(
    s: Script, e: Entry, function: Callable[..., object], operation: ops.Convolution | ops.Deconvolution
) -> None:
    given = (s.parameter(e, 0), _bias(s, e), s.text(operation.window))
    for x, y in zip(e.reads, e.writes, strict=True):
        s.statement(e, s.var(y), s.call(function, s.var(x), *given, group=operation.group))


@write.register
def _(operation: ops.Im2col, s: Script, e: Entry) -> None:
    axes = len(operation.window.kernel)
    x = s.var(e.x)
    if len(e.x.shape) != axes + 2:
        x = f"{x}.reshape({', '.join(map(str, (-1, *e.x.shape[-axes - 1 :])))})"
    call = s.call(ops.im2col, x, s.text(operation.window))
    s.statement(e, s.var(e.y), Call(call.function, call.arguments, s.reshaped("", e.y)))


@write.register
def _(operation: ops.Pooling, s: Script, e: Entry) -> None:
    function = ops.average_pool if operation.method == "AVE" else ops.max_pool
    options: dict[str, object] = {"ceil": operation.ceil}
    if len(e.writes) > 1:
        mask = s.var(e.writes[1])
        s.more(f"{mask} = np.empty({s.dims(e.y, s.var(e.x))}, {s.var(e.x)}.dtype)")
        options["mask"] = mask
    one(s, e, function, s.text(operation.window), **options)


@write.register
def _(operation: ops.SPP, s: Script, e: Entry) -> None:
    one(s, e, ops.spp, Items(map(s.text, operation.windows)), method=operation.method)


@write.register
def _(operation: ops.LRN, s: Script, e: Entry) -> None:
    options = {"size": operation.size, "alpha": operation.alpha, "beta": operation.beta}
    if operation.within:
        one(s, e, ops.local_response_norm_within, **options)
    else:
        one(s, e, ops.local_response_norm, **options, k=operation.k)


# --- elements ----------------------------------------------------------------------------------------------------


@write.register
def _(operation: ops.Elementwise, s: Script, e: Entry) -> None:
    function, options = _element(operation)
    if function is None:
        raise refuse(e.where, e.layer, f"{type(operation).__name__} is no call of one function")
    one(s, e, function, **options)


def _element(o: ops.Elementwise) -> tuple[Callable[..., object] | None, dict[str, object]]:
    """Return the function of each element, and its arguments."""
    plain: dict[type, Callable[..., object]] = {
        **{ops.ReLU6: ops.relu6, ops.HardSwish: ops.hard_swish, ops.AbsVal: ops.absolute},
        **{ops.Sigmoid: ops.sigmoid, ops.TanH: ops.tanh, ops.BNLL: ops.bnll},
    }
    match o:
        case ops.ReLU():
            return ops.relu, {"negative_slope": o.negative_slope}
        case ops.ELU():
            return ops.elu, {"alpha": o.alpha}
        case ops.Swish():
            return ops.swish, {"beta": o.beta}
        case ops.Clip():
            return ops.clip, {"low": o.low, "high": o.high}
        case ops.Threshold():
            return ops.threshold, {"at": o.at}
        case ops.Power():
            return ops.power, {"power": o.power, "scale": o.scale, "shift": o.shift}
        case ops.Exp():
            return ops.exp, {"base": o.base, "scale": o.scale, "shift": o.shift}
        case ops.Log():
            return ops.log, {"base": o.base, "scale": o.scale, "shift": o.shift}
    return plain.get(type(o)), {}


@write.register
def _(operation: ops.PReLU, s: Script, e: Entry) -> None:
    one(s, e, ops.prelu, s.parameter(e, 0))


@write.register
def _(operation: ops.Dropout, s: Script, e: Entry) -> None:
    s.statement(e, s.var(e.y), f"{s.var(e.x)}.copy()")


@write.register
def _(operation: ops.Eltwise, s: Script, e: Entry) -> None:
    total: Callable[..., object] = ops.eltwise_sum
    functions = {"SUM": total, "PROD": ops.eltwise_product, "MAX": ops.eltwise_max}
    options: dict[str, object] = {"coefficients": operation.coefficients} if operation.method == "SUM" else {}
    if e.in_place[0]:
        options["out"] = s.var(e.x)
    given = Items(s.var(value) for value in e.reads)
    s.statement(e, s.var(e.y), s.call(functions[operation.method], given, behind="", **options))


@write.register
def _(operation: ops.Axpy, s: Script, e: Entry) -> None:
    one(s, e, ops.axpy, *(s.var(value) for value in e.reads[1:]))


@write.register
def _(operation: ops.Add, s: Script, e: Entry) -> None:
    one(s, e, ops.add, s.var(e.reads[1]))


@write.register
def _(operation: ops.Mul, s: Script, e: Entry) -> None:
    one(s, e, ops.multiply, s.var(e.reads[1]))


@write.register
def _(operation: ops.Scale, s: Script, e: Entry) -> None:
    factor = s.var(e.reads[1]) if len(e.reads) > 1 else s.parameter(e, 0)
    term = [s.parameter(e, len(e.blobs) - 1)] if operation.bias else []
    one(s, e, ops.scale, factor, *term, axis=operation.axis)


@write.register
def _(operation: ops.Bias, s: Script, e: Entry) -> None:
    term = s.var(e.reads[1]) if len(e.reads) > 1 else s.parameter(e, 0)
    one(s, e, ops.bias, term, axis=operation.axis)


# --- normalisations ----------------------------------------------------------------------------------------------


@write.register
def _(operation: ops.BatchNorm, s: Script, e: Entry) -> None:
    shifts = dict(zip(("scale", "bias"), (s.parameter(e, i) for i in range(3, len(e.blobs))), strict=False))
    if not operation.stored:
        _by_the_batch(s, e, operation.eps, list(shifts.values()))
        return
    factor = 1.0 if operation.renewed else float(e.blobs[2].flat[0])
    given = [s.parameter(e, 0), s.parameter(e, 1), *([] if factor == 1 else [s.text(factor)])]
    one(s, e, ops.batch_norm, *given, eps=operation.eps, **shifts)


def _by_the_batch(s: Script, e: Entry, eps: float, shifts: list[str]) -> None:
    channels, y = e.blobs[0].size, s.var(e.y)
    s.statement(e, f"{y}, _, _", s.call(ops.batch_norm_train, s.var(e.x), channels=channels, eps=eps))
    if shifts:
        view = s.call(as_channels, y, str(channels))
        s.more(str(s.call(scale_and_shift, str(view), *(*shifts, "None")[:2])))


@write.register
def _(operation: ops.MovingBN, s: Script, e: Entry) -> None:
    slope, bias, mean, variance = (s.parameter(e, i) for i in range(4))
    if operation.stored or operation.frozen:
        one(s, e, ops.batch_norm, mean, variance, eps=operation.eps, scale=slope, bias=bias)
    else:
        _by_the_batch(s, e, operation.eps, [slope, bias])


@write.register
def _(operation: ops.BN, s: Script, e: Entry) -> None:
    if operation.learn:
        raise refuse(e.where, e.layer, "normalises each batch as SegNet does, which is no call of one function")
    one(s, e, ops.scale, s.parameter(e, 0, [-1]), s.parameter(e, 1, [-1]))


@write.register
def _(operation: ops.MVN, s: Script, e: Entry) -> None:
    options = {"across_channels": operation.across_channels, "variance": operation.variance, "eps": operation.eps}
    one(s, e, ops.mean_variance_norm, **options)


@write.register
def _(operation: ops.Normalize, s: Script, e: Entry) -> None:
    options = {"across_spatial": operation.across_spatial, "eps": operation.eps}
    one(s, e, ops.normalize, s.parameter(e, 0), **options)


@write.register
def _(operation: ops.Softmax, s: Script, e: Entry) -> None:
    one(s, e, ops.softmax, axis=operation.axis)


# --- products ----------------------------------------------------------------------------------------------------


@write.register
def _(operation: ops.InnerProduct, s: Script, e: Entry) -> None:
    outputs, axis, x = e.y.shape[-1], operation.axis, s.var(e.x)
    weight = f"{s.parameter(e, 0, [-1, outputs])}.T" if operation.transpose else s.parameter(e, 0, [outputs, -1])
    if axis == 1 and len(e.x.shape) != 2:
        x = f"{x}.reshape(len({x}), -1)"
    elif axis != 1:
        x = f"{x}.reshape(-1, {int(np.prod(e.x.shape[axis:]))})"
    call = s.call(ops.inner_product, x, weight, _bias(s, e))
    plain = axis == 1 and len(e.y.shape) == 2
    s.statement(e, s.var(e.y), call if plain else Call(call.function, call.arguments, s.reshaped("", e.y)))


@write.register
def _(operation: ops.Embed, s: Script, e: Entry) -> None:
    one(s, e, ops.embed, s.parameter(e, 0), s.parameter(e, 1) if len(e.blobs) > 1 else "None")


@write.register
def _(operation: ops.LSTM, s: Script, e: Entry) -> None:
    hidden, cells = s.var(e.y), f"{s.var(e.y)}_cells"
    first = e.reads[2 + operation.static :]
    start = f"({s.var(first[0])}, {s.var(first[1])})" if operation.exposed else None
    given: list[str | Items] = [s.var(e.reads[1]), _weights(s, e)]
    if operation.static:
        given.append(s.var(e.reads[2]))
    targets = f"{hidden}, {cells if operation.exposed else '_'}"
    s.statement(e, targets, s.call(ops.lstm, s.var(e.x), *given, start=start))
    for value, of in zip(e.writes[1:], (hidden, cells), strict=False):
        s.more(f"{s.var(value)} = {of}[-1:]")


@write.register
def _(operation: ops.RNN, s: Script, e: Entry) -> None:
    y, hidden = s.var(e.y), f"{s.var(e.y)}_hidden"
    start = s.var(e.reads[2 + operation.static]) if operation.exposed else None
    given: list[str | Items] = [s.var(e.reads[1]), _weights(s, e)]
    if operation.static:
        given.append(s.var(e.reads[2]))
    s.statement(e, f"{y}, {hidden if operation.exposed else '_'}", s.call(ops.rnn, s.var(e.x), *given, start=start))
    for value in e.writes[1:]:
        s.more(f"{s.var(value)} = {hidden}[-1:]")


def _weights(s: Script, e: Entry) -> Items:
    return Items(s.parameter(e, i) for i in range(len(e.blobs)))


@write.register
def _(operation: ops.LSTMUnit, s: Script, e: Entry) -> None:
    call = s.call(ops.lstm_unit, *(f"{s.var(value)}[0]" for value in e.reads))
    targets = ", ".join(s.var(value) for value in e.writes)
    s.statement(e, targets, f"(state[None] for state in {call})")
