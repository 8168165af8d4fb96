"""Layers that are a class of the caller's: set up, reshaped, run forward and backward as Caffe runs them."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema


def net_of(text: str) -> object:
    return text_format.Parse(text, schema.NetParameter())


def layer(kind: str, bottom: str, top: str, more: str = "") -> str:
    bottoms = "".join(f"bottom: '{name}' " for name in bottom.split())
    tops = "".join(f"top: '{name}' " for name in top.split())
    return (
        f"layer {{ type: 'Python' name: '{kind.lower()}' {bottoms} {tops} "
        f"python_param {{ module: 'm' layer: '{kind}' param_str: '7' }} {more} }}\n"
    )


class Base:
    calls: list[str]

    def setup(self, bottom, top):
        self.calls = ["setup"]

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape(*bottom[0].data.shape)

    def backward(self, top, propagate_down, bottom):
        self.calls.append(f"backward {propagate_down}")


class Source(Base):
    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.batch = 3
        assert self.param_str == "7"

    def reshape(self, bottom, top):
        self.calls.append("reshape")
        top[0].reshape(self.batch, 2)

    def forward(self, bottom, top):
        self.calls.append("forward")
        top[0].data[...] = np.arange(top[0].count).reshape(top[0].shape)


class Scaled(Base):
    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 10

    def forward(self, bottom, top):
        top[0].data[...] = self.blobs[0].data * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        super().backward(top, propagate_down, bottom)
        self.blobs[0].diff[0] += np.sum(top[0].diff * bottom[0].data)
        bottom[0].diff[...] = self.blobs[0].data * top[0].diff


CLASSES = {"m.Source": Source, "Scaled": Scaled, "m.Base": Base}


def test_forward_backward_and_parameters():
    text = "force_backward: true " + layer("Source", "", "x") + layer("Scaled", "x", "y")
    net = cf.Net(net_of(text), python=CLASSES, dtype=np.float64)
    assert net.blobs["y"].shape == (3, 2)
    assert net.params["scaled"][0].data.tolist() == [10]
    assert net.params["scaled"][0].dtype == np.float64
    out = net.forward()["y"]
    assert out.ravel().tolist() == [0, 10, 20, 30, 40, 50]
    net.blobs["y"].diff[...] = 2
    net.backward()
    assert net.params["scaled"][0].diff.tolist() == [30]
    assert net.blobs["x"].diff.tolist() == [[20, 20]] * 3
    source, scaled = (each.running.instance for each in net.layers)
    assert source.calls == ["setup", "reshape", "reshape", "forward", "backward []"]
    assert scaled.calls[-1] == "backward [True]"


def test_a_source_that_changes_its_batch_carries_through():
    net = cf.Net(net_of(layer("Source", "", "x") + layer("Scaled", "x", "y")), python=CLASSES)
    net.forward()
    net.layers[0].running.instance.batch = 5
    assert net.forward()["y"].shape == (5, 2)
    memory = net.blobs["y"].data
    net.forward()
    assert net.blobs["y"].data is memory


def test_what_set_up_and_reshape_write_is_kept():
    class Constant(Base):
        def reshape(self, bottom, top):
            top[0].reshape(2)
            top[0].data[...] = 4

        def forward(self, bottom, top):
            pass

    net = cf.Net(net_of(layer("Constant", "", "x")), python={"Constant": Constant})
    assert net.blobs["x"].data.tolist() == [4, 4]


def test_shaping_a_top_in_forward():
    class Found(Base):
        def reshape(self, bottom, top):
            top[0].reshape(1)

        def forward(self, bottom, top):
            top[0].reshape(4)
            top[0].data[...] = bottom[0].data.ravel()[:4]

    text = layer("Source", "", "x") + layer("Found", "x", "y") + layer("Scaled", "y", "z")
    net = cf.Net(net_of(text), python={**CLASSES, "Found": Found})
    for _ in range(2):
        assert net.forward()["z"].tolist() == [0, 10, 20, 30]


def test_in_place():
    class Doubled(Base):
        def forward(self, bottom, top):
            assert top[0].data is bottom[0].data
            top[0].data[...] *= 2

    net = cf.Net(net_of(layer("Source", "", "x") + layer("Doubled", "x", "x")), python={**CLASSES, "Doubled": Doubled})
    assert net.forward()["x"].ravel().tolist() == [0, 2, 4, 6, 8, 10]


def test_weights_are_shared_saved_and_read(tmp_path):
    text = layer("Source", "", "x") + layer("Scaled", "x", "y")
    first, second = (cf.Net(net_of(text), python=CLASSES) for _ in range(2))
    first.params["scaled"][0].data[0] = 3
    first.save(tmp_path / "w.caffemodel")
    second.copy_from(tmp_path / "w.caffemodel")
    assert second.params["scaled"][0].data.tolist() == [3]
    second.share_with(first)
    first.params["scaled"][0].data[0] = 4
    assert second.forward()["y"].ravel()[1] == 4


def test_parameters_in_the_text_of_the_layer_come_first():
    more = "blobs { shape { dim: 2 } data: 3 data: 4 }"
    net = cf.Net(net_of(layer("Source", "", "x") + layer("Scaled", "x", "y", more)), python=CLASSES)
    assert [blob.data.tolist() for blob in net.params["scaled"]] == [[10, 4], [0]]
    net.params["scaled"][0].data[1] = 5
    assert net.layers[1].running.instance.blobs[0].data.tolist() == [10, 5]


def test_errors_of_the_class_pass_through_and_a_class_that_is_missing_is_asked_for():
    class Broken(Base):
        def setup(self, bottom, top):
            raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        cf.Net(net_of(layer("Broken", "", "x")), python={"Broken": Broken})
    with pytest.raises(cf.CaffeError, match=r"python=\{'m.Source': CLASS\}"):
        cf.Net(net_of(layer("Source", "", "x")))
