"""Functions of each element: slow formulas, derivatives, NaN and zeros, in place, masks from the stream."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import RNG, CaffeError, ops
from caffe_fillers.ops import Operation, Work
from caffe_fillers.ops.tangent import libm_tanh

shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 2**31)
# away from the corners, at which no derivative exists
numbers = st.sampled_from([-2.0, -0.5, 0.25, 0.5, 1.0, 2.0, 3.0])


def away_from(corners: tuple[float, ...], shape: tuple[int, ...], seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).uniform(-8, 8, shape)
    for corner in corners:
        x = np.where(abs(x - corner) < 0.01, corner + 0.5, x)
    return x


# by hand, one number at a time
ONE_BY_ONE = [
    (ops.ReLU(0.1), lambda x: x if x > 0 else 0.1 * x),
    (ops.ReLU(), lambda x: max(x, 0.0)),
    (ops.ReLU6(), lambda x: min(max(x, 0.0), 6.0)),
    (ops.HardSwish(), lambda x: 0.0 if x < -3 else x if x > 3 else x * (x + 3) / 6),
    (ops.Clip(-1, 2.5), lambda x: min(max(x, -1.0), 2.5)),
    (ops.Threshold(1.5), lambda x: float(x > 1.5)),
    (ops.AbsVal(), abs),
    (ops.ELU(0.7), lambda x: x if x > 0 else 0.7 * math.expm1(x)),
    (ops.Sigmoid(), lambda x: 1 / (1 + math.exp(-x))),
    (ops.TanH(), math.tanh),
    (ops.Swish(1.5), lambda x: x / (1 + math.exp(-1.5 * x))),
    (ops.BNLL(), lambda x: math.log1p(math.exp(x))),
    (ops.Exp(2, 0.5, 1), lambda x: 2 ** (0.5 * x + 1)),
    (ops.Exp(-1, 0.5, 1), lambda x: math.exp(0.5 * x + 1)),
    (ops.Log(10, 2, 20), lambda x: math.log10(2 * x + 20)),
    (ops.Log(-1, 1, 20), lambda x: math.log(x + 20)),
    (ops.Power(3, 0.5, 1), lambda x: (0.5 * x + 1) ** 3),
    (ops.Power(2, 3, -1), lambda x: (3 * x - 1) ** 2),
    (ops.Power(0, 3, 2), lambda x: 1.0),
    (ops.Power(3, 0, 2), lambda x: 8.0),
    (ops.Power(1, -2, 3), lambda x: 3 - 2 * x),
    (ops.Power(3, 2), lambda x: (2 * x) ** 3),
]
CORNERS = (0.0, 6.0, -3.0, 3.0, -1.0, 2.5, 1.5)


def value(operation: Operation, x: np.ndarray) -> np.ndarray:
    top = np.full_like(x, np.nan)
    operation.forward([x], [top], [], Work())
    return top


def gradient(operation: Operation, x: np.ndarray, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    dx = np.full_like(x, np.nan)
    operation.backward([dy], [x], [y], [], [dx], [], Work())
    return dx


@pytest.mark.parametrize(
    ("operation", "slow"), ONE_BY_ONE, ids=lambda case: str(case) if isinstance(case, ops.Operation) else ""
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_equal_those_computed_one_by_one(operation, slow, dtype):
    # more than one piece, which ends in the middle of a row
    x = away_from(CORNERS, (3, 7001), 1).astype(dtype)
    expected = np.array([slow(float(each)) for each in x.flat]).reshape(x.shape)
    y = value(operation, x)
    assert y.dtype == dtype
    double = dtype == np.float64
    np.testing.assert_allclose(y, expected, rtol=1e-12 if double else 2e-6, atol=1e-14 if double else 1e-6)


@pytest.mark.parametrize(
    "operation", [operation for operation, _ in ONE_BY_ONE if not isinstance(operation, ops.Threshold)]
)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(shape=shapes, seed=seeds)
def test_gradients_equal_numerical_ones(operation, shape, seed):
    check_gradient(operation, [away_from(CORNERS, shape, seed)], [], [shape])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_power_of_a_half_is_cs_and_not_the_root(kind):
    x = np.array([-np.inf, -0.0, 4.0, -1.0, np.nan], kind)
    y = ops.power(x, 0.5)
    np.testing.assert_array_equal(y, np.array([np.inf, 0.0, 2.0, np.nan, np.nan], kind))
    assert not np.signbit(y[1])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(power=numbers, scale=numbers, shift=numbers, seed=seeds)
def test_power_exp_and_log_with_any_numbers(power, scale, shift, seed):
    x = np.random.default_rng(seed).uniform(0.5, 2, (2, 5))
    if scale * shift < 0:
        shift = -shift
    positive = scale > 0
    for operation in (ops.Power(power if positive else 2.0, scale, shift), ops.Exp(2.5, scale, shift)):
        check_gradient(operation, [x], [], [x.shape])
    if positive:
        check_gradient(ops.Log(2.5, scale, shift), [x], [], [x.shape])


IN_PLACE = [
    *(ops.ReLU(), ops.ReLU(0.1), ops.ELU(0.7), ops.Sigmoid(), ops.TanH(), ops.Swish(1.5), ops.Exp(2, 0.5, 1)),
    ops.HardSwish(),
]


@pytest.mark.parametrize("operation", IN_PLACE)
def test_in_place(operation):
    x = away_from(CORNERS, (3, 5), 4)
    check_gradient(operation, [x], [], [x.shape], in_place=True)
    apart, together = value(operation, x), x.copy()
    operation.forward([together], [together], [], Work())
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize(("operation", "square"), [(ops.Power(1, 3, 1), 9.0), (ops.Log(-1, 1, 0), None)])
def test_in_place_as_caffe_loses_the_gradient(operation, square):
    """Power and Log write their derivative over the gradient of the top before they multiply by it."""
    x = np.float64([2.0, 5.0])
    operation.forward([x], [x], [], Work())
    dy = np.float64([7.0, 7.0])
    operation.backward([dy], [x], [x], [], [dy], [], Work())
    np.testing.assert_allclose(dy, 1 / x**2 if square is None else square)


def test_relu_treats_infinity_nan_and_zeros_as_caffe_does():
    x = np.float32([-np.inf, np.inf, np.nan, -0.0, 0.0, -1.0])
    y = ops.relu(x)
    # 0 times -inf is added to 0
    assert np.isnan(y[[0, 2]]).all()
    assert y[1] == np.inf
    np.testing.assert_array_equal(np.signbit(y[3:]), [True, False, False])
    assert ops.relu(x, 0.5)[0] == -np.inf
    np.testing.assert_array_equal(ops.relu_backward(np.ones(6, np.float32), x), [0, 1, 0, 0, 0, 0])


def test_nan_where_caffe_lets_it_through():
    nan = np.float32([np.nan])
    assert np.isnan(ops.relu6(nan))
    assert np.isnan(ops.hard_swish(nan))
    assert ops.clip(nan, -1, 2) == -1
    assert ops.absolute_backward(np.float32([3]), nan) == 0


def test_the_corners_belong_to_the_side_that_caffe_gives_them():
    one = np.ones(1, np.float32)
    assert ops.relu_backward(one, 0 * one, 0.25) == 0.25
    assert ops.prelu_backward(one[None], 0 * one[None], np.float32([0.25])) == 0.25
    assert ops.elu_backward(one, 0 * one, 0 * one, 0.25) == 0.25
    assert ops.relu6_backward(one, 6 * one) == 0
    np.testing.assert_array_equal(ops.clip_backward(np.ones(2, np.float32), np.float32([-1, 2]), -1, 2), 1)
    assert ops.threshold(one, 1) == 0
    assert ops.hard_swish_backward(one, 3 * one) == 1.5
    assert ops.hard_swish_backward(one, -3 * one) == -0.5


def test_constants_of_double_are_computed_in_double():
    # below, what is left of NumPy's tanh would be seen
    x = np.linspace(-8, 20, 4001, dtype=np.float32)
    expected = 0.5 * np.tanh(0.5 * x.astype(np.float64)) + 0.5
    np.testing.assert_array_equal(ops.sigmoid(x).view(np.uint32), expected.astype(np.float32).view(np.uint32))
    y = np.linspace(0.01, 0.99, 999, dtype=np.float32)
    slope = y.astype(np.float64) * (1.0 - y.astype(np.float64))
    np.testing.assert_array_equal(ops.sigmoid_backward(np.ones_like(y), y), slope.astype(np.float32))
    # the exponential is a float all the same
    power = np.exp(-np.abs(x), dtype=np.float64).astype(np.float32).astype(np.float64)
    expected = (np.maximum(x, 0) + np.log(1.0 + power)).astype(np.float32)
    np.testing.assert_array_equal(ops.bnll(x).view(np.uint32), expected.view(np.uint32))


def test_a_logarithm_of_nothing_but_its_shift_has_no_gradient():
    # Caffe scales 1 / (0 * x + 0) by 0 through the BLAS, which writes zeros there
    for dtype in (np.float32, np.float64):
        x, dy = np.array([-1, 0, 2], dtype), np.array([1, -2, 3], dtype)
        assert not ops.log_backward(dy, x, scale=0).any()
        assert not ops.log_backward(dy, x, scale=0, shift=2).any()
        assert not ops.log_backward(dy, x, scale=0, out=dy).any()


def test_threshold_has_no_gradient():
    with pytest.raises(CaffeError, match="Threshold has no gradient"):
        gradient(ops.Threshold(), np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)))


# --- PReLU -----------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(shape=shapes, seed=seeds, shared=st.booleans(), in_place=st.booleans())
def test_prelu(shape, seed, shared, in_place):
    x = away_from((0.0,), shape, seed)
    slope = np.random.default_rng(seed + 1).uniform(0.1, 0.9, () if shared else (shape[1],))
    check_gradient(ops.PReLU(), [x], [slope], [shape], in_place=in_place)
    spread = slope.reshape(-1, *(1,) * (len(shape) - 2)) if slope.ndim else slope
    np.testing.assert_array_equal(ops.prelu(x, slope), np.where(x > 0, x, x * spread))


@pytest.mark.parametrize("shared", [False, True])
def test_prelu_adds_its_slopes_one_after_another(shared):
    rng = np.random.default_rng(5)
    x, dy = rng.standard_normal((2, 4, 3, 700, 11)).astype(np.float32)
    total = np.full((1,) if shared else (3,), 0.75, np.float32)
    slow = total.copy()
    for n, c in np.ndindex(4, 3):
        for a, d in zip(x[n, c].flat, dy[n, c].flat, strict=True):
            slow[0 if shared else c] += d * a * np.float32(a <= 0)
    assert ops.prelu_slope_backward(dy, x, total) is total
    np.testing.assert_array_equal(total.view(np.uint32), slow.view(np.uint32))
    assert (total != (np.where(x <= 0, x * dy, 0).sum(axis=(0, 2, 3)) + np.float32(0.75))).any()


# --- Dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_draws_one_number_for_each_element():
    stream, x = RNG(7), np.ones((3, 9001), np.float32)
    top, work = np.empty_like(x), Work(stream)
    ops.Dropout(0.3).forward([x], [top], [], work)
    assert stream.position == x.size
    kept = RNG(7).bernoulli(1.0 - 0.3, x.size, np.float64).reshape(x.shape)
    np.testing.assert_array_equal(top, kept.astype(np.float32) * np.float32(1 / 0.7))
    dx = np.empty_like(x)
    ops.Dropout(0.3).backward([2 * x], [x], [top], [], [dx], [], work)
    np.testing.assert_array_equal(dx, 2 * top)
    before = top.copy()
    ops.Dropout(0.3).forward([x], [top], [], work)
    assert (top != before).any()


def test_the_probability_of_dropout_is_a_double_whatever_the_arrays_are():
    """Of seed 1 the number 907,305 is the first that a probability of float32 would keep and one of double does not."""
    at, stream = 907_305, RNG(1)
    stream.skip(at)
    assert stream.copy().bernoulli(0.5, dtype=np.float32) == 1
    assert not ops.dropout_mask(stream, 0.5, np.empty(1, bool))[0]


@pytest.mark.parametrize("in_place", [False, True])
def test_dropout_gradient(in_place):
    x = np.random.default_rng(1).standard_normal((3, 4))
    check_gradient(ops.Dropout(0.4), [x], [], [x.shape], rng=3, in_place=in_place)


def test_dropout_copies_in_phase_test_and_draws_nothing():
    stream, x = RNG(7), np.float32([[1, -2, 3]])
    top, dx, work = np.zeros_like(x), np.zeros_like(x), Work(stream)
    operation = ops.Dropout(0.5, training=False)
    operation.forward([x], [top], [], work)
    operation.backward([x], [x], [top], [], [dx], [], work)
    assert stream.position == 0
    np.testing.assert_array_equal(top, x)
    np.testing.assert_array_equal(dx, x)


def test_dropout_refuses_a_ratio_that_is_none():
    x = np.ones((2, 2), np.float32)
    with pytest.raises(CaffeError, match="p >= 0"):
        ops.Dropout(1.5).forward([x], [x.copy()], [], Work(RNG(1)))


# --- all -------------------------------------------------------------------------------------------------------------

ALL = [operation for operation, _ in ONE_BY_ONE] + [ops.Dropout(), ops.Dropout(training=False)]


@pytest.mark.parametrize("operation", ALL)
def test_a_batch_of_0(operation):
    x = np.zeros((0, 3), np.float32)
    operation.forward([x], [x.copy()], [], Work(RNG(1)))
    if not isinstance(operation, ops.Threshold):
        operation.backward([x], [x], [x], [], [x.copy()], [], Work(RNG(1)))


@pytest.mark.parametrize("operation", ALL)
def test_nan_and_infinity_flow_without_a_warning(operation):
    x = np.float32([[np.nan, np.inf, -np.inf, 1000, -1000, 0]])
    y = value(operation, x)
    if not isinstance(operation, ops.Threshold):
        gradient(operation, x, y, np.float32([[np.inf] * 6]))


def test_what_backward_needs_is_kept_only_if_it_may_follow():
    x = np.ones((2, 3), np.float32)
    for operation, blobs in ((ops.PReLU(), [np.ones(3, np.float32)]), (ops.Swish(), []), (ops.HardSwish(), [])):
        work = Work()
        work.backward = False
        operation.forward([x], [x], blobs, work)
        assert not work._buffers


def test_the_tangent_of_float32_is_that_of_the_c_library_that_caffe_was_measured_with():
    # glibc 2.36; of these 3e-8, 0.3 and 0.7 are not the rounded tanh
    measured = {
        1e-30: "0x1.4484cp-100",
        3e-8: "0x1.01b2b4p-25",
        0.1: "0x1.983d78p-4",
        0.3: "0x1.2a4ddap-2",
        0.5: "0x1.d9353ep-2",
        0.7: "0x1.356fbp-1",
        1.0: "0x1.85efacp-1",
        1.9: "0x1.e997f4p-1",
        4.0: "0x1.ffa818p-1",
        8.9: "0x1.fffffep-1",
        15.0: "0x1p+0",
        np.inf: "0x1p+0",
    }
    x = np.float32(list(measured))
    expected = np.float32([float.fromhex(value) for value in measured.values()])
    for tanh in (libm_tanh, inspect.unwrap(libm_tanh)):
        np.testing.assert_array_equal(tanh(x).view(np.uint32), expected.view(np.uint32))
        np.testing.assert_array_equal(tanh(-x), -expected)
        assert np.isnan(tanh(np.float32([np.nan])))
        assert np.signbit(tanh(np.float32([-0.0])))


def test_the_tangent_of_float64_is_that_of_the_c_library_that_caffe_was_measured_with():
    # glibc 2.36; of these 0.7 and 18.5 are not the rounded tanh
    measured = {
        1e-30: "0x1.4484bfeebc2a0p-100",
        1e-9: "0x1.12e0be826d695p-30",
        0.1: "0x1.983d7795f413ap-4",
        0.3: "0x1.2a4dda7d914fap-2",
        0.5: "0x1.d9353d7568af3p-2",
        0.7: "0x1.356fb17af2e92p-1",
        1.0: "0x1.85efab514f394p-1",
        1.9: "0x1.e997f4c3bcd48p-1",
        4.0: "0x1.ffa81708a0b42p-1",
        8.9: "0x1.fffffec06bcebp-1",
        15.0: "0x1.ffffffffff96ap-1",
        18.5: "0x1.ffffffffffffep-1",
        22.0: "0x1p+0",
    }
    x = np.array(list(measured))
    expected = np.array([float.fromhex(value) for value in measured.values()])
    for tanh in (libm_tanh, inspect.unwrap(libm_tanh)):
        np.testing.assert_array_equal(tanh(x), expected)
        np.testing.assert_array_equal(tanh(-x), -expected)
        assert np.isnan(tanh(np.array([np.nan])))
        assert np.signbit(tanh(np.array([-0.0])))


def test_a_sigmoid_near_0_has_the_bits_of_the_c_library_that_caffe_was_measured_with():
    # glibc 2.36; all that is left of -37 is the rounding of tanh
    measured = {-8.0: "0x1.5fa3dep-12", -21.0: "0x1.a0db0ep-31", -30.5: "0x1.ffp-45", -37.0: "0x1p-53", -44.0: "0x0p0"}
    x = np.float32(list(measured))
    expected = np.float32([float.fromhex(value) for value in measured.values()])
    for sigmoid in (ops.sigmoid, inspect.unwrap(ops.sigmoid)):
        np.testing.assert_array_equal(sigmoid(x), expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_tangent_in_c_and_in_numpy(seed, dtype):
    bits = f"u{np.dtype(dtype).itemsize}"
    x = np.random.default_rng(seed).integers(0, np.iinfo(bits).max, 5000, bits).view(dtype)
    x[:2000] = np.random.default_rng(seed).uniform(-25, 25, 2000)
    x[2000:3000] = np.random.default_rng(seed).uniform(-1, 1, 1000) ** 9
    for function in (libm_tanh, ops.sigmoid):
        with np.errstate(all="ignore"):
            result, oracle = function(x), inspect.unwrap(function)(x)
        number = ~np.isnan(x)
        np.testing.assert_array_equal(result[number].view(bits), oracle[number].view(bits))
        assert np.isnan(result[~number]).all()
        assert np.isnan(oracle[~number]).all()
    place = x.copy()
    with np.errstate(all="ignore"):
        expected = ops.sigmoid(x)
        assert ops.sigmoid(place, place) is place
    np.testing.assert_array_equal(place, expected)
