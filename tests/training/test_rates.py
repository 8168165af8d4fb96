"""The rates against their formulas in plain Python, and what the policies refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import caffe_fillers as cf
from caffe_fillers import schema
from caffe_fillers.training.rates import POLICIES, Rate

FORMULAS = {
    "fixed": lambda m, i: m.base_lr,
    "step": lambda m, i: m.base_lr * m.gamma ** (i // m.stepsize),
    "exp": lambda m, i: m.base_lr * m.gamma**i,
    "inv": lambda m, i: m.base_lr * (1 + m.gamma * i) ** -m.power,
    "poly": lambda m, i: m.base_lr * (1 - i / m.max_iter) ** m.power,
    "sigmoid": lambda m, i: m.base_lr / (1 + math.exp(-m.gamma * (i - m.stepsize))),
}


def rate(dtype=np.float32, **fields) -> Rate:
    return Rate(schema.SolverParameter(**fields), np.dtype(dtype))


def test_every_policy_has_a_formula_here():
    assert {*FORMULAS, "multistep"} == set(POLICIES)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    st.sampled_from(sorted(FORMULAS)),
    st.integers(0, 999),
    st.floats(0.001, 1),
    st.floats(0.5, 1),
    st.integers(1, 300),
    st.sampled_from([np.float32, np.float64]),
)
def test_rates_follow_their_formula(policy, iteration, base, gamma, stepsize, dtype):
    result = rate(dtype, lr_policy=policy, base_lr=base, gamma=gamma, stepsize=stepsize, power=0.75, max_iter=1000)
    expected = FORMULAS[policy](result.message, iteration)
    got = result(iteration)
    assert got.dtype == dtype
    assert float(got) == pytest.approx(expected, rel=2e-5, abs=1e-44)


def test_multistep_takes_one_step_an_iteration():
    result = rate(lr_policy="multistep", base_lr=1, gamma=0.5, stepvalue=[2, 2, 5])
    said = []
    result.stepped = lambda *printed: said.append(printed)
    assert [float(result(i)) for i in range(7)] == [1, 1, 0.5, 0.25, 0.25, 0.125, 0.125]
    assert said == [(2, 1), (3, 2), (5, 3)]


def test_a_solverstate_brings_the_step_along():
    result = rate(lr_policy="multistep", base_lr=1, gamma=0.5, stepvalue=[2, 5])
    result.current_step = 1
    assert float(result(3)) == 0.5


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"lr_policy": "steps"}, "Unknown learning rate policy: steps"),
        ({}, "Unknown learning rate policy: "),
        ({"lr_policy": "step"}, "this->param_.stepsize() > 0 (0 vs. 0)"),
        ({"lr_policy": "sigmoid", "stepsize": -1}, "this->param_.stepsize() > 0 (-1 vs. 0)"),
        ({"lr_policy": "exp", "gamma": -0.5}, "this->param_.gamma() >= 0 (-0.5 vs. 0)"),
        ({"lr_policy": "multistep", "gamma": -1}, "this->param_.gamma() >= 0 (-1 vs. 0)"),
    ],
)
def test_what_caffe_stops_at(fields, text):
    with pytest.raises(cf.CaffeError) as caught:
        rate(**fields)
    assert text in str(caught.value)


def test_powers_are_those_of_c():
    assert float(rate(lr_policy="exp", base_lr=1, gamma=10)(400)) == math.inf
    assert math.isnan(rate(lr_policy="poly", base_lr=1, power=0.5, max_iter=2)(3))
    assert math.isnan(rate(lr_policy="poly", base_lr=1, power=1)(0))  # 0 / 0
