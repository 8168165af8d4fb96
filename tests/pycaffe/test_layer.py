"""Python layers as pycaffe's scripts write them, found in the modules that the script has imported."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe
from caffe_fillers.pycaffe import layers as L


class EuclideanLoss(caffe.Layer):
    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise Exception("Need two inputs to compute distance.")

    def reshape(self, bottom, top):
        if bottom[0].count != bottom[1].count:
            raise Exception("Inputs must have the same dimension.")
        self.diff = np.zeros_like(bottom[0].data, dtype=np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.diff[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = np.sum(self.diff**2) / bottom[0].num / 2.0

    def backward(self, top, propagate_down, bottom):
        for i in range(2):
            if propagate_down[i]:
                bottom[i].diff[...] = (1, -1)[i] * self.diff / bottom[i].num


class Source(caffe.Layer):
    def setup(self, bottom, top):
        self.params = eval(self.param_str)
        self.random = np.random.RandomState(self.params["seed"] + self.phase)
        self.asked = 0

    def reshape(self, bottom, top):
        for blob in top:
            blob.reshape(self.params["batch"], 3, 2)

    def forward(self, bottom, top):
        self.asked += 1
        for blob in top:
            blob.data[...] = self.random.standard_normal(blob.shape)

    def backward(self, top, propagate_down, bottom):
        pass


@pytest.fixture
def module(monkeypatch):
    result = types.ModuleType("layers_of_mine")
    result.EuclideanLoss, result.Source = EuclideanLoss, Source
    monkeypatch.setitem(sys.modules, "layers_of_mine", result)
    return result


def linear(loss):
    n = caffe.NetSpec()
    n.x, n.y = L.Python(module="layers_of_mine", layer="Source", ntop=2, param_str=str(dict(batch=4, seed=1)))
    n.ipx = L.InnerProduct(n.x, num_output=5, weight_filler=dict(type="xavier"))
    n.ipy = L.InnerProduct(n.y, num_output=5, weight_filler=dict(type="xavier"))
    n.loss = loss(n.ipx, n.ipy)
    return str(n.to_proto())


def python_loss(x, y):
    return L.Python(x, y, module="layers_of_mine", layer="EuclideanLoss", loss_weight=1)


def test_a_loss_in_python_trains_as_caffes_own(module, tmp_path):
    caffe.init_log(2, True)
    trained = []
    for i, loss in enumerate((python_loss, L.EuclideanLoss)):
        net, solver = tmp_path / f"net{i}.prototxt", tmp_path / f"solver{i}.prototxt"
        net.write_text(linear(loss))
        solver.write_text(
            f'train_net: "{net}" test_net: "{net}" test_iter: 1 test_interval: 2 base_lr: 0.1 lr_policy: "fixed" '
            "max_iter: 4 random_seed: 3 snapshot_after_train: false\n"
        )
        result = caffe.get_solver(str(solver))
        result.solve()
        trained.append(result)
    caffe.init_log(0, True)
    python, own = trained
    assert python.net.layers[0].asked == 4
    assert python.net.layers[0].type == "Python"
    assert python.test_nets[0].layers[0].phase == caffe.TEST
    np.testing.assert_allclose(python.net.blobs["loss"].data, own.net.blobs["loss"].data, rtol=1e-5)
    for name, blobs in own.net.params.items():
        np.testing.assert_allclose(python.net.params[name][0].data, blobs[0].data, rtol=1e-4, atol=1e-6)


def test_no_module_is_imported(tmp_path, monkeypatch):
    (tmp_path / "not_imported.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "net.prototxt"
    text = 'layer {{ name: "p" type: "Python" top: "x" python_param {{ module: "{}" layer: "{}" }} }}'
    path.write_text(text.format("not_imported", "Source"))
    with pytest.raises(cf.CaffeError, match="add `import not_imported` to the script"):
        caffe.Net(str(path), caffe.TRAIN)
    assert "not_imported" not in sys.modules
    path.write_text(text.format("sys", "NoLayer"))
    with pytest.raises(cf.CaffeError, match="module 'sys' has no Python layer 'NoLayer'"):
        caffe.Net(str(path), caffe.TRAIN)


def test_errors_pass_through(module, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "s" type: "Python" top: "x" '
        "python_param { module: 'layers_of_mine' layer: 'Source' param_str: '{\"batch\": 2, \"seed\": 0}' } }\n"
        'layer { name: "p" type: "Python" bottom: "x" top: "y" '
        "python_param { module: 'layers_of_mine' layer: 'EuclideanLoss' } }\n"
    )
    with pytest.raises(Exception, match="Need two inputs"):
        caffe.Net(str(path), caffe.TRAIN)


def test_a_layer_without_a_method_says_so(module, tmp_path):
    module.Empty = type("Empty", (caffe.Layer,), {})
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "p" type: "Python" top: "x" python_param { module: "layers_of_mine" layer: "Empty" } }'
    )
    with pytest.raises(cf.CaffeError, match="Empty has no reshape"):
        caffe.Net(str(path), caffe.TRAIN)
