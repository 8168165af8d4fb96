"""Fixtures for pycaffe's names: nets and solvers on the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_fillers.pycaffe as caffe

NET = """name: "small" force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 5 dim: 2 dim: 3 dim: 4 } shape { dim: 5 }
    data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { decay_mult: 1 } param { decay_mult: 0 }
  convolution_param { num_output: 11 kernel_size: 2 pad: 3
    weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "score"
  inner_product_param { num_output: 13 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }
layer { name: "extra" type: "Power" bottom: "score" top: "double" power_param { scale: 2 } }
"""
DEPLOY = """name: "deploy" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 8 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "conv" top: "prob" }
"""
SOLVER = """train_net: "{net}" test_net: "{net}" test_iter: 2 test_interval: 3 base_lr: 0.01 momentum: 0.9
weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75 display: 2 max_iter: 6 random_seed: 1701
snapshot_after_train: false snapshot_prefix: "{folder}/model" type: "Adam"
"""


@pytest.fixture
def net_file(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return str(path)


@pytest.fixture
def deploy_file(tmp_path: Path) -> str:
    path = tmp_path / "deploy.prototxt"
    path.write_text(DEPLOY)
    return str(path)


@pytest.fixture
def solver_file(tmp_path: Path, net_file: str) -> str:
    path = tmp_path / "solver.prototxt"
    path.write_text(SOLVER.format(net=net_file, folder=tmp_path))
    return str(path)


@pytest.fixture
def net(net_file: str) -> caffe.Net:
    caffe.set_random_seed(3)
    result = caffe.Net(net_file, caffe.TRAIN)
    result.blobs["label"].data[...] = np.arange(5)
    return result
