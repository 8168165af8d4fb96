"""Recurrent layers in ONNX, one step after another.

ONNX's own LSTM and RNN know no indicators of where a sequence begins, so the steps are written out.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ..plan import Entry, Value
from .builder import Builder, translate

__all__: list[str] = []


def _sums(g: Builder, e: Entry, x: Value, static: Value | None, gates: int) -> tuple[list[str], str]:
    """Return the sums of the inputs at each step, and that of a static input, which counts at every step."""
    steps, streams = x.shape[:2]
    flat = g.reshape(x.name, [steps * streams, -1])
    result = g.add("Gemm", [flat, g.parameter(e, 0, [gates, -1]), g.parameter(e, 1, [-1])], transB=1)
    apart = g.reshape(result, [steps, streams, gates])
    parts = _steps(g, apart, steps)
    if static is None:
        return parts, ""
    return parts, g.add("Gemm", [g.reshape(static.name, [streams, -1]), g.parameter(e, 2, [gates, -1])], transB=1)


def _steps(g: Builder, x: str, steps: int) -> list[str]:
    """Return the slices of an array along its first axis, without that axis."""
    parts = g.add_many("Split", [x, g.whole([1] * steps)], [""] * steps, axis=0) if steps > 1 else [x]
    return [g.add("Squeeze", [part, g.whole([0])]) for part in parts]


def _start(g: Builder, e: Entry, operation: ops.LSTM | ops.RNN, count: int) -> list[str]:
    """Return the states before the first step: given, or zeros as in Caffe's first forward pass."""
    streams = e.x.shape[1]
    if operation.exposed:
        given = e.reads[2 + operation.static :]
        return [g.reshape(value.name, [streams, operation.outputs]) for value in given]
    return [g.weight(np.zeros((streams, operation.outputs), np.float32), "start")] * count


def _stack(g: Builder, parts: list[str], output: str) -> None:
    g.add("Concat", [g.add("Unsqueeze", [part, g.whole([0])]) for part in parts], output, axis=0)


def _next(g: Builder, e: Entry, state: str, cont: str, sums: str, static: str, gates: int) -> str:
    """Return the sums at the gates of one step."""
    kept = g.add("Mul", [state, cont])
    weight = g.parameter(e, _hidden(e), [gates, -1])
    result = g.add("Gemm", [kept, weight, sums], transB=1)
    return g.add("Add", [result, static]) if static else result


def _hidden(e: Entry) -> int:
    """Return the index of the parameter that multiplies the hidden state."""
    return len(e.blobs) - (1 if isinstance(e.operation, ops.LSTM) else 3)


def _unit(g: Builder, cell: str, gates: str, cont: str, outputs: int, names: tuple[str, str]) -> tuple[str, str]:
    """Add one step of an LSTM; return the cell and the hidden state."""
    i, f, o, u = g.add_many("Split", [gates, g.whole([outputs] * 4)], [""] * 4, axis=1)
    i, f, o = (g.add("Sigmoid", [part]) for part in (i, f, o))
    kept = g.add("Mul", [g.add("Mul", [cont, f]), cell])
    cell = g.add("Add", [kept, g.add("Mul", [i, g.add("Tanh", [u])])], names[0])
    return cell, g.add("Mul", [o, g.add("Tanh", [cell])], names[1])


def _indicators(g: Builder, e: Entry) -> list[str]:
    steps, streams = e.x.shape[:2]
    return _steps(g, g.reshape(e.reads[1].name, [steps, streams, 1]), steps)


@translate.register
def _(operation: ops.LSTM, g: Builder, e: Entry) -> None:
    gates = 4 * operation.outputs
    hidden, cell = _start(g, e, operation, 2)
    sums, static = _sums(g, e, e.x, e.reads[2] if operation.static else None, gates)
    result = []
    for at, cont in zip(sums, _indicators(g, e), strict=True):
        gated = _next(g, e, hidden, cont, at, static, gates)
        cell, hidden = _unit(g, cell, gated, cont, operation.outputs, ("", ""))
        result.append(hidden)
    _stack(g, result, e.y.name)
    for state, value in zip((hidden, cell), e.writes[1:], strict=False):
        g.reshape(state, value.shape, value.name)


@translate.register
def _(operation: ops.RNN, g: Builder, e: Entry) -> None:
    (hidden,) = _start(g, e, operation, 1)
    sums, static = _sums(g, e, e.x, e.reads[2] if operation.static else None, operation.outputs)
    weight, bias = g.parameter(e, len(e.blobs) - 2), g.parameter(e, len(e.blobs) - 1, [-1])
    result = []
    for at, cont in zip(sums, _indicators(g, e), strict=True):
        hidden = g.add("Tanh", [_next(g, e, hidden, cont, at, static, operation.outputs)])
        result.append(g.add("Tanh", [g.add("Gemm", [hidden, weight, bias], transB=1)]))
    _stack(g, result, e.y.name)
    for state, value in zip((hidden,), e.writes[1:], strict=False):
        g.reshape(state, value.shape, value.name)


@translate.register
def _(operation: ops.LSTMUnit, g: Builder, e: Entry) -> None:
    _, streams, outputs = e.x.shape[:3]
    cell, gates = g.reshape(e.x.name, [streams, outputs]), g.reshape(e.reads[1].name, [streams, 4 * outputs])
    cont = g.reshape(e.reads[2].name, [streams, 1])
    states = _unit(g, cell, gates, cont, outputs, ("", ""))
    for state, value in zip(states, e.writes, strict=True):
        g.reshape(state, value.shape, value.name)
