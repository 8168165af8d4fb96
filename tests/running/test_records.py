"""Records on the disk, read as OpenCV, Boost and the C library would have Caffe read them."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caffe_fillers import RNG, CaffeError, records
from caffe_fillers.records import images, shuffling

# fmt: off
RANDOM_SHUFFLED = [
    4, 28, 11, 15, 24, 35, 17, 36, 26, 48, 33, 39, 19, 2, 47, 49, 25, 18, 32, 40, 5, 21, 7, 12, 14,
    42, 27, 6, 45, 44, 30, 38, 13, 37, 3, 16, 29, 43, 9, 22, 8, 23, 20, 34, 1, 10, 31, 0, 46, 41,
]
# fmt: on
FLAGS = {"color": cv2.IMREAD_COLOR, "gray": cv2.IMREAD_GRAYSCALE, "native": cv2.IMREAD_UNCHANGED}


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    old=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    new=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3, 4]),
    halved=st.booleans(),
)
def test_images_are_resized_as_opencv_resizes_them(old, new, channels, halved):
    if halved:
        old = 2 * new[0], 2 * new[1]
    rs = np.random.RandomState(old[0])
    image = rs.randint(0, 256, old if channels == 1 else (*old, channels)).astype(np.uint8)
    np.testing.assert_array_equal(records.resize(image, *new), cv2.resize(image, new[::-1]))


def written(mode, form, **more):
    rs = np.random.RandomState(3)
    rgb, alpha = rs.randint(0, 256, (14, 15, 3)).astype(np.uint8), rs.randint(0, 256, (14, 15)).astype(np.uint8)
    picture = {
        "RGB": lambda: Image.fromarray(rgb),
        "L": lambda: Image.fromarray(alpha),
        "RGBA": lambda: Image.fromarray(np.dstack([rgb, alpha])),
        "LA": lambda: Image.fromarray(np.dstack([rgb[..., 0], alpha])),
        "1": lambda: Image.fromarray(alpha > 100),
        "P": lambda: Image.fromarray(rgb).quantize(16),
        "I;16": lambda: Image.fromarray(rs.randint(0, 65536, (14, 15)).astype(np.uint16)),
    }[mode]()
    stream = io.BytesIO()
    picture.save(stream, form, **more)
    return stream.getvalue()


@pytest.mark.parametrize("kind", FLAGS)
@pytest.mark.parametrize(
    ("mode", "form", "more"),
    [
        *((mode, "PNG", {}) for mode in ("RGB", "L", "RGBA", "LA", "1", "P", "I;16")),
        ("P", "PNG", {"transparency": 3}),
        ("RGB", "PNG", {"transparency": (1, 2, 3)}),
        ("L", "PNG", {"transparency": 3}),
        *((mode, "BMP", {}) for mode in ("RGB", "L", "1", "P")),
        *((mode, "PPM", {}) for mode in ("RGB", "L")),
        *((mode, "TIFF", {}) for mode in ("RGB", "L")),
        ("RGB", "WEBP", {"lossless": True}),
    ],
)
def test_pixels_are_opencvs(tmp_path, mode, form, more, kind):
    content = written(mode, form, **more)
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS[kind])
    if theirs.dtype != np.uint8:
        with pytest.raises(CaffeError, match=r"cv_img.depth\(\) == CV_8U"):
            images.decode(tmp_path, content, kind)
        return
    ours = images.decode(tmp_path, content, kind)
    np.testing.assert_array_equal(ours, theirs)
    shape = images.encoded_shape(tmp_path, content, kind == "color", kind == "gray")
    assert shape == ((1, *ours.shape) if ours.ndim == 2 else (ours.shape[2], *ours.shape[:2]))


@pytest.mark.parametrize("kind", FLAGS)
def test_photographs_differ_by_little(tmp_path, kind):
    smooth = cv2.resize(np.random.RandomState(0).randint(0, 256, (5, 6, 3)).astype(np.uint8), (60, 50))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(smooth).save(tmp_path / "a.jpg", exif=exif)
        content = (tmp_path / "a.jpg").read_bytes()
        ours = images.decode(tmp_path, content, kind)
        if kind == "native":  # which from a file is turned, and out of memory is not
            theirs = cv2.imdecode(np.frombuffer(content, np.uint8), FLAGS[kind])
        else:
            theirs = cv2.imread(str(tmp_path / "a.jpg"), FLAGS[kind])
        assert ours.shape == theirs.shape
        assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_images_that_are_none(tmp_path):
    content = written("RGB", "PNG")
    for damaged in (b"", b"junk", content[: len(content) // 2], content[:40]):
        (tmp_path / "x.png").write_bytes(damaged)
        with pytest.raises(CaffeError, match=r"x\.png: cannot be read as an image"):
            records.read_image(tmp_path / "x.png")
    with pytest.raises(CaffeError, match=r"none\.png: cannot be read as an image: .*No such file"):
        records.read_image(tmp_path / "none.png")


def test_lines_of_a_list(tmp_path):
    text = "a b.png 3\r\nc.png -2\nd.png\n7\ne.png  +5x\nf.png x\n 4\ng.png 4294967297"
    (tmp_path / "list").write_bytes(text.encode())
    assert list(records.read_list(tmp_path / "list")) == [
        ("a b.png", 3),
        ("c.png", -2),
        ("d.png", 0),
        ("7", 7),
        ("e.png ", 5),
        ("f.png", 0),
        ("", 4),
        ("g.png", 1),
    ]


def test_the_shuffle_is_boosts():
    # Boost 1.74: boost::uniform_int<long> over boost::mt19937(7), twelve items twice, then a hundred thousand
    rng, items = RNG(7), list(range(12))
    shuffling.shuffle(items, rng)
    assert items == [5, 1, 11, 9, 8, 4, 6, 3, 10, 7, 2, 0]
    shuffling.shuffle(items, rng)
    assert items == [2, 6, 3, 8, 11, 10, 1, 0, 7, 5, 4, 9]
    many, digest = list(range(100_000)), 0
    shuffling.shuffle(many, rng)
    for item in many:
        digest = (digest * 1000003 + item) % 2**32
    assert digest == 874971226


def test_random_shuffle_is_the_c_librarys():
    # glibc 2.36 and libstdc++ 12: std::random_shuffle of fifty items, in a process that calls rand for nothing else
    items = list(range(50))
    rand = shuffling.Rand()
    shuffling.random_shuffle(items, rand)
    assert items == RANDOM_SHUFFLED
    assert [shuffling.Rand()() for _ in range(2)] == [1804289383] * 2


class Drawing:
    """A stream of given draws."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def random_raw(self):
        return self.draws.pop(0)


@pytest.mark.parametrize(
    ("places", "draws", "chosen"),
    [
        # a power of two cuts the range without rest
        (2, [2**31 - 1], 0),
        (2, [2**31], 1),
        # three parts leave no rest of 2**32 - 1, yet the last draw of all lies behind them
        (3, [1431655764], 0),
        (3, [2**32 - 2], 2),
        (3, [2**32 - 1, 7], 0),
    ],
)
def test_the_edges_of_a_draw(places, draws, chosen):
    items, rng = list(range(places)), Drawing(*draws, *[0] * places)
    shuffling.shuffle(items, rng)
    expected = list(range(places))
    expected[-1], expected[chosen] = expected[chosen], expected[-1]
    for i in range(places - 2, 0, -1):  # which the zeros move
        expected[i], expected[0] = expected[0], expected[i]
    assert items == expected
    assert len(rng.draws) == 2
