"""The work of a training around its iterations: tests, averages, callbacks, snapshots, warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers.training.average import Average

from .conftest import NET

TESTED = NET.replace('name: "loss"', 'name: "loss" loss_weight: 2')


def losses(solver, count):
    found = []
    for _ in range(count):
        solver.step(1)
        found.append(solver.loss)
    return found


def test_steps_at_once_are_steps_one_by_one(small):
    one, many = small(), small()
    several = losses(one, 6)
    many.step(6)
    assert (one.iter, many.iter) == (6, 6)
    assert several[-1] == many.loss
    for a, b in zip(one.net.learnable, many.net.learnable, strict=True):
        assert a.data.tobytes() == b.data.tobytes()


def test_the_average_is_caffes():
    average, seen = Average(3, np.float32), []
    values = np.float32([3, 1, 2, 7, 0.1])
    for i, value in enumerate(values):
        mean = average.add(value)
        seen.append(value)
        assert mean == pytest.approx(np.mean(seen[max(0, i - 2) :]), rel=1e-6)
    # a window of one is brought up to date by a difference, and so keeps what that rounds away
    single = Average(1, np.float32)
    single.add(np.float32(87.3365))
    assert single.add(np.float32(0.1234567)) == np.float32(87.3365) + (np.float32(0.1234567) - np.float32(87.3365))
    assert single.mean != np.float32(0.1234567)


def test_average_loss_is_over_the_last_iterations_of_one_call(small):
    solver = small("average_loss: 2")
    solver.step(3)
    raw = losses(small(), 3)
    assert solver.curves.loss[1] == pytest.approx(np.mean(raw[:2]))
    assert solver.curves.loss[2] == pytest.approx(np.mean(raw[1:]))
    solver.step(1)
    assert solver.curves.loss[3] == solver.loss


def test_iter_size_takes_the_mean_of_batches(small):
    two, batches = small("iter_size: 2"), small()
    one = [batches.net.forward_backward() for _ in range(2)]
    gradient = batches.net.params["b"][0].diff / 2
    before = two.net.params["b"][0].data.copy()
    two.step(1)
    assert two.loss == pytest.approx(np.mean(one))
    np.testing.assert_allclose(before - two.net.params["b"][0].data, 0.05 * gradient, rtol=1e-4, atol=1e-7)


def test_tests_come_where_the_solver_asks_for_them(small):
    solver = small("test_iter: 2 test_interval: 3 test_compute_loss: true", TESTED)
    solver.solve()
    assert list(solver.curves.test) == [0, 3, 6, 9]
    assert small("test_iter: 1 test_interval: 5 test_initialization: false").solve() is None
    late = small("test_iter: 1 test_interval: 5 test_initialization: false")
    late.solve()
    assert list(late.curves.test) == [5, 10]


def test_a_test_is_the_mean_of_its_batches_with_the_trained_weights(small):
    solver, same = (small("test_iter: 3 test_interval: 100 test_compute_loss: true") for _ in range(2))
    scores = solver.test()
    same.share()
    each = [float(same.test_nets[0].forward()["loss"]) for _ in range(3)]
    assert scores["loss"] == pytest.approx(np.mean(each), rel=1e-6)
    assert np.shares_memory(solver.net.params["a"][0].data, solver.test_nets[0].params["a"][0].data)
    with pytest.raises(cf.CaffeError, match="has 1 test nets, there is no number 1"):
        solver.test(1)


def test_test_nets_of_several_states_share_the_weights(small):
    net = NET.replace('type: "EuclideanLoss"', 'type: "EuclideanLoss" loss_weight: 1') + (
        'layer { name: "more" type: "Power" bottom: "b" top: "more" include { phase: TEST stage: "s" } }'
    )
    solver = small('test_iter: 1 test_iter: 2 test_state {} test_state { stage: "s" } test_interval: 2', net)
    solver.step(3)
    assert set(solver.curves.test[2]) == {0, 1}
    assert "more" in solver.test(1)
    assert len(solver.curves.test[3][1]["more"]) == 18


FROZEN = NET.replace('top: "a"\n', 'top: "a" param { lr_mult: 0 } param { lr_mult: 0 }\n')
SHARED = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 6 dim: 4 } shape { dim: 6 dim: 4 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" } param { name: "bias of a" }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { lr_mult: 0 }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }
"""


@pytest.mark.parametrize("net", [NET, FROZEN, SHARED], ids=["plain", "frozen", "shared"])
@pytest.mark.parametrize("settings", ["momentum: 0.9", "iter_size: 3", "clip_gradients: 0.1", 'type: "Adam"'])
def test_gradients_that_are_written_are_those_that_are_added_to_zeros(small, net, settings):
    # what somebody has looked at is cleared at once, and so added to
    written, added = small(settings, net), small(settings, net)
    for blob in added.net.learnable:
        blob.diff[...] = 5
    written.step(3)
    added.step(3)
    for a, b in zip(written.net.learnable, added.net.learnable, strict=True):
        assert np.array_equal(a.data, b.data)
        assert np.array_equal(a.diff, b.diff)


def test_gradients_are_zeros_when_an_iteration_starts(small):
    solver, seen = small(), []
    blob = solver.net.params["b"][0]
    solver.step(2)
    solver.add_callback(lambda: seen.append(blob.diff.copy()))
    solver.step(1)
    held = blob.diff
    assert held.any()
    solver.add_callback(lambda: seen.append(held.copy()))
    solver.step(1)
    assert len(seen) == 3
    assert not np.any(seen)


def test_gradients_of_a_pass_that_fails_are_zeros(small, monkeypatch):
    solver = small()
    solver.step(2)

    def fail(self, dtops, bottoms, tops, blobs, dbottoms, dblobs, work):
        dblobs[0][...] = 7
        raise cf.CaffeError("no")

    monkeypatch.setattr(cf.ops.InnerProduct, "backward", fail)
    with pytest.raises(cf.CaffeError, match="no"):
        solver.step(1)
    assert not solver.net.params["b"][0].diff.any()
    assert not solver.net.params["a"][0].diff.any()


def test_a_diff_that_is_read_while_it_is_written_is_not_cleared(small, monkeypatch):
    """As by a thread that shows a training at work."""
    alone, watched = small("momentum: 0.9"), small("momentum: 0.9")
    work = cf.ops.InnerProduct.backward

    def read(self, *arrays_and_work):
        work(self, *arrays_and_work)
        for blob in watched.net.learnable:
            _ = blob.diff

    alone.step(3)
    monkeypatch.setattr(cf.ops.InnerProduct, "backward", read)
    watched.step(3)
    for a, b in zip(alone.net.learnable, watched.net.learnable, strict=True):
        assert np.array_equal(a.data, b.data)


def test_a_gradient_that_nobody_computes_is_zero(small):
    net = NET + 'layer { name: "c" type: "InnerProduct" bottom: "x" top: "c" inner_product_param { num_output: 2 } }'
    solver = small("momentum: 0.9 weight_decay: 0.1", net)
    solver.net.params["c"][0].data[...] = 1
    solver.step(3)
    # what decay makes of it: no gradient joins
    rate, expected, velocity = np.float32(0.05), np.float32(1), np.float32(0)
    for _ in range(3):
        velocity = velocity * np.float32(0.9) + expected * np.float32(0.1) * rate
        expected = expected - velocity
    np.testing.assert_array_equal(solver.net.params["c"][0].data, expected)


def test_callbacks_and_stop(small):
    solver, seen = small(), []
    solver.add_callback(lambda: seen.append("start"), lambda: seen.append("gradients"))
    solver.callbacks.append(lambda s: seen.append(s.iter))
    solver.callbacks.append(lambda s: s.stop() if s.iter == 2 else None)
    solver.solve()
    assert seen == ["start", "gradients", 1, "start", "gradients", 2]
    assert solver.iter == 2
    assert solver.saved == (2, "solver_iter_2.solverstate")


def test_solve_writes_snapshots_as_caffe_does(small, here):
    small('snapshot: 4 snapshot_prefix: "run"').solve()
    assert sorted(path.name for path in here.glob("run*.solverstate")) == [
        "run_iter_10.solverstate",
        "run_iter_4.solverstate",
        "run_iter_8.solverstate",
    ]
    small('snapshot: 5 snapshot_prefix: "even"').solve()
    assert len([*here.glob("even*.caffemodel")]) == 2
    small('snapshot_after_train: false snapshot_prefix: "none"').solve()
    assert not [*here.glob("none*")]


def test_a_folder_for_snapshots_is_looked_for_before_training(small):
    solver = small('snapshot_prefix: "nowhere/run"')
    with pytest.raises(cf.CaffeError, match="make the folder nowhere first"):
        solver.solve()
    assert solver.iter == 0
    assert not solver.curves.loss


def test_a_snapshot_that_cannot_be_written(small, here):
    solver = small('snapshot: 2 snapshot_prefix: "run"')
    solver.step(2)
    whole = (here / "run_iter_2.solverstate").read_bytes()
    (here / "run_iter_4.caffemodel").mkdir()
    with pytest.raises(cf.CaffeError, match="is a directory"):
        solver.step(4)
    assert solver.iter == 4
    solver.snapshot_failure = "warn"
    solver.iter = 3
    with pytest.warns(cf.CaffeWarning, match="iteration 4: no snapshot was written, the training goes on"):
        solver.step(3)
    assert solver.iter == 6
    assert (here / "run_iter_6.solverstate").exists()
    assert (here / "run_iter_2.solverstate").read_bytes() == whole


def test_a_loss_that_becomes_nan_is_said_once(small):
    solver = small("base_lr: 1e20")
    with pytest.warns(cf.CaffeWarning) as caught:
        solver.step(10)
    (warning,) = caught
    assert "at iteration" in str(warning.message)
    assert "the first such values are in layer 'b', in its top 'b'" in str(warning.message)
    assert not math.isfinite(solver.loss)
    assert solver.iter == 10


def test_a_rate_that_is_no_number_is_said_once(small):
    solver = small('base_lr: nan lr_policy: "fixed"')
    with pytest.warns(cf.CaffeWarning) as caught:
        solver.step(3)
    said = [str(each.message) for each in caught]
    assert sum("the learning rate is nan from iteration 0 on" in text for text in said) == 1
    assert len(said) == 2


def test_a_net_without_a_loss_is_said(small):
    net = NET[: NET.index('layer { name: "loss"')] + 'layer { name: "s" type: "Silence" bottom: "b" bottom: "t" }'
    with pytest.warns(cf.CaffeWarning, match="no layer of the train net gives a loss"):
        small("", net).step(1)


def test_nothing_to_train_is_said(small):
    solver = small("max_iter: 0 snapshot_after_train: false")
    with pytest.warns(cf.CaffeWarning, match="max_iter is 0 and 0 iterations are done: there is nothing to train"):
        solver.solve()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ('lr_policy: "step"', "solver.prototxt: Check failed: this->param_.stepsize() > 0 (0 vs. 0)"),
        ("iter_size: 0", "iter_size > 0 (0 vs. 0)"),
        ("snapshot: 3", "param_.has_snapshot_prefix()"),
    ],
)
def test_settings_that_caffe_stops_at(small, settings, text):
    solver = small(settings)
    if "snapshot" in settings:
        solver.message.ClearField("snapshot_prefix")
    before = solver.net.params["a"][0].data.copy()
    with pytest.raises(cf.CaffeError) as caught:
        solver.step(1)
    assert text in str(caught.value)
    assert solver.iter == 0
    assert solver.net.params["a"][0].data.tobytes() == before.tobytes()


def test_a_healthy_training_says_nothing(small):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small("test_iter: 1 test_interval: 5").solve()


def test_iterations_instead_of_max_iter_leave_the_policy_alone(small):
    solver = small('lr_policy: "poly" power: 1 snapshot_after_train: false')
    solver.solve(iterations=4)
    assert solver.iter == 4
    assert solver.curves.lr[3] == pytest.approx(0.05 * 0.7, rel=1e-6)
