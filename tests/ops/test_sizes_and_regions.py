"""Layers of Caffe's forks: interpolation, upsampling, reorg, pooling of regions, priors."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops
from caffe_fillers.ops import Window, Work

FEW = settings(max_examples=20, deadline=None, derandomize=True)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def run(operation, *bottoms, top, dtype=np.float64):
    y = np.full(top, np.nan, dtype)
    operation.forward(list(bottoms), [y], [], Work())
    return y


@FEW
@given(*[st.integers(1, 5)] * 4, st.integers(0, 1), st.integers(0, 1))
def test_interp(height, width, to_height, to_width, front, behind):
    x = noise(2, 3, height + front + behind, width + front + behind)
    top, operation = (2, 3, to_height, to_width), ops.Interp((front, behind))
    inner = x[..., front : front + height, front : front + width]
    y = run(operation, x, top=top)
    for i, j in np.ndindex(to_height, to_width):
        h, w = (
            k * (size - 1) / (to - 1) if to > 1 else 0.0
            for k, size, to in ((i, height, to_height), (j, width, to_width))
        )
        total = np.zeros((2, 3))
        for a in range(height):
            for b in range(width):
                total += max(0, 1 - abs(h - a)) * max(0, 1 - abs(w - b)) * inner[..., a, b]
        np.testing.assert_allclose(y[..., i, j], total, atol=3e-6)  # places are float32, as there
    check_gradient(operation, [x], [], [top])


def test_upsampling_by_a_mask_undoes_its_pooling():
    x = np.random.default_rng(1).permutation(np.arange(48.0)).reshape(2, 2, 3, 4) + 1
    pooled, mask = np.empty((2, 2, 2, 2)), np.empty((2, 2, 2, 2))
    ops.max_pool(x, Window.square(2, stride=2), out=pooled, mask=mask)
    y = run(ops.Upsample(), pooled, mask, top=x.shape)
    assert sorted(y[y > 0]) == sorted(pooled.ravel())
    assert (y[y > 0] == x[y > 0]).all()
    check_gradient(ops.Upsample(), [pooled, mask], [], [x.shape], by=[0])
    assert ops.Upsample().forces(0)
    assert not ops.Upsample().forces(1)


def test_of_equal_places_the_last_counts():
    mask = np.zeros((1, 1, 1, 3))
    assert run(ops.Upsample(), np.array([[[[1.0, 2, 3]]]]), mask, top=(1, 1, 2, 2)).ravel().tolist() == [3, 0, 0, 0]


@pytest.mark.parametrize("index", [4, -1])
def test_a_mask_that_points_beyond_the_image_is_refused(index):
    y = np.full((1, 1, 2, 2), 5.0)
    with pytest.raises(CaffeError, match=f"upsample top index {index} out of range"):
        ops.Upsample().forward([np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), float(index))], [y], [], Work())
    assert (y == 5).all()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_repeated_pixels(scale):
    x = noise(2, 3, 2, 3)
    y = run(ops.Upsample(scale), x, top=(2, 3, 2 * scale, 3 * scale))
    np.testing.assert_array_equal(y, x.repeat(scale, axis=2).repeat(scale, axis=3))
    check_gradient(ops.Upsample(scale), [x], [], [y.shape])


def slow_reorg(x: np.ndarray, stride: int, reverse: bool) -> np.ndarray:
    """Darknet's loop, index by index."""
    _, channels, height, width = x.shape
    few = channels // stride**2
    flat, y = x.ravel(), np.empty(x.size)
    for b, k, j, i in np.ndindex(*x.shape):
        here = i + width * (j + height * (k + channels * b))
        offset = k // few
        w, h = i * stride + offset % stride, j * stride + offset // stride
        there = w + width * stride * (h + height * stride * (k % few + few * b))
        if reverse:
            y[there] = flat[here]
        else:
            y[here] = flat[there]
    return y


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("shape", "stride"), [((2, 4, 4, 6), 2), ((1, 12, 2, 2), 2), ((1, 9, 3, 6), 3)])
def test_reorg(shape, stride, reverse):
    x = noise(*shape)
    n, c, h, w = shape
    s = stride
    top = (n, c // s**2, h * s, w * s) if reverse else (n, c * s**2, h // s, w // s)
    y = run(ops.Reorg(s, reverse), x, top=top)
    assert y.ravel().tolist() == slow_reorg(x, s, reverse).tolist()
    check_gradient(ops.Reorg(s, reverse), [x], [], [top])


# --- regions -------------------------------------------------------------------------------------------------------


def slow_roi_pool(x: np.ndarray, rois: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    y = np.zeros((len(rois), x.shape[1], *size))
    for n, roi in enumerate(rois):
        left, top, right, bottom = (math.floor(abs(v * scale) + 0.5) * (1 if v >= 0 else -1) for v in roi[1:])
        steps = max(bottom - top + 1, 1) / size[0], max(right - left + 1, 1) / size[1]
        for c, i, j in np.ndindex(x.shape[1], *size):
            cells = [
                x[int(roi[0]), c, h, w]
                for h in range(math.floor(i * steps[0]) + top, math.ceil((i + 1) * steps[0]) + top)
                for w in range(math.floor(j * steps[1]) + left, math.ceil((j + 1) * steps[1]) + left)
                if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]
            ]
            y[n, c, i, j] = max(cells, default=0)
    return y


@FEW
@given(st.lists(st.tuples(st.integers(0, 1), *[st.integers(-3, 16)] * 4), min_size=1, max_size=4), st.integers(1, 3))
def test_roi_pooling(regions, bins):
    rois = np.array(regions, np.float64)
    rois[:, 3:] = np.maximum(rois[:, 3:], rois[:, 1:3])
    x = np.random.default_rng(2).permutation(np.arange(168.0)).reshape(2, 2, 6, 7) / 8 - 4
    operation = ops.ROIPooling((bins, 2), 0.5)
    top = (len(rois), 2, bins, 2)
    np.testing.assert_array_equal(run(operation, x, rois, top=top), slow_roi_pool(x, rois, (bins, 2), 0.5))
    check_gradient(operation, [x, rois], [], [top], by=[0])


def test_a_region_turned_inside_out_is_pooled_and_gets_no_gradient():
    x, rois, work = np.arange(16.0).reshape(1, 1, 4, 4), np.array([[0.0, 2, 1, 1, 1]]), Work()
    y, dx, operation = np.empty((1, 1, 1, 1)), np.full((1, 1, 4, 4), np.nan), ops.ROIPooling((1, 1))
    operation.forward([x, rois], [y], [], work)
    assert y.item() == 6
    operation.backward([y], [x, rois], [y], [], [dx, None], [], work)
    assert not dx.any()


@pytest.mark.parametrize(
    ("roi", "text"),
    [
        ([2, 0, 0, 1, 1], r"roi_batch_ind < 2: region 1 is of image 2"),
        ([-1, 0, 0, 1, 1], r"roi_batch_ind >= 0: region 1 is of image -1"),
        ([0, np.nan, 0, 1, 1], "region 1 holds a number that is not finite"),
    ],
)
def test_regions_of_no_image_are_refused(roi, text):
    x, y = np.ones((2, 1, 3, 3)), np.full((2, 1, 1, 1), 5.0)
    with pytest.raises(CaffeError, match=text):
        ops.ROIPooling((1, 1)).forward([x, np.array([[0, 0, 0, 1, 1], roi])], [y], [], Work())
    assert (y == 5).all()


PRIORS = """
input: "x" input_shape {{ dim: 1 dim: 8 dim: 2 dim: 3 }} input: "image" input_shape {{ dim: 1 dim: 3 dim: 40 dim: 60 }}
layer {{ name: "y" type: "PriorBox" bottom: "x" bottom: "image" top: "y" prior_box_param {{
  {sizes} aspect_ratio: 4 flip: true clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2
}} }}
"""


def test_prior_boxes():
    operation = ops.PriorBox(((4.9, 9.0), (6.0, 16.0)), (1.0, 4.0, 0.25), (0.1, 0.1, 0.2, 0.2), clip=False)
    feature, image = np.empty((1, 8, 2, 3)), np.empty((1, 3, 40, 60))
    top = (1, 2, 2 * 3 * 8 * 4)
    y = run(operation, feature, image, top=top)
    boxes = y[0, 0].reshape(2, 3, 8, 4)
    widths = (boxes[..., 2] - boxes[..., 0])[1, 2] * 60
    heights = (boxes[..., 3] - boxes[..., 1])[1, 2] * 40
    # with the mean of both sizes, cut to whole numbers; the ratios go with the smallest
    np.testing.assert_allclose(widths, [4, 6, 8, 2, 6, 96**0.5, 12, 3], rtol=1e-6)
    np.testing.assert_allclose(heights, [4, 6, 2, 8, 6, 96**0.5, 3, 12], rtol=1e-6)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * (60, 40)
    np.testing.assert_allclose(middle[1, 2], [[50, 30]] * 8, rtol=1e-6)
    np.testing.assert_allclose(middle[0, 1], [[30, 10]] * 8, rtol=1e-6)
    np.testing.assert_array_equal(y[0, 1].reshape(-1, 4), np.float32([[0.1, 0.1, 0.2, 0.2]]).repeat(48, axis=0))
    # a reader of Caffe's nets that others wrote
    text = PRIORS.format(sizes="min_size: 4 min_size: 6 max_size: 9 max_size: 16")
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
    net.setInput(np.zeros((1, 8, 2, 3), np.float32), "x")
    net.setInput(np.zeros((1, 3, 40, 60), np.float32), "image")
    np.testing.assert_allclose(net.forward("y").ravel(), y.ravel(), rtol=1e-5, atol=1e-6)
    given = ops.PriorBox(((30.0,),), image=(80, 60), step=(10.0, 20.0), offset=0.0, clip=True)
    y = run(given, feature, image, top=(1, 2, 24))
    boxes = y[0, 0].reshape(2, 3, 4)
    assert boxes[0, 0].tolist() == [0, 0, 15 / 60, 15 / 80]
    assert boxes[1, 2].tolist() == [25 / 60, 0, 55 / 60, 25 / 80]
    assert (y[0, 1] == np.float32(0.1)).all()
    with pytest.raises(CaffeError, match="no gradient"):
        given.backward([y], [feature, image], [y], [], [None, None], [], Work())


def test_nothing_to_resize_or_pool():
    none = np.empty((0, 4, 2, 2))
    for operation, bottoms, top in (
        (ops.Interp(), [none], (0, 4, 3, 3)),
        (ops.Upsample(2), [none], (0, 4, 4, 4)),
        (ops.Upsample(), [none, none], (0, 4, 4, 4)),
        (ops.Reorg(2), [none], (0, 16, 1, 1)),
        (ops.ROIPooling((2, 2)), [np.ones((1, 4, 2, 2)), np.empty((0, 5))], (0, 4, 2, 2)),
    ):
        y, work = np.empty(top), Work()
        operation.forward(bottoms, [y], [], work)
        grown = [np.full_like(bottom, np.nan) for bottom in bottoms]
        operation.backward([y], bottoms, [y], [], grown, [], work)
        assert not grown[0].any()
