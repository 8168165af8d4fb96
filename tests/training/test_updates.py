"""The updates against the papers' formulas, number by number in float64, and what they do at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import schema
from caffe_fillers.training.updates import UPDATES, axpby


def slow(kind, m, w, g, state, rate, t):
    """One number's new value, and what is remembered of it."""
    a, b = state
    if kind == "SGD":
        a = rate * g + m.momentum * a
        return w - a, (a, b)
    if kind == "Nesterov":
        new = rate * g + m.momentum * a
        return w - ((1 + m.momentum) * new - m.momentum * a), (new, b)
    if kind == "AdaGrad":
        a += g * g
        return w - rate * g / (math.sqrt(a) + m.delta), (a, b)
    if kind == "RMSProp":
        a = (1 - m.rms_decay) * g * g + m.rms_decay * a
        return w - rate * g / (math.sqrt(a) + m.delta), (a, b)
    if kind == "AdaDelta":
        a = (1 - m.momentum) * g * g + m.momentum * a
        change = g * math.sqrt((b + m.delta) / (a + m.delta))
        b = (1 - m.momentum) * change * change + m.momentum * b
        return w - rate * change, (a, b)
    a = (1 - m.momentum) * g + m.momentum * a
    b = (1 - m.momentum2) * g * g + m.momentum2 * b
    correction = math.sqrt(1 - m.momentum2**t) / (1 - m.momentum**t)
    return w - rate * correction * a / (math.sqrt(b) + m.delta), (a, b)


def message(kind, **fields):
    momentum = 0 if kind in ("AdaGrad", "RMSProp") else 0.9
    defaults = {"momentum": momentum, "momentum2": 0.99, "delta": 1e-3, "rms_decay": 0.9, "lr_policy": "fixed"}
    return schema.SolverParameter(**{**defaults, **fields})


def blobs(shapes, dtype=np.float64, seed=0):
    result, random = [], np.random.default_rng(seed)
    for shape in shapes:
        blob = cf.Blob(shape, dtype)
        blob.data[...] = random.standard_normal(shape)
        result.append(blob)
    return result


@pytest.mark.parametrize("decay", ["", "L2", "L1"])
@pytest.mark.parametrize("kind", UPDATES)
def test_updates_follow_the_papers(kind, decay):
    random = np.random.default_rng(1)
    fields = {"weight_decay": 0.1, "regularization_type": decay} if decay else {}
    m = message(kind, iter_size=2, **fields)
    params, multipliers = blobs([(2, 3), (4,)]), [(1.0, 1.0), (2.0, 0.5)]
    update = UPDATES[kind](m, params, multipliers)
    expected = [[(w, (0.0, 0.0)) for w in blob.data.ravel()] for blob in params]
    for t in range(1, 6):
        for k, (blob, (lr, own)) in enumerate(zip(params, multipliers, strict=True)):
            blob.diff[...] = random.standard_normal(blob.shape)
            for i, g in enumerate(blob.diff.ravel()):
                w, state = expected[k][i]
                g = g / 2 + (m.weight_decay * own * (np.sign(w) if decay == "L1" else w) if decay else 0)
                expected[k][i] = slow(kind, m, w, g, state, 0.1 * lr, t)
        before = [blob.data.copy() for blob in params]
        update.apply(np.float64(0.1), t - 1)
        for blob, values, old in zip(params, expected, before, strict=True):
            np.testing.assert_allclose(blob.data.ravel(), [w for w, _ in values], rtol=1e-12)
            # the diff is left as what was subtracted
            np.testing.assert_array_equal(blob.data, old - blob.diff)


@pytest.mark.parametrize("kind", UPDATES)
def test_long_parameters_are_changed_as_short_ones(kind):
    m = message(kind, weight_decay=0.01)
    (long,) = blobs([(40_001,)], np.float32)
    parts = [cf.Blob.from_array(part.copy()) for part in np.split(long.data, [1, 5000, 16384, 32768])]
    one, many = UPDATES[kind](m, [long], [(1, 1)]), UPDATES[kind](m, parts, [(1, 1)] * 5)
    for t in range(3):
        long.diff[...] = np.random.default_rng(t).standard_normal(long.shape)
        at = 0
        for part in parts:
            part.diff[...] = long.diff[at : at + part.count()]
            at += part.count()
        one.apply(np.float32(0.1), t)
        many.apply(np.float32(0.1), t)
    assert long.data.tobytes() == b"".join(part.data.tobytes() for part in parts)


def test_gradients_are_clipped_together_and_before_they_are_averaged():
    m = message("SGD", momentum=0, clip_gradients=1, iter_size=2)
    params = blobs([(1,), (1,)])
    update = UPDATES["SGD"](m, params, [(1, 1), (1, 1)])
    printed = []
    update.clipped = lambda norm, factor: printed.append((float(norm), float(factor)))
    before = [float(blob.data[0]) for blob in params]
    params[0].diff[...], params[1].diff[...] = 3, 4
    update.apply(np.float64(1), 0)
    changes = [old - float(blob.data[0]) for old, blob in zip(before, params, strict=True)]
    # a norm of 5 becomes 1, and then the mean of two batches is taken
    np.testing.assert_allclose(changes, [0.3, 0.4])
    assert printed == [(5, 0.2)]
    params[0].diff[...], params[1].diff[...] = 0.3, 0.4
    update.apply(np.float64(1), 1)
    assert len(printed) == 1


def test_a_norm_of_exactly_the_limit_is_not_clipped_and_a_limit_of_0_stops_all():
    params = blobs([(2,)])
    update = UPDATES["SGD"](message("SGD", momentum=0, clip_gradients=5), params, [(1, 1)])
    printed = []
    update.clipped = lambda *said: printed.append(said)
    params[0].diff[...] = [3, 4]
    update.apply(np.float64(1), 0)
    assert printed == []
    # only limits below 0 stand for none
    update = UPDATES["SGD"](message("SGD", momentum=0, clip_gradients=0), params, [(1, 1)])
    before = params[0].data.copy()
    params[0].diff[...] = [3, 4]
    update.apply(np.float64(1), 0)
    np.testing.assert_array_equal(params[0].data, before)


@pytest.mark.parametrize("alpha", [0, 1, 2])
@pytest.mark.parametrize("beta", [0, 1, 2])
def test_sums_leave_out_what_a_factor_of_0_stands_before(alpha, beta):
    x = np.array([3.0, math.inf if alpha == 0 else 5.0])
    y = np.array([7.0, math.inf if beta == 0 else 11.0])
    expected = [3 * alpha + 7 * beta, (5 * alpha if alpha else 0) + (11 * beta if beta else 0)]
    axpby(np.float64(alpha), x, np.float64(beta), y, np.empty(2))
    np.testing.assert_array_equal(y, expected)


def test_blobs_that_get_other_memory_are_followed():
    (blob,), m = blobs([(3,)]), message("SGD")
    update = UPDATES["SGD"](m, [blob], [(1, 1)])
    blob.diff[...] = 1
    update.apply(np.float64(0.1), 0)
    owner = cf.Blob((3,), np.float64)
    blob.share_data(owner)
    blob.diff[...] = 1
    update.apply(np.float64(0.1), 1)
    np.testing.assert_allclose(owner.data, -0.19)


def test_a_rate_of_zero_keeps_infinities_out():
    (blob,) = blobs([(2,)], np.float32)
    before = blob.data.copy()
    for kind in UPDATES:
        update = UPDATES[kind](message(kind), [blob], [(0, 0)])
        blob.diff[...] = np.inf
        if kind not in ("SGD", "Nesterov"):
            update.apply(np.float32(1), 0)
            assert blob.data.tobytes() == before.tobytes(), kind


def test_a_regularization_that_caffe_does_not_know():
    m = message("SGD", weight_decay=0.1, regularization_type="L3")
    with pytest.raises(cf.CaffeError, match="Unknown regularization type: L3"):
        UPDATES["SGD"](m, blobs([(1,)]), [(1, 1)])
    # Caffe looks only where something decays
    UPDATES["SGD"](m, blobs([(1,)]), [(1, 0)])


def test_memory_that_a_parameter_has_is_kept():
    blobs = [cf.Blob((3, 5)), cf.Blob((7,)), cf.Blob((0, 2))]
    own = blobs[1].diff
    own[...] = 2
    update = UPDATES["Adam"](schema.SolverParameter(), blobs, [(1, 1)] * 3)
    assert blobs[1].diff is own
    assert (own == 2).all()
    made = [*update.history, blobs[0].diff, blobs[2].diff]
    assert [array.shape for array in made] == [(3, 5), (7,), (0, 2)] * 2 + [(3, 5), (0, 2)]
    for i, array in enumerate(made):
        assert array.flags.c_contiguous
        assert not array.any()
        array[...] = i + 1
    assert all((array == i + 1).all() for i, array in enumerate(made))


def test_a_diff_that_is_shared_is_cleared_at_once_and_holds_what_its_owner_holds():
    mine, owner = cf.Blob(3), cf.Blob(3)
    update = UPDATES["SGD"](schema.SolverParameter(), [mine], [(1.0, 1.0)])
    update.clear()
    owner.diff[...] = 7
    mine.share_diff(owner)
    assert (mine.diff == 7).all()
    update.clear()
    assert not owner.diff.any()
