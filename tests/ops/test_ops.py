"""The layers' arithmetic against slow loops, numeric gradients and OpenCV's reader of Caffe nets."""

from __future__ import annotations

import math
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops, schema
from caffe_fillers.layers.spatial import convolution_window, pooling_window
from caffe_fillers.ops import Window


def random(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def slow_convolution(x, weight, bias, window: Window, group: int) -> np.ndarray:
    """One multiplication at a time."""
    places = window.convolved(x.shape[2:])
    y = np.zeros((len(x), len(weight), *places))
    outputs, inputs = len(weight) // group, x.shape[1] // group
    for n, o, at in product(range(len(x)), range(len(weight)), product(*map(range, places))):
        total = 0.0 if bias is None else bias[o]
        for c, offset in product(range(inputs), product(*map(range, window.kernel))):
            spot = [
                a * s - p + k * d
                for a, s, p, k, d in zip(at, window.stride, window.pad, offset, window.dilation, strict=True)
            ]
            if all(0 <= i < size for i, size in zip(spot, x.shape[2:], strict=True)):
                total += weight[(o, c, *offset)] * x[(n, o // outputs * inputs + c, *spot)]
        y[(n, o, *at)] = total
    return y


def slow_pool(x, window: Window, ceil: bool, average: bool) -> np.ndarray:
    """Caffe's pooling, window by window."""
    places = window.pooled(x.shape[2:], ceil=ceil)
    y = np.zeros((*x.shape[:2], *places))
    for n, c, *at in product(*map(range, y.shape)):
        start = [a * s - p for a, s, p in zip(at, window.stride, window.pad, strict=True)]
        end = [
            min(b + k, size + p) for b, k, size, p in zip(start, window.kernel, x.shape[2:], window.pad, strict=True)
        ]
        share = math.prod(e - b for b, e in zip(start, end, strict=True))
        (top, left), (bottom, right) = ([max(b, 0) for b in start], np.minimum(end, x.shape[2:]))
        part = x[n, c, top:bottom, left:right]
        y[(n, c, *at)] = part.sum() / share if average else max(part.flat, default=np.finfo(x.dtype).min)
    return y


def numeric_gradient(function, array: np.ndarray, dy: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of sum(dy * function()) by `array`, by central differences."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(*array.shape):
        kept = array[index]
        array[index] = kept + step
        above = (dy * function()).sum()
        array[index] = kept - step
        below = (dy * function()).sum()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


CONVOLUTIONS = [
    # shape of x, outputs, window, group
    ((2, 1, 6, 5), 3, Window.square(3), 1),
    ((1, 4, 5, 5), 6, Window((3, 2), (2, 1), (1, 0), (1, 2)), 2),
    ((2, 3, 4, 4), 3, Window.square(1), 3),
    ((1, 2, 7, 6), 2, Window.square(2, stride=3, pad=2, dilation=3), 1),
    ((2, 2, 6), 4, Window((3,), (2,), (1,), (1,)), 1),
    ((1, 2, 3, 4, 3), 2, Window((2, 2, 2), (1, 2, 1), (1, 0, 1), (1, 1, 2)), 1),
]


@pytest.mark.parametrize(("shape", "outputs", "window", "group"), CONVOLUTIONS)
def test_convolution_and_its_gradients(shape, outputs, window, group):
    x, weight, bias = (
        random(*shape),
        random(outputs, shape[1] // group, *window.kernel, seed=1),
        random(outputs, seed=2),
    )
    expected = slow_convolution(x, weight, bias, window, group)
    image_by_image = ops.convolution(x, weight, bias, window, group=group)
    np.testing.assert_allclose(image_by_image, expected, rtol=1e-12, atol=1e-12)
    columns = np.full(ops.im2col(x, window).shape, np.nan)
    y = ops.convolution(x, weight, bias, window, group=group, columns=columns)
    assert y.tobytes() == image_by_image.tobytes()

    dy = random(*y.shape, seed=3)
    dx, dweight, dbias = ops.convolution_backward(dy, weight, window, columns, x.shape, group=group)
    for array, gradient in ((x, dx), (weight, dweight), (bias, dbias)):
        numeric = numeric_gradient(lambda: ops.convolution(x, weight, bias, window, group=group), array, dy)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)
    nothing, *rest = ops.convolution_backward(dy, weight, window, columns, x.shape, group=group, inputs=False)
    assert nothing is None
    assert [part.tobytes() for part in rest] == [dweight.tobytes(), dbias.tobytes()]

    # the transpose: a deconvolution by the same weights is the convolution's gradient, where the sizes come out even
    back = ops.deconvolution(dy, weight, None, window, group=group)
    if back.shape == x.shape:
        np.testing.assert_allclose(back, dx, rtol=1e-12, atol=1e-12)


def test_deconvolution_sizes_and_bias():
    x, weight = random(2, 4, 3, 2), random(4, 3, 2, 3, seed=1)
    window = Window((2, 3), (2, 1), (1, 0), (1, 2))
    y = ops.deconvolution(x, weight, np.arange(6.0), window, group=2)
    assert y.shape == (2, 6, 4, 6)
    np.testing.assert_allclose(
        y - ops.deconvolution(x, weight, None, window, group=2), np.arange(6.0)[:, None, None] + np.zeros_like(y)
    )


def test_convolution_matches_opencv():
    x, weight = random(1, 1, 9, 8, dtype=np.float32), random(1, 1, 3, 3, seed=1, dtype=np.float32)
    expected = cv2.filter2D(x[0, 0], -1, weight[0, 0], borderType=cv2.BORDER_CONSTANT)
    np.testing.assert_allclose(
        ops.convolution(x, weight, None, Window.square(3, pad=1))[0, 0], expected, rtol=1e-5, atol=1e-5
    )


def test_float32_stays_float32_and_float64_float64():
    for dtype in (np.float32, np.float64):
        x, w = random(1, 2, 4, 4, dtype=dtype), random(2, 2, 3, 3, dtype=dtype)
        y = ops.convolution(x, w, None, Window.square(3))
        flat = x.reshape(1, -1)
        results = [
            y,
            *ops.convolution_backward(y, w, Window.square(3), ops.im2col(x, Window.square(3)), x.shape),
            ops.max_pool(x, Window.square(2)),
            ops.max_pool_backward(np.ones((1, 2, 3, 3), dtype), x, ops.max_pool(x, Window.square(2)), Window.square(2)),
            ops.average_pool(x, Window.square(2)),
            ops.average_pool_backward(np.ones((1, 2, 3, 3), dtype), x.shape, Window.square(2)),
            ops.inner_product(flat, flat, np.ones(1, dtype)),
            *ops.inner_product_backward(np.ones((1, 1), dtype), flat, flat),
            ops.relu(x, 0.1),
            ops.relu_backward(x, x, 0.1),
            ops.sigmoid(x),
            ops.sigmoid_backward(x, x),
            ops.tanh(x),
            ops.tanh_backward(x, x),
            ops.softmax(flat),
            ops.softmax_backward(flat, flat),
            ops.softmax_loss_backward(ops.softmax(flat), np.array([1]), loss_weight=0.3),
        ]
        assert {result.dtype for result in results} == {np.dtype(dtype)}


@st.composite
def poolings(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    stride = tuple(draw(st.integers(1, k)) for k in kernel)
    size = tuple(draw(st.integers(max(1, k - p), 7)) for k, p in zip(kernel, pad, strict=True))
    return Window(kernel, stride, pad, (1, 1)), size, draw(st.booleans())


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(poolings(), st.integers(0, 99))
def test_pooling_and_its_gradients(case, seed):
    window, size, ceil = case
    x = random(2, 2, *size, seed=seed)
    largest, mean = ops.max_pool(x, window, ceil=ceil), ops.average_pool(x, window, ceil=ceil)
    assert largest.shape == (2, 2, *window.pooled(size, ceil=ceil))
    np.testing.assert_array_equal(largest, slow_pool(x, window, ceil, average=False))
    np.testing.assert_allclose(mean, slow_pool(x, window, ceil, average=True), rtol=1e-12, atol=1e-12)
    dy = random(*mean.shape, seed=1)
    numeric = numeric_gradient(lambda: ops.average_pool(x, window, ceil=ceil), x, dy)
    np.testing.assert_allclose(ops.average_pool_backward(dy, x.shape, window), numeric, rtol=1e-6, atol=1e-8)
    # 1e-7: no two of the numbers are so close that a step would swap them
    numeric = numeric_gradient(lambda: np.where(largest > -1e300, ops.max_pool(x, window, ceil=ceil), 0), x, dy, 1e-7)
    np.testing.assert_allclose(ops.max_pool_backward(dy, x, largest, window), numeric, rtol=1e-5, atol=1e-5)


def test_a_window_without_a_pixel():
    x, window = np.ones((1, 1, 2, 2), np.float32), Window.square(1, stride=2)
    assert ops.max_pool(x, window)[0, 0].tolist() == [[1, np.finfo(np.float32).min], [np.finfo(np.float32).min] * 2]
    np.testing.assert_array_equal(ops.average_pool(x, window)[0, 0], [[1, np.nan], [np.nan, np.nan]])
    dy = np.ones((1, 1, 2, 2), np.float32)
    for dx in (
        ops.max_pool_backward(dy, x, ops.max_pool(x, window), window),
        ops.average_pool_backward(dy, x.shape, window),
    ):
        assert dx[0, 0].tolist() == [[1, 0], [0, 0]]


POOLING_NET = """
input: "data" input_shape {{ dim: 1 dim: 2 dim: {h} dim: {w} }}
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param {{
    pool: {method} kernel_h: {k[0]} kernel_w: {k[1]} stride_h: {s[0]} stride_w: {s[1]} pad_h: {p[0]} pad_w: {p[1]}
  }}
}}
"""


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad"),
    [
        ((7, 6), (3, 3), (2, 2), (0, 0)),
        ((7, 7), (3, 3), (2, 2), (1, 1)),
        ((8, 5), (2, 3), (2, 1), (1, 2)),
        ((6, 6), (3, 3), (1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_matches_opencv(size, kernel, stride, pad, method):
    text = POOLING_NET.format(h=size[0], w=size[1], method=method, k=kernel, s=stride, p=pad)
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
    x = random(1, 2, *size, dtype=np.float32)
    net.setInput(x)
    expected = net.forward()
    pool = ops.max_pool if method == "MAX" else ops.average_pool
    np.testing.assert_allclose(pool(x, Window(kernel, stride, pad, (1, 1))), expected, rtol=1e-6, atol=1e-6)


def test_max_pool_gives_a_tie_to_the_first():
    x, window = np.zeros((1, 1, 4, 4)), Window.square(2, stride=2)
    dx = ops.max_pool_backward(np.arange(1.0, 5).reshape(1, 1, 2, 2), x, ops.max_pool(x, window), window)
    assert dx[0, 0].tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]


def test_max_pool_passes_over_nan_as_caffe_does():
    x = np.array([[[[np.nan, 2.0], [1.0, np.nan]]]])
    assert ops.max_pool(x, Window.square(2)).item() == 2


def test_windows_from_messages():
    param = schema.ConvolutionParameter(kernel_h=3, kernel_w=5, pad=[1], stride=[2, 3], dilation=[2])
    assert convolution_window(param, 2) == Window((3, 5), (2, 3), (1, 1), (2, 2))
    param = schema.PoolingParameter(kernel_size=3, stride_h=1, stride_w=2, pad=1)
    assert pooling_window(param, (9, 9)) == Window((3, 3), (1, 2), (1, 1), (1, 1))
    param = schema.PoolingParameter(global_pooling=True)
    assert pooling_window(param, (9, 8)) == Window((9, 8), (1, 1), (0, 0), (1, 1))


def test_inner_product_gradients():
    x, weight, bias = random(3, 4), random(2, 4, seed=1), random(2, seed=2)
    np.testing.assert_allclose(ops.inner_product(x, weight, bias), x @ weight.T + bias, rtol=1e-14)
    dy = random(3, 2, seed=3)
    for array, gradient in zip((x, weight, bias), ops.inner_product_backward(dy, x, weight), strict=True):
        numeric = numeric_gradient(lambda: ops.inner_product(x, weight, bias), array, dy)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_relu(slope):
    x, dy = random(4, 5), random(4, 5, seed=1)
    np.testing.assert_array_equal(ops.relu(x, slope), np.where(x > 0, x, slope * x))
    expected = numeric_gradient(lambda: ops.relu(x, slope), x, dy)
    np.testing.assert_allclose(ops.relu_backward(dy, x, slope), expected, rtol=1e-6, atol=1e-8)
    in_place = ops.relu_backward(dy, ops.relu(x, slope), slope)
    assert in_place.tobytes() == ops.relu_backward(dy, x, slope).tobytes()
    assert ops.relu_backward(np.ones(1), np.zeros(1), slope) == slope


@pytest.mark.parametrize(
    ("forward", "backward", "plain"),
    [
        (ops.sigmoid, ops.sigmoid_backward, lambda x: 1 / (1 + np.exp(-x))),
        (ops.tanh, ops.tanh_backward, np.tanh),
        (ops.softmax, ops.softmax_backward, lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        (
            lambda x: ops.softmax(x, 0),
            lambda dy, y: ops.softmax_backward(dy, y, 0),
            lambda x: np.exp(x) / np.exp(x).sum(0),
        ),
    ],
    ids=["sigmoid", "tanh", "softmax", "softmax over axis 0"],
)
def test_functions_of_their_result(forward, backward, plain):
    x, dy = random(3, 4), random(3, 4, seed=1)
    np.testing.assert_allclose(forward(x), plain(x), rtol=1e-13)
    np.testing.assert_allclose(
        backward(dy, forward(x)), numeric_gradient(lambda: forward(x), x, dy), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("normalization", ["VALID", "FULL", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("ignore", [None, 2])
def test_softmax_loss_and_its_gradient(normalization, ignore):
    x, labels = random(3, 4, 2), np.array([[0, 2], [3, 1], [2, 2]])
    total, places = 0.0, 0
    for n, i in np.ndindex(3, 2):
        if labels[n, i] != ignore:
            total -= np.log(np.exp(x[n, labels[n, i], i]) / np.exp(x[n, :, i]).sum())
            places += 1
    options = {"ignore_label": ignore, "normalization": normalization}
    divisor = {"VALID": places, "FULL": 6, "BATCH_SIZE": 3, "NONE": 1}[normalization]
    loss, probabilities = ops.softmax_loss(x, labels, **options)
    assert loss == pytest.approx(total / divisor, rel=1e-12)
    gradient = ops.softmax_loss_backward(probabilities, labels, loss_weight=0.5, **options)
    numeric = numeric_gradient(lambda: ops.softmax_loss(x, labels, **options)[0], x, np.array(0.5))
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_softmax_loss_of_a_hopeless_score_is_caffes_largest():
    loss, _ = ops.softmax_loss(np.float32([[1000, 0]]), np.array([1]))
    assert loss == pytest.approx(87.3365, abs=1e-4)


def test_accuracy():
    scores = np.float32([[3, 1, 2], [1, 1, 0], [0, 5, 9]])
    labels = np.array([0, 0, 1])
    assert ops.accuracy(scores, labels) == pytest.approx(1 / 3)  # the second is a tie, which counts against it
    assert ops.accuracy(scores, labels, top_k=2) == 1
    assert ops.accuracy(scores, labels, ignore_label=0) == 0
    assert ops.accuracy(scores, labels * 0 + 7, ignore_label=7) == 0
    assert ops.accuracy(scores * np.nan, labels) == 1
    assert ops.accuracy(scores.T[None], labels[None]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ops.softmax_loss(random(1, 3), np.array([3])), "label 3 doesn't fit 3 classes"),
        (lambda: ops.accuracy(random(1, 3), np.array([-1])), "label -1 doesn't fit 3 classes"),
        (lambda: ops.softmax_loss(random(1, 3), np.array([0]), normalization="MEAN"), "unknown normalization 'MEAN'"),
        (
            lambda: ops.convolution(random(1, 3, 4, 4), random(2, 2, 3, 3), None, Window.square(3)),
            "doesn't fit 3 input channels",
        ),
        (
            lambda: ops.deconvolution(random(1, 3, 4, 4), random(2, 2, 3, 3), None, Window.square(3)),
            "doesn't fit 3 input channels",
        ),
        (
            lambda: ops.im2col(random(1, 3, 4, 4), Window.square(3), np.empty(3)),
            "needs a C-contiguous float64 buffer of shape",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, text):
    with pytest.raises(CaffeError, match=text):
        call()
