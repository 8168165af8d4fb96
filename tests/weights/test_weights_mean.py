"""Mean files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from caffe_fillers import CaffeError, schema
from caffe_fillers.weights import load_mean, save_mean

MEAN = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4"])
@pytest.mark.parametrize("suffix", [".binaryproto", ".npy"])
def test_there_and_back(tmp_path, dtype, suffix):
    mean = MEAN.astype(dtype)
    mean.flat[:2] = [np.nan, -0.0]
    save_mean(tmp_path / f"m{suffix}", mean)
    back = load_mean(tmp_path / f"m{suffix}")
    assert back.shape == (2, 3, 4)
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    assert back.tobytes() == mean.astype(back.dtype).tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bytes_are_protobufs_own(tmp_path, dtype):
    save_mean(tmp_path / "m.binaryproto", MEAN.astype(dtype))
    message = schema.BlobProto(num=1, channels=2, height=3, width=4)
    (message.data if dtype == np.float32 else message.double_data).extend(range(24))
    assert (tmp_path / "m.binaryproto").read_bytes() == message.SerializeToString(deterministic=True)


def test_every_shape_that_is_one_image(tmp_path):
    for dims in ([2, 3, 4], [1, 2, 3, 4]):
        message = schema.BlobProto(data=range(24))
        message.shape.dim.extend(dims)
        (tmp_path / "m").write_bytes(message.SerializeToString())
        assert np.array_equal(load_mean(tmp_path / "m"), MEAN)
        np.save(tmp_path / "m.npy", np.asfortranarray(MEAN.reshape(dims)))
        assert np.array_equal(load_mean(tmp_path / "m.npy"), MEAN)
        assert load_mean(tmp_path / "m.npy").flags.c_contiguous


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (
            schema.BlobProto(num=2, channels=3, height=2, width=2, data=range(24)).SerializeToString(),
            "channels, height",
        ),
        (schema.BlobProto(num=1, channels=2, height=3, width=5, data=range(24)).SerializeToString(), "24 values"),
        (schema.BlobProto(num=1 << 30, channels=1 << 30, height=3, width=5).SerializeToString(), "no mean file"),
        (schema.NetParameter(name="net").SerializeToString(), "no mean file"),
        (b"\x93NUMPY\x01\x00", "header"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4', ", "header"),
        (b"\x80\x04hello", "no field|no mean|byte"),
    ],
)
def test_what_is_no_mean(tmp_path, content, what):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(CaffeError, match=what):
        load_mean(tmp_path / "m")


def test_an_npy_is_checked_before_it_is_read(tmp_path):
    np.save(tmp_path / "m.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(CaffeError, match="object"):
        load_mean(tmp_path / "m.npy")
    np.save(tmp_path / "m.npy", MEAN)
    data = (tmp_path / "m.npy").read_bytes()
    (tmp_path / "m.npy").write_bytes(data.replace(b"(2, 3, 4), }         ", b"(2, 3, 400000000), } "))
    with pytest.raises(CaffeError, match="more than 2147483647"):
        load_mean(tmp_path / "m.npy")
    (tmp_path / "m.npy").write_bytes(data[:-1])
    with pytest.raises(CaffeError, match="damaged"):
        load_mean(tmp_path / "m.npy")


def test_what_cannot_be_saved(tmp_path):
    for mean, what in ((MEAN[0], "channels, height"), (MEAN.astype(int), "int64"), (None, "channels, height")):
        with pytest.raises(CaffeError, match=what):
            save_mean(tmp_path / "m.npy", mean)
    with pytest.raises(CaffeError, match="suffix"):
        save_mean(tmp_path / "m.txt", MEAN)
    assert os.listdir(tmp_path) == []
