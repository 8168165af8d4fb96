"""Operations that join, cut, move, choose and reduce: slow loops, derivatives, order of sums."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from derivative import check_gradient
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import CaffeError, ops
from caffe_fillers.ops import Operation, Work

shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 2**31)


def noise(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(operation: Operation, bottoms: list[np.ndarray], *tops: tuple[int, ...]) -> list[np.ndarray]:
    result = [np.full(shape, np.nan, bottoms[0].dtype) for shape in tops]
    operation.forward(bottoms, result, [], Work())
    return result


# --- Eltwise and its kin ---------------------------------------------------------------------------------------------

SUMS = [ops.Eltwise(), ops.Eltwise("SUM", (1.0, -0.5, 2.0)), ops.Eltwise("SUM", (0.0, 1.0, 1.0))]


@pytest.mark.parametrize("operation", [*SUMS, ops.Eltwise("PROD"), ops.Eltwise("PROD", (), False), ops.Eltwise("MAX")])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(shape=shapes, seed=seeds)
def test_eltwise(operation, shape, seed):
    xs = [noise(*shape, seed=seed + i) + 3 * i for i in range(3)]
    xs[1] = np.where(abs(xs[0] - xs[1]) < 1e-3, xs[1] + 1, xs[1])
    check_gradient(operation, xs, [], [shape])
    coefficients = operation.coefficients or (1, 1, 1)
    slow = {
        "SUM": sum(c * x for c, x in zip(coefficients, xs, strict=True)),
        "PROD": xs[0] * xs[1] * xs[2],
        "MAX": np.max(xs, axis=0),
    }
    np.testing.assert_allclose(run(operation, xs, shape)[0], slow[operation.method], rtol=1e-12)


def test_the_largest_takes_the_whole_gradient():
    """Of two equal ones in the first two bottoms the second, of others the first that is larger than those before."""
    xs = [np.float32([[1, 5, 2, np.nan]]), np.float32([[1, 4, 2, 1]]), np.float32([[1, 3, 7, 1]])]
    top, work = np.empty((1, 4), np.float32), Work()
    ops.Eltwise("MAX").forward(xs, [top], [], work)
    np.testing.assert_array_equal(top, [[1, 5, 7, 1]])
    dxs = [np.full_like(top, np.nan) for _ in xs]
    ops.Eltwise("MAX").backward([np.float32([[-1, -2, -3, -4]])], xs, [top], [], dxs, [], work)
    expected = np.float32([[[0, -2, 0, 0]], [[-1, 0, 0, -4]], [[0, 0, -3, 0]]])
    np.testing.assert_array_equal(np.array(dxs).view(np.uint32), expected.view(np.uint32))


def test_unstable_product_divides_by_the_bottom():
    xs = [np.float32([0, 2]), np.float32([3, 4])]
    dx = np.empty(2, np.float32)
    ops.Eltwise("PROD", (), False).backward([np.ones(2, np.float32)], xs, [xs[0] * xs[1]], [], [dx, None], [], Work())
    assert np.isnan(dx[0])
    assert dx[1] == 4


def test_eltwise_in_place_begins_with_zeros_as_caffe_does():
    a, b = np.float32([1, 2]), np.float32([10, 20])
    ops.Eltwise().forward([a, b], [a], [], Work())
    np.testing.assert_array_equal(a, b)


def test_a_sum_turns_minus_zero_into_zero():
    zeros = np.float32([-0.0])
    assert not np.signbit(ops.eltwise_sum([zeros, zeros]))[0]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(shape=shapes, seed=seeds)
def test_axpy(shape, seed):
    scale, x, y = noise(*shape[:2], *(1,) * (len(shape) - 2), seed=seed), noise(*shape, seed=seed + 1), noise(*shape)
    check_gradient(ops.Axpy(), [scale, x, y], [], [shape])
    result = run(ops.Axpy(), [scale, x, y], shape)[0]
    for place in np.ndindex(*shape):
        np.testing.assert_allclose(result[place], scale.reshape(shape[:2])[place[:2]] * x[place] + y[place], rtol=1e-12)


@pytest.mark.parametrize(("operation", "slow"), [(ops.Add(), np.add), (ops.Mul(), np.multiply)])
@pytest.mark.parametrize("pair", [((2, 3), (2, 3)), ((2, 1), (1, 3)), ((4, 2, 3), (3,)), ((), (2, 2)), ((1,), (1,))])
def test_add_and_mul_spread_axes_of_1(operation, slow, pair):
    a, b = (np.asarray(noise(*shape, seed=i)) for i, shape in enumerate(pair))
    top = np.broadcast_shapes(*pair)
    check_gradient(operation, [a, b], [], [top])
    np.testing.assert_array_equal(run(operation, [a, b], top)[0], slow(a, b))


# --- joining and cutting ---------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(shape=shapes, sizes=st.lists(st.integers(0, 3), min_size=2, max_size=4), data=st.data())
def test_concat_and_slice_take_each_other_back(shape, sizes, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    parts = [noise(*shape[:axis], size, *shape[axis + 1 :], seed=i) for i, size in enumerate(sizes)]
    whole = (*shape[:axis], sum(sizes), *shape[axis + 1 :])
    joined = run(ops.Concat(axis), parts, whole)[0]
    at = 0
    for part in parts:
        for place in np.ndindex(*part.shape):
            moved = (*place[:axis], place[axis] + at, *place[axis + 1 :])
            assert joined[moved] == part[place]
        at += part.shape[axis]
    points = tuple(int(point) for point in np.cumsum(sizes)[:-1])
    cut = ops.Slice(axis, points)
    for part, again in zip(parts, run(cut, [joined], *(part.shape for part in parts)), strict=True):
        np.testing.assert_array_equal(part, again)
    if sum(sizes):
        check_gradient(ops.Concat(axis), parts, [], [whole])
        check_gradient(cut, [joined], [], [part.shape for part in parts])


def test_split_adds_gradients_in_the_order_of_its_tops():
    dys = [np.float32([2**24]), np.float32([1]), np.float32([1]), np.float32([-(2**24)])]
    # 2**24 + 1 is no float32: another order gives 2
    assert ops.split_backward(dys)[0] == 0
    assert ops.split_backward(dys[::-1])[0] == 2
    assert ops.split_backward([dys[1], dys[2], dys[0], dys[3]])[0] == 2
    dx = np.full(1, np.nan, np.float32)
    ops.Split().backward(dys[1:2], [dx], [dx], [], [dx], [], Work())
    assert dx == 1


def test_split_reshape_and_silence():
    x = noise(2, 6)
    check_gradient(ops.Split(), [x], [], [(2, 6)] * 3)
    check_gradient(ops.Reshape(), [x], [], [(3, 4)])
    dx = np.ones((2, 6))
    ops.Silence().backward([], [x], [], [], [dx, None], [], Work())
    assert not dx.any()
    assert ops.Split.shares == "data"
    assert ops.Reshape.shares == "both"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_tile(axis):
    x = noise(2, 3, 2)
    top = tuple(size * (3 if i == axis else 1) for i, size in enumerate(x.shape))
    check_gradient(ops.Tile(axis, 3), [x], [], [top])
    np.testing.assert_array_equal(run(ops.Tile(axis, 3), [x], top)[0], np.concatenate([x] * 3, axis=axis))


def test_tile_adds_the_tiles_one_after_another():
    dy = np.float32([[2**24, 1, 1, -(2**24)]])
    assert ops.tile_backward(dy, 4)[0, 0] == 0


@settings(max_examples=20, deadline=None, derandomize=True)
@given(shape=shapes, data=st.data())
def test_crop(shape, data):
    offsets = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    size = tuple(data.draw(st.integers(1, n - o)) for n, o in zip(shape, offsets, strict=True))
    x, other = noise(*shape), noise(*size)
    check_gradient(ops.Crop(offsets), [x, other], [], [size])
    result = run(ops.Crop(offsets), [x, other], size)[0]
    for place in np.ndindex(*size):
        assert result[place] == x[tuple(p + o for p, o in zip(place, offsets, strict=True))]


# --- order -----------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(shape=shapes, data=st.data())
def test_permute(shape, data):
    order = tuple(data.draw(st.permutations(range(len(shape)))))
    x, top = noise(*shape), tuple(shape[i] for i in order)
    check_gradient(ops.Permute(order), [x], [], [top])
    result = run(ops.Permute(order), [x], top)[0]
    for place in np.ndindex(*shape):
        assert result[tuple(place[i] for i in order)] == x[place]


@pytest.mark.parametrize("group", [1, 2, 3, 6])
def test_shuffle_channels(group):
    x = noise(2, 6, 2, 2)
    check_gradient(ops.ShuffleChannel(group), [x], [], [x.shape])
    result = run(ops.ShuffleChannel(group), [x], x.shape)[0]
    for i, j in product(range(group), range(6 // group)):
        np.testing.assert_array_equal(result[:, j * group + i], x[:, i * (6 // group) + j])


def test_shuffle_channels_refuses_groups_that_do_not_fit():
    with pytest.raises(CaffeError, match="Wrong group size"):
        ops.shuffle_channels(np.ones((1, 5)), 2)


# --- choosing --------------------------------------------------------------------------------------------------------


def test_batch_reindex():
    x, index = noise(3, 2, 2), np.float64([2, 0, 2, 2])
    check_gradient(ops.BatchReindex(), [x, index], [], [(4, 2, 2)], by=[0])
    np.testing.assert_array_equal(run(ops.BatchReindex(), [x, index], (4, 2, 2))[0], x[[2, 0, 2, 2]])
    dy = np.float32([[2**24], [1], [1], [-(2**24)]])
    assert ops.batch_reindex_backward(dy, np.zeros(4, np.float32), (1, 1))[0, 0] == 0


@pytest.mark.parametrize("wrong", [-1, 3, np.nan])
def test_batch_reindex_refuses_what_names_no_item(wrong):
    top = np.full((2, 2), 7, np.float32)
    with pytest.raises(CaffeError, match="Index specified for reindex layer"):
        ops.BatchReindex().forward([np.ones((3, 2), np.float32), np.float32([0, wrong])], [top], [], Work())
    np.testing.assert_array_equal(top, 7)


def test_filter():
    x, y, selector = noise(4, 2), noise(4, 1, 3), np.float64([0, 2, 0, -1])
    assert ops.Filter().shapes([x, y, selector], Work()) == [(2, 2), (2, 1, 3)]
    check_gradient(ops.Filter(), [x, y, selector], [], [(2, 2), (2, 1, 3)], by=[0, 1])
    result = run(ops.Filter(), [x, y, selector], (2, 2), (2, 1, 3))
    np.testing.assert_array_equal(result[0], x[[1, 3]])
    np.testing.assert_array_equal(result[1], y[[1, 3]])


def test_filter_lets_nothing_through():
    x, selector, dx = noise(3, 2), np.zeros((3, 1)), np.ones((3, 2))
    assert ops.Filter().shapes([x, selector], Work()) == [(0, 2)]
    ops.Filter().backward([np.ones((0, 2))], [x, selector], [np.ones((0, 2))], [], [dx, None], [], Work())
    assert not dx.any()


@pytest.mark.parametrize("operation", [ops.Filter(), ops.BatchReindex()])
def test_what_selects_has_no_gradient(operation):
    x, index, dx = np.ones((2, 2)), np.ones(2), np.full((2, 2), 7.0)
    with pytest.raises(CaffeError, match="backprop"):
        operation.backward([x], [x, index], [x], [], [dx, index.copy()], [], Work())
    np.testing.assert_array_equal(dx, 7)


# --- Reduction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@settings(max_examples=8, deadline=None, derandomize=True)
@given(shape=shapes, data=st.data(), coefficient=st.sampled_from([1.0, -0.5, 3.0]))
def test_reduction(method, shape, data, coefficient):
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = noise(*shape)
    operation = ops.Reduction(axis, method, coefficient)
    check_gradient(operation, [x], [], [shape[:axis]])
    result = run(operation, [x], shape[:axis])[0]
    slow = {"SUM": sum, "ASUM": lambda v: sum(map(abs, v)), "SUMSQ": lambda v: sum(e * e for e in v)}
    for place in np.ndindex(*shape[:axis]):
        values = list(x[place].flat)
        expected = sum(values) / len(values) if method == "MEAN" else slow[method](values)
        np.testing.assert_allclose(result[place], coefficient * expected, rtol=1e-9, atol=1e-12)


# --- all -------------------------------------------------------------------------------------------------------------

EMPTY = [
    (ops.Eltwise(), [(0, 3)] * 2, [(0, 3)]),
    (ops.Eltwise("MAX"), [(0, 3)] * 2, [(0, 3)]),
    (ops.Concat(1), [(0, 2), (0, 1)], [(0, 3)]),
    (ops.Slice(1, (1,)), [(0, 3)], [(0, 1), (0, 2)]),
    (ops.Tile(1, 2), [(0, 3)], [(0, 6)]),
    (ops.Permute((1, 0)), [(0, 3)], [(3, 0)]),
    (ops.ShuffleChannel(2), [(0, 4)], [(0, 4)]),
    (ops.Crop((0, 1)), [(0, 3), (0, 2)], [(0, 2)]),
    (ops.Axpy(), [(0, 3, 1), (0, 3, 2), (0, 3, 2)], [(0, 3, 2)]),
    (ops.Reduction(1), [(0, 3)], [(0,)]),
    (ops.Reduction(1, "SUMSQ"), [(0, 3)], [(0,)]),
    (ops.Reduction(1, "ASUM"), [(0, 3)], [(0,)]),
]


@pytest.mark.parametrize(("operation", "bottoms", "tops"), EMPTY)
def test_a_batch_of_0(operation, bottoms, tops):
    xs, ys = [np.zeros(shape, np.float32) for shape in bottoms], [np.zeros(shape, np.float32) for shape in tops]
    work = Work()
    operation.forward(xs, ys, [], work)
    operation.backward(ys, xs, ys, [], [x.copy() for x in xs], [], work)
