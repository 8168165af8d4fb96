"""Convolutions and poolings as operations: gradients, orders of sums, corners."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops
from caffe_fillers.ops import Window, Work

FEW = settings(max_examples=25, deadline=None, derandomize=True)
LOWEST = np.finfo(np.float32).min


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def run(operation, *bottoms, blobs=(), tops, dtype=np.float32):
    """The tops of one pass, and the work that backward needs."""
    work = Work()
    result = [np.full(shape, np.nan, dtype) for shape in tops]
    operation.forward([np.asarray(x, dtype) for x in bottoms], result, [np.asarray(b, dtype) for b in blobs], work)
    return result, work


@st.composite
def convolutions(draw):
    axes = draw(st.integers(1, 3))
    numbers = st.tuples(*[st.integers(1, 3)] * axes)
    kernel, stride, dilation = draw(numbers), draw(numbers), draw(st.tuples(*[st.integers(1, 2)] * axes))
    pad, behind = (draw(st.tuples(*[st.integers(0, 2)] * axes)) for _ in range(2))
    window = Window(kernel, stride, pad, dilation, draw(st.sampled_from([None, behind])))
    # as many outputs as channels and groups: the way for single channels
    group, inputs, outputs = draw(st.sampled_from([(1, 2, 3), (2, 4, 2), (3, 3, 3), (1, 1, 1)]))
    size = tuple(d * (k - 1) + 1 + draw(st.integers(0, 2)) for k, d in zip(kernel, dilation, strict=True))
    return window, group, draw(st.sampled_from([(2,), (1, 2), ()])), inputs, outputs, size


@FEW
@given(convolutions(), st.booleans(), st.integers(1, 2))
def test_gradients_of_convolutions(case, bias, bottoms):
    window, group, lead, inputs, outputs, size = case
    blobs = [noise(outputs, inputs // group, *window.kernel, seed=1), *[noise(outputs, seed=2)] * bias]
    xs = [noise(*lead, inputs, *size, seed=3 + i) for i in range(bottoms)]
    top = (*lead, outputs, *window.convolved(size))
    check_gradient(ops.Convolution(window, group), xs, blobs, [top] * bottoms)


@FEW
@given(convolutions(), st.booleans())
def test_gradients_of_deconvolutions(case, bias):
    window, group, lead, inputs, outputs, size = case
    assume(min(window.deconvolved(size)) >= 1)
    blobs = [noise(inputs, outputs // group, *window.kernel, seed=1), *[noise(outputs, seed=2)] * bias]
    top = (*lead, outputs, *window.deconvolved(size))
    check_gradient(ops.Deconvolution(window, group), [noise(*lead, inputs, *size)], blobs, [top])


@FEW
@given(convolutions())
def test_gradients_of_im2col(case):
    window, _, lead, inputs, _, size = case
    top = (*lead, inputs * int(np.prod(window.kernel)), *window.convolved(size))
    check_gradient(ops.Im2col(window), [noise(*lead, inputs, *size)], [], [top])


@FEW
@given(convolutions())
def test_a_convolution_is_one_of_the_padded_image_and_a_deconvolution_its_transpose(case):
    window, group, _, inputs, outputs, size = case
    x, weight = noise(2, inputs, *size), noise(outputs, inputs // group, *window.kernel, seed=1)
    sides = list(zip(window.pad, window.behind or window.pad, strict=True))
    bare = Window(window.kernel, window.stride, (0,) * len(size), window.dilation)
    padded = np.pad(x, [(0, 0), (0, 0), *sides])
    (y,), _ = run(
        ops.Convolution(window, group),
        x,
        blobs=[weight],
        tops=[(2, outputs, *window.convolved(size))],
        dtype=np.float64,
    )
    expected = np.zeros_like(y)
    for offset in product(*map(range, window.kernel)):
        at = tuple(
            slice(k * d, k * d + (o - 1) * s + 1, s)
            for k, d, s, o in zip(offset, bare.dilation, bare.stride, y.shape[2:], strict=True)
        )
        part = padded[(..., *at)].reshape(2, group, inputs // group, -1)
        kernels = weight[(slice(None), slice(None), *offset)].reshape(group, outputs // group, -1)
        expected += np.einsum("goi,ngip->ngop", kernels, part).reshape(y.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    # <conv(x), y> = <x, deconv(y)> where the sizes come out even
    if window.deconvolved(y.shape[2:]) == size:
        (back,), _ = run(ops.Deconvolution(window, group), y, blobs=[weight], tops=[x.shape], dtype=np.float64)
        assert (back * x).sum() == pytest.approx((y * y).sum(), rel=1e-9)


@pytest.mark.parametrize("kind", [ops.Convolution, ops.Deconvolution])
@pytest.mark.parametrize("group", [1, 2])
def test_weight_and_bias_gradients_are_added_image_after_image(kind, group):
    # 1 + 1e8 - 1e8 is 0 in float32 from the left, and 1 from the right or with images added before the rest
    x = np.tile(np.float32([1, 1e8, -1e8]).reshape(3, 1, 1), (1, group, 1))
    weight, dblobs = np.ones((group, 1, 1), np.float32), [np.zeros((group, 1, 1), np.float32)]
    operation = kind(Window((1,), (1,), (0,), (1,)), group)
    operation.backward([np.ones_like(x)], [x], [x], [weight], [None], dblobs, Work())
    assert dblobs[0].ravel().tolist() == [0] * group
    dbias = np.ones(group, np.float32)
    operation.backward([x[1:]], [x[1:]], [x[1:]], [weight, dbias], [None], [None, dbias], Work())
    assert dbias.tolist() == [0] * group


@pytest.mark.parametrize("kind", [ops.Convolution, ops.Deconvolution])
@pytest.mark.parametrize("group", [1, 2])
def test_gradients_begin_with_what_is_there(kind, group):
    # (1 + 1e8) - 1e8, not 1 + (1e8 - 1e8)
    x = np.float32([1e8, -1e8]).reshape(2, 1, 1).repeat(group, axis=1)
    weight, dweight = np.ones((group, 1, 1), np.float32), np.ones((group, 1, 1), np.float32)
    operation = kind(Window((1,), (1,), (0,), (1,)), group)
    operation.backward([np.ones_like(x)], [x], [x], [weight], [None], [dweight], Work())
    assert not dweight.any()


def test_a_batch_of_many_pieces_is_its_images():
    """More images than are laid out at once."""
    window, weight = Window.square(3, pad=1), noise(3, 2, 3, 3, seed=1).astype(np.float32)
    x, bias = noise(40, 2, 32, 32).astype(np.float32), np.float32([1, 2, 3])
    (y,), _ = run(ops.Convolution(window), x, blobs=[weight, bias], tops=[(40, 3, 32, 32)])
    for i in (0, 17, 39):
        assert y[i].tobytes() == ops.convolution(x[i : i + 1], weight, bias, window)[0].tobytes()
    dx = np.empty_like(x)
    ops.convolution_gradients(y, x, weight, window, into=(dx, None, None))
    one = np.empty_like(x[:1])
    ops.convolution_gradients(y[39:], x[39:], weight, window, into=(one, None, None))
    assert one.tobytes() == dx[39:].tobytes()
    (back,), _ = run(ops.Deconvolution(window), y, blobs=[weight, bias[:2]], tops=[x.shape])
    for i in (0, 17, 39):
        assert back[i].tobytes() == ops.deconvolution(y[i : i + 1], weight, bias[:2], window)[0].tobytes()


def test_the_second_pass_allocates_nothing_large():
    import tracemalloc

    x, blobs = noise(4, 8, 64, 64).astype(np.float32), [noise(8, 8, 3, 3).astype(np.float32), np.zeros(8, np.float32)]
    operation, work, y = ops.Convolution(Window.square(3, pad=1)), Work(), np.empty((4, 8, 64, 64), np.float32)
    dx, grown = np.empty_like(x), [np.zeros_like(blob) for blob in blobs]
    for _ in range(2):
        tracemalloc.start()
        operation.forward([x], [y], blobs, work)
        operation.backward([y], [x], [y], blobs, [dx], grown, work)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < x.nbytes / 4  # columns are 9 times as much


@st.composite
def poolings(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    size = tuple(draw(st.integers(max(1, k - p), 7)) for k, p in zip(kernel, pad, strict=True))
    window = Window(kernel, stride, pad, (1, 1))
    try:
        window.pooled(size)
        window.pooled(size, ceil=False)
    except CaffeError:
        return draw(poolings())
    return window, size, draw(st.booleans())


def distinct(*shape: int, seed: int = 0) -> np.ndarray:
    """Numbers so far apart that a small step doesn't change which is the largest."""
    return np.random.default_rng(seed).permutation(np.arange(float(np.prod(shape)))).reshape(shape) / 10 - 2


@FEW
@given(poolings(), st.sampled_from(["MAX", "AVE"]))
def test_gradients_of_poolings(case, method):
    window, size, ceil = case
    top = (2, 2, *window.pooled(size, ceil=ceil))
    x = distinct(2, 2, *size)
    (y,), _ = run(ops.Pooling(window, method, ceil), x, tops=[top], dtype=np.float64)
    assume(np.isfinite(y).all() and (y > LOWEST).all())
    check_gradient(ops.Pooling(window, method, ceil), [x], [], [top])


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize("size", [(6, 6), (7, 4)])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_pyramid(method, size, levels):
    from caffe_fillers.layers.rule import RULES, Layer
    from caffe_fillers.schema import LayerParameter

    message = LayerParameter(type="SPP")
    message.spp_param.pyramid_height = levels
    message.spp_param.pool = type(message.spp_param).PoolMethod.Value(method)
    layer = Layer(message, "l", "SPP", ["x"], ["y"], "TRAIN", in_place=[False])
    setup = RULES["SPP"].function(layer, [(2, 3, *size)])
    x = distinct(2, 3, *size)
    check_gradient(setup.operation, [x], [], setup.tops)
    (y,), _ = run(setup.operation, x, tops=setup.tops, dtype=np.float64)
    assert y.tobytes() == ops.spp(x, setup.operation.windows, method=method).tobytes()
    top = y[:, :3].reshape(2, 3)  # the first level is the whole image
    padding = setup.operation.windows[0].pad
    assert padding == (0, 0)
    np.testing.assert_allclose(top, x.max((2, 3)) if method == "MAX" else x.mean((2, 3)), rtol=1e-12)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_overlapping_windows_give_their_gradients_in_the_order_of_the_windows(method):
    # three windows hold the middle pixel: 1 + 1e8 - 1e8 from the left is 0 in float32
    x = np.float32([0, 0, 5, 0, 0]).reshape(1, 1, 1, 5)
    dy = np.float32([1, 1e8, -1e8]).reshape(1, 1, 1, 3) * (3 if method == "AVE" else 1)
    for turned in (False, True):
        window = Window(*(each[::-1] if turned else each for each in ((1, 3), (1, 1), (0, 0), (1, 1))))
        image, gradient = (each.swapaxes(2, 3) if turned else each for each in (x, dy))
        operation, dx = ops.Pooling(window, method), np.full_like(image, np.nan)
        (y,), work = run(operation, image, tops=[gradient.shape])
        operation.backward([gradient], [image], [y], [], [dx], [], work)
        assert dx.ravel()[2] == 0


@pytest.mark.parametrize("window", [Window.square(3), Window.square(3, stride=3)], ids=["many places", "one place"])
def test_means_are_summed_row_by_row(window):
    x = np.zeros((1, 1, 3, 3) if window.stride == (3, 3) else (1, 1, 6, 6), np.float32)
    x[0, 0, :3, :3] = [[1, 0, 0], [1e8, 0, 0], [-1e8, 0, 0]]
    assert ops.average_pool(x, window).flat[0] == 0
    x[0, 0, :3, :3] = [[-1e8, 1e8, 0], [0, 0, 0], [0, 0, 1]]
    assert ops.average_pool(x, window).flat[0] == np.float32(1) / 9


@pytest.mark.parametrize("places", [(2, 2), (1, 1)])
def test_what_never_wins(places):
    """A NaN, what is below the lowest float32, padding; and -0.0 is no less than 0.0."""
    window = Window.square(2, stride=2)
    x = np.full((1, 4, 2 * places[0], 2 * places[1]), 7.0)
    x[0, :, :2, :2] = np.array(
        [[[np.nan, 2], [1, np.nan]], [[np.nan] * 2] * 2, [[-np.inf] * 2] * 2, [[-0.0, 0.0], [0.0, -1]]]
    )
    (y, mask), work = run(ops.Pooling(window), x, tops=[(1, 4, *places)] * 2, dtype=np.float64)
    assert y[0, :, 0, 0].tolist() == [2, LOWEST, LOWEST, 0]
    assert np.signbit(y[0, 3, 0, 0])
    assert mask[0, :, 0, 0].tolist() == [1, -1, -1, 0]
    dx = np.empty_like(x)
    ops.Pooling(window).backward([np.ones_like(y)] * 2, [x], [y, mask], [], [dx], [], work)
    assert dx[0, :, :2, :2].reshape(4, 4).tolist() == [[0, 1, 0, 0], [0] * 4, [0] * 4, [1, 0, 0, 0]]


def test_a_mask_counts_within_its_channel():
    x = np.arange(48.0).reshape(2, 2, 3, 4)
    (_, mask), _ = run(ops.Pooling(Window((3, 2), (1, 2), (0, 0), (1, 1))), x, tops=[(2, 2, 1, 2)] * 2)
    assert mask.reshape(4, 2).tolist() == [[9, 11]] * 4


def test_stochastic_pooling_is_refused_as_by_caffe():
    for operation in (ops.Pooling(Window.square(1), "STOCHASTIC"), ops.SPP((Window.square(1),), "STOCHASTIC")):
        y = np.full((1, 1, 1, 1), 5.0)
        with pytest.raises(CaffeError, match="Not Implemented Yet"):
            operation.forward([y], [y], [], Work())
        with pytest.raises(CaffeError, match="Not Implemented Yet"):
            operation.backward([y], [y], [y], [], [y], [], Work())


@pytest.mark.parametrize(
    ("operation", "blobs", "bottom", "top"),
    [
        (ops.Convolution(Window.square(3)), [noise(2, 3, 3, 3), noise(2)], (0, 3, 4, 4), (0, 2, 2, 2)),
        (ops.Convolution(Window.square(1), 3), [noise(3, 1, 1, 1)], (0, 3, 4, 4), (0, 3, 4, 4)),
        (ops.Deconvolution(Window.square(3)), [noise(3, 2, 3, 3), noise(2)], (0, 3, 2, 2), (0, 2, 4, 4)),
        (ops.Pooling(Window.square(2)), [], (0, 3, 4, 4), (0, 3, 3, 3)),
        (ops.Pooling(Window.square(4), "AVE"), [], (0, 3, 4, 4), (0, 3, 1, 1)),
        (ops.SPP((Window.square(4), Window.square(2, stride=2))), [], (0, 3, 4, 4), (0, 15)),
        (ops.Im2col(Window.square(3)), [], (0, 3, 4, 4), (0, 27, 2, 2)),
    ],
)
def test_no_images(operation, blobs, bottom, top):
    x, y, work = np.empty(bottom), np.empty(top), Work()
    grown = [np.ones_like(blob) for blob in blobs]
    operation.forward([x], [y], blobs, work)
    operation.backward([y], [x], [y], blobs, [x], grown, work)
    assert all((each == 1).all() for each in grown)
