"""Other programs read what we write: OpenCV's Caffe reader, h5py, safetensors, NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from caffe_fillers import schema
from caffe_fillers.weights import LayerBlobs, WeightSet, load_weights, read, save_weights

GOLDEN = Path(__file__).parents[1] / "golden"

DEPLOY = """
name: "net"
input: "data"
input_shape { dim: 1 dim: 2 dim: 6 dim: 5 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true } }
layer { name: "ip" type: "InnerProduct" bottom: "scale" top: "ip" inner_product_param { num_output: 4 } }
"""


def net(seed):
    rng = np.random.default_rng(seed)

    def layer(name, kind, *shapes, **param):
        message = schema.LayerParameter(name=name, type=kind, **param)
        arrays = [np.abs(rng.standard_normal(shape)).astype(np.float32) for shape in shapes]
        return LayerBlobs(name, arrays, message)

    layers = [
        layer("conv", "Convolution", (3, 2, 3, 3), (3,), convolution_param={"num_output": 3, "kernel_size": [3]}),
        layer("bn", "BatchNorm", (3,), (3,), (1,)),
        layer("scale", "Scale", (3,), (3,), scale_param={"bias_term": True}),
        layer("ip", "InnerProduct", (4, 36), (4,), inner_product_param={"num_output": 4}),
    ]
    for one, bottom, top in zip(layers, ["data", "conv", "bn", "scale"], ["conv", "bn", "scale", "ip"], strict=True):
        one.message.bottom.append(bottom)
        one.message.top.append(top)
    return WeightSet(layers, "net")


def test_opencv_runs_the_caffemodel(tmp_path):
    (tmp_path / "deploy.prototxt").write_text(DEPLOY)
    weights = net(1)
    save_weights(tmp_path / "w.caffemodel", weights)
    image = np.random.default_rng(2).standard_normal((1, 2, 6, 5)).astype(np.float32)

    ours = cv2.dnn.readNetFromCaffe(str(tmp_path / "deploy.prototxt"), str(tmp_path / "w.caffemodel"))
    for layer, shapes in (("conv", ((3, 2, 3, 3), (3,))), ("ip", ((4, 36), (4,)))):
        arrays = next(entry.arrays for entry in weights.layers if entry.name == layer)
        for index, shape in enumerate(shapes):
            assert ours.getParam(layer, index).reshape(shape).tobytes() == arrays[index].tobytes()
    ours.setInput(image)
    result = ours.forward().copy()

    # the same weights set by hand, value by value, in protobuf's own message
    message = schema.NetParameter(name="net")
    for entry in weights.layers:
        layer = message.layer.add()
        layer.CopyFrom(entry.message)
        for array in entry.arrays:
            blob = layer.blobs.add(data=array.reshape(-1).tolist())
            blob.shape.dim.extend(array.shape)
    (tmp_path / "hand.caffemodel").write_bytes(message.SerializeToString())
    by_hand = cv2.dnn.readNetFromCaffe(str(tmp_path / "deploy.prototxt"), str(tmp_path / "hand.caffemodel"))
    by_hand.setInput(image)
    assert np.array_equal(by_hand.forward(), result)

    conv, bn, scale, ip = (entry.arrays for entry in weights.layers)
    windows = np.lib.stride_tricks.sliding_window_view(image[0].astype(np.float64), (3, 3), (1, 2))
    x = np.einsum("chwij,ocij->ohw", windows, conv[0]) + conv[1][:, None, None]
    x = (x - (bn[0] / bn[2])[:, None, None]) / np.sqrt((bn[1] / bn[2])[:, None, None] + 1e-5)
    x = x * scale[0][:, None, None] + scale[1][:, None, None]
    np.testing.assert_allclose(result[0], ip[0] @ x.reshape(-1) + ip[1], rtol=1e-4, atol=1e-4)


def test_h5py_finds_caffes_layout(tmp_path):
    model = read(GOLDEN / "caffemodel/own__lstm__TRAIN.caffemodel")
    model.provenance = {"seed": 7, "blobs": {"lstm1/0": {"filler": "uniform", "fan_in": 7}}}
    save_weights(tmp_path / "w.caffemodel.h5", model)
    with h5py.File(tmp_path / "w.caffemodel.h5") as file:
        assert list(file) == ["data"]
        assert sorted(file["data"]) == sorted(layer.name for layer in model.layers)
        for layer in model.layers:
            group = file["data"][layer.name]
            assert sorted(group) == [str(index) for index in range(len(layer.arrays))]
            for index, array in enumerate(layer.arrays):
                dataset = group[str(index)]
                assert dataset.dtype == np.dtype("<f4")
                assert dataset.chunks is None  # contiguous, as H5LTmake_dataset makes it
                assert dataset[()].tobytes() == array.tobytes()
                assert dataset.shape == array.shape
        assert json.loads(file.attrs["seed"]) == 7
        assert json.loads(file["data/lstm1/0"].attrs["provenance"]) == {"filler": "uniform", "fan_in": 7}
        assert json.loads(file["data/lstm1"].attrs["type"]) == "LSTM"


def test_safetensors_own_reader(tmp_path):
    weights = load_weights(GOLDEN / "mnist/lenet_iter_0.caffemodel")
    save_weights(tmp_path / "w.safetensors", weights)
    found = load_file(tmp_path / "w.safetensors")
    assert found.keys() == {f"{name}/{index}" for name, arrays in weights.items() for index in range(len(arrays))}
    for name, arrays in weights.items():
        for index, array in enumerate(arrays):
            assert found[f"{name}/{index}"].tobytes() == array.tobytes()
            assert found[f"{name}/{index}"].shape == array.shape
    with safe_open(tmp_path / "w.safetensors", framework="np") as file:
        record = json.loads(file.metadata()["caffe_fillers"])
    assert record["name"] == "LeNet"
    assert [entry["type"] for entry in record["layers"]][:2] == ["Data", "Convolution"]


def test_numpys_own_reader(tmp_path):
    weights = load_weights(GOLDEN / "mnist/lenet_iter_0.caffemodel")
    save_weights(tmp_path / "w.npz", weights)
    with np.load(tmp_path / "w.npz") as file:
        keys = [f"{name}/{index}" for name, arrays in weights.items() for index in range(len(arrays))]
        assert file.files == [*keys, "provenance.json"]
        for key in keys:
            name, index = key.rsplit("/", 1)
            assert file[key].tobytes() == weights[name][int(index)].tobytes()
        assert json.loads(str(file["provenance.json"]))["name"] == "LeNet"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read(tmp_path, save):
    arrays = {
        "b/0": np.zeros(100_000, np.float32),
        "a/0": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "a/1": np.float32(3),
    }
    save(tmp_path / "w.npz", **arrays)
    weights = load_weights(tmp_path / "w.npz")
    assert list(weights) == ["b", "a"]
    for key, array in arrays.items():
        name, index = key.split("/")
        found = weights[name][int(index)]
        assert (found.shape, found.dtype, found.tobytes()) == (array.shape, array.dtype, np.asarray(array).tobytes())
        assert found.flags.c_contiguous


def test_what_safetensors_wrote_is_read(tmp_path):
    from safetensors.numpy import save_file

    save_file({"b/0": np.ones(3), "a/b/0": np.float32([[1, 2]]), "b/1": np.zeros(0)}, tmp_path / "w.safetensors")
    weights = load_weights(tmp_path / "w.safetensors")
    assert {name: [array.tolist() for array in arrays] for name, arrays in weights.items()} == {
        "b": [[1, 1, 1], []],
        "a/b": [[[1, 2]]],
    }


def test_what_h5py_wrote_compressed_is_read(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w", userblock_size=512) as file:
        file.create_dataset(
            "data/a/0", data=np.arange(1000, dtype=">f8"), compression="gzip", shuffle=True, fletcher32=True
        )
        file.create_group("data/empty")
    assert np.array_equal(load_weights(tmp_path / "w.h5")["a"][0], np.arange(1000))
    assert [layer.name for layer in read(tmp_path / "w.h5").layers] == ["a", "empty"]


def test_safetensors_are_written_as_the_library_does(tmp_path):
    from safetensors.numpy import save_file

    arrays = {"b/0": np.ones(3), 'é"\\/0': np.float32([[1, 2]]), "b/1": np.zeros(0), "a\n/0": np.ones(5, np.float32)}
    weights = {}
    for name, array in arrays.items():
        weights.setdefault(name.rpartition("/")[0], []).append(array)
    save_weights(tmp_path / "ours.safetensors", weights)
    with safe_open(tmp_path / "ours.safetensors", framework="np") as file:
        metadata = file.metadata()
    save_file(arrays, tmp_path / "theirs.safetensors", metadata=metadata)
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()
