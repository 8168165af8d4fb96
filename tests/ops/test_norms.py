"""Normalisations as operations: gradients, slow twins, what Caffe keeps between batches."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caffe_fillers import ops
from caffe_fillers.ops import Work

FEW = settings(max_examples=20, deadline=None, derandomize=True)
SHAPES = st.tuples(st.integers(2, 3), st.integers(1, 5), st.integers(2, 4), st.integers(1, 3))
FLAT = st.tuples(st.integers(3, 5), st.integers(1, 4))
CHANNELS = np.index_exp[None, :, None, None]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def run(operation, *bottoms, blobs=(), tops=None, work=None):
    tops = [np.full(shape, np.nan) for shape in (tops or [bottoms[0].shape])]
    operation.forward(list(bottoms), tops, list(blobs), work or Work())
    return tops


def statistics(channels: int, extra: int = 0) -> list[np.ndarray]:
    """Mean, variance, factor, and a scale and a bias."""
    blobs = [noise(channels, seed=1), 1 + noise(channels, seed=2) ** 2, np.array([2.0])]
    return blobs + [noise(channels, seed=3) + 2, noise(channels, seed=4)][:extra]


# --- LRN -----------------------------------------------------------------------------------------------------------


def slow_lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + size // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha / size * (near**2).sum(axis=1)) ** beta
    return y


@FEW
@given(SHAPES, st.sampled_from([1, 3, 5, 7]), st.sampled_from([0.5, 2.0]), st.sampled_from([1.0, 2.5]))
def test_lrn_across_channels(shape, size, alpha, k):
    x, operation = noise(*shape), ops.LRN(size, alpha, 0.75, k)
    np.testing.assert_allclose(run(operation, x)[0], slow_lrn(x, size, alpha, 0.75, k), rtol=1e-10)
    check_gradient(operation, [x], [], [shape])


@FEW
@given(SHAPES, st.sampled_from([1, 3, 5]))
def test_lrn_within_channels(shape, size):
    if min(shape[2:]) < size // 2:
        return
    x, operation = noise(*shape), ops.LRN(size, 2.0, 0.6, 7.0, within=True)
    half = size // 2
    padded = np.pad(x * x, ((0, 0), (0, 0), (half, half), (half, half)))
    near = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3)).sum((-1, -2))
    # a window that hangs over the padding's far end would count less; none does at stride 1. k counts for nothing
    np.testing.assert_allclose(run(operation, x)[0], x * (1 + 2.0 / size**2 * near) ** -0.6, rtol=1e-10)
    check_gradient(operation, [x], [], [shape])


def test_lrn_runs_along_the_channels_as_caffe_does():
    # 1e8 enters the sum and leaves it: what is too small beside it is lost for the channels that follow
    x = np.float32([1, 1e4, 1, 1]).reshape(1, 4, 1, 1)
    sums = np.empty_like(x)
    with np.errstate(divide="ignore"):
        ops.local_response_norm(x, size=3, alpha=3, k=0, sums=sums)
    assert sums.ravel().tolist() == [1e8, 1e8, 1e8, 0]


def test_many_images_are_normalised_in_pieces():
    x = noise(30, 16, 20, 20).astype(np.float32)
    whole = run(ops.LRN(), x)[0]
    assert whole[29].tobytes() == run(ops.LRN(), x[29:])[0][0].tobytes()


# --- BatchNorm -----------------------------------------------------------------------------------------------------


@FEW
@given(st.one_of(SHAPES, FLAT), st.booleans(), st.sampled_from([0, 1, 2]), st.booleans(), st.booleans())
def test_gradients_of_batch_norm(shape, stored, extra, renewed, in_place):
    operation = ops.BatchNorm(1e-3, 0.9, stored, renewed)
    # what went in is gone then, and Caffe's layers of forks don't keep it either
    assume(not (stored and extra and in_place))
    by_blobs = range(3, 3 + extra)
    check_gradient(
        operation, [noise(*shape) + 1], statistics(shape[1], extra), [shape], by_blobs=by_blobs, in_place=in_place
    )


def test_batch_norm_keeps_sums_of_statistics():
    x, blobs = noise(2, 3, 4, 5) * 2 + 1, [np.zeros(3), np.zeros(3), np.zeros(1)]
    (y,) = run(ops.BatchNorm(1e-3, 0.9), x, blobs=blobs)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    np.testing.assert_allclose(y, (x - mean[CHANNELS]) / np.sqrt(variance + 1e-3)[CHANNELS], rtol=1e-10, atol=1e-12)
    run(ops.BatchNorm(1e-3, 0.9), x, blobs=blobs)
    assert blobs[2][0] == pytest.approx(1.9)
    np.testing.assert_allclose(blobs[0], 1.9 * mean, rtol=1e-10)
    np.testing.assert_allclose(blobs[1], 1.9 * variance * 40 / 39, rtol=1e-10)
    (stored,) = run(ops.BatchNorm(1e-3, stored=True), x, blobs=blobs)
    expected = (x - mean[CHANNELS]) / np.sqrt(variance * 40 / 39 + 1e-3)[CHANNELS]
    np.testing.assert_allclose(stored, expected, rtol=1e-9, atol=1e-12)
    (zero,) = run(ops.BatchNorm(1e-3, stored=True), x, blobs=[mean, variance, np.zeros(1)])
    np.testing.assert_allclose(zero, x / np.sqrt(1e-3), rtol=1e-10)


def test_a_mean_is_of_each_images_share():
    blobs = [np.zeros(1, np.float32) for _ in range(3)]
    run(ops.BatchNorm(1e-3), np.float32([[7], [14], [-21]]), blobs=blobs)
    # Caffe's: 7/3, 14/3 and -21/3 are rounded before they are added up
    assert blobs[0].item() == np.float32(4.7683716e-07)


def test_a_single_value_has_no_correction():
    blobs = [np.zeros(1), np.zeros(1), np.zeros(1)]
    run(ops.BatchNorm(1e-3), np.array([[5.0]]), blobs=blobs)
    assert [blob.item() for blob in blobs] == [5, 0, 1]


def test_nvidias_batch_norm_begins_anew_twice_and_then_moves():
    operation, work = ops.BatchNorm(1e-3, 0.9, renewed=True), Work()
    blobs = [np.full(1, np.nan), np.full(1, 7.0), np.ones(1), np.full(1, 2.0), np.full(1, 3.0)]
    batches = [np.array([[1.0], [3.0]]), np.array([[10.0], [14.0]]), np.array([[0.0], [0.0]])]
    means, variances = [], []
    for x in batches:
        (y,) = run(operation, x, blobs=blobs, work=work)
        means.append(blobs[0].item())
        variances.append(blobs[1].item())
        assert y.mean() == pytest.approx(3)
    assert means == pytest.approx([2, 12, 10.8])
    assert variances == pytest.approx([1 + 1e-3, 4 + 1e-3, 0.9 * (4 + 1e-3) + 0.1 * 1e-3])
    assert blobs[2].item() == 1
    (y,) = run(ops.BatchNorm(1e-3, stored=True, renewed=True), np.array([[10.8]]), blobs=blobs)
    assert y.item() == pytest.approx(3)


@pytest.mark.parametrize("learn", [True, False])
@FEW
@given(SHAPES, st.booleans())
def test_segnets_bn(learn, shape, in_place):
    if in_place and not learn:
        return  # Caffe reads the bottom that it has overwritten
    x, blobs = noise(*shape) + 1, statistics(shape[1], 2)[3:]
    blobs = [blob.reshape(1, -1, 1, 1) for blob in blobs]
    operation = ops.BN(learn)
    check_gradient(operation, [x], blobs, [shape], in_place=in_place, tolerance=1e-5)
    small = (1, shape[1], 1, 1)
    y, *rest = run(operation, x, blobs=blobs, tops=[shape, small, small][: 3 if learn else 1])
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-9) if learn else x
    np.testing.assert_allclose(y, expected * blobs[0] + blobs[1], rtol=1e-7, atol=1e-9)
    for top, values in zip(rest, (mean, variance), strict=False):
        np.testing.assert_allclose(top, values, rtol=1e-9, atol=1e-12)


@FEW
@given(SHAPES, st.booleans(), st.booleans(), st.booleans())
def test_pspnets_bn(shape, stored, frozen, in_place):
    x, (mean, variance, _, slope, bias) = noise(*shape) + 1, statistics(shape[1], 2)
    blobs = [blob.reshape(1, -1, 1, 1) for blob in (slope, bias, mean, variance)]
    operation = ops.MovingBN(1e-3, 0.75, stored, frozen)
    if frozen or not stored:
        check_gradient(
            operation, [x], blobs, [shape], by_blobs=[] if frozen else [0, 1], in_place=in_place, tolerance=1e-5
        )
    now = [each.copy() for each in blobs]
    (y,) = run(operation, x, blobs=now)
    if stored or frozen:
        expected = (x - blobs[2]) / np.sqrt(blobs[3] + 1e-3)
        assert [each.tobytes() for each in now] == [each.tobytes() for each in blobs]
    else:
        axes = {"axis": (0, 2, 3), "keepdims": True}
        expected = (x - x.mean(**axes)) / np.sqrt(x.var(**axes) + 1e-3)
        np.testing.assert_allclose(now[2], 0.75 * blobs[2] + 0.25 * x.mean(**axes), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(now[3], 0.75 * blobs[3] + 0.25 * x.var(**axes), rtol=1e-10)
    np.testing.assert_allclose(y, expected * blobs[0] + blobs[1], rtol=1e-9, atol=1e-12)


# --- each image by itself --------------------------------------------------------------------------------------------


@FEW
@given(SHAPES, st.booleans(), st.booleans())
def test_mvn(shape, across, variance):
    x, operation = noise(*shape) * 3 + 1, ops.MVN(across, variance, 1e-9)
    axes = (1, 2, 3) if across else (2, 3)
    expected = x - x.mean(axes, keepdims=True)
    if variance:
        expected = expected / (x.std(axes, keepdims=True) + 1e-9)
    np.testing.assert_allclose(run(operation, x)[0], expected, rtol=1e-9, atol=1e-9)
    check_gradient(operation, [x], [], [shape], tolerance=1e-5)


def test_mvn_adds_eps_to_the_deviation():
    assert run(ops.MVN(eps=1.0), np.array([[[[2.0, 0.0]]]]))[0].ravel().tolist() == [0.5, -0.5]


@FEW
@given(SHAPES, st.booleans(), st.booleans())
def test_normalize(shape, across_spatial, shared):
    x, scale = noise(*shape), np.array(3.0) if shared else noise(shape[1], seed=1) + 2
    dy, dx, work = noise(*shape, seed=2), np.empty(shape), Work()
    operation = ops.Normalize(across_spatial, 1e-3)
    length = np.sqrt((x**2).sum((1, 2, 3) if across_spatial else 1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(run(operation, x, blobs=[scale])[0], x / length * scale.reshape(1, -1, 1, 1), rtol=1e-10)
    check_gradient(operation, [x], [scale], [shape], by=[0] if shared else [])
    (y,) = run(operation, x, blobs=[scale], work=work)
    operation.backward([dy], [x], [y], [scale], [dx], [None], work)
    # with several scales this is SSD's gradient, not the exact one
    dots = (x * dy).sum((1, 2, 3) if across_spatial else 1, keepdims=True)
    np.testing.assert_allclose(dx, scale.reshape(1, -1, 1, 1) * (dy / length - x * dots / length**3), rtol=1e-9)


def test_a_scales_gradient_is_added_image_after_image():
    # 1 + 1e8 - 1e8 is 0 in float32 from the left
    x, scale, dscale, work = np.ones((3, 2, 1, 1), np.float32), np.ones(2, np.float32), np.zeros(2, np.float32), Work()
    dy = np.float32([1, 1e8, -1e8]).reshape(3, 1, 1, 1).repeat(2, axis=1)
    operation = ops.Normalize(False, 0.0)
    operation.forward([x], [np.empty_like(x)], [scale], work)
    operation.backward([dy], [x], [np.ones_like(x)], [scale], [None], [dscale], work)
    assert dscale.tolist() == [0, 0]


@pytest.mark.parametrize("pixels", [1, 16])
def test_a_factor_of_0_makes_0_of_what_is_no_number(pixels):
    # as the BLAS has it that Caffe calls; with many pixels this is the loop in C
    x = np.resize(np.float32([np.nan, np.inf, -1, 2]), (2, 2, pixels))
    factor, term = np.float32([0, 2]), np.float32([0.5, 1])
    for scale in (ops.scale, inspect.unwrap(ops.scale)):
        y = scale(x, factor)
        assert y[:, 0].view(np.uint32).sum() == 0
        np.testing.assert_array_equal(y[:, 1], x[:, 1] * 2)
        assert (scale(x, factor, term)[:, 0] == 0.5).all()


def test_no_images():
    x = np.empty((0, 3, 2, 2))
    for operation, blobs in (
        (ops.LRN(), []),
        (ops.LRN(3, within=True), []),
        (ops.BatchNorm(), statistics(3)),
        (ops.BatchNorm(stored=True), statistics(3)),
        (ops.BN(), [np.ones((1, 3, 1, 1))] * 2),
        (ops.MovingBN(), [np.ones((1, 3, 1, 1)) for _ in range(4)]),
        (ops.MVN(), []),
        (ops.Normalize(), [np.ones(3)]),
    ):
        y, work = np.empty_like(x), Work()
        operation.forward([x], [y], blobs, work)
        operation.backward([y], [x], [y], blobs, [x.copy()], [np.zeros_like(blob) for blob in blobs], work)
