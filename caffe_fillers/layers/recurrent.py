"""LSTM and RNN, which unroll an inner net over the time steps, and LSTMUnit.

Every time step of the inner net fills recurrent weights of its own, and all of them but the first step's are then
replaced by the first step's. So the fills of all steps count in the stream.
"""

from __future__ import annotations

import math

from .. import ops
from ..blob import describe
from ..checks import c_int, need, need_equal
from .rule import Layer, Param, Setup, Shape, axis, check_counts, filler, layer_type


def _recurrent(layer: Layer, bottoms: list[Shape], operation: type[ops.LSTM | ops.RNN]) -> Setup:
    gates, exposed = (4, 2) if operation is ops.LSTM else (1, 1)
    param = layer.message.recurrent_param
    states = exposed if param.expose_hidden else 0
    check_counts(layer, (2 + states, 3 + states), (1 + states,) * 2)
    x, cont = bottoms[:2]
    steps, streams = x[axis(x, 0)], x[axis(x, 1)]
    need_equal(len(cont), 2, "bottom[1]->num_axes() == 2", "the second bottom, cont, is T x N")
    need_equal(steps, cont[0], "T_ == bottom[1]->shape(0)", f"x is {x}, cont is {cont}")
    need_equal(streams, cont[1], "N_ == bottom[1]->shape(1)", f"x is {x}, cont is {cont}")
    static = bottoms[2] if len(bottoms) > 2 + states else None
    if static is not None:
        need(len(static) >= 1, f"bottom[2]->num_axes() >= 1 ({len(static)} vs. 1)", "the static input is N x ...")
        need_equal(streams, static[0], "N_ == bottom[2]->shape(0)", f"x is {x}, the static input is {static}")
    n = c_int(param.num_output)
    need(n > 0, f"num_output > 0 ({n} vs. 0) num_output must be positive", "give num_output")
    axis(x, 2)
    if static is not None:
        axis(static, 1)
    need(steps > 0 and streams > 0, "data_", f"x, {x}, is empty")
    for i, state in enumerate(bottoms[len(bottoms) - states :] if states else []):
        hidden = (1, streams, n)
        need(
            state == hidden,
            f"recur_input_blobs_[j]->shape() == bottom[i]->shape() shape mismatch - recur_input_blobs_[{i}]: "
            f"{describe(hidden)} vs. bottom[{len(bottoms) - states + i}]: {describe(state)}",
        )
    weight, bias = filler(param, "weight_filler"), filler(param, "bias_filler")
    params = [Param((gates * n, math.prod(x[2:])), weight, "x weight"), Param((gates * n,), bias, "x bias")]
    if static is not None:
        params.append(Param((gates * n, math.prod(static[1:])), weight, "static weight"))
    first = len(params)
    params.append(Param((gates * n, n), weight, "hidden weight"))
    if gates == 1:
        params += [Param((n, n), weight, "output weight"), Param((n,), bias, "output bias")]
    tops: list[Shape] = [(steps, streams, n), *[(1, streams, n)] * states]
    return Setup(
        tops,
        params,
        again=tuple(range(first, len(params))),
        times=steps - 1,
        text_blobs=lambda blobs: None,
        operation=operation(n, static is not None, param.expose_hidden),
    )


@layer_type("LSTM", since="1.0")
def lstm(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _recurrent(layer, bottoms, ops.LSTM)


@layer_type("RNN", since="1.0")
def rnn(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _recurrent(layer, bottoms, ops.RNN)


@layer_type("LSTMUnit", bottoms=(3, 3), tops=(2, 2), since="1.0")
def lstm_unit(layer: Layer, bottoms: list[Shape]) -> Setup:
    cell, gates, cont = bottoms
    for i, bottom in enumerate((cell, gates)):
        need_equal(3, len(bottom), "3 == bottom[i]->num_axes()", f"bottom {i} is {bottom}")
    need_equal(2, len(cont), "2 == bottom[2]->num_axes()", f"bottom 2 is {cont}")
    _, streams, hidden = cell
    for bottom in bottoms:
        need_equal(1, bottom[0], "1 == bottom[i]->shape(0)", "LSTMUnit takes one time step")
        need_equal(streams, bottom[1], "num_instances == bottom[i]->shape(1)", f"the bottoms are {bottoms}")
    need_equal(4 * hidden, gates[2], "4 * hidden_dim_ == bottom[1]->shape(2)", f"the gates are {gates}")
    return Setup([cell, cell], operation=ops.LSTMUnit())
