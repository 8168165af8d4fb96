"""Blob: shapes as Caffe holds them, the legacy view, and its message."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import caffe_fillers as cf
from caffe_fillers import schema


def test_legacy_accessors_read_missing_axes_as_one():
    blob = cf.Blob((2, 3))
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 1, 1)
    assert cf.Blob(()).num == 1
    assert cf.Blob(5).shape == (5,)
    with pytest.raises(cf.CaffeError, match="Cannot use legacy accessors on Blobs with > 4 axes"):
        _ = cf.Blob((1, 2, 3, 4, 5)).num


def test_count_and_offset():
    blob = cf.Blob((2, 3, 4, 5))
    assert (blob.count(), blob.count(1), blob.count(1, 3), blob.count(4)) == (120, 60, 12, 1)
    assert blob.offset(1, 2, 3, 4) == 119
    assert blob.offset(1) == 60
    assert blob.offset([0, 1]) == 20
    assert cf.Blob((2, 3)).offset(1, 2, 0, 0) == 5
    for bad in ((2, 0), (0, 3), (-1,), (0, 0, 0, 1)):
        with pytest.raises(cf.CaffeError):
            cf.Blob((2, 3)).offset(*bad)
    with pytest.raises(cf.CaffeError):
        blob.count(3, 2)
    with pytest.raises(cf.CaffeError):
        blob.offset(0, 0, 0, 0, 0)


def test_memory_is_zero_until_written_and_stays_over_a_reshape():
    blob = cf.Blob((2, 3))
    assert not blob.data.any()
    assert not blob.diff.any()
    blob.data[...] = np.arange(6).reshape(2, 3)
    blob.reshape(3, 2)
    assert blob.shape == (3, 2)
    assert blob.data.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    blob.reshape((4,))
    assert blob.data.shape == (4,)
    with pytest.raises(cf.CaffeError):
        blob.reshape(-1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_and_from_its_message(dtype):
    blob = cf.Blob((2, 2), dtype)
    blob.data[...] = [[1.5, -0.0], [np.inf, 1e-45]]
    blob.diff[...] = 2
    again = cf.Blob.from_proto(blob.to_proto(write_diff=True))
    assert again.dtype == dtype
    assert again.data.tobytes() == blob.data.tobytes()
    assert again.diff.tobytes() == blob.diff.tobytes()


def test_old_messages_have_four_dims():
    proto = schema.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    assert cf.Blob.from_proto(proto).shape == (1, 1, 2, 3)
    assert cf.Blob.from_proto(schema.BlobProto(height=2, data=[])).shape == (0, 0, 2, 0)


def test_shape_and_values_must_agree():
    proto = schema.BlobProto(data=[1, 2])
    proto.shape.dim.append(3)
    with pytest.raises(cf.CaffeError, match=r"3 vs\. 2"):
        cf.Blob.from_proto(proto)


@pytest.mark.parametrize("shape", [(-1,), (2**31,), (2**16, 2**16), (1,) * 33, (1.5,), "ab", None, (None,)])
def test_shapes_that_caffe_can_not_hold(shape):
    with pytest.raises(cf.CaffeError):
        cf.Blob(shape)


def test_other_dtypes_are_refused():
    with pytest.raises(cf.CaffeError, match="float16"):
        cf.Blob((1,), np.float16)


def test_sharing_is_one_memory_through_two_shapes():
    owner, other = cf.Blob((2, 3)), cf.Blob((6,))
    other.share_data(owner)
    owner.data[1, 2] = 4
    assert other.data[5] == 4
    with pytest.raises(cf.CaffeError):
        cf.Blob((5,)).share_data(owner)


def test_shapes_without_elements_that_numpy_can_not_hold():
    blob = cf.Blob((0, 2**31 - 1, 2**31 - 1, 2**31 - 1))
    assert blob.count() == 0
    for name in ("data", "diff"):
        with pytest.raises(cf.CaffeError, match="NumPy can't hold it"):
            getattr(blob, name)
    with pytest.raises(cf.CaffeError, match="NumPy can't hold it"):
        cf.Blob.from_proto(schema.BlobProto(num=2**31 - 1, height=2**31 - 1, width=2**31 - 1))
    empty = cf.Blob((0,))
    assert empty.data.size == 0
    empty.reshape(blob.shape)
    assert empty.shape == blob.shape
    with pytest.raises(cf.CaffeError, match="INT_MAX"):
        cf.Blob((0, 2**31))


SMALL = st.lists(st.integers(0, 5), max_size=6).map(tuple)
AXES = st.integers(-9, 9)


@given(SMALL)
def test_counts_are_products(shape):
    blob = cf.Blob(shape)
    assert blob.count() == math.prod(shape)
    for start in range(len(shape) + 1):
        for end in range(start, len(shape) + 1):
            assert blob.count(start, end) == math.prod(shape[start:end])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple), st.data())
def test_an_offset_is_the_place_in_the_values(shape, data):
    index = [data.draw(st.integers(0, dim - 1)) for dim in shape]
    assert cf.Blob(shape).offset(*index) == np.ravel_multi_index(index, shape)


@given(arrays.arrays(st.sampled_from([np.float32, np.float64]), SMALL, elements={"allow_subnormal": True}))
def test_a_message_holds_every_bit(array):
    blob = cf.Blob.from_array(array)
    again = cf.Blob.from_proto(schema.BlobProto.FromString(blob.to_proto().SerializeToString()))
    if array.size:  # of no values the message can't tell the type
        assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.data.tobytes() == array.tobytes()


@given(
    st.one_of(st.lists(st.integers(), max_size=40), st.integers(), st.text(max_size=3), st.none(), st.floats()),
    AXES,
    AXES,
    st.lists(AXES, max_size=6),
)
def test_whatever_is_asked_an_answer_or_an_error_comes_out(shape, start, end, index):
    def tried(call):
        try:
            return call()
        except cf.CaffeError as error:
            assert str(error)  # noqa: PT017
            return None

    blob = tried(lambda: cf.Blob(shape))
    if blob is None:
        return
    tried(lambda: blob.count(start, end))
    tried(lambda: blob.offset(*index))
    tried(lambda: (blob.num, blob.channels, blob.height, blob.width))
    before = blob.shape
    if tried(lambda: blob.reshape(*index) or True) is None:
        assert blob.shape == before


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("num", "channels", "height", "width"), st.integers(-(2**31), 2**31 - 1))
    ),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4), max_size=5),
    st.lists(st.floats(width=32), max_size=8),
    st.lists(st.floats(), max_size=8),
)
def test_whatever_a_message_holds_a_blob_or_an_error_comes_out(old, dims, data, double_data):
    proto = schema.BlobProto(data=data, double_data=double_data, **old)
    if dims:
        proto.shape.dim.extend(dims)
    try:
        blob = cf.Blob.from_proto(proto)
    except cf.CaffeError:
        return
    assert blob.data.size == blob.count() == len(double_data or data)
