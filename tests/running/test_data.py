"""Shapes read from data on the disk: each source is made here by the package that people make it with."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
from PIL import Image

from caffe_fillers import CaffeError, Net, records, schema
from caffe_fillers.records import images


def make_lmdb(path, *values):
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for index, value in enumerate(values):
            transaction.put(f"{index:08d}".encode(), value)
    return str(path)


def datum(channels, height, width, **more):
    size = channels * height * width
    return schema.Datum(channels=channels, height=height, width=width, data=bytes(size), **more).SerializeToString()


def encoded(mode, size, kind="PNG"):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind)
    return schema.Datum(data=stream.getvalue(), encoded=True).SerializeToString()


def test_the_first_datum_of_an_lmdb(tmp_path):
    source = make_lmdb(tmp_path / "db", datum(3, 5, 7), datum(1, 2, 2))
    before = {path.name: path.read_bytes() for path in (tmp_path / "db").iterdir()}
    assert records.datum_shape(source) == (3, 5, 7)
    assert {path.name: path.read_bytes() for path in (tmp_path / "db").iterdir()} == before
    # whatever the backend is said to be, the folder is one
    assert records.datum_shape(source, lmdb=False) == (3, 5, 7)
    assert records.datum_shape(source + "/data.mdb") == (3, 5, 7)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4), ("P", 3)])
def test_an_encoded_datum(tmp_path, mode, channels):
    source = make_lmdb(tmp_path / "db", encoded(mode, (7, 5)))
    assert records.datum_shape(source) == (channels, 5, 7)
    assert records.datum_shape(source, force_color=True) == (3, 5, 7)
    assert records.datum_shape(source, force_gray=True) == (1, 5, 7)


def test_what_opencv_sees_of_an_encoded_datum_is_what_we_see():
    import cv2

    for mode, kind in [
        ("L", "PNG"),
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("1", "PNG"),
        ("LA", "PNG"),
        ("RGB", "JPEG"),
        ("L", "JPEG"),
    ]:
        message = schema.Datum.FromString(encoded(mode, (4, 3), kind))
        image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_UNCHANGED)
        channels = 1 if image.ndim == 2 else image.shape[2]
        assert images.encoded_shape("x", message.data, False, False) == (channels, 3, 4), (mode, kind)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_where_opencv_turns_it(tmp_path, orientation):
    import cv2

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "list.txt").write_text("a.jpg 0")
    assert records.image_shape(str(tmp_path / "list.txt"))[1:] == cv2.imread(str(tmp_path / "a.jpg")).shape[:2]
    content = (tmp_path / "a.jpg").read_bytes()
    for flag, color in ((cv2.IMREAD_UNCHANGED, False), (cv2.IMREAD_COLOR, True)):
        shape = cv2.imdecode(np.frombuffer(content, np.uint8), flag).shape[:2]
        assert images.encoded_shape("x", content, color, False)[1:] == shape


def test_no_source_is_no_error():
    for function in (records.datum_shape, records.image_shape, records.window_shape):
        assert function("") is None
        assert function("/none/such") is None
        assert function("a\0b") is None
    assert records.hdf5_shapes("/none/such", ["data"]) == {}


def test_leveldb_is_said_not_to_be_read(tmp_path):
    (tmp_path / "CURRENT").write_text("MANIFEST-000002\n")
    with pytest.raises(CaffeError, match=r"LevelDB, which is not read here; give its shape instead: .*--input"):
        records.datum_shape(str(tmp_path), lmdb=False)


def test_databases_that_are_not_sound(tmp_path):
    with pytest.raises(CaffeError, match="empty"):
        records.datum_shape(make_lmdb(tmp_path / "empty"))
    with pytest.raises(CaffeError, match="no Datum"):
        records.datum_shape(make_lmdb(tmp_path / "junk", b"\xff\xff"))
    with pytest.raises(CaffeError, match="cannot be read as an image"):
        records.datum_shape(make_lmdb(tmp_path / "image", schema.Datum(data=b"x", encoded=True).SerializeToString()))
    (tmp_path / "folder").mkdir()
    with pytest.raises(CaffeError, match="cannot be read as an LMDB"):
        records.datum_shape(str(tmp_path / "folder"))
    (tmp_path / "folder" / "data.mdb").write_bytes(bytes(8192))
    with pytest.raises(CaffeError, match="cannot be read as an LMDB"):
        records.datum_shape(str(tmp_path / "folder"))
    whole = make_lmdb(tmp_path / "cut", *[datum(3, 32, 32)] * 50)
    file = tmp_path / "cut" / "data.mdb"
    file.write_bytes(file.read_bytes()[: 3 * 4096])
    with pytest.raises(CaffeError, match="truncated"):
        records.datum_shape(whole)


@pytest.mark.parametrize("root", [2**40, 2**64 - 1], ids=["beyond the end", "none"])
def test_a_database_whose_pages_are_wrong(tmp_path, root):
    path = Path(make_lmdb(tmp_path / "db", *[datum(3, 8, 8)] * 50))
    file = bytearray((path / "data.mdb").read_bytes())
    for meta in (0, 4096):
        file[meta + 128 : meta + 136] = root.to_bytes(8, "little")  # where the tree of the keys begins
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "data.mdb").write_bytes(file)
    with pytest.raises(CaffeError, match=r"damaged: the LMDB is (damaged|empty)"):
        records.datum_shape(str(damaged))
    with pytest.raises(CaffeError, match="damaged: the LMDB is damaged"):
        records.Datums(damaged).read(0, 4)


def test_an_image_list(tmp_path, monkeypatch):
    Image.new("L", (9, 6)).save(tmp_path / "a b.png")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a b.png 3\nnone.png 1\n")
    assert records.image_shape(str(tmp_path / "list.txt")) == (3, 6, 9)
    (tmp_path / "list.txt").write_text("a b.png 3\r\n")
    assert records.image_shape(str(tmp_path / "list.txt"), f"{tmp_path}/") == (3, 6, 9)
    assert records.image_shape(str(tmp_path / "list.txt")) == (3, 6, 9)  # beside the list
    monkeypatch.chdir(tmp_path)
    assert records.image_shape("list.txt") == (3, 6, 9)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "names no image"),
        ("\n\n", "names no image"),
        ("none.png 1\n", "none.png: cannot be read as an image"),
        ("list.txt 1\n", "cannot be read as an image"),
        ("x" * 70_000, "longer than"),
        ("a\0b 1\n", "NUL"),
    ],
)
def test_image_lists_that_are_not_sound(tmp_path, text, what):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(CaffeError, match=what):
        records.image_shape(str(tmp_path / "list.txt"))


def test_a_window_file(tmp_path):
    (tmp_path / "w.txt").write_text(
        "# 0\na.jpg\n3\n10\n20\n2\n1 0.5 0 0 5 5\n2 0.7 1 1 6 6\n# 1\nb.jpg\n1\n30\n40\n1\n1 0.5 0 0 5 5\n"
    )
    assert records.window_shape(str(tmp_path / "w.txt")) == (1, 30, 40)


@pytest.mark.parametrize(
    "text", ["", "x", "# 0\na.jpg\n3\n10\n", "# 0\na.jpg\n3\n10\n20\n2\n1 0.5 0 0 5 5\n", "# 0 a 3 x 1 0"]
)
def test_window_files_that_are_not_sound(tmp_path, text):
    (tmp_path / "w.txt").write_text(text)
    with pytest.raises(CaffeError, match="window file"):
        records.window_shape(str(tmp_path / "w.txt"))


def test_a_hdf5_list(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = np.zeros((4, 3, 2))
        file["label"] = np.zeros(4, np.int32)
    (tmp_path / "list.txt").write_text(f"\n{tmp_path}/a.h5\nnone.h5\n")
    assert records.hdf5_shapes(str(tmp_path / "list.txt"), ["label", "data"]) == {"label": (4,), "data": (4, 3, 2)}
    (tmp_path / "list.txt").write_text("a.h5")
    assert records.hdf5_shapes(str(tmp_path / "list.txt"), ["data"]) == {"data": (4, 3, 2)}
    with pytest.raises(CaffeError, match="holds no dataset 'other'"):
        records.hdf5_shapes(str(tmp_path / "list.txt"), ["other"])


def test_hdf5_lists_that_are_not_sound(tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("\n")
    with pytest.raises(CaffeError, match="names no HDF5 file"):
        records.hdf5_shapes(str(listed), ["data"])
    for name in ("none.h5", "list.txt"):
        listed.write_text(name)
        with pytest.raises(CaffeError, match="cannot be read as HDF5"):
            records.hdf5_shapes(str(listed), ["data"])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["soft"] = h5py.SoftLink("/none")
    listed.write_text("a.h5")
    with pytest.raises(CaffeError, match="not followed"):
        records.hdf5_shapes(str(listed), ["data"])
    with pytest.raises(CaffeError, match="holds no dataset"):
        records.hdf5_shapes(str(listed), ["soft"])


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    source = make_lmdb(tmp_path / "db", encoded("L", (2, 2)))
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png 0")
    monkeypatch.setitem(sys.modules, "PIL", None)
    for call in (lambda: records.datum_shape(source), lambda: records.image_shape(str(tmp_path / "list.txt"))):
        with pytest.raises(CaffeError, match=r"caffe_fillers\[images\].*--input"):
            call()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CaffeError, match=r"caffe_fillers\[hdf5\].*--input"):
        records.hdf5_shapes(str(tmp_path / "list.txt"), ["data"])
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(CaffeError, match=r"caffe_fillers\[lmdb\].*--input"):
        records.datum_shape(source)


def test_hdf5_datasets_that_caffe_cannot_load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with h5py.File("a.h5", "w") as file:
        file["truths"] = np.zeros((5, 2), bool)
        file["names"] = np.array([b"a", b"b"])
        file["nothing"] = np.zeros((0, 3), np.float32)
        file["counts"] = np.zeros((5, 2), np.uint8)
    Path("list.txt").write_text("a.h5\n")
    text = 'layer {{ name: "d" type: "HDF5Data" top: "{}" hdf5_data_param {{ source: "list.txt" batch_size: 4 }} }}'
    for top, problem in (("truths", "bool"), ("names", "S1"), ("nothing", "data_")):
        Path("net.prototxt").write_text(text.format(top))
        with pytest.raises(CaffeError, match=problem):
            Net("net.prototxt", rng=1)
    Path("net.prototxt").write_text(text.format("counts"))
    assert Net("net.prototxt", rng=1).blobs["counts"].shape == (4, 2)


def test_hdf5_output_writes_one_batch_and_nothing_over(tmp_path):
    target = tmp_path / "out.h5"
    text = f"""
    layer {{ name: "in" type: "Input" top: "x" top: "y"
      input_param {{ shape {{ dim: 3 dim: 2 }} shape {{ dim: 3 }} }} }}
    layer {{ name: "out" type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param {{ file_name: "{target}" }} }}"""
    (tmp_path / "net.prototxt").write_text(text)
    net = Net(tmp_path / "net.prototxt", "TEST", rng=1)
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    net.forward(x=x, y=[1, 2, 3])
    with h5py.File(target) as file:
        np.testing.assert_array_equal(file["data"], x.reshape(3, 2, 1, 1))
        assert file["label"].shape == (3, 1, 1, 1)
    before = target.read_bytes()
    with pytest.raises(CaffeError, match="exists already"):
        net.forward()
    assert target.read_bytes() == before
