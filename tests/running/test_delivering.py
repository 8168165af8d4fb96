"""Data layers at work beyond what the goldens hold: encoded datums, lists of images, windows, memory, places."""

from __future__ import annotations

import os

import cv2
import h5py
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

import caffe_fillers as cf
from caffe_fillers import CaffeError, schema
from caffe_fillers.layers.delivering import Delivering
from caffe_fillers.records import shuffling
from caffe_fillers.records.datums import Datums
from caffe_fillers.transform import read_mean
from caffe_fillers.weights import save_mean


def net_of(text, phase="TRAIN", **options):
    return cf.Net(text_format.Parse(text, schema.NetParameter()), phase, **{"rng": 1, **options})


def data_net(batch, transform="", source="db", backend="LMDB", rest="", **options):
    return net_of(
        f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} '
        f'data_param {{ source: "{source}" batch_size: {batch} backend: {backend} {rest} }} }}',
        **options,
    )


def image_net(batch, transform="", **param):
    text = " ".join(f"{key}: {value}" for key, value in param.items())
    return net_of(
        f'layer {{ name: "d" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }} '
        f'image_data_param {{ source: "list" batch_size: {batch} {text} }} }}',
    )


def make_db(path, datums):
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            transaction.put(b"%08d" % i, datum if isinstance(datum, bytes) else datum.SerializeToString())


def drawn(net, what):
    return net.tape.entries[0].work.seeds[what]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pictures(here):
    """Seven PNGs of several sizes and kinds, and the list that names them."""
    rs = np.random.RandomState(0)
    names = []
    for i in range(7):
        size = (10 + i, 12 - i % 3)
        pixels = rs.randint(0, 256, size if i % 3 == 2 else (*size, 3)).astype(np.uint8)
        names.append(f"sub/p {i}.png")
        (here / "sub").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(here / names[-1])
    (here / "list").write_text("".join(f"{name} {10 + i}\n" for i, name in enumerate(names)))
    return names


def read_cv(name, height=0, width=0, flag=cv2.IMREAD_COLOR):
    image = cv2.imread(name, flag)
    image = cv2.resize(image, (width, height)) if height else image
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


# --- databases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("force", "flag"), [("", -1), ("force_color: true", 1), ("force_gray: true", 0)])
def test_encoded_datums(pictures, here, force, flag):
    files = [pictures[i] for i in (0, 3, 2, 6)]
    make_db(
        here / "db", [schema.Datum(data=(here / f).read_bytes(), encoded=True, label=i) for i, f in enumerate(files)]
    )
    if not force:
        net = data_net(2, "crop_size: 8")
        net.forward()  # two with colours
        with pytest.raises(CaffeError, match=r"channels == datum_channels \(1 vs. 3\)"):
            net.forward()
        return
    net = data_net(4, f"crop_size: 8 {force}", phase="TEST")
    net.forward()
    for i, file in enumerate(files):
        image = read_cv(file, flag=flag)
        y, x = (image.shape[1] - 8) // 2, (image.shape[2] - 8) // 2
        np.testing.assert_array_equal(net.blobs["data"].data[i], image[:, y : y + 8, x : x + 8])
    assert net.blobs["label"].data.tolist() == [0, 1, 2, 3]


def test_labels_and_records_of_every_kind(here):
    rs = np.random.RandomState(1)
    pixels = rs.randint(0, 256, (9, 2, 3, 2)).astype(np.uint8)
    labels = [0, 1, 127, 128, -1, 2**31 - 1, -(2**31), 1, 300]
    datums = [
        schema.Datum(channels=2, height=3, width=2, data=each.tobytes(), label=label)
        for each, label in zip(pixels, labels, strict=True)
    ]
    datums[1].encoded = False  # convert_imageset says so
    datums[7] = b"\x28\x01" + schema.Datum(channels=2, height=3, width=2, data=pixels[7].tobytes()).SerializeToString()
    datums[8].ClearField("data")
    datums[8].float_data.extend(pixels[8].ravel() + 0.5)
    make_db(here / "db", datums)
    net = data_net(2)
    for f in range(18):
        net.forward()
        for i in range(2):
            k = (2 * f + i) % 9
            np.testing.assert_array_equal(net.blobs["data"].data[i], pixels[k] + 0.5 * (k == 8))
            assert net.blobs["label"].data[i] == np.float32(labels[k])


def test_records_are_read_from_any_place_on(here):
    make_db(here / "db", [schema.Datum(channels=1, height=1, width=1, data=bytes([i]), label=i) for i in range(5)])
    for place in range(12):
        images, labels = Datums(here / "db").read(place, 3)
        assert labels == [(place + i) % 5 for i in range(3)]
        assert [int(image.item()) for image in images] == labels
        assert Datums(here / "db", skip=2).read(place, 1)[1] == [(place + 2) % 5]


def test_records_of_one_length_keep_their_own_shapes(here):
    shapes = [(1, 2, 6), (1, 2, 6), (1, 3, 4), (1, 3, 4), (2, 2, 3)]
    pixels = [bytes(range(i, i + 12)) for i in range(5)]
    make_db(
        here / "db",
        [
            schema.Datum(channels=c, height=h, width=w, data=data)
            for (c, h, w), data in zip(shapes, pixels, strict=True)
        ],
    )
    net = data_net(1)
    for _ in range(2):
        for shape, data in zip(shapes, pixels, strict=True):
            net.forward()
            assert net.blobs["data"].shape == (1, *shape)
            assert net.blobs["data"].data.astype(np.uint8).tobytes() == data


def test_a_batch_of_another_shape_reshapes_the_top(here):
    sizes = [(1, 2, 2)] * 2 + [(1, 3, 4)] * 2 + [(1, 2, 2), (1, 2, 3)]
    make_db(
        here / "db",
        [schema.Datum(channels=c, height=h, width=w, data=bytes(c * h * w), label=1) for c, h, w in sizes],
    )
    net = data_net(2)
    for shape in sizes[:4:2]:
        net.forward()
        assert net.blobs["data"].shape == (2, *shape)
    for _ in range(2):  # and stays there
        with pytest.raises(CaffeError, match=r"layer 'd': Check failed: datum_width == width \(3 vs. 2\)\na record is"):
            net.forward()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\xff\xff", "db: a record is no Datum"),
        (schema.Datum(channels=1, height=2, width=2, data=b"abc"), r"db: a datum of shape \(1, 2, 2\) holds 3 values"),
        (schema.Datum(channels=1, height=2, width=2), "holds 0 values"),
        (
            schema.Datum(channels=0, height=2**31 - 1, width=2**31 - 1, data=b"abcd"),
            r"a datum of shape \(0, 2147483647",
        ),
        (schema.Datum(channels=-1, height=-4, width=1, data=b"abcd"), r"a datum of shape \(-1, -4, 1\) holds 4 values"),
        (schema.Datum(data=b"abc", encoded=True), "db: cannot be read as an image"),
    ],
)
def test_records_that_are_not_sound(here, record, message):
    good = schema.Datum(channels=1, height=2, width=2, data=b"abcd", label=3)
    make_db(here / "db", [good, good, good, record])
    net = data_net(2, "mirror: true")
    net.forward()
    before = net.blobs["data"].data.copy()
    for _ in range(2):
        with pytest.raises(CaffeError, match=f"layer 'd': .*{message}"):
            net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, before)


def test_both_forces_are_refused_for_encoded_datums(pictures, here):
    make_db(here / "db", [schema.Datum(data=(here / pictures[0]).read_bytes(), encoded=True)])
    net = data_net(1, "force_color: true force_gray: true crop_size: 5")
    with pytest.raises(CaffeError, match="cannot set both"):
        net.forward()


def test_two_nets_read_one_database_and_nobody_keeps_it_open(here):
    make_db(here / "db", [schema.Datum(channels=1, height=1, width=1, data=bytes([i]), label=i) for i in range(5)])
    nets = [data_net(3), data_net(2)]
    for net in nets * 2:
        net.forward()
    assert [net.blobs["label"].data.tolist() for net in nets] == [[3, 4, 0], [2, 3]]
    del net, nets
    make_db(here / "db", [])  # which opens it for writing


def test_a_layer_without_a_source_runs_on_what_was_written(here):
    net = data_net(2, inputs={"data": (1, 2, 2)})
    with pytest.raises(CaffeError, match="blob 'data' was never given"):
        net.forward()
    net.blobs["data"].data[...] = 5
    net.blobs["label"].data[...] = 1
    net.forward()
    assert (net.blobs["data"].data == 5).all()


def test_rand_skip_of_an_old_caffe(here):
    make_db(here / "db", [schema.Datum(channels=1, height=1, width=1, data=b"x", label=i) for i in range(7)])
    net = data_net(3, rest="rand_skip: 6", caffe="rc2", rng=4)
    net.forward()
    first = drawn(net, "rand_skip")[0] % 6
    assert first > 0
    assert net.blobs["label"].data.tolist() == [(first + i) % 7 for i in range(3)]


# --- lists of images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", ["true", "false"])
def test_images_of_a_list(pictures, color):
    net = image_net(3, "scale: 0.5 mean_value: 3", new_height=6, new_width=9, is_color=color)
    flag = cv2.IMREAD_COLOR if color == "true" else cv2.IMREAD_GRAYSCALE
    for f in range(5):
        net.forward()
        for i in range(3):
            k = (3 * f + i) % 7
            expected = (read_cv(pictures[k], 6, 9, flag).astype(np.float32) - 3) * np.float32(0.5)
            np.testing.assert_array_equal(net.blobs["data"].data[i], expected)
            assert net.blobs["label"].data[i] == 10 + k


def test_images_keep_their_sizes_in_batches_of_one(pictures):
    net = image_net(1, root_folder='"sub/../"')
    for name in pictures:
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data[0], read_cv(name))


def test_images_are_shuffled_and_skipped_by_caffes_draws(pictures):
    net = image_net(2, "mirror: true", new_height=4, new_width=4, shuffle="true", rand_skip=5)
    order, stream, flips = list(range(7)), cf.RNG(drawn(net, "shuffle")[0]), cf.RNG(drawn(net, "transformer")[1])
    at = drawn(net, "rand_skip")[0] % 5
    shuffling.shuffle(order, stream)
    for _ in range(10):
        net.forward()
        for i in range(2):
            image = read_cv(pictures[order[at]], 4, 4)
            image = image[:, :, ::-1] if flips.random_raw() % 2 else image
            np.testing.assert_array_equal(net.blobs["data"].data[i], image)
            at += 1
            if at == 7:
                at = 0
                shuffling.shuffle(order, stream)


def test_lists_that_are_not_sound(pictures, here):
    (here / "list").write_text(f"{pictures[0]} 1\nnone.png 2\n")
    net = image_net(2, new_height=4, new_width=4)
    with pytest.raises(CaffeError, match=r"layer 'd': none\.png: cannot be read as an image"):
        net.forward()
    (here / "list").write_text(f"{pictures[0]} 1\n\n")
    with pytest.raises(CaffeError, match="a line of the list is empty"):
        image_net(2, new_height=4, new_width=4).forward()
    (here / "list").write_text("")
    with pytest.raises(CaffeError, match=r"list: .*File is empty"):
        image_net(2, new_height=4, new_width=4).forward()
    (here / "list").write_text(f"{pictures[0]} 1\n")
    with pytest.raises(CaffeError, match=r"lines_.size\(\) > skip \(1 vs. [1-9][0-9]*\) Not enough points to skip"):
        image_net(1, new_height=4, new_width=4, rand_skip=2**30).forward()


# --- HDF5 ------------------------------------------------------------------------------------------------------------


def hdf5_net(batch, **options):
    rest = " ".join(f"{key}: {value}" for key, value in options.items())
    return net_of(
        'layer { name: "d" type: "HDF5Data" top: "x" top: "y" '
        f'hdf5_data_param {{ source: "list" batch_size: {batch} {rest} }} }}'
    )


def hdf5_files(here, *lengths):
    count = 0
    for i, length in enumerate(lengths):
        with h5py.File(here / f"{i}.h5", "w") as file:
            file["x"] = np.arange(count, count + 2 * length).reshape(length, 2)
            file["y"] = np.arange(count, count + 2 * length, 2, dtype=np.float64) / 3
        count += 2 * length
    (here / "list").write_text(" ".join(f"{i}.h5" for i in range(len(lengths))))


@pytest.mark.parametrize("lengths", [(5,), (4, 3), (1, 6, 2)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_come_in_caffes_order(here, lengths, shuffle):
    hdf5_files(here, *lengths)
    net = hdf5_net(4, shuffle=str(shuffle).lower())
    rows = RowsInOrder(lengths, shuffling.Rand() if shuffle else None)
    for _ in range(9):
        net.forward()
        for i in range(4):
            expected = next(rows)
            assert net.blobs["x"].data[i].tolist() == [2 * expected, 2 * expected + 1]
            assert net.blobs["y"].data[i] == np.float32(2 * expected / 3)


class RowsInOrder:
    """The numbers of the rows of files of these lengths, as Caffe's HDF5Data delivers them."""

    def __init__(self, lengths, rand):
        self.lengths, self.rand, self.begins = lengths, rand, [0, *np.cumsum(lengths)]
        self.files, self.file = list(range(len(lengths))), 0
        self.mix(self.files)
        self.load()

    def mix(self, items):
        if self.rand is not None:
            shuffling.random_shuffle(items, self.rand)

    def load(self):
        self.rows, self.row = list(range(self.lengths[self.files[self.file]])), 0
        self.mix(self.rows)

    def __next__(self):
        result = self.begins[self.files[self.file]] + self.rows[self.row]
        self.row += 1
        if self.row == len(self.rows):
            if len(self.lengths) > 1:
                self.file += 1
                if self.file == len(self.lengths):
                    self.file = 0
                    self.mix(self.files)
                self.load()
            self.row = 0
            self.mix(self.rows)
        return result


def two_lists(here):
    """A net with two layers that shuffle, of 3 + 4 + 2 rows and of 5."""
    hdf5_files(here, 3, 4, 2)
    with h5py.File(here / "other.h5", "w") as file:
        file["z"] = np.arange(5.0)
    (here / "other").write_text("other.h5")
    return net_of(
        "".join(
            f'layer {{ name: "{top}" type: "HDF5Data" top: "{top}" '
            f'hdf5_data_param {{ source: "{source}" batch_size: 2 shuffle: true }} }}'
            for top, source in (("x", "list"), ("z", "other"))
        )
    )


def test_layers_shuffle_by_one_rand_in_turn(here):
    net, rand = two_lists(here), shuffling.Rand()
    first = RowsInOrder((3, 4, 2), rand)
    second = RowsInOrder((5,), rand)
    for _ in range(40):
        net.forward()
        assert net.blobs["x"].data[:, 0].tolist() == [2 * next(first) for _ in range(2)]
        assert net.blobs["z"].data.tolist() == [next(second) for _ in range(2)]


@pytest.mark.parametrize("before", range(1, 6))
def test_a_pass_that_fails_takes_no_turn(here, before):
    net, whole = two_lists(here), two_lists(here)
    for _ in range(before):
        net.forward()
        whole.forward()

    def fail(place):
        if place == 1:
            raise CaffeError("no more")

    net.tape.after_forward.append(fail)
    with pytest.raises(CaffeError, match="no more"):
        net.forward()
    net.tape.after_forward.clear()
    for _ in range(9):
        net.forward()
        whole.forward()
        for name in ("x", "z"):
            np.testing.assert_array_equal(net.blobs[name].data, whole.blobs[name].data)


def test_hdf5_files_that_are_not_sound(here):
    hdf5_files(here, 3, 3)
    with h5py.File(here / "1.h5", "a") as file:
        del file["y"]
        file["y"] = np.zeros((3, 2))
    net = hdf5_net(2)
    net.forward()
    with pytest.raises(CaffeError, match=r"layer 'd': list: rows of dataset 'y' have the shape \(2,\) in one file"):
        net.forward()
    for values, message in (
        (np.zeros(4), r"1\.h5: dataset 'y' has the shape \(4,\); 3 rows"),
        (None, "no dataset 'y'"),
    ):
        with h5py.File(here / "1.h5", "a") as file:
            file.pop("y")
            if values is not None:
                file["y"] = values
        net = hdf5_net(4)
        with pytest.raises(CaffeError, match=message):
            net.forward()
    (here / "1.h5").unlink()
    net = hdf5_net(3)
    net.forward()
    first = net.blobs["x"].data.copy()
    with pytest.raises(CaffeError, match=r"1\.h5: \(named in list\) cannot be read"):
        net.forward()
    np.testing.assert_array_equal(net.blobs["x"].data, first)


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory(here):
    net = net_of(
        'layer { name: "d" type: "MemoryData" top: "data" top: "label" '
        "memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }"
    )
    with pytest.raises(CaffeError, match="never given"):
        net.forward()
    net.blobs["data"].data[...] = 4
    net.blobs["label"].data[...] = 4
    net.forward()
    assert (net.blobs["data"].data == 4).all()
    entry = net.tape.entries[0]
    data, labels = np.arange(36, dtype=np.float32).reshape(6, 1, 2, 3), np.arange(6, dtype=np.float32)
    entry.operation.give(entry.work, data, labels)
    for f in range(7):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, data[2 * (f % 3) : 2 * (f % 3) + 2])
        assert net.blobs["label"].data.tolist() == [2 * (f % 3), 2 * (f % 3) + 1]
    for n, labels, message in ((5, 5, "multiple of batch size"), (4, 6, "as many labels"), (0, 0, "data")):
        with pytest.raises(CaffeError, match=message):
            entry.operation.give(entry.work, np.zeros((n, 1, 2, 3)), np.zeros(labels))


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Data", "ImageData", "HDF5Data", "HDF5Data shuffled", "WindowData"])
def test_going_on_from_a_place_is_going_on(pictures, here, kind):
    make_db(here / "db", [schema.Datum(channels=1, height=4, width=4, data=bytes(range(i, i + 16))) for i in range(5)])
    if kind.startswith("HDF5Data"):
        hdf5_files(here, 4, 3)
    if kind == "WindowData":
        windows(here, pictures)
    result = {
        "Data": lambda: data_net(3, "crop_size: 2 mirror: true"),
        "ImageData": lambda: image_net(3, "crop_size: 2", new_height=4, new_width=4, shuffle="true"),
        "HDF5Data": lambda: hdf5_net(3),
        "HDF5Data shuffled": lambda: hdf5_net(3, shuffle="true"),
        "WindowData": lambda: window_net("mirror: true"),
    }[kind]
    net, other = result(), result()
    for _ in range(5):
        net.forward()
    operation, work = net.tape.entries[0].operation, net.tape.entries[0].work
    assert isinstance(operation, Delivering)
    assert operation.place(work) == 5 * net.blobs[net.layers[0].tops[0]].shape[0]
    operation.go_to(operation.place(work), other.tape.entries[0].work)
    for _ in range(4):
        for each in (net, other):
            each.forward()
        for name, blob in net.blobs.items():
            np.testing.assert_array_equal(blob.data, other.blobs[name].data)


# --- windows ---------------------------------------------------------------------------------------------------------


def windows(here, pictures):
    """A window file over the pictures, whose boxes touch the borders too."""
    rs = np.random.RandomState(4)
    text = []
    for i, name in enumerate(pictures):  # a name there holds no blank
        pictures[i] = name.replace(" ", "")
        (here / name).rename(here / pictures[i])
    for i, name in enumerate(pictures):
        height, width = cv2.imread(name).shape[:2]
        boxes = []
        for _ in range(3):
            x1, x2 = sorted(rs.randint(0, width, 2))
            y1, y2 = sorted(rs.randint(0, height, 2))
            boxes.append(f"{rs.randint(1, 9)} {rs.choice([0.1, 0.4, 0.5, 0.9])} {x1} {y1} {x2} {y2}")
        text += [f"# {i}", name, "3", str(height), str(width), "3", *boxes]
    (here / "windows").write_text("\n".join(text) + "\n")


def window_net(transform="", **param):
    rest = " ".join(f"{key}: {value}" for key, value in param.items())
    return net_of(
        'layer { name: "d" type: "WindowData" top: "data" top: "label" '
        f"transform_param {{ crop_size: 9 {transform} }} "
        f'window_data_param {{ source: "windows" batch_size: 7 fg_fraction: 0.4 {rest} }} }}'
    )


def slow_window(box, image, size, pad, square, flip):
    """Return one box as window_data_layer.cpp cuts it, with its types: (size, size, 3), -1 where nothing is written."""
    x1, y1, x2, y2 = box
    top = left = 0
    shape = (size, size)
    f = np.float32
    if pad > 0 or square:
        scale = f(size) / f(size - 2 * pad)
        hh, hw = f(y2 - y1 + 1) / f(2), f(x2 - x1 + 1) / f(2)
        cx, cy = f(x1) + hw, f(y1) + hh
        if square:
            hh = hw = max(hh, hw)
        c_round = lambda v: int(np.trunc(float(v) + np.copysign(0.5, v)))  # noqa: E731
        x1, x2 = c_round(cx - hw * scale), c_round(cx + hw * scale)
        y1, y2 = c_round(cy - hh * scale), c_round(cy + hh * scale)
        whole_h, whole_w = y2 - y1 + 1, x2 - x1 + 1
        px1, py1 = max(0, -x1), max(0, -y1)
        px2, py2 = max(0, x2 - image.shape[1] + 1), max(0, y2 - image.shape[0] + 1)
        x1, x2, y1, y2 = x1 + px1, x2 - px2, y1 + py1, y2 - py2
        sx, sy = f(size) / f(whole_w), f(size) / f(whole_h)
        shape = c_round(f(y2 - y1 + 1) * sy), c_round(f(x2 - x1 + 1) * sx)
        top, left = c_round(f(py1) * sy), c_round(f(px2 if flip else px1) * sx)
        shape = min(shape[0], size - top), min(shape[1], size - left)
    patch = cv2.resize(np.ascontiguousarray(image[y1 : y2 + 1, x1 : x2 + 1]), shape[::-1])
    out = np.full((size, size, 3), -1, int)
    out[top : top + shape[0], left : left + shape[1]] = patch[:, ::-1] if flip else patch
    return out


@pytest.mark.parametrize("mode", ['"warp"', '"square"'])
@pytest.mark.parametrize("pad", [0, 2])
@pytest.mark.parametrize("transform", ["", "mirror: true mean_value: 10 mean_value: 20.5 mean_value: 30", "mean"])
def test_windows(pictures, here, mode, pad, transform):
    windows(here, pictures)
    mean = np.random.RandomState(6).uniform(0, 200, (3, 13, 13)).astype(np.float32)
    save_mean(here / "mean.binaryproto", mean)
    if transform == "mean":
        transform, less = 'mean_file: "mean.binaryproto"', mean[:, 2:11, 2:11]
    else:
        less = np.array([10, 20.5, 30] if transform else [0, 0, 0], np.float32)[:, None, None] + np.zeros((3, 9, 9))
    net = window_net(transform, context_pad=pad, crop_mode=mode)
    words = (here / "windows").read_text().split()
    kinds = ([], [])
    for i in range(7):
        for k in range(3):
            at = 25 * i + 7 + 6 * k
            label, overlap, *box = words[at : at + 6]
            kinds[float(overlap) >= 0.5].append((int(label) * (float(overlap) >= 0.5), i, [int(b) for b in box]))
    stream = cf.RNG(drawn(net, "windows")[0])
    for _ in range(4):
        net.forward()
        for item in range(7):
            kind = kinds[item >= 5]  # two of seven are objects
            label, i, box = kind[stream.random_raw() % len(kind)]
            flip = "mirror" in transform and stream.random_raw() % 2
            patch = slow_window(box, cv2.imread(pictures[i]), 9, pad, "square" in mode, flip).transpose(2, 0, 1)
            expected = np.where(patch < 0, 0, patch.astype(np.float32) - less.astype(np.float32))
            np.testing.assert_array_equal(net.blobs["data"].data[item], expected.astype(np.float32))
            assert net.blobs["label"].data[item] == label


def test_window_files_that_are_not_sound(pictures, here):
    windows(here, pictures)
    image = f"# 0 {pictures[0]} 3 10 12"
    for text, message in (
        (f"{image} 1 3 0.9 0 0 5 5", r"bg_windows_.size\(\) > 0"),
        (f"{image} 1 3 0.1 0 0 5 5", r"fg_windows_.size\(\) > 0"),
        (f"{image} 2 0 0.9 0 0 5 5 1 0.1 0 0 5 5", r"label > 0 \(0 vs. 0\)"),
        (f"{image} 2 3 0.9 0 0 5 15 1 0.1 0 0 5 15", r"the box \(0, 0, 5, 15\) does not lie in"),
        (f"# 1 {pictures[0]} 3 10 12 2 3 0.9 0 0 5 5 1 0.1 0 0 5 5", "has the index 1: indices start at 0"),
        ("# 0 none.png 3 10 12 2 3 0.9 0 0 5 5 1 0.1 0 0 5 5", r"none\.png: cannot be read as an image"),
    ):
        (here / "windows").write_text(text)
        with pytest.raises(CaffeError, match=message):
            window_net().forward()


# --- what would never end --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_pipes_are_refused_and_not_waited_for(here):
    os.mkfifo(here / "pipe")
    hdf5_files(here, 2)
    (here / "db").mkdir()
    os.mkfifo(here / "db" / "data.mdb")
    for make in (
        lambda: data_net(1),
        lambda: (here / "list").write_text("pipe 1") and image_net(1),
        lambda: hdf5_net(1),
    ):
        with pytest.raises(CaffeError, match="is not a regular file"):
            make()
    with pytest.raises(CaffeError, match=r"pipe: is no mean file.*not a regular file"):
        read_mean("pipe", np.float32)
