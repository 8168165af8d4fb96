"""Long short-term memory: one step, and a layer over all steps.

Sequences are (steps, streams, ...). `cont` is (steps, streams): 0 where a sequence begins, which forgets the state, and
1 where it goes on. Source: Caffe's `recurrent_layer.cpp`, `lstm_layer.cpp` and `lstm_unit_layer.cpp`, which build a net
of all the steps; the order of its sums is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import Array
from .recurrent import add_product, recurrent_inputs
from .scaling import scale

__all__ = ["lstm", "lstm_backward", "lstm_unit", "lstm_unit_backward"]


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)): the exponential in the type of `x`, the rest in float64, as C has it."""
    powers = np.negative(x)
    np.exp(powers, out=powers, dtype=np.float64, casting="same_kind")
    y: Array = (1.0 / (1.0 + powers.astype(np.float64))).astype(x.dtype)
    return y


def _tanh(x: Array) -> Array:
    """2 / (1 + exp(-2 * x)) - 1, all of it in float64."""
    y: Array = (2.0 * (1.0 / (1.0 + np.exp(-2.0 * x.astype(np.float64)))) - 1.0).astype(x.dtype)
    return y


def _gates(gates: Array, cont: Array) -> tuple[Array, Array, Array, Array]:
    """The input, forget and output gates and the candidate, each (streams, outputs)."""
    i, f, o = (_sigmoid(part) for part in np.split(gates, 4, axis=-1)[:3])
    goes_on = cont[:, None]
    f = np.where(goes_on == 0, f.dtype.type(0), goes_on * f)
    return i, f, o, _tanh(gates[..., -i.shape[-1] :])


def lstm_unit(cell: Array, gates: Array, cont: Array, *, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """One step of an LSTM from the sums at its gates.

    ``c = cont * sigmoid(f) * cell + sigmoid(i) * tanh(g)``, ``h = sigmoid(o) * tanh(c)``. Other frameworks order the
    gates differently (PyTorch: i, f, g, o).

    Parameters
    ----------
    cell : (streams, outputs)
        State of the step before.
    gates : (streams, 4 * outputs)
        i, f, o, g: input, forget and output gate, candidate.
    cont : (streams,)
    out : two C-contiguous arrays like `cell`, optional

    Returns
    -------
    cell, hidden : (streams, outputs)

    Examples
    --------
    >>> c, h = lstm_unit(np.float32([[2]]), np.float32([[0, 0, 0, 0]]), np.float32([1]))
    >>> c, h.round(4)
    (array([[1.]], dtype=float32), array([[0.3808]], dtype=float32))
    """
    c, h = (np.empty_like(cell), np.empty_like(cell)) if out is None else out
    with np.errstate(over="ignore", invalid="ignore"):
        i, f, o, g = _gates(gates, cont)
        np.multiply(f, cell, out=c)
        c += i * g
        np.multiply(o, _tanh(c), out=h)
    return c, h


def lstm_unit_backward(
    dcell: Array, dhidden: Array, before: Array, gates: Array, cont: Array, cell: Array
) -> tuple[Array, Array]:
    """Gradients of `lstm_unit` by the state `before`, and by the gates; `cell` is the step's own state.

    As in Caffe `cont` counts as a part of the forget gate, which is exact where it is 0 or 1.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        i, f, o, g = _gates(gates, cont)
        squashed = _tanh(cell)
        dc = dcell + dhidden * o * (1 - squashed * squashed)
        parts = [
            dc * g * i * (1 - i),
            dc * before * f * (1 - f),
            dhidden * squashed * o * (1 - o),
            dc * i * (1 - g * g),
        ]
        return dc * f, np.concatenate(parts, axis=-1)


def lstm(
    x: Array,
    cont: Array,
    weights: Sequence[Array],
    static: Array | None = None,
    *,
    start: tuple[Array, Array] | None = None,
    out: tuple[Array, Array, Array] | None = None,
) -> tuple[Array, Array]:
    """An LSTM (without peepholes) over all steps.

    Parameters
    ----------
    x : (steps, streams, ...)
    cont : (steps, streams)
    weights : sequence of array
        As Caffe's layer has them: weight of x (4 * outputs, inputs), bias (4 * outputs,), with `static` its weight, and
        weight of the hidden state (4 * outputs, outputs). The order of the gates is i, f, o, g.
    static : (streams, ...), optional
        An input that every step gets.
    start : two arrays (1, streams, outputs), optional
        Hidden state and cell before the first step; zeros without. Caffe's layer goes on from its last forward pass.
    out : three C-contiguous arrays, optional
        What `lstm_backward` needs: the sums at the gates (steps, streams, 4 * outputs), and hidden states and cells
        (1 + steps, streams, outputs), the first of which are `start`.

    Returns
    -------
    hidden, cells : (steps, streams, outputs)

    Examples
    --------
    >>> weights = np.ones((4, 1)), np.zeros(4), np.ones((4, 1))
    >>> hidden, cells = lstm(np.ones((2, 1, 1)), np.array([[0.0], [1.0]]), weights)
    >>> hidden.ravel().round(3), cells.ravel().round(3)
    (array([0.37 , 0.651]), array([0.557, 1.144]))
    """
    hidden_weight = weights[-1]
    shape = (1 + x.shape[0], x.shape[1], hidden_weight.shape[1])
    gates, hidden, cells = (None, np.zeros(shape, x.dtype), np.zeros(shape, x.dtype)) if out is None else out
    hidden[:1], cells[:1] = (0, 0) if start is None else start
    gates, static_sums = recurrent_inputs(x, weights, static, out=gates)
    for t, going_on in enumerate(cont):
        gates[t] += scale(hidden[t], going_on, axis=0) @ hidden_weight.T
        if static_sums is not None:
            gates[t] += static_sums
        lstm_unit(cells[t], gates[t], going_on, out=(cells[t + 1], hidden[t + 1]))
    return hidden[1:], cells[1:]


def lstm_backward(
    dy: Array,
    cont: Array,
    hidden_weight: Array,
    kept: tuple[Array, Array, Array],
    *,
    dhidden_weight: Array | None = None,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """Gradient of `lstm` by the sums at its gates, for `recurrent_inputs_backward`.

    Nothing flows in from a later pass, and nothing out to the state before the first step.

    Parameters
    ----------
    dy : (steps, streams, outputs)
    kept : what `lstm` left in its `out`
    dhidden_weight : array like the weight, optional
        The gradient is added to it, the last step's first.
    out : array like the sums at the gates, optional
    empty : callable
        Brings memory for passing use, as `numpy.empty` does.
    """
    gates, hidden, cells = kept
    dgates = np.empty_like(gates) if out is None else out
    dhidden, dcell = np.zeros_like(dy[0]), np.zeros_like(dy[0])
    for t in range(len(dy) - 1, -1, -1):
        dcell, dgates[t] = lstm_unit_backward(dcell, dhidden + dy[t], cells[t], gates[t], cont[t], cells[t + 1])
        add_product(dhidden_weight, dgates[t].T, scale(hidden[t], cont[t], axis=0), empty)
        dhidden = scale(dgates[t] @ hidden_weight, cont[t], axis=0)
    return dgates
