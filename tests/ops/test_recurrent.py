"""LSTM and RNN as operations: a slow oracle, gradients, and the state that goes on from pass to pass."""

from __future__ import annotations

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops
from caffe_fillers.ops import Work

FEW = settings(max_examples=20, deadline=None, derandomize=True)
GATES = {ops.LSTM: 4, ops.RNN: 1}


def layer(kind, steps, streams, inputs, outputs, static, seed):
    """Random bottoms and parameters of a layer; `static` inputs that stay, 0 for none."""
    rng = np.random.default_rng(seed)
    gates = GATES[kind] * outputs
    bottoms = [rng.standard_normal((steps, streams, inputs)), rng.integers(0, 2, (steps, streams)).astype(float)]
    shapes = [(gates, inputs), (gates,), (gates, outputs)]
    if static:
        bottoms.append(rng.standard_normal((streams, static)))
        shapes.insert(2, (gates, static))
    if kind is ops.RNN:
        shapes += [(outputs, outputs), (outputs,)]
    return bottoms, [0.5 * rng.standard_normal(shape) for shape in shapes]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow(kind, bottoms, blobs, states):
    """All steps of one stream after another, number by number; the results and the last states."""
    x, cont, *static = bottoms
    results = np.zeros((*x.shape[:2], states[0].shape[1]))
    states = [state.copy() for state in states]
    recurrent = blobs[3 if static else 2]
    for n in range(x.shape[1]):
        for t in range(len(x)):
            before = states[0][n] * cont[t, n]
            sums = blobs[0] @ x[t, n] + blobs[1] + recurrent @ before
            if static:
                sums = sums + blobs[2] @ static[0][n]
            if kind is ops.RNN:
                states[0][n] = np.tanh(sums)
                results[t, n] = np.tanh(blobs[-2] @ states[0][n] + blobs[-1])
            else:
                i, f, o, g = np.split(sums, 4)
                states[1][n] = cont[t, n] * sigmoid(f) * states[1][n] + sigmoid(i) * np.tanh(g)
                states[0][n] = results[t, n] = sigmoid(o) * np.tanh(states[1][n])
    return results, states


layers = given(
    st.sampled_from(list(GATES)), *[st.integers(1, 4)] * 3, st.integers(1, 3), st.integers(0, 2), st.integers(0, 99)
)


@FEW
@layers
def test_two_passes_against_a_slow_oracle(kind, steps, streams, inputs, outputs, static, seed):
    operation, work = kind(outputs, bool(static)), Work()
    states = [np.zeros((streams, outputs))] * 2
    for i in range(2):
        bottoms, blobs = layer(kind, steps, streams, inputs, outputs, static, seed + 1000 * i)
        top = np.full((steps, streams, outputs), np.nan)
        operation.forward(bottoms, [top], blobs, work)
        expected, states = slow(kind, bottoms, blobs, states)
        np.testing.assert_allclose(top, expected, rtol=1e-12, atol=1e-14)


@FEW
@layers
def test_gradients(kind, steps, streams, inputs, outputs, static, seed):
    bottoms, blobs = layer(kind, steps, streams, inputs, outputs, static, seed)
    by = [0, 2] if static else [0]
    check_gradient(kind(outputs, bool(static)), bottoms, blobs, [(steps, streams, outputs)], by=by)


@pytest.mark.parametrize("kind", GATES)
def test_states_given_and_received_are_those_that_a_pass_keeps(kind):
    bottoms, blobs = layer(kind, 6, 2, 3, 4, 0, seed=3)
    bottoms[1][...] = 1
    whole = np.empty((6, 2, 4))
    kind(4).forward(bottoms, [whole], blobs, Work())
    exposed, states = kind(4, exposed=True), [np.zeros((1, 2, 4))] * (2 if kind is ops.LSTM else 1)
    for part in (slice(0, 2), slice(2, 6)):
        tops = [np.empty((part.stop - part.start, 2, 4)), *[np.full((1, 2, 4), np.nan) for _ in states]]
        work = Work()
        given_states = [bottoms[0][part], bottoms[1][part], *states]
        exposed.forward(given_states, tops, blobs, work)
        np.testing.assert_allclose(tops[0], whole[part], rtol=1e-13, atol=1e-15)
        dbottoms = [np.full_like(each, np.nan) if i != 1 else None for i, each in enumerate(given_states)]
        exposed.backward(
            [np.ones_like(top) for top in tops], given_states, tops, blobs, dbottoms, [None] * len(blobs), work
        )
        assert np.isfinite(dbottoms[0]).all()
        assert not any(dstate.any() for dstate in dbottoms[2:])  # Caffe learns within one pass
        states = tops[1:]


def test_only_the_first_top_hands_a_gradient_down():
    bottoms, blobs = layer(ops.LSTM, 3, 2, 3, 4, 0, seed=4)
    bottoms += [np.ones((1, 2, 4)), np.ones((1, 2, 4))]
    tops, work = [np.empty((3, 2, 4)), np.empty((1, 2, 4)), np.empty((1, 2, 4))], Work()
    operation = ops.LSTM(4, exposed=True)
    operation.forward(bottoms, tops, blobs, work)
    result = []
    for further in (0.0, 5.0):
        dx = np.empty((3, 2, 3))
        dtops = [np.ones((3, 2, 4)), *[np.full((1, 2, 4), further)] * 2]
        operation.backward(dtops, bottoms, tops, blobs, [dx, None, None, None], [None] * 3, work)
        result.append(dx)
    np.testing.assert_array_equal(*result)


def test_gradients_of_weights_are_added_from_the_last_step_on():
    bottoms, blobs = layer(ops.LSTM, 9, 3, 2, 4, 0, seed=5)
    bottoms, blobs = [each.astype(np.float32) for each in bottoms], [each.astype(np.float32) for each in blobs]
    kept = np.empty((9, 3, 16), np.float32), np.empty((10, 3, 4), np.float32), np.empty((10, 3, 4), np.float32)
    ops.lstm(*bottoms, blobs, out=kept)
    ours = np.ones((16, 4), np.float32)
    dgates = ops.lstm_backward(np.ones((9, 3, 4), np.float32), bottoms[1], blobs[-1], kept, dhidden_weight=ours)
    last_first, first_first = np.ones_like(ours), np.ones_like(ours)
    for total, order in ((last_first, range(8, -1, -1)), (first_first, range(9))):
        for t in order:
            total += dgates[t].T @ (kept[1][t] * bottoms[1][t][:, None])
    np.testing.assert_array_equal(ours, last_first)
    assert (ours != first_first).any()


def test_the_result_does_not_rest_on_the_top_when_going_back():
    """A layer in place behind this one may have changed the top."""
    for kind in GATES:
        bottoms, blobs = layer(kind, 3, 2, 3, 4, 0, seed=6)
        top, work, result = np.empty((3, 2, 4)), Work(), []
        kind(4).forward(bottoms, [top], blobs, work)
        for _ in range(2):
            dx = np.empty((3, 2, 3))
            kind(4).backward([np.ones_like(top)], bottoms, [top], blobs, [dx, None], [None] * len(blobs), work)
            result.append(dx)
            top[...] = 7
        np.testing.assert_array_equal(*result)


@pytest.mark.parametrize("kind", GATES)
def test_indicators_have_no_gradient(kind):
    bottoms, blobs = layer(kind, 2, 2, 3, 4, 0, seed=7)
    top, work = np.empty((2, 2, 4)), Work()
    kind(4).forward(bottoms, [top], blobs, work)
    with pytest.raises(CaffeError, match="Cannot backpropagate to sequence indicators"):
        kind(4).backward([top], bottoms, [top], blobs, [None, np.empty((2, 2))], [None] * len(blobs), work)
    assert [kind(4).forces(i) for i in range(3)] == [True, False, True]


@FEW
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_one_step_of_an_lstm(streams, outputs, seed):
    rng = np.random.default_rng(seed)
    cell, gates = rng.standard_normal((1, streams, outputs)), rng.standard_normal((1, streams, 4 * outputs))
    cont = rng.integers(0, 2, (1, streams))
    shape = (1, streams, outputs)
    check_gradient(ops.LSTMUnit(), [cell, gates, cont], [], [shape, shape], by=[0, 1])
    assert [ops.LSTMUnit().forces(i) for i in range(3)] == [True, True, False]


def test_a_cell_that_is_no_number_is_not_forgotten_as_in_caffe():
    cell, _ = ops.lstm_unit(np.float32([[np.nan]]), np.zeros((1, 4), np.float32), np.float32([0]))
    assert np.isnan(cell)


def test_where_a_sequence_begins_the_forget_gate_does_not_count_even_if_it_is_no_number():
    cell, _ = ops.lstm_unit(np.float32([[1]]), np.float32([[0, np.nan, 0, 0]]), np.float32([0]))
    assert cell == 0


def test_a_hidden_state_that_is_no_number_is_forgotten_where_a_sequence_begins():
    # Caffe's Scale multiplies by the indicator through the BLAS, where 0 times NaN is 0
    x, cont = np.zeros((2, 1, 1), np.float32), np.float32([[1], [0]])
    start = np.full((1, 1), np.nan, np.float32)
    weights = [np.ones(shape, np.float32) for shape in ((1, 1), 1, (1, 1), (1, 1), 1)]
    y, hidden = ops.rnn(x, cont, weights, start=start)
    assert np.isnan(y[0]).all()
    np.testing.assert_allclose(hidden[1], np.tanh(1), rtol=1e-6)
    kept = [np.zeros((2, 1, 4), np.float32), np.zeros((3, 1, 1), np.float32), np.zeros((3, 1, 1), np.float32)]
    lstm_weights = [np.ones(shape, np.float32) for shape in ((4, 1), 4, (4, 1))]
    ops.lstm(x, cont, lstm_weights, start=(start, np.zeros_like(start)), out=tuple(kept))
    assert np.isnan(kept[0][0]).all()
    assert (kept[0][1] == 1).all()
