"""Products that threads share: the bits of NumPy's version, whatever the layout and the number of threads."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from caffe_fillers import _core, blas
from caffe_fillers.ops.products import large_product, matrix_product, parts_of

GIVEN = np.random.default_rng(1)
ALONE = inspect.unwrap(large_product)

# of the result, and the length of its sums; among them one with edges that are no whole vectors, and images and groups
SHAPES = [
    ((1000, 1001), 100),
    ((150, 3136), 40),
    ((2049, 49), 300),
    ((16, 70, 65), 30),
    ((7, 2, 33, 130), 20),
    ((1, 2, 400, 300), 90),
    ((1, 1, 400, 300), 90),
]


def array(shape, dtype, turned=False):
    x = GIVEN.standard_normal(shape).astype(dtype)
    return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2) if turned else x


@pytest.fixture
def four_threads():
    if blas._of_blas() is None:
        pytest.skip("NOT RUN: NumPy's BLAS here is not one whose threads can be set")
    with blas.threads_for_layers(None):
        before = _core.layer_threads(4, 4)
        yield
        _core.layer_threads(*before)


@pytest.mark.parametrize("turned", range(8))
@pytest.mark.parametrize(("shape", "inner"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("four_threads")
def test_threads_give_numpys_bits(dtype, shape, inner, turned):
    a = array((*shape[:-1], inner), dtype, turned & 1)
    b = array((*shape[:-2], inner, shape[-1]), dtype, turned & 2)
    shared, alone = (array(shape, dtype, turned & 4) for _ in range(2))
    assert math.prod(shape) * inner > 1 << 20
    assert _core.product(a, b, shared, parts_of(shared, inner), shape[-2] > shape[-1])
    assert ALONE(a, b, alone).tobytes() == shared.tobytes()
    shared[...] = 0
    assert matrix_product(a, b, shared) is shared
    assert alone.tobytes() == shared.tobytes()


@pytest.mark.usefixtures("four_threads")
def test_one_matrix_for_all():
    a, b = array((2, 60, 50), np.float32), array((9, 2, 50, 80), np.float32)
    out = np.zeros((9, 2, 60, 80), np.float32)
    assert _core.product(a, b, out, 1, False)
    assert np.array_equal(out, np.matmul(a, b))
    out[...] = 0
    assert _core.product(a[:1], b, out, 1, False)
    assert np.array_equal(out, np.matmul(a[:1], b))


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("a", "b", "out"),
    [
        (np.zeros((4, 5)), np.zeros((5, 6), np.float32), np.zeros((4, 6))),
        (np.zeros((4, 5), int), np.zeros((5, 6), int), np.zeros((4, 6), int)),
        (np.zeros((4, 5)), np.zeros((6, 6)), np.zeros((4, 6))),
        (np.zeros((4, 5)), np.zeros((5, 7)), np.zeros((4, 6))),
        (np.zeros((3, 5)), np.zeros((5, 6)), np.zeros((4, 6))),
        (np.zeros((2, 4, 5)), np.zeros((5, 6)), np.zeros((4, 6))),
        (np.zeros((2, 4, 5)), np.zeros((3, 5, 6)), np.zeros((3, 4, 6))),
        (np.zeros((4, 10))[:, ::2], np.zeros((5, 6)), np.zeros((4, 6))),
        (np.zeros((4, 5)), np.zeros((5, 6)), np.zeros((4, 12))[:, ::2]),
        (np.zeros((4, 5)), np.zeros((5, 1)), np.zeros((4, 1))),
        (np.zeros(5), np.zeros((5, 6)), np.zeros((4, 6))),
        (np.zeros((2, 2, 2, 4, 5)), np.zeros((5, 6)), np.zeros((2, 2, 2, 4, 6))),
    ],
)
def test_other_arrays_are_left_to_numpy(a, b, out):
    out[...] = 7
    assert not _core.product(a, b, out, 1, False)
    assert (out == 7).all()


@pytest.mark.usefixtures("four_threads")
def test_a_matrix_times_its_own_transpose_is_left_to_numpy():
    """NumPy computes half of such a product and copies it."""
    a = array((200, 300), np.float32)
    out = np.empty((200, 200), np.float32)
    assert not _core.product(a, a.T, out, 1, False)
    assert np.array_equal(matrix_product(a, a.T, out), ALONE(a, a.T, np.empty_like(out)))


def test_parts_follow_from_the_shape_alone():
    def parts(shape, inner):
        return parts_of(np.empty(shape, np.float32), inner)

    assert parts((256, 196), 1024) == 2
    assert parts((64, 3136), 256) == parts((2048, 49), 512) == 4
    assert parts((64, 784), 64) == parts((100, 100), 5000) == parts((16, 256, 196), 1024) == 1
    assert parts((1, 1, 256, 196), 1024) == 2
    assert parts((1, 4096), 9216) == parts((4096, 1), 9216) == parts((4096,), 9216) == 1


@pytest.mark.usefixtures("four_threads")
def test_a_vector_times_a_matrix():
    a, b = array(2000, np.float32), array((2000, 3000), np.float32)
    assert np.array_equal(matrix_product(a, b, np.empty(3000, np.float32)), a @ b)


def test_a_part_is_what_numpy_computes_of_it():
    a, b = array((64, 256), np.float64), array((256, 1100), np.float64)
    out = ALONE(a, b, np.empty((64, 1100)))
    for start, stop in ((0, 272), (272, 544), (544, 816), (816, 1100)):
        assert np.array_equal(out[:, start:stop], a @ b[:, start:stop])


@pytest.mark.parametrize("threads", [1, 4])
def test_a_result_may_be_one_of_the_factors(threads):
    """A part of it must not be written over what another part still reads."""
    a, b = array((256, 256), np.float32), array((256, 256), np.float32)
    expected = matrix_product(a, b, np.empty((256, 256), np.float32))
    assert parts_of(a, 256) > 1
    with blas.threads_for_layers(threads):
        for which in range(2):
            factors = a.copy(), b.copy()
            assert matrix_product(*factors, factors[which]) is factors[which]
            assert factors[which].tobytes() == expected.tobytes()


@pytest.mark.usefixtures("four_threads")
def test_rows_too_far_apart_for_the_integers_of_a_blas_are_left_to_numpy():
    far = np.lib.stride_tricks.as_strided(np.zeros(10), (4, 5), (8 << 31, 8))
    try:
        _core.use_blas(1, 1, False, 0, 0)
        assert not _core.product(far, np.zeros((5, 6)), np.zeros((4, 6)), 1, False)
        assert not _core.product(np.zeros((6, 4)), far, np.zeros((6, 5)), 1, False)
    finally:
        blas._of_blas.cache_clear()
        blas._of_blas()
