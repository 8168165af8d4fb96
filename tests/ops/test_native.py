"""C loops have NumPy's bits, at any shape, on every instruction set, by any number of threads."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

import caffe_fillers as cf
from caffe_fillers import CaffeError, _core, ops, schema
from caffe_fillers.ops.batchnorm import normalized
from caffe_fillers.ops.dense import transposed
from caffe_fillers.ops.lrn import across_gradient, neighbours
from caffe_fillers.ops.native import numpy_source
from caffe_fillers.ops.pool import unpool
from caffe_fillers.ops.targets import in_order
from caffe_fillers.training.updates import SGD

TYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**32 - 1)


def same_bits(a, b):
    """Equal bits, but for the bits of what is not a number, which no one promises."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    nans = np.isnan(a)
    assert np.array_equal(nans, np.isnan(b))
    whole = f"u{a.itemsize}"
    assert np.array_equal(a.view(whole)[~nans], b.view(whole)[~nans])


@st.composite
def windows(draw, dilated=True):
    kernel, stride = (tuple(draw(st.integers(1, most)) for _ in range(2)) for most in (5, 4))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(2)) if dilated else (1, 1)
    return ops.Window(kernel, stride, tuple(draw(st.integers(0, k - 1)) for k in kernel), dilation)


@st.composite
def images(draw):
    """Noise, or small whole numbers, many of them equal, with what is odd among numbers."""
    shape = (
        *(draw(st.integers(0 if axis == 0 else 1, 3)) for axis in range(2)),
        *(draw(st.integers(1, 40)) for _ in range(2)),
    )
    rng = np.random.default_rng(draw(SEEDS))
    x = rng.standard_normal(shape) if draw(st.booleans()) else rng.integers(-3, 4, shape).astype(float)
    if x.size and draw(st.booleans()):
        x.flat[rng.integers(0, x.size, 4)] = [np.nan, -0.0, -np.inf, np.inf]
    return x.astype(draw(TYPES))


def noise(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def both(function, *args, **kwargs):
    with np.errstate(all="ignore"):
        return function(*args, **kwargs), inspect.unwrap(function)(*args, **kwargs)


@given(images(), windows(), SEEDS)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_columns(x, window, seed):
    if min(window.convolved(x.shape[2:])) < 1:
        return
    result, oracle = both(ops.im2col, x, window)
    same_bits(result, oracle)
    same_bits(*both(ops.col2im, noise(seed, result.shape, x.dtype), x.shape, window))


@given(images(), windows(), SEEDS, st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_depthwise_convolution(x, window, seed, biased):
    if min(window.convolved(x.shape[2:])) < 1:
        return
    weight = noise(seed, (x.shape[1], 1, *window.kernel), x.dtype)
    bias = noise(seed + 1, x.shape[1], x.dtype) if biased else None
    same_bits(*both(ops.depthwise_convolution, x, weight, bias, window))


@given(images(), windows(dilated=False), SEEDS, st.booleans(), st.sampled_from(["none", "int32", "own"]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pooling(x, window, seed, ceil, kind):
    try:
        places = window.pooled(x.shape[2:], ceil=ceil)
    except CaffeError:
        return
    if min(places) < 1:
        return
    shape = (*x.shape[:2], *places)
    dy = noise(seed, shape, x.dtype)
    masks = [None if kind == "none" else np.zeros(shape, np.int32 if kind == "int32" else x.dtype) for _ in range(2)]
    result, oracle = (
        function(x, window, ceil=ceil, mask=mask)
        for function, mask in zip((ops.max_pool, inspect.unwrap(ops.max_pool)), masks, strict=True)
    )
    same_bits(result, oracle)
    if masks[0] is not None:
        assert np.array_equal(*masks)
        spread = [np.ones_like(x) for _ in range(2)]
        unpool(dy, masks[0], spread[0])
        inspect.unwrap(unpool)(dy, masks[1], spread[1])
        same_bits(*spread)
    same_bits(*both(ops.average_pool, x, window, ceil=ceil))
    same_bits(*both(ops.average_pool_backward, dy, x.shape, window))


@given(images(), SEEDS, st.sampled_from([0.0, 0.1, 2.0]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_relu(x, seed, slope):
    same_bits(*both(ops.relu, x, slope))
    same_bits(*both(ops.relu_backward, noise(seed, x.shape, x.dtype), x, slope))
    place = x.copy()
    assert ops.relu(place, slope, place) is place
    same_bits(place, ops.relu(x, slope))


@given(images(), SEEDS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_sigmoid_backward(x, seed):
    dy = noise(seed, x.shape, x.dtype)
    same_bits(*both(ops.sigmoid_backward, dy, ops.sigmoid(x)))
    # numbers that no sigmoid gives, too
    same_bits(*both(ops.sigmoid_backward, dy, x))
    place = dy.copy()
    assert ops.sigmoid_backward(place, x, place) is place
    same_bits(place, ops.sigmoid_backward(dy, x))


@pytest.mark.slow
def test_the_sigmoid_of_a_number_in_31():
    """C computes it by fewer steps than NumPy. Below these sizes all are 0.5, above them 0 or 1.

    With CAFFE_FILLERS_EVERY_FLOAT set, all numbers between them.
    """
    step = 1 if os.environ.get("CAFFE_FILLERS_EVERY_FLOAT") else 31
    least, most = (int(np.float32(size).view(np.uint32)) for size in (2.0**-26, 64))
    for start in range(least, most, step << 18):
        size = np.arange(start, min(start + (step << 18), most), step, dtype=np.uint32).view(np.float32)
        for x in (size, -size):
            result, oracle = both(ops.sigmoid, x)
            assert np.array_equal(result.view(np.uint32), oracle.view(np.uint32))
    edges = np.float32([0, 2.0**-26, 64, np.inf, 1e-40, 3e38])
    same_bits(*both(ops.sigmoid, np.concatenate([edges, -edges])))


def test_arrays_that_c_cannot_read_are_left_to_numpy():
    x = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4).swapaxes(2, 3)
    window = ops.Window.square(2, stride=2)
    same_bits(ops.max_pool(x, window), ops.max_pool(np.ascontiguousarray(x), window))
    swapped = x.astype(">f4")
    assert np.array_equal(ops.relu(swapped), x)
    assert not _core.relu(np.zeros(3, np.int32), 0.0, np.zeros(3, np.int32))
    assert not _core.relu(np.zeros(3, np.float32), 0.0, np.zeros(3))
    read_only = np.zeros(3, np.float32)
    read_only.flags.writeable = False
    assert not _core.relu(np.zeros(3, np.float32), 0.0, read_only)


def test_threads_change_no_bit():
    x = noise(1, (3, 5, 90, 110), np.float32)
    window = ops.Window.square(3, stride=2)
    before = _core.layer_threads(1)
    try:
        alone = [ops.im2col(x, window), ops.max_pool(x, window), ops.relu(x)]
        for threads in (2, 3, 7, 16):
            assert _core.layer_threads(threads)[0] in (1, 2, 3, 7)
            for one, many in zip(alone, (ops.im2col(x, window), ops.max_pool(x, window), ops.relu(x)), strict=True):
                same_bits(one, many)
    finally:
        _core.layer_threads(*before)


@pytest.mark.slow
@pytest.mark.parametrize("simd", ["portable", "avx2"])
def test_every_instruction_set(simd):
    """The whole file again, where this processor has that set."""
    if os.environ.get("CAFFE_FILLERS_SIMD"):
        pytest.skip("a set is chosen already")
    environment = {**os.environ, "CAFFE_FILLERS_SIMD": simd}
    probe = subprocess.run([sys.executable, "-c", "import caffe_fillers"], env=environment, capture_output=True)
    if probe.returncode:
        pytest.skip(f"NOT RUN: this machine has no {simd}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout


def test_the_source_that_is_carried_off_is_numpys():
    text = numpy_source(ops.max_pool)
    assert text.startswith("def max_pool(")
    assert "native" not in text


@given(images(), SEEDS, st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_channels(x, seed, scaled, biased):
    channels = x.shape[1]
    factor, term = noise(seed, channels, x.dtype), noise(seed + 1, channels, x.dtype)
    same_bits(*both(ops.scale, x, factor, term if biased else None))
    result = []
    for function in (normalized, inspect.unwrap(normalized)):
        out = np.empty((*x.shape[:2], x.shape[2] * x.shape[3]), x.dtype)
        with np.errstate(all="ignore"):
            given_bias = term if biased else None
            function(x.reshape(out.shape), term, factor, factor if scaled else None, given_bias, out)
        result.append(out)
    same_bits(*result)


@given(images(), st.integers(1, 5), SEEDS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_sums(x, terms, seed):
    xs = [x, *(noise(seed + i, x.shape, x.dtype) for i in range(1, terms))]
    same_bits(*both(ops.eltwise_sum, xs))
    coefficients = np.random.default_rng(seed).choice([0.0, 1.0, -1.0, 0.3], terms).tolist()
    same_bits(*both(ops.eltwise_sum, xs, coefficients))


@given(images(), SEEDS, st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_transposed(x, seed, biased):
    x = x.reshape(x.shape[0] * x.shape[1], x.shape[2] * x.shape[3])
    bias = noise(seed, len(x), x.dtype) if biased else None
    results = []
    for function in (transposed, inspect.unwrap(transposed)):
        results.append(np.full(x.T.shape, 7, x.dtype))
        with np.errstate(all="ignore"):
            function(x, bias, results[-1])
    same_bits(*results)


@given(images())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_sum_in_order(x):
    result, oracle = in_order(x.copy()), inspect.unwrap(in_order)(x.copy())
    same_bits(np.array(result), np.array(oracle))
    # of no layout that C reads
    back = in_order(x.copy()[..., ::-1])
    same_bits(np.array(back), np.array(in_order(x[..., ::-1].copy())))


@given(images(), st.sampled_from([1, 3, 5, 9]), st.sampled_from([0, 1, 2]), SEEDS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_neighbouring_channels(x, size, start, seed):
    x = noise(seed, (x.shape[0], x.shape[1] * 3, *x.shape[2:]), x.dtype)
    real = x.dtype.type
    sums, gradients = [], []
    for function in (neighbours, inspect.unwrap(neighbours)):
        sums.append(np.empty_like(x))
        function(x, size, real(0.01) / real(size), real(start), sums[-1], np.empty)
    same_bits(*sums)
    dy, y, above = noise(seed + 1, x.shape, x.dtype), noise(seed + 2, x.shape, x.dtype), sums[0] + real(0.1)
    for function in (across_gradient, inspect.unwrap(across_gradient)):
        gradients.append(above ** real(-0.75))
        function(dy, x, y, above, gradients[-1], size, real(0.3), np.empty)
    same_bits(*gradients)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("regularization", ["L1", "L2"])
@pytest.mark.parametrize("settings", ["momentum: 0.9", "momentum: 0", "momentum: 0.9 iter_size: 3", "weight_decay: 0"])
@pytest.mark.parametrize("rate", [0.01, 0.0])
def test_sgd(dtype, regularization, settings, rate, monkeypatch):
    defaults = "" if "weight_decay" in settings else " weight_decay: 0.05"
    text = f'{settings}{defaults} regularization_type: "{regularization}"'
    message = text_format.Parse(text, schema.SolverParameter())
    results = []
    for in_c in (True, False):
        if not in_c:
            monkeypatch.setattr(SGD, "at_once", lambda *_: False)
        blobs = []
        for i, shape in enumerate([(300, 170), (7,)]):
            blobs.append(cf.Blob(shape, dtype))
            blobs[-1].data[...] = np.round(noise(i, shape, dtype), 1)
            blobs[-1].diff[...] = noise(i + 10, shape, dtype)
        update = SGD(message, blobs, [(1, 1), (2, 0)])
        for history in update.history:
            history[...] = noise(5, history.shape, dtype)
        update.apply(dtype(rate), 0)
        results.append([a for blob in blobs for a in (blob.data, blob.diff)] + update.history)
    for result, oracle in zip(*results, strict=True):
        same_bits(result, oracle)
