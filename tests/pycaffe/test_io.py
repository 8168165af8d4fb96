"""caffe.io: images, messages and the Transformer.

resize.json holds what scikit-image 0.26 (one and three channels, no anti-aliasing) and SciPy's zoom make of the images
that `images` draws.
"""

from __future__ import annotations

import builtins
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe
from caffe_fillers.pycaffe.proto import caffe_pb2

RESIZED = json.loads(Path(__file__).with_name("resize.json").read_text())


def images():
    random = np.random.RandomState(0)
    return {n: (random.standard_normal((5, 7, n)) * 40 + 100).astype(np.float32) for n in (1, 3, 4)}


def png(array, **options):
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(array).save(file, "PNG", **options)
    return file


@pytest.mark.parametrize("case", RESIZED, ids=lambda c: f"{c['channels']}-{c['dims'][0]}x{c['dims'][1]}-{c['order']}")
def test_resize_is_scikit_images_and_scipys(case):
    im = images()[case["channels"]]
    result = caffe.io.resize_image(im, case["dims"], interp_order=case["order"])
    assert result.dtype == np.float32
    assert result.shape == (*case["dims"], case["channels"])
    np.testing.assert_allclose(result.ravel(), np.array(case["values"], np.float32), rtol=0, atol=2e-5)


def test_resize_of_one_colour_and_of_what_is_no_image():
    assert caffe.io.resize_image(np.full((2, 3, 3), 7.0), (4, 5)).tolist() == np.full((4, 5, 3), 7.0).tolist()
    with pytest.raises(cf.CaffeError, match="height, width, channels"):
        caffe.io.resize_image(np.ones((2, 3)), (4, 5))
    with pytest.raises(cf.CaffeError, match="interp_order"):
        caffe.io.resize_image(np.ones((2, 3, 3)), (4, 5), 3)


def test_load_image():
    random = np.random.RandomState(1)
    pixels = random.randint(0, 256, (4, 5, 3)).astype(np.uint8)
    unit = pixels / 255.0
    assert np.array_equal(caffe.io.load_image(png(pixels)), unit.astype(np.float32))
    gray = caffe.io.load_image(png(pixels), color=False)
    assert gray.shape == (4, 5, 1)
    np.testing.assert_allclose(gray[..., 0], 0.2125 * unit[..., 0] + 0.7154 * unit[..., 1] + 0.0721 * unit[..., 2])
    one = caffe.io.load_image(png(pixels[..., 0]))
    assert one.shape == (4, 5, 3)
    assert np.array_equal(one[..., 2], unit[..., 0].astype(np.float32))
    assert caffe.io.load_image(png(pixels[..., 0]), color=False).shape == (4, 5, 1)
    with_alpha = np.dstack([pixels, np.zeros((4, 5), np.uint8)])
    assert np.array_equal(caffe.io.load_image(png(with_alpha)), unit.astype(np.float32))
    deep = random.randint(0, 65536, (4, 5)).astype(np.uint16)
    assert np.array_equal(caffe.io.load_image(png(deep))[..., 0], (deep / 65535.0).astype(np.float32))
    assert np.array_equal(caffe.io.load_image(png(deep > 999), False)[..., 0], deep > 999)


def test_load_image_errors(tmp_path, monkeypatch):
    (tmp_path / "no.jpg").write_bytes(b"no image")
    for name in ("no.jpg", "none.jpg", "."):
        with pytest.raises(cf.CaffeError, match="can't read the image"):
            caffe.io.load_image(tmp_path / name)
    real = builtins.__import__

    def without_pillow(name, *args, **kwargs):
        if name == "PIL":
            raise ImportError
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(cf.CaffeError, match=r"pip install 'caffe_fillers\[images\]'"):
        caffe.io.load_image("x.png")


def test_oversample():
    ims = np.random.RandomState(2).standard_normal((2, 5, 8, 2)).astype(np.float32)
    crops = caffe.io.oversample(ims, (2, 3))
    assert crops.shape == (20, 2, 3, 2)
    for i, im in enumerate(ims):
        ten = crops[10 * i : 10 * i + 10]
        for crop, (y, x) in zip(ten, [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)], strict=False):
            assert np.array_equal(crop, im[y : y + 2, x : x + 3])
        assert np.array_equal(ten[5:], ten[:5, :, ::-1])
    with pytest.raises(cf.CaffeError, match="can't be cut out"):
        caffe.io.oversample(ims, (6, 3))


# --- messages --------------------------------------------------------------------------------------------------------


def test_blobs():
    array = np.random.RandomState(3).standard_normal((2, 3, 4)).astype(np.float32)
    blob = caffe.io.array_to_blobproto(array, diff=-array)
    assert list(blob.shape.dim) == [2, 3, 4]
    assert np.array_equal(caffe.io.blobproto_to_array(blob), array)
    assert np.array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), -array)
    old = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=1, data=range(6))
    assert caffe.io.blobproto_to_array(old).shape == (1, 2, 3, 1)
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[123])) == 123
    with pytest.raises(ValueError, match="holds 2 values of data"):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[1, 2]))
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(double_data=[0.1])) == 0.1


def test_blob_vectors():
    arrays = [np.eye(2), np.arange(3.0)]
    back = caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovector_str(arrays))
    assert [each.tolist() for each in back] == [each.tolist() for each in arrays]


def test_datums():
    whole = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    datum = caffe.io.array_to_datum(whole.transpose(1, 2, 0), label=5)
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 4, 2, 5)
    assert np.array_equal(caffe.io.datum_to_array(datum), whole.transpose(1, 2, 0))
    floats = caffe.io.array_to_datum(whole / 3)
    assert not floats.HasField("label")
    assert not floats.data
    assert np.array_equal(caffe.io.datum_to_array(floats), (whole / 3).astype(np.float32))
    for wrong in (caffe_pb2.Datum(encoded=True, data=b"x"), caffe_pb2.Datum(channels=2, height=1, width=1, data=b"x")):
        with pytest.raises(cf.CaffeError, match=r"encoded|1 values"):
            caffe.io.datum_to_array(wrong)
    with pytest.raises(cf.CaffeError, match="Incorrect array shape"):
        caffe.io.array_to_datum(np.ones((2, 2)))


# --- Transformer -----------------------------------------------------------------------------------------------------


def imagenet(shape=(10, 3, 6, 7)):
    transformer = caffe.io.Transformer({"data": shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))
    return transformer


def test_preprocess_step_by_step():
    image = np.random.RandomState(4).uniform(0, 1, (6, 7, 3)).astype(np.float32)
    kept = image.copy()
    transformer = imagenet()
    expected = image.transpose(2, 0, 1)[::-1] * np.float32(255)
    expected = (expected - np.array([104.0, 117.0, 123.0])[:, None, None]).astype(np.float32)
    result = transformer.preprocess("data", image)
    assert result.dtype == np.float32
    assert np.array_equal(result, expected)
    transformer.set_input_scale("data", 0.5)
    assert np.array_equal(transformer.preprocess("data", image), expected * np.float32(0.5))
    assert np.array_equal(image, kept)


def test_preprocess_resizes_and_deprocess_undoes_the_rest():
    image = np.random.RandomState(5).uniform(0, 1, (12, 9, 3))
    transformer = imagenet()
    transformer.set_input_scale("data", 0.017)
    result = transformer.preprocess("data", image)
    assert result.shape == (3, 6, 7)
    back = transformer.deprocess("data", result[None])
    np.testing.assert_allclose(back, caffe.io.resize_image(image.astype(np.float32), (6, 7)), atol=1e-6)
    single = caffe.io.Transformer({"x": (1, 1, 4, 4)})
    single.set_transpose("x", (2, 0, 1))
    assert single.deprocess("x", np.ones((1, 1, 4, 4), np.float32)).shape == (4, 4, 1)


def test_means():
    transformer = imagenet()
    whole = np.random.RandomState(6).uniform(0, 255, (3, 6, 7))
    transformer.set_mean("data", whole)
    assert np.array_equal(transformer.mean["data"], whole)
    larger = np.random.RandomState(6).uniform(0, 255, (3, 12, 14)).astype(np.float32)
    transformer.set_mean("data", larger)
    resized = caffe.io.resize_image(larger.transpose(1, 2, 0), (6, 7)).transpose(2, 0, 1)
    np.testing.assert_allclose(transformer.mean["data"], resized, rtol=1e-5)
    flat = caffe.io.Transformer({"x": (1, 1, 4, 5)})
    flat.set_transpose("x", (2, 0, 1))
    flat.set_mean("x", np.full((4, 5), 3.0))
    assert flat.preprocess("x", np.full((4, 5, 1), 4.0)).tolist() == np.ones((1, 4, 5)).tolist()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: t.preprocess("image", np.ones((2, 2, 3))), "image is not one of the net inputs: data"),
        (lambda t: t.set_transpose("data", (1, 0)), "3 axes"),
        (lambda t: t.set_channel_swap("data", (1, 0)), "3 channels"),
        (lambda t: t.set_mean("data", np.ones(2)), "2 mean values for the 3 channels"),
        (lambda t: t.set_mean("data", np.ones((1, 2, 3, 4))), "got shape"),
    ],
)
def test_wrong_calls(call, said):
    with pytest.raises(cf.CaffeError, match=said):
        call(imagenet())


def test_nothing_here_is_imported_before_it_is_asked_for():
    code = (
        "import sys, caffe_fillers; before = set(sys.modules); import caffe_fillers.pycaffe.io; "
        "print([m for m in ('caffe_fillers.pycaffe',) if m in before], "
        "[m for m in ('skimage', 'scipy', 'PIL', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"
