"""The inputs of recurrent layers, and the plain recurrent net over all steps.

Sequences are (steps, streams, ...). `cont` is (steps, streams): 0 where a sequence begins, which forgets the state, and
1 where it goes on. Source: Caffe's `recurrent_layer.cpp` and `rnn_layer.cpp`, which build a net of all the steps; the
order of its sums is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from ..arrays import Array
from .elementwise import tanh
from .scaling import scale

__all__ = ["add_product", "recurrent_inputs", "recurrent_inputs_backward", "rnn", "rnn_backward"]


def add_product(total: Array | None, left: Array, right: Array, empty: Callable[..., Array] = np.empty) -> None:
    """Add ``left @ right`` to `total`, unless that is None; `empty` brings the memory for the product."""
    if total is not None:
        total += np.matmul(left, right, out=empty(total.shape, total.dtype))


def recurrent_inputs(
    x: Array,
    weights: Sequence[Array],
    static: Array | None = None,
    *,
    out: Array | None = None,
) -> tuple[Array, Array | None]:
    """Return the part of the gates' sums that comes from the inputs, for all steps.

    Parameters
    ----------
    x : (steps, streams, ...)
    weights : weight of x, its bias and, with `static`, the weight of that
    static : (streams, ...), optional
        An input that stays.
    out : C-contiguous array of the first result's shape, optional

    Returns
    -------
    sums : (steps, streams, gates)
    static_sums : (streams, gates) or None
    """
    weight, bias = weights[:2]
    steps, streams = x.shape[:2]
    sums = np.empty((steps, streams, len(weight)), x.dtype) if out is None else out
    flat = sums.reshape(steps * streams, len(weight))
    np.matmul(x.reshape(steps * streams, prod(x.shape[2:])), weight.T, out=flat)
    flat += bias
    return sums, None if static is None else static.reshape(streams, prod(static.shape[1:])) @ weights[2].T


def recurrent_inputs_backward(
    dsums: Array,
    x: Array,
    weights: Sequence[Array],
    dweights: Sequence[Array | None],
    static: Array | None = None,
    *,
    dx: Array | None = None,
    dstatic: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> None:
    """Gradients of `recurrent_inputs`, from that of the sums: adds to `dweights`, writes `dx` and `dstatic`.

    `empty` brings memory for passing use, as `numpy.empty` does.
    """
    steps, streams, gates = dsums.shape
    flat = dsums.reshape(steps * streams, gates)
    if static is not None:
        total = np.add.reduce(dsums, axis=0)  # one step after another
        if dstatic is not None:
            np.matmul(total, weights[2], out=dstatic.reshape(streams, weights[2].shape[1]))
        add_product(dweights[2], total.T, static.reshape(streams, weights[2].shape[1]), empty)
    add_product(dweights[0], flat.T, x.reshape(len(flat), weights[0].shape[1]), empty)
    add_product(dweights[1], np.ones(len(flat), flat.dtype), flat, empty)
    if dx is not None:
        np.matmul(flat, weights[0], out=dx.reshape(len(flat), weights[0].shape[1]))


def rnn(
    x: Array,
    cont: Array,
    weights: Sequence[Array],
    static: Array | None = None,
    *,
    start: Array | None = None,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array]:
    """A plain recurrent net over all steps: ``h = tanh(Wx x + b + Wh h)``, ``y = tanh(Wo h + bo)``.

    Other frameworks' RNN returns h.

    Parameters
    ----------
    x : (steps, streams, ...)
    cont : (steps, streams)
    weights : sequence of array
        As Caffe's layer has them: weight of x (outputs, inputs), bias (outputs,), with `static` its weight, weight of
        the hidden state (outputs, outputs), weight (outputs, outputs) and bias (outputs,) of the result.
    static : (streams, ...), optional
        An input that every step gets.
    start : (1, streams, outputs), optional
        Hidden state before the first step; zeros without. Caffe's layer goes on from its last forward pass.
    out : three C-contiguous arrays, optional
        The sums of the inputs (steps, streams, outputs), hidden states (1 + steps, streams, outputs), the first of
        which is `start`, and the results (steps, streams, outputs); `rnn_backward` needs the last two.

    Returns
    -------
    y, hidden : (steps, streams, outputs)

    Examples
    --------
    >>> weights = np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)
    >>> y, hidden = rnn(np.ones((2, 1, 1)), np.array([[0.0], [1.0]]), weights)
    >>> y.ravel().round(3), hidden.ravel().round(3)
    (array([0.642, 0.736]), array([0.762, 0.943]))
    """
    hidden_weight, result_weight, result_bias = weights[-3:]
    steps, streams, outputs = *x.shape[:2], len(result_bias)
    shapes = ((steps, streams, outputs), (1 + steps, streams, outputs), (steps, streams, outputs))
    sums, hidden, y = [np.zeros(shape, x.dtype) for shape in shapes] if out is None else out
    hidden[:1] = 0 if start is None else start
    _, static_sums = recurrent_inputs(x, weights, static, out=sums)
    for t, going_on in enumerate(cont):
        sums[t] += scale(hidden[t], going_on, axis=0) @ hidden_weight.T
        if static_sums is not None:
            sums[t] += static_sums
        hidden[t + 1] = tanh(sums[t])
        y[t] = tanh(hidden[t + 1] @ result_weight.T + result_bias)
    return y, hidden[1:]


def rnn_backward(
    dy: Array,
    cont: Array,
    weights: Sequence[Array],
    kept: tuple[Array, Array],
    dweights: Sequence[Array | None],
    *,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """Gradient of `rnn` by the sums of its inputs, for `recurrent_inputs_backward`.

    Parameters
    ----------
    dy : (steps, streams, outputs)
    weights, dweights : the last three of all weights, and of their gradients
        The gradients are added to, the last step's first.
    kept : hidden states and results, as `rnn` left them in its `out`
    out : array like `dy`, optional
    empty : callable
        Brings memory for passing use, as `numpy.empty` does.
    """
    (hidden, y), (hidden_weight, result_weight, _) = kept, weights
    dsums = np.empty_like(dy) if out is None else out
    dhidden, ones = np.zeros_like(dy[0]), np.ones(dy.shape[1], dy.dtype)
    for t in range(len(dy) - 1, -1, -1):
        dresult = dy[t] * (1 - y[t] * y[t])
        dhidden = dresult @ result_weight + dhidden
        np.multiply(dhidden, 1 - hidden[t + 1] * hidden[t + 1], out=dsums[t])
        lefts, rights = (dsums[t].T, dresult.T, ones), (scale(hidden[t], cont[t], axis=0), hidden[t + 1], dresult)
        for dweight, left, right in zip(dweights, lefts, rights, strict=True):
            add_product(dweight, left, right, empty)
        dhidden = scale(dsums[t] @ hidden_weight, cont[t], axis=0)
    return dsums
