"""PyTorch's names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caffe_fillers import CaffeError, schema
from caffe_fillers.weights import LayerBlobs, WeightSet, load_weights, save_weights


def layer(name, kind, *arrays, bottom=(), top=(), **fields):
    message = schema.LayerParameter(name=name, type=kind, bottom=list(bottom), top=list(top), **fields)
    return LayerBlobs(name, [np.asarray(array, np.float32) for array in arrays], message)


def ramp(*shape):
    return np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


def full():
    return WeightSet(
        [
            layer("data", "Input", top=["data"]),
            layer("conv", "Convolution", ramp(4, 3, 2, 2), ramp(4), bottom=["data"], top=["conv"]),
            layer("bn", "BatchNorm", ramp(4), ramp(4) * 2, [4], bottom=["conv"], top=["conv"]),
            layer("scale", "Scale", ramp(4), ramp(4) + 1, bottom=["conv"], top=["conv"]),
            layer("relu", "PReLU", np.float32(0.25), bottom=["conv"], top=["conv"]),
            layer("up", "Deconvolution", ramp(4, 2, 3, 3), bottom=["conv"], top=["up"]),
            layer("ip", "InnerProduct", ramp(2, 5), ramp(2), bottom=["up"], top=["ip"]),
            layer("ipt", "InnerProduct", ramp(2, 5), ramp(5), top=["t"], inner_product_param={"transpose": True}),
            layer("old", "InnerProduct", ramp(1, 1, 2, 5), ramp(1, 1, 1, 2), top=["o"]),
            layer("emb", "Embed", ramp(6, 3), top=["e"]),
            layer("bn2", "BatchNorm", ramp(2), ramp(2), [0], bottom=["ip"], top=["bn2"]),
            layer("loss", "SoftmaxWithLoss", bottom=["bn2"]),
        ],
        "net",
    )


EXPECTED = {
    "conv.weight": ramp(4, 3, 2, 2),
    "conv.bias": ramp(4),
    "bn.running_mean": ramp(4) / 4,
    "bn.running_var": ramp(4) * 2 / 4,
    "bn.weight": ramp(4),
    "bn.bias": ramp(4) + 1,
    "relu.weight": np.float32([0.25]),
    "up.weight": ramp(4, 2, 3, 3),
    "ip.weight": ramp(2, 5),
    "ip.bias": ramp(2),
    "ipt.weight": ramp(2, 5).T,
    "ipt.bias": ramp(5),
    "old.weight": ramp(2, 5),
    "old.bias": ramp(2),
    "emb.weight": ramp(6, 3),
    "bn2.running_mean": np.zeros(2, np.float32),
    "bn2.running_var": np.zeros(2, np.float32),
}


def same(state):
    assert list(state) == list(EXPECTED)
    for name, array in EXPECTED.items():
        assert state[name].dtype == np.float32
        assert state[name].shape == array.shape, name
        assert np.array_equal(state[name], array), name
        assert state[name].flags.c_contiguous


@pytest.mark.parametrize("suffix", [".caffemodel", ".npz", ".h5", ".safetensors"])
def test_loaded_from_every_format(tmp_path, suffix):
    save_weights(tmp_path / f"w{suffix}", full())
    same(load_weights(tmp_path / f"w{suffix}", names="torch"))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_written_under_torch_names(tmp_path, suffix):
    save_weights(tmp_path / "w.caffemodel", full())
    save_weights(tmp_path / f"t{suffix}", load_weights(tmp_path / "w.caffemodel"), names="torch")
    if suffix == ".npz":
        with np.load(tmp_path / "t.npz") as file:
            state = {name: file[name] for name in file.files if name != "provenance.json"}
            assert json.loads(str(file["provenance.json"]))["names"] == "torch"
    else:
        from safetensors.numpy import load_file

        found = load_file(tmp_path / "t.safetensors")
        assert found.keys() == EXPECTED.keys()
        state = {name: found[name] for name in EXPECTED}
    same(state)
    # read again, under the names that it has
    again = load_weights(tmp_path / f"t{suffix}", names="torch")
    same({name: again[name] for name in EXPECTED})
    save_weights(tmp_path / f"u{suffix}", again, names="torch")
    assert list(load_weights(tmp_path / f"u{suffix}", names="torch")) == list(again)
    with pytest.raises(CaffeError, match="names='torch'"):
        load_weights(tmp_path / f"t{suffix}")


@pytest.mark.parametrize("suffix", [".caffemodel", ".h5"])
def test_formats_that_name_layers_refuse(tmp_path, suffix):
    with pytest.raises(CaffeError, match=r"\.npz and \.safetensors"):
        save_weights(tmp_path / f"w{suffix}", full(), names="torch")


@pytest.mark.parametrize(
    ("layers", "what"),
    [
        ([layer("l", "LSTM", ramp(4, 2))], "'l' is of type LSTM"),
        ([layer("b", "Bias", ramp(4))], "'b' is of type Bias"),
        ([layer("s", "Scale", ramp(4), bottom=["x"], top=["y"])], "'s' is a Scale that does not follow"),
        ([layer("e", "Embed", ramp(4, 2), ramp(2))], "'e' is an Embed with a bias"),
        ([layer("n", "BatchNorm", *[ramp(2)] * 2, [1], *[ramp(2)] * 3)], "'n' is a BatchNorm with 6"),
        ([layer("n", "BatchNorm", ramp(2), ramp(2), [1]), layer("s", "Scale", ramp(2, 2))], "not one value per"),
        ([layer("c", "Convolution", ramp(2), ramp(2), ramp(2))], "'c'"),
        ([layer("i", "InnerProduct", ramp(2, 2, 2))], "i/0 has the shape"),
        ([LayerBlobs("u", [ramp(2)])], "type of layer 'u' is not known"),
        ([layer("a", "PReLU", ramp(2)), layer("a", "PReLU", ramp(2))], "a.weight"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(tmp_path, layers, what):
    save_weights(tmp_path / "w.caffemodel", WeightSet(layers))
    with pytest.raises(CaffeError, match=what):
        load_weights(tmp_path / "w.caffemodel", names="torch")
    with pytest.raises(CaffeError, match=what):
        save_weights(tmp_path / "w.npz", WeightSet(layers), names="torch")
    assert not (tmp_path / "w.npz").exists()


def test_a_scale_belongs_to_the_norm_whose_top_it_reads(tmp_path):
    layers = [
        layer("n1", "BatchNorm", ramp(2), ramp(2), [1], bottom=["a"], top=["x"]),
        layer("n2", "BatchNorm", ramp(2), ramp(2), [1], bottom=["b"], top=["y"]),
        layer("s1", "Scale", ramp(2), bottom=["x"], top=["x"]),
        layer("s2", "Scale", ramp(2) + 5, bottom=["y"], top=["y"]),
    ]
    save_weights(tmp_path / "w.caffemodel", WeightSet(layers))
    state = load_weights(tmp_path / "w.caffemodel", names="torch")
    assert state["n1.weight"].tolist() == [1, 2]
    assert state["n2.weight"].tolist() == [6, 7]
    # once something else has written over it, it is no longer the norm's
    layers.insert(2, layer("r", "ReLU", bottom=["x"], top=["x"]))
    save_weights(tmp_path / "w.caffemodel", WeightSet(layers))
    with pytest.raises(CaffeError, match="'s1'"):
        load_weights(tmp_path / "w.caffemodel", names="torch")


def test_torch_loads_it(tmp_path):
    torch = pytest.importorskip("torch", reason="NOT RUN: PyTorch is not installed")
    save_weights(tmp_path / "w.caffemodel", full())
    state = {k: torch.from_numpy(v) for k, v in load_weights(tmp_path / "w.caffemodel", names="torch").items()}
    model = torch.nn.ModuleDict(
        {
            "conv": torch.nn.Conv2d(3, 4, 2),
            "bn": torch.nn.BatchNorm2d(4),
            "relu": torch.nn.PReLU(),
            "up": torch.nn.ConvTranspose2d(4, 2, 3, bias=False),
            "ip": torch.nn.Linear(5, 2),
            "ipt": torch.nn.Linear(2, 5),
            "old": torch.nn.Linear(5, 2),
            "emb": torch.nn.Embedding(6, 3),
            "bn2": torch.nn.BatchNorm1d(2, affine=False),
        }
    )
    model.load_state_dict(state)
    same({name: model.state_dict()[name].numpy() for name in EXPECTED})
