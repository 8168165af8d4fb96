"""caffe.draw under pycaffe's names."""

from __future__ import annotations

import shutil

import pytest
from google.protobuf import text_format

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe
import caffe_fillers.pycaffe.draw
from caffe_fillers.pycaffe.proto import caffe_pb2


@pytest.fixture
def message(net_file, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with open(net_file) as file:
        return text_format.Merge(file.read(), caffe_pb2.NetParameter())


def test_draw_net(message, tmp_path):
    assert caffe.draw.draw_net(message, "LR", "svg").startswith(b"<svg")
    with pytest.raises(cf.CaffeError, match="graphviz"):
        caffe.draw.draw_net(message, "LR")
    text = caffe.draw.get_pydot_graph(message, "TB", phase=caffe.TEST, label_edges=False).to_string()
    assert text.startswith('digraph "small" {\n  rankdir=TB;')
    assert 'label="11"' not in text
    for suffix in ("svg", "dot", "raw"):
        caffe.draw.draw_net_to_file(message, tmp_path / f"net.{suffix}", "TB", caffe.TRAIN, True)
    assert "lr mult" in (tmp_path / "net.raw").read_text()
    with pytest.raises(cf.CaffeError, match="suffix"):
        caffe.draw.draw_net_to_file(message, tmp_path / "net")


def test_labels(message):
    conv, loss = message.layer[1], message.layer[3]
    label = caffe.draw.get_layer_label(conv, "LR")
    assert label == '"conv\\n(Convolution)\\nkernel size: 2\\nstride: 1\\npad: 3"'
    assert (caffe.draw.get_edge_label(conv), caffe.draw.get_edge_label(loss)) == ("11", '""')
    assert caffe.draw.get_layer_lr_mult(conv) == (1, 1)
    assert caffe.draw.choose_color_by_layertype("Pooling") == "#FF9900"
    with pytest.raises(cf.CaffeError, match="do not have a learning rate multiplier"):
        caffe.draw.get_layer_lr_mult(loss)
