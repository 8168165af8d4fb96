"""Recurrent layers of forks, and the layers that arrange sequences for them."""

from __future__ import annotations

import math

from .. import ops
from ..checks import c_int, need, need_equal
from ..errors import CaffeError
from .extras import Fields
from .rule import Layer, Param, Setup, Shape, filler, layer_type, legacy, same

ONE = (1, 1)
LSTM = "junhyukoh/caffe-lstm"
CTPN = "tianzhi0549/CTPN"


@layer_type("Lstm", bottoms=(1, 2), tops=ONE, fork=f"{LSTM} (of any age); over (time, batch, ...) {CTPN}", runs=False)
def lstm(layer: Layer, bottoms: list[Shape]) -> Setup:
    """Set up three forms of one layer: with InnerProduct's fields, with lstm_param, and with batches."""
    bottom = bottoms[0]
    need(len(bottom) > 0 and bottom[0] > 0, "bottom[0]->num() > 0", f"the bottom, {bottom}, holds no time steps")
    if layer.message.HasField("inner_product_param"):
        param = layer.message.inner_product_param
        n, inputs = c_int(param.num_output), math.prod(bottom[1:])
        weight = filler(param, "weight_filler")
        params = [Param((1, 4, n, inputs), weight, "x weight"), Param((1, 4, n, n), weight, "hidden weight")]
        if param.bias_term:
            params.append(Param((1, 1, 4, n), filler(param, "bias_filler"), "bias"))
        return Setup([(legacy(bottom)[0], n, 1, 1)], params)
    fields = Fields.of(layer, "lstm_param")
    if "num_output" not in fields:
        raise CaffeError(
            "forks define different Lstm layers, and this one has neither lstm_param nor inner_product_param\n"
            "did you mean LSTM, which BVLC Caffe has? a type's name must match exactly"
        )
    n = fields.integer("num_output")
    need(n > 0, f"num_output > 0 ({n} vs. 0)")
    if len(bottom) == 3 and "batch_size" not in fields:
        inputs, top = bottom[2], [bottom[0], bottom[1], n]
    else:
        batch, inputs = fields.integer("batch_size", 1), math.prod(bottom[1:])
        need(batch > 0 and bottom[0] % batch == 0, f"bottom[0]->num() % N_ == 0 ({bottom[0]} with N_ = {batch})")
        top = [bottom[0], n]
    weight, bias = fields.filler("weight_filler"), fields.filler("bias_filler")
    params = [
        Param((4 * n, inputs), weight, "x weight"),
        Param((4 * n, n), weight, "hidden weight"),
        Param((4 * n,), bias, "bias"),
    ]
    return Setup([tuple(top)], params)


@layer_type("Transpose", bottoms=ONE, tops=ONE, fork=CTPN)
def transpose(layer: Layer, bottoms: list[Shape]) -> Setup:
    bottom, order = bottoms[0], Fields.of(layer, "transpose_param").integers("dim")
    need(not layer.in_place[0], "bottom[0] != top[0] Transpose Layer does not support in-place computation.")
    need_equal(
        len(bottom),
        len(order),
        "shape.size() == transpose_param_.dim_size()",
        "the dimensions of the top blob and bottom blob must be equal.",
    )
    need(sorted(order) == list(range(len(bottom))), f"transpose_param names each axis once, got {order}")
    return Setup([tuple(bottom[i] for i in order)], operation=ops.Permute(tuple(order)))


layer_type("Reverse", bottoms=ONE, tops=ONE, fork=CTPN, runs=False)(same)
