"""Weights through every format: not a bit may change, and the same weights must give the same file."""

from __future__ import annotations

import itertools
import json
import os
import time
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from caffe_fillers import Blob, CaffeError, CaffeWarning
from caffe_fillers.cli import main
from caffe_fillers.weights import LayerBlobs, Weights, WeightSet, load_weights, read, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"
SUFFIXES = [".npz", ".caffemodel", ".h5", ".caffemodel.h5", ".hdf5", ".safetensors"]
FORMATS = [".npz", ".caffemodel", ".h5", ".safetensors"]

# -0.0, infinities, quiet and signalling NaNs with payloads, the smallest subnormal
HARD32 = np.array([0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFA00001, 0x7F800001, 1], np.uint32).view(
    np.float32
)
HARD64 = np.array(
    [1 << 63, 0x7FF << 52, 0xFFF << 52, (0x7FF8 << 48) + 7, (0xFFF4 << 48) + 9, (0x7FF << 52) + 1, 1], np.uint64
).view(np.float64)


def bits(weights):
    layers = weights.layers if isinstance(weights, WeightSet) else [LayerBlobs(*item) for item in weights.items()]
    return [(layer.name, [(a.shape, a.dtype, a.tobytes()) for a in layer.arrays]) for layer in layers if layer.arrays]


def hard_weights():
    return OrderedDict(
        conv1=[HARD32.reshape(7, 1, 1), HARD64],
        empty=[np.zeros((0, 3), np.float32), np.zeros(0, np.float64)],
        scalar=[np.array(-0.0, np.float32), np.array(np.nan)],
        deep=[np.arange(6, dtype=np.float32).reshape((1,) * 29 + (1, 2, 3))],
        a=[np.float32([[1, 2], [3, 4]]).T, np.arange(20, dtype=np.float64)[::-3], np.float32([1, 2]).astype(">f4")],
    )


@pytest.mark.parametrize(("first", "second"), list(itertools.product(FORMATS, repeat=2)))
def test_every_pair_of_formats_keeps_every_bit(tmp_path, first, second):
    weights = hard_weights()
    native = {name: [a.astype(a.dtype.newbyteorder("=")) for a in arrays] for name, arrays in weights.items()}
    save_weights(tmp_path / f"a{first}", weights)
    once = load_weights(tmp_path / f"a{first}")
    assert bits(once) == bits(native)
    save_weights(tmp_path / f"b{second}", once)
    assert bits(load_weights(tmp_path / f"b{second}")) == bits(native)


layer_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=20)
arrays = st.one_of(
    *[hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)) for dtype in ("<f4", "<f8")]
)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(layer_names.filter(lambda name: name != "."), st.lists(arrays, min_size=1, max_size=3), min_size=1)
)
def test_any_weights_come_back(tmp_path_factory, suffix, weights):
    path = tmp_path_factory.mktemp("any") / f"w{suffix}"
    save_weights(path, weights)
    assert bits(load_weights(path)) == bits(weights)
    again = path.with_name(f"again{suffix}")
    save_weights(again, load_weights(path))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_weights_give_the_same_file(tmp_path, suffix, monkeypatch):
    net = WeightSet(
        [LayerBlobs(*item) for item in hard_weights().items()], "net", {"seed": 1, "b": [1.5, None], "a": {}}
    )
    save_weights(tmp_path / f"a{suffix}", net)
    later = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: later)
    if suffix != ".caffemodel":
        time.sleep(1.1)  # for clocks that C reads
    save_weights(tmp_path / f"b{suffix}", net)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".safetensors"])
def test_provenance_types_order_and_layers_without_blobs_travel(tmp_path, suffix):
    provenance = {
        "version": "1",
        "seed": 1701,
        "prototxt_sha256": "ab",
        "blobs": {"z/0": {"filler": "xavier", "fan_in": 3, "std": 0.1, "start": 0}},
    }
    model = read(GOLDEN / "mnist/lenet_iter_0.caffemodel")
    layers = [LayerBlobs("z", [np.ones(2, np.float32)]), *model.layers]
    save_weights(tmp_path / f"w{suffix}", WeightSet(layers, "LeNet", provenance))
    back = read(tmp_path / f"w{suffix}")
    assert back.format == {".npz": "npz", ".h5": "hdf5", ".safetensors": "safetensors"}[suffix]
    assert back.name == "LeNet"
    assert [layer.name for layer in back.layers] == [layer.name for layer in layers]
    assert {key: back.provenance[key] for key in provenance} == provenance
    types = {entry["name"]: entry.get("type") for entry in back.provenance["layers"]}
    assert types["z"] is None
    assert types["pool1"] == "Pooling"
    # and on into a caffemodel, which has the types again
    save_weights(tmp_path / "w.caffemodel", back)
    again = read(tmp_path / "w.caffemodel")
    assert [(layer.name, layer.message.type) for layer in again.layers[1:]] == [
        (layer.name, layer.message.type) for layer in model.layers
    ]


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".safetensors"])
def test_old_shapes_are_still_known_as_old(tmp_path, suffix):
    layer = LayerBlobs("ip", [np.ones((1, 1, 2, 3), np.float32), np.ones(2, np.float32)], legacy=[True, False])
    save_weights(tmp_path / f"w{suffix}", WeightSet([layer]))
    assert read(tmp_path / f"w{suffix}").layers[0].legacy == [True, False]


def test_hdf5_keeps_a_shared_blob_at_its_owner_only(tmp_path):
    import h5py

    owner = np.arange(6, dtype=np.float32)
    layers = [
        LayerBlobs("a", [owner], owned=[True]),
        LayerBlobs("b", [owner.reshape(2, 3), np.ones(2, np.float32)], owned=[False, True]),
    ]
    save_weights(tmp_path / "w.h5", WeightSet(layers))
    with h5py.File(tmp_path / "w.h5") as file:
        assert list(file["data/b"]) == ["1"]
    back = read(tmp_path / "w.h5")
    assert bits(back) == bits(WeightSet(layers))
    assert back.layers[1].owned == [False, True]


def test_hdf5_of_caffe_with_a_shared_blob_left_out(tmp_path):
    import h5py

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/a/0"] = np.ones(3, np.float32)
        file["data/b/1"] = np.ones(2, np.float32)
        file.create_group("data/relu")
    with pytest.warns(CaffeWarning, match="b/0"):
        back = read(tmp_path / "w.h5")
    assert [layer.name for layer in back.layers] == ["a", "b", "relu"]
    assert back.layers[1].arrays[0] is None
    assert back.layers[1].owned == [False, True]
    with pytest.raises(CaffeError, match="b/0 is missing"):
        save_weights(tmp_path / "w.npz", back)


def test_hdf5_nests_names_with_slashes_and_says_so(tmp_path):
    weights = {"inception/3a/1x1": [np.ones(2, np.float32)], "inception": [np.zeros(1, np.float32)], "x": [HARD64]}
    with pytest.warns(CaffeWarning, match="Caffe itself cannot read"):
        save_weights(tmp_path / "w.h5", weights)
    assert bits(load_weights(tmp_path / "w.h5")) == bits(weights)
    assert list(load_weights(tmp_path / "w.h5")) == list(weights)


@pytest.mark.parametrize("name", ["", "a//b", "/a", "a/", ".", "a/./b"])
def test_hdf5_refuses_names_it_would_change(tmp_path, name):
    with pytest.raises(CaffeError, match="HDF5 cannot hold"):
        save_weights(tmp_path / "w.h5", {name: [np.ones(1, np.float32)]})
    assert os.listdir(tmp_path) == []


def test_hdf5_refuses_a_layer_in_the_place_of_a_blob(tmp_path):
    with pytest.raises(CaffeError, match="beside the blob a/0"):
        save_weights(tmp_path / "w.h5", {"a": [np.ones(1)], "a/0/c": [np.ones(1)]})


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "name", ["é" * 500, "中文 層", "x" * 1000, "a\nb", "a.b", "a b", "\\", "0", "conv/1" * 100, "..", "data"]
)
def test_odd_names_come_back(tmp_path, suffix, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaffeWarning)
        save_weights(tmp_path / f"w{suffix}", {name: [np.ones(2, np.float32)]})
        assert list(load_weights(tmp_path / f"w{suffix}")) == [name]


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".safetensors"])
def test_formats_keyed_by_name_refuse_two_layers_of_one_name(tmp_path, suffix):
    twice = WeightSet([LayerBlobs("a", [np.ones(1)]), LayerBlobs("a", [np.ones(1)])])
    with pytest.raises(CaffeError, match="two layers are named 'a'"):
        save_weights(tmp_path / f"w{suffix}", twice)
    assert os.listdir(tmp_path) == []
    # which none but that with weights needs to keep
    once = WeightSet([LayerBlobs("a", []), LayerBlobs("b", []), LayerBlobs("a", [np.ones(1)]), LayerBlobs("b", [])])
    save_weights(tmp_path / f"w{suffix}", once)
    assert [(layer.name, len(layer.arrays)) for layer in read(tmp_path / f"w{suffix}").layers] == [("b", 0), ("a", 1)]


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".safetensors"])
@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 70_000])
def test_formats_keyed_by_name_refuse_names_they_cannot_hold(tmp_path, suffix, name):
    with pytest.raises(CaffeError, match="cannot stand in"):
        save_weights(tmp_path / f"w{suffix}", {name: [np.ones(1)]})


def test_a_caffemodel_holds_both_layers_of_one_name(tmp_path):
    twice = WeightSet([LayerBlobs("a", [np.ones(1)]), LayerBlobs("b", [np.ones(2)]), LayerBlobs("a", [np.ones(3)])])
    save_weights(tmp_path / "w.caffemodel", twice)
    assert bits(read(tmp_path / "w.caffemodel")) == bits(twice)
    with pytest.warns(CaffeWarning, match="'a'"):
        weights = load_weights(tmp_path / "w.caffemodel")
    assert weights["a"][0].shape == (3,)
    weights["a"] = [np.zeros(3)]
    save_weights(tmp_path / "v.caffemodel", weights)
    assert [layer.arrays[0].sum() for layer in read(tmp_path / "v.caffemodel").layers] == [1, 2, 0]


def test_what_was_loaded_remembers_what_a_dictionary_cannot_hold(tmp_path):
    path = GOLDEN / "mnist/lenet_iter_0.caffemodel"
    weights = load_weights(path)
    assert isinstance(weights, OrderedDict)
    assert list(weights) == ["conv1", "conv2", "ip1", "ip2"]
    assert [array.shape for array in weights["ip2"]] == [(10, 500), (10,)]
    save_weights(tmp_path / "w.caffemodel", weights)
    assert (tmp_path / "w.caffemodel").read_bytes() == path.read_bytes()

    changed = weights.copy()
    changed["ip2"] = [np.zeros((10, 500), np.float32), changed["ip2"][1]]
    del changed["conv1"]
    changed["new"] = [np.ones(2, np.float32)]
    save_weights(tmp_path / "w.npz", changed)
    back = read(tmp_path / "w.npz")
    assert [layer.name for layer in back.layers] == [
        "mnist", "pool1", "conv2", "pool2", "ip1", "relu1", "ip2", "loss", "new",
    ]  # fmt: skip
    assert not back.layers[6].arrays[0].any()
    assert "conv1" in weights
    assert isinstance(weights | {"x": []}, Weights)


def test_blobs_are_taken_as_arrays_are(tmp_path):
    blob = Blob((2, 3))
    blob.data[...] = 7
    save_weights(tmp_path / "w.npz", {"ip": [blob]})
    assert load_weights(tmp_path / "w.npz")["ip"][0].tolist() == [[7] * 3] * 2


@pytest.mark.parametrize(
    ("weights", "what"),
    [
        ({"a": np.ones(3)}, "a list of arrays is needed"),
        ({"a": [np.ones(3, np.float16)]}, "float16"),
        ({"a": [np.ones(3, np.int64)]}, "int64"),
        ({"a": [[1, 2]]}, "int64"),
        ({"a": [np.array([object()])]}, "object"),
        ({"a": [None]}, "missing"),
        ({"a": 3}, "a list of arrays is needed"),
        ({3: [np.ones(3)]}, "must be a str"),
        ([np.ones(3)], "must be a mapping"),
        (None, "must be a mapping"),
    ],
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_what_are_no_weights_is_refused_before_a_file_is_made(tmp_path, weights, what, suffix):
    with pytest.raises(CaffeError, match=what):
        save_weights(tmp_path / f"w{suffix}", weights)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["w", "w.txt", "w.caffemodel.bak", "w.binaryproto"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(CaffeError, match=r"use \.npz, \.caffemodel"):
        save_weights(tmp_path / name, hard_weights())


def test_the_content_tells_the_format_not_the_suffix(tmp_path):
    for suffix in FORMATS:
        save_weights(tmp_path / f"w{suffix}", {"a": [HARD32]})
        (tmp_path / f"w{suffix}").rename(tmp_path / "w.bin")
        assert bits(load_weights(tmp_path / "w.bin")) == bits({"a": [HARD32]})
        assert bits(load_weights(str(tmp_path / "w.bin"))) == bits({"a": [HARD32]})


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "download the file"),
        (b'name: "LeNet"\nlayer { name: "a" }\n', "prototxt"),
        (b"# a comment\nname: 'x'", "prototxt"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94.", "pickle"),
        (b"\x93NUMPY\x01\x00", "load_mean"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "unpack it"),
        (b"\x08\x01\x10\x03\x18\x02\x20\x02", "load_mean"),
        (bytes(64), "no binary protobuf"),
    ],
)
def test_what_is_no_weights_file_is_named(tmp_path, content, what):
    (tmp_path / "w.caffemodel").write_bytes(content)
    with pytest.raises(CaffeError, match=what) as error:
        load_weights(tmp_path / "w.caffemodel")
    assert "w.caffemodel" in str(error.value)


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(CaffeError, match="No such file"):
        load_weights(tmp_path / "none.npz")
    with pytest.raises(CaffeError, match="is a directory"):
        load_weights(tmp_path)
    with pytest.raises(CaffeError, match="not a regular file"):
        load_weights("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CaffeError, match="not a regular file"):
        load_weights(tmp_path / "fifo")
    for path in (3, None, b"x", "", "a\0b"):
        with pytest.raises(CaffeError, match="path"):
            load_weights(path)


def test_names_are_none_or_torch(tmp_path):
    with pytest.raises(CaffeError, match="got 'keras'"):
        load_weights(tmp_path / "w.npz", names="keras")
    with pytest.raises(CaffeError, match="got 'keras'"):
        save_weights(tmp_path / "w.npz", {}, names="keras")


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    import sys

    for suffix, module, extra in ((".h5", "h5py", "hdf5"), (".safetensors", "safetensors.numpy", "safetensors")):
        save_weights(tmp_path / f"w{suffix}", {"a": [HARD32]})
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(CaffeError, match=rf"caffe_fillers\[{extra}\]"):
            load_weights(tmp_path / f"w{suffix}")
    with pytest.raises(CaffeError, match=r"caffe_fillers\[hdf5\]"):
        save_weights(tmp_path / "w.h5", {"a": [HARD32]})
    save_weights(tmp_path / "w.safetensors", {"a": [HARD32]})


@pytest.mark.parametrize("value", [1, [], [[1]], {}, {"type": 3}, {"a": 1}, "x", {"type": "x", "std": [1]}])
@pytest.mark.parametrize("names", [None, "torch"])
def test_what_is_odd_in_a_record_is_as_if_it_were_not_there(tmp_path, value, names):
    layers = [{"name": "a", "type": "BatchNorm", **dict.fromkeys(("top", "bottom", "transpose"), value)}]
    layers.append({"name": "b", "type": value, "bottom": [value]})
    blobs = {"a/0": {"filler": value, "fan_in": value, "layer": value, "shape": value}, "b/0": value}
    for record in ({"layers": layers, "blobs": blobs}, {"layers": layers, "blobs": value}, {"names": value}):
        weights = {"a": [HARD32], "b": [HARD32]}
        save_weights(tmp_path / "w.npz", WeightSet([LayerBlobs(name, each) for name, each in weights.items()]))
        with zipfile.ZipFile(tmp_path / "w.npz") as old, zipfile.ZipFile(tmp_path / "odd.npz", "w") as new:
            for name in old.namelist():
                new.writestr(name, json.dumps(record) if name == "provenance.json" else old.read(name))
        if names is None:
            assert list(load_weights(tmp_path / "odd.npz")) == ["a", "b"]
        else:
            with pytest.raises(CaffeError):
                load_weights(tmp_path / "odd.npz", names="torch")
        assert CliRunner().invoke(main, ["show", str(tmp_path / "odd.npz")]).exit_code == 0
