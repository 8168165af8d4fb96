"""Nets for deploying, made of those that are trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers.cli import main

SMALL = """
name: "small"
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN } transform_param { crop_size: 8 }
  data_param { source: "none" batch_size: 64 } }
layer { name: "val" type: "Data" top: "data" top: "label" include { phase: TEST } transform_param { crop_size: 8 }
  data_param { source: "none" batch_size: 50 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "aux" type: "InnerProduct" bottom: "conv" top: "aux" inner_product_param { num_output: 10 } }
layer { name: "aux_loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux_loss" loss_weight: 0.3 }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 10 } }
layer { name: "feature" type: "InnerProduct" bottom: "conv" top: "feature" inner_product_param { num_output: 2 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" softmax_param { axis: 1 } }
layer { name: "quiet" type: "Silence" bottom: "aux" }
"""

DIGITS = """
layer { name: "train-data" type: "Data" top: "data" top: "label" include { stage: "train" }
  data_param { source: "none" batch_size: 64 } transform_param { crop_size: 8 } }
layer { name: "val-data" type: "Data" top: "data" top: "label" include { stage: "val" }
  data_param { source: "none" batch_size: 32 } transform_param { crop_size: 8 } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { stage: "val" } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" exclude { stage: "deploy" } }
layer { name: "softmax" type: "Softmax" bottom: "ip" top: "softmax" include { stage: "deploy" } }
"""


def names(net: object) -> list[str]:
    return [layer.name for layer in net.layer]  # type: ignore[attr-defined]


def test_a_net_for_deploying(tmp_path: Path) -> None:
    path, out = tmp_path / "train_val.prototxt", tmp_path / "deploy.prototxt"
    path.write_text(SMALL)
    output = cf.deploy(path, {"data": (3, 9, 9)})
    # the auxiliary branch is gone; what nobody reads is an output and stays
    assert names(output) == ["data", "conv", "ip", "feature", "prob"]
    assert list(output.layer[0].input_param.shape[0].dim) == [1, 3, 8, 8]  # one image, cropped
    assert (output.layer[-1].type, output.layer[-1].softmax_param.axis) == ("Softmax", 1)
    assert not any(layer.include or layer.exclude for layer in output.layer)
    assert list(cf.deploy(path, {"data": (10, 3, 7, 7)}).layer[0].input_param.shape[0].dim) == [10, 3, 7, 7]
    result = CliRunner().invoke(main, ["deploy", str(path), "--input", "data=3x9x9", "-o", str(out)])
    assert result.exit_code == 0, result.stderr
    assert "from data 1x3x8x8" in result.stdout
    net = cf.Net(out, "TEST", rng=1, strict=True)
    assert net.outputs == ["feature", "prob"]
    # weights of the trained net fit
    cf.Net(path, rng=1, inputs={"data": (3, 9, 9)}).save(tmp_path / "w.caffemodel")
    assert net.copy_from(tmp_path / "w.caffemodel").copied == ["conv", "ip", "feature"]


def test_shapes_that_nobody_knows_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "train_val.prototxt"
    path.write_text(SMALL)
    result = CliRunner().invoke(main, ["deploy", str(path), "-o", str(tmp_path / "d.prototxt")])
    assert result.exit_code == 1
    assert "--input data=CxHxW" in result.stderr
    assert not (tmp_path / "d.prototxt").exists()
    (tmp_path / "solver.prototxt").write_text('net: "train_val.prototxt" base_lr: 1 lr_policy: "fixed"')
    result = CliRunner().invoke(main, ["deploy", str(tmp_path / "solver.prototxt"), "-o", str(tmp_path / "d.prototxt")])
    assert result.exit_code == 1
    assert "solver.prototxt: this is a solver's prototxt" in result.stderr
    memory = SMALL.replace('type: "Data"', 'type: "MemoryData"').replace(
        'data_param { source: "none" batch_size: 50 }',
        "memory_data_param { batch_size: 50 channels: 3 height: 8 width: 8 }",
    )
    path.write_text(memory)
    assert list(cf.deploy(path).layer[0].input_param.shape[0].dim) == [1, 3, 8, 8]


def test_digits_networks(tmp_path: Path) -> None:
    path = tmp_path / "network.prototxt"
    path.write_text(DIGITS)
    with pytest.raises(cf.CaffeError, match="--classes N"):
        cf.deploy(path, {"data": (1, 8, 8)})
    output = cf.deploy(path, {"data": (1, 8, 8)}, classes=5)
    assert names(output) == ["data", "ip", "softmax"]
    assert output.layer[1].inner_product_param.num_output == 5
    trained = cf.train_val(path, classes=5)
    assert names(trained) == ["train-data", "val-data", "ip", "accuracy", "loss"]
    for phase, kept in (("TRAIN", ["train-data", "ip", "loss"]), ("TEST", ["val-data", "ip", "accuracy", "loss"])):
        net = cf.Net(trained, phase, rng=1, inputs={"data": (1, 8, 8)})
        assert [layer.name for layer in net.layers] == kept
    out = tmp_path / "train_val.prototxt"
    args = ["deploy", str(path), "--train-val", "--classes", "5", "-o", str(out)]
    assert CliRunner().invoke(main, args).exit_code == 0
    assert cf.read_net(out) == trained
    path.write_text(SMALL)
    with pytest.raises(cf.CaffeError, match="no all-in-one network"):
        cf.train_val(path)


def test_other_nets(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    old = (
        'layers { name: "d" type: DATA top: "data" top: "label" data_param { source: "x" batch_size: 2 } }\n'
        'layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 3 } }\n'
        'layers { name: "loss" type: SIGMOID_CROSS_ENTROPY_LOSS bottom: "ip" bottom: "label" }'
    )
    path.write_text(old)
    output = cf.deploy(path, {"data": (1, 4, 4)})
    assert [layer.type for layer in output.layer] == ["Input", "InnerProduct", "Sigmoid"]
    path.write_text('layer { name: "c" type: "ReLU" bottom: "data" top: "c" }')
    assert names(cf.deploy(path, {"data": (1, 2)})) == ["data", "c"]
    path.write_text('layer { name: "x" type: "Input" top: "x" }')
    with pytest.raises(cf.CaffeError, match="nothing to deploy"):
        cf.deploy(path)
