"""Products with weights, factors and terms along axes: derivatives, slow loops, order of sums, Caffe's quirks."""

from __future__ import annotations

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops
from caffe_fillers.ops import Work

shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 2**31)


def noise(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    shape=shapes,
    outputs=st.integers(1, 4),
    transpose=st.booleans(),
    bias=st.booleans(),
    old=st.booleans(),
    data=st.data(),
)
def test_inner_product(shape, outputs, transpose, bias, old, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    rows, inputs = int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))
    weight = noise(inputs, outputs) if transpose else noise(outputs, inputs)
    # up to rc2 every blob had four axes
    blobs = [weight.reshape(1, 1, *weight.shape) if old else weight]
    if bias:
        blobs.append(noise(1, 1, 1, outputs) if old else noise(outputs))
    x, top = noise(*shape, seed=1), (*shape[:axis], outputs)
    operation = ops.InnerProduct(axis, transpose)
    check_gradient(operation, [x], blobs, [top])
    y = np.empty(top)
    operation.forward([x], [y], blobs, Work())
    for row, o in np.ndindex(rows, outputs):
        expected = blobs[1].reshape(-1)[o] if bias else 0.0
        for i in range(inputs):
            expected += x.reshape(rows, inputs)[row, i] * (weight[i, o] if transpose else weight[o, i])
        np.testing.assert_allclose(y.reshape(rows, outputs)[row, o], expected, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 9, 15, 16, 17, 40])
@pytest.mark.parametrize("bias", [None, np.arange(30, dtype=np.float32)])
def test_inner_product_of_few_and_of_many_rows(rows, bias):
    x, weight = noise(rows, 64, dtype=np.float32), noise(30, 64, seed=1, dtype=np.float32)
    expected = x.astype(np.float64) @ weight.astype(np.float64).T + (0 if bias is None else bias)
    out = np.full((rows, 30), np.nan, np.float32)
    assert ops.inner_product(x, weight, bias, out) is out
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ops.inner_product(x, weight, bias), out)
    columns = np.ascontiguousarray(weight.T).T
    np.testing.assert_allclose(ops.inner_product(x, columns, bias), expected, rtol=1e-4, atol=1e-4)


def test_inner_product_of_no_rows():
    x, weight = np.zeros((0, 3), np.float32), np.ones((2, 3), np.float32)
    dweight = np.ones_like(weight)
    ops.InnerProduct().backward([np.zeros((0, 2), np.float32)], [x], [], [weight], [x.copy()], [dweight], Work())
    np.testing.assert_array_equal(dweight, 1)


@pytest.mark.parametrize("bias", [False, True])
def test_embed(bias):
    x = np.float64([[1, 0, 1], [3, 1, 1]])
    blobs = [noise(4, 5), *([noise(5, seed=2)] if bias else [])]
    check_gradient(ops.Embed(), [x], blobs, [(2, 3, 5)], by=[])
    np.testing.assert_array_equal(ops.embed(x, blobs[0], None)[1, 0], blobs[0][3])


def test_embed_adds_rows_one_after_another():
    rng = np.random.default_rng(3)
    x, dy = rng.integers(0, 3, 4000).astype(np.float32), rng.standard_normal((4000, 2)).astype(np.float32)
    dweight = np.ones((3, 2), np.float32)
    slow = dweight.copy()
    for index, row in zip(x.astype(int), dy, strict=True):
        slow[index] += row
    np.testing.assert_array_equal(ops.embed_backward(dy, x, dweight).view(np.uint32), slow.view(np.uint32))


@pytest.mark.parametrize("wrong", [-1, 4, 1.5, np.nan, np.inf])
def test_embed_refuses_what_names_no_row(wrong):
    top = np.full((2, 3), 7, np.float32)
    with pytest.raises(CaffeError, match="whole numbers from 0 to 3"):
        ops.Embed().forward([np.float32([0, wrong])], [top], [np.ones((4, 3), np.float32)], Work())
    np.testing.assert_array_equal(top, 7)


def test_embed_has_no_gradient_by_its_indices():
    x, dy, weight = np.zeros(2, np.float32), np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    dweight = np.zeros_like(weight)
    with pytest.raises(CaffeError, match="Can't backpropagate to EmbedLayer input"):
        ops.Embed().backward([dy], [x], [dy], [weight], [x.copy()], [dweight], Work())
    assert not dweight.any()


def test_parameter_shares_its_gradient_with_the_top():
    value, top, dvalue = np.float32([1, 2]), np.empty(2, np.float32), np.float32([5, 5])
    ops.Parameter().forward([], [top], [value], Work())
    np.testing.assert_array_equal(top, value)
    ops.Parameter().backward([np.float32([3, 4])], [], [top], [value], [], [dvalue], Work())
    np.testing.assert_array_equal(dvalue, [3, 4])


# --- Scale and Bias --------------------------------------------------------------------------------------------------


@st.composite
def covered(draw):
    """A shape, an axis, and the part of the shape from there on that a factor covers."""
    shape = draw(shapes)
    axis = draw(st.integers(0, len(shape) - 1))
    return shape, axis, shape[axis : axis + draw(st.integers(0, len(shape) - axis))]


def overwritten(shape, axis, part):
    """Return whether Caffe overwrites a factor's gradient."""
    outer = int(np.prod(shape[:axis])) if part else 1
    size = int(np.prod(part))
    return size == int(np.prod(shape)) or (outer == 1 and size > 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=covered(), bias=st.booleans(), two=st.booleans(), in_place=st.booleans(), seed=seeds)
def test_scale(case, bias, two, in_place, seed):
    shape, axis, part = case
    x, factor, term = noise(*shape, seed=seed), noise(*part, seed=seed + 1), noise(*part, seed=seed + 2)
    factor = np.asarray(factor)
    term = np.asarray(term)
    operation = ops.Scale(axis, bias)
    bottoms, blobs = ([x, factor], []) if two else ([x], [factor])
    blobs = [*blobs, *([term] if bias else [])]
    quirk = not two and overwritten(shape, axis, part)
    check_gradient(
        operation, bottoms, blobs, [shape], by_blobs=range(1, len(blobs)) if quirk else None, in_place=in_place
    )
    y = np.empty(shape)
    operation.forward([x, *bottoms[1:]], [y], blobs, Work())
    first = axis if part else 0
    for place in np.ndindex(*shape):
        at = place[first : first + len(part)]
        np.testing.assert_allclose(y[place], x[place] * factor[at] + (term[at] if bias else 0), rtol=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(case=covered(), two=st.booleans(), in_place=st.booleans(), seed=seeds)
def test_bias(case, two, in_place, seed):
    shape, axis, part = case
    x, term = noise(*shape, seed=seed), np.asarray(noise(*part, seed=seed + 1))
    operation = ops.Bias(axis)
    bottoms, blobs = ([x, term], []) if two else ([x], [term])
    check_gradient(operation, bottoms, blobs, [shape], in_place=in_place)
    y = ops.bias(x, term, axis)
    first = axis if part else 0
    for place in np.ndindex(*shape):
        assert y[place] == x[place] + term[place[first : first + len(part)]]


@pytest.mark.parametrize(
    ("shape", "axis", "part", "expected"),
    [
        ((3, 2), 1, (2,), 3.0 + 6.0),
        ((2, 3), 0, (2, 3), 2.0),  # as large as the bottom
        ((2, 3), 0, (2,), 6.0),  # nothing before it
        ((2, 3), 0, (), 3.0 + 12.0),  # but a single number is added
        ((1, 2, 3), 1, (2,), 6.0),
    ],
)
def test_scale_writes_over_the_gradient_where_caffe_does(shape, axis, part, expected):
    x, dfactor = np.ones(shape), np.full(part, 3.0)
    ops.Scale(axis).backward([2 * x], [x], [x.copy()], [np.ones(part)], [None], [dfactor], Work())
    np.testing.assert_array_equal(dfactor, expected)


def test_a_bias_is_added_image_after_image():
    dy = noise(500, 3, 1, seed=4, dtype=np.float32)
    total, slow = np.full(3, 1000, np.float32), np.full(3, 1000, np.float32)
    for image in dy[:, :, 0]:
        slow += image
    ops.bias_backward(dy, total)
    np.testing.assert_array_equal(total.view(np.uint32), slow.view(np.uint32))
    assert (total != dy[::-1].sum(axis=(0, 2)) + np.float32(1000)).any()


def test_scale_in_place_keeps_its_input():
    x = noise(2, 3, seed=1)
    work, bottom, factor, dfactor = Work(), x.copy(), np.float64([2, 3, 4]), np.zeros(3)
    ops.Scale().forward([bottom], [bottom], [factor], work)
    dy = np.ones_like(x)
    ops.Scale().backward([dy], [bottom], [bottom], [factor], [dy], [dfactor], work)
    np.testing.assert_allclose(dfactor, x.sum(axis=0))
    np.testing.assert_array_equal(dy, np.broadcast_to(factor, x.shape))
