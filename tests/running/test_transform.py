"""The transformer against a slow one that goes from pixel to pixel, as Caffe's does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers import RNG, Blob, CaffeError
from caffe_fillers.transform import Transform, read_mean
from caffe_fillers.weights import save_mean


def slow(image, transform, rng, mean, dtype):
    raw = lambda: int(rng.random_raw())  # noqa: E731
    mirrored = transform.mirror and raw() % 2
    channels, height, width = image.shape
    size = transform.crop
    y = x = 0
    rows, columns = size or height, size or width
    if size and transform.random:
        y, x = raw() % (height - size + 1), raw() % (width - size + 1)
    elif size:
        y, x = (height - size) // 2, (width - size) // 2
    out = np.zeros((channels, rows, columns), dtype)
    for c in range(channels):
        for h in range(rows):
            for w in range(columns):
                value = dtype(image[c, y + h, x + w])
                if mean is not None:
                    value = dtype(value - dtype(mean[c, y + h, x + w]))
                elif transform.mean_values:
                    values = transform.mean_values
                    value = dtype(value - dtype(values[c if len(values) > 1 else 0]))
                out[c, h, columns - 1 - w if mirrored else w] = dtype(value * dtype(transform.scale))
    return out


@settings(derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_each_pixel_is_the_slow_one(data):
    draw = data.draw
    channels, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    crop = draw(st.integers(0, min(height, width)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    with_mean = draw(st.booleans())
    values = () if with_mean else draw(st.sampled_from([(), (3.3,), (1.5, 2.7, 0.1)[:channels]]))
    transform = Transform(
        crop, draw(st.booleans()), draw(st.sampled_from([1.0, 0.00390625, 0.3])), values, "mean", draw(st.booleans())
    )
    rs = np.random.RandomState(draw(st.integers(0, 99)))
    count = draw(st.integers(0, 4))
    batch = rs.randint(0, 256, (count, channels, height, width)).astype(np.uint8)
    if draw(st.booleans()):
        batch = (batch / 7).astype(np.float32)
    mean = rs.uniform(0, 255, batch.shape[1:]).astype(dtype) if with_mean else None
    out = np.empty((count, *transform.shape(batch.shape[1:])), dtype)
    rng, theirs = RNG(5), RNG(5)
    transform.apply(batch if draw(st.booleans()) else list(batch), out, rng, mean)
    expected = [slow(image, transform, theirs, mean, dtype) for image in batch]
    np.testing.assert_array_equal(out, np.array(expected, dtype).reshape(out.shape))
    assert rng.position == theirs.position == count * transform.draws


def test_images_of_several_sizes_are_cropped_each_by_its_own_room():
    transform = Transform(crop=2)
    images = [np.arange(h * w, dtype=np.uint8).reshape(1, h, w) for h, w in ((2, 2), (5, 3), (4, 9))]
    out = np.empty((3, 1, 2, 2), np.float32)
    rng, theirs = RNG(3), RNG(3)
    transform.apply(images, out, rng)
    np.testing.assert_array_equal(out, [slow(image, transform, theirs, None, np.float32) for image in images])


@pytest.mark.parametrize(
    ("transform", "image", "mean", "message"),
    [
        (Transform(), (1, 3, 4), None, r"channels == datum_channels \(2 vs. 1\)"),
        (Transform(), (2, 4, 4), None, r"datum_height == height \(4 vs. 3\)"),
        (Transform(), (2, 3, 5), None, r"datum_width == width \(5 vs. 4\)"),
        (Transform(crop=3), (2, 2, 4), None, r"datum_height >= crop_size \(2 vs. 3\)"),
        (Transform(mean_file="m"), (2, 3, 4), (2, 3, 3), r"datum_width == data_mean_.width\(\) \(4 vs. 3\)\nthe mean"),
        (Transform(mean_values=(1, 2, 3)), (2, 3, 4), None, "Specify either 1 mean_value or as many as channels: 2"),
    ],
)
def test_what_is_refused_changes_nothing(transform, image, mean, message):
    out, rng = np.full((2, 2, transform.crop or 3, transform.crop or 4), 7, np.float32), RNG(1)
    images = [np.zeros((2, 3, 4), np.uint8), np.zeros(image, np.uint8)]
    with pytest.raises(CaffeError, match=message):
        transform.apply(images, out, rng, None if mean is None else np.zeros(mean, np.float32))
    assert (out == 7).all()
    assert rng.position == 0


def test_shapes_of_tops():
    assert Transform().shape((2, 3, 4)) == (2, 3, 4)
    assert Transform(crop=3).shape((2, 3, 4)) == (2, 3, 3)
    for image, message in (
        ((0, 3, 4), "datum_channels > 0 (0 vs. 0)"),
        ((2, 2, 4), "datum_height >= crop_size (2 vs. 3)"),
        ((2, 3, 2), "datum_width >= crop_size (2 vs. 3)"),
    ):
        with pytest.raises(CaffeError, match=re.escape(message)):
            Transform(crop=3).shape(image)


def test_mean_files(tmp_path):
    mean = np.random.RandomState(0).uniform(0, 255, (3, 2, 4)).astype(np.float32)
    save_mean(tmp_path / "m.binaryproto", mean)
    np.testing.assert_array_equal(read_mean(str(tmp_path / "m.binaryproto"), np.float64), mean)
    (tmp_path / "m").write_bytes(Blob.from_array(mean).to_proto().SerializeToString())
    np.testing.assert_array_equal(read_mean(str(tmp_path / "m"), np.float32), mean)
    (tmp_path / "m").write_bytes(Blob.from_array(mean[0]).to_proto().SerializeToString())
    with pytest.raises(CaffeError, match=r"m: a mean image has the shape .*, but this has \(2, 4\)"):
        read_mean(str(tmp_path / "m"), np.float32)
    (tmp_path / "m").write_bytes(b"\xff")
    with pytest.raises(CaffeError, match="m: is no mean file"):
        read_mean(str(tmp_path / "m"), np.float32)
    with pytest.raises(CaffeError, match="none: the mean file cannot be read: No such file"):
        read_mean(str(tmp_path / "none"), np.float32)
