"""Convolution in tiles: NumPy's bits in C, the accuracy of products with columns, and their results where none is."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import _core, ops
from caffe_fillers.ops import tiles
from caffe_fillers.ops.conv import convolution

TYPES = st.sampled_from([np.float32, np.float64])


def noise(seed, shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def by_columns(x, weight, bias, window, group=1):
    """Products with columns of every image, which a caller who wants to keep them gets."""
    places = window.convolved(x.shape[2:])
    kept = np.empty((len(x), x.shape[1] * 9, places[0] * places[1]), x.dtype)
    return convolution(x, weight, bias, window, group=group, columns=kept)


@st.composite
def cases(draw):
    window = ops.Window((3, 3), (1, 1), tuple(draw(st.integers(0, 3)) for _ in range(2)), (1, 1))
    size = tuple(draw(st.integers(max(1, 3 - 2 * pad), 24)) for pad in window.pad)
    if draw(st.integers(0, 9)) == 0:
        size = size[0], size[1] + 270
    return window, size, draw(st.integers(1, 70)), draw(st.integers(1, 5)), draw(TYPES), draw(st.integers(0, 2**32 - 1))


def both(function, out, *args):
    outs = np.full_like(out, 9), np.full_like(out, 9)
    results = [each(*args, out) for each, out in zip((function, inspect.unwrap(function)), outs, strict=True)]
    assert results[0] is results[1]
    assert outs[0].tobytes() == outs[1].tobytes()
    return outs[0], results[0]


@given(cases())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_c_has_numpys_bits(case):
    window, size, channels, outputs, dtype, seed = case
    rng = np.random.default_rng(seed)
    x, weight = noise(seed, (channels, *size), dtype), noise(seed + 1, (outputs, channels, 3, 3), dtype)
    bias = noise(seed + 2, outputs, dtype) if seed % 2 else None
    places = window.convolved(size)
    tall, wide = (places[0] + 1) // 2, (places[1] + 1) // 2
    first = int(rng.integers(0, tall))
    rows = range(first, int(rng.integers(first, tall)) + 1)
    kernels, _ = both(tiles.tile_kernels, np.empty((16, outputs, channels), dtype), weight)
    pixels, _ = both(tiles.tile_image, np.empty((16, channels, len(rows) * wide), dtype), x, window, rows)
    y, finite = both(tiles.tile_sums, np.empty((outputs, *places), dtype), kernels @ pixels, bias, window, rows)
    assert finite is True
    untouched = np.delete(y, np.arange(2 * rows.start, min(2 * rows.stop, places[0])), axis=1)
    assert (untouched == 9).all()
    pixels[rng.integers(0, 16), :, rng.integers(0, pixels.shape[2])] = np.inf
    with np.errstate(all="ignore"):
        broken = kernels @ pixels
        ours, oracle = (f(broken, bias, window, rows, y.copy()) for f in (tiles.tile_sums, _unwrapped_sums))
    assert ours is oracle is False


_unwrapped_sums = inspect.unwrap(tiles.tile_sums)


def test_c_does_it_and_refuses_what_does_not_fit():
    window, x, kernels = ops.Window.square(3, pad=1), noise(0, (4, 6, 7)), np.empty((16, 5, 4), np.float32)
    assert _core.tile_kernels(noise(1, (5, 4, 3, 3)), kernels)
    assert not _core.tile_kernels(noise(1, (5, 4, 3, 2)), kernels)
    assert not _core.tile_kernels(noise(1, (5, 4, 3, 3), np.float64), kernels)
    pixels = np.empty((16, 4, 12), np.float32)
    assert _core.tile_image(x, window, (6, 7), 0, 3, pixels)
    for first, last in ((0, 2), (1, 4), (-1, 2), (3, 3)):
        assert not _core.tile_image(x, window, (6, 7), first, last, pixels)
    result, y = np.zeros((16, 5, 12), np.float32), np.empty((5, 6, 7), np.float32)
    assert _core.tile_sums(result, None, window, 0, 3, y) is True
    assert _core.tile_sums(result, noise(0, 4), window, 0, 3, y) is None
    assert _core.tile_sums(result, None, window, 0, 2, y) is None


@pytest.mark.parametrize(
    "shape", [(1, 64, 32, 56, 56), (2, 96, 48, 25, 31), (1, 512, 160, 14, 14), (3, 256, 64, 13, 13)]
)
@pytest.mark.parametrize("kind", ["noise", "rectified", "image"])
def test_errs_no_more_than_columns(shape, kind):
    images, channels, outputs, *size = shape
    x = noise(0, (images, channels, *size))
    if kind == "rectified":
        x = np.maximum(x, 0)
    elif kind == "image":
        x = np.round(np.abs(x) * 60)
    window, weight, bias = ops.Window.square(3, pad=1), noise(1, (outputs, channels, 3, 3)), noise(2, outputs)
    assert tiles.tiles_pay(window, weight, tuple(size))
    exact = by_columns(*(a.astype(np.float64) for a in (x, weight, bias)), window)
    errors = [
        np.abs(result - exact).max() / np.abs(exact).max()
        for result in (convolution(x, weight, bias, window), by_columns(x, weight, bias, window))
    ]
    # what a test of layers grants a sum is 4e-6
    assert errors[0] < max(2 * errors[1], 1e-6) < 4e-6


def test_small_whole_numbers_are_exact():
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 10, (1, 32, 23, 30)).astype(np.float32)
    weight = rng.integers(-9, 10, (16, 32, 3, 3)).astype(np.float32)
    window = ops.Window.square(3, pad=1)
    assert np.array_equal(convolution(x, weight, None, window), by_columns(x, weight, None, window))
    x[:, :, 5:12, 6:] = 0
    result = convolution(x, noise(1, weight.shape), None, window)
    # a place that sees zeros alone is zero
    assert not result[:, :, 6:11, 7:].any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_what_is_not_finite_is_where_caffe_has_it(value):
    window, weight, x = ops.Window.square(3, pad=1), noise(1, (16, 32, 3, 3)), noise(0, (3, 32, 20, 20))
    x[1, 5, 7, 8] = value
    x[1, 6, 7, 8] = value
    with np.errstate(all="ignore"):
        result, columns = convolution(x, weight, None, window), by_columns(x, weight, None, window)
    assert np.array_equal(np.isfinite(result), np.isfinite(columns))
    assert result[1].tobytes() == columns[1].tobytes()
    assert np.isfinite(result[[0, 2]]).all()


def test_an_image_has_the_same_result_alone_and_among_others():
    for channels, outputs, side in ((32, 48, 40), (512, 96, 14), (64, 96, 13)):
        x, weight = noise(0, (3, channels, side, side)), noise(1, (outputs, channels, 3, 3))
        window = ops.Window.square(3, pad=1)
        together = convolution(x, weight, None, window)
        for image, result in zip(x, together, strict=True):
            assert convolution(image[None], weight, None, window)[0].tobytes() == result.tobytes()


def test_groups_are_convolutions_of_their_own():
    x, weight, bias = noise(0, (2, 64, 17, 18)), noise(1, (48, 32, 3, 3)), noise(2, 48)
    window = ops.Window((3, 3), (1, 1), (1, 0), (1, 1), behind=(2, 1))
    result = convolution(x, weight, bias, window, group=2)
    for i in range(2):
        part = slice(24 * i, 24 * i + 24)
        alone = convolution(x[:, 32 * i : 32 * i + 32], weight[part], bias[part], window)
        assert result[:, part].tobytes() == np.ascontiguousarray(alone).tobytes()
    np.testing.assert_allclose(result, by_columns(x, weight, bias, window, 2), atol=1e-4)


def test_threads_change_no_bit():
    x, weight, bias, window = noise(0, (1, 64, 90, 91)), noise(1, (64, 64, 3, 3)), noise(2, 64), ops.Window.square(3)
    before = _core.layer_threads(1)
    try:
        alone = convolution(x, weight, bias, window)
        for threads in (2, 3, 7):
            _core.layer_threads(threads)
            assert convolution(x, weight, bias, window).tobytes() == alone.tobytes()
    finally:
        _core.layer_threads(*before)
