"""A net at work holds its blobs and a buffer of columns; a second pass adds nothing."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import ops

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 8 dim: 48 dim: 48 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 32 kernel_size: 5 pad: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "norm1" type: "LRN" bottom: "conv1" top: "norm1" }
layer { name: "pool1" type: "Pooling" bottom: "norm1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "dw" type: "Convolution" bottom: "pool1" top: "dw"
        convolution_param { num_output: 32 group: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "dw" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "sum" type: "Eltwise" bottom: "bn" bottom: "pool1" top: "sum" }
layer { name: "pool2" type: "Pooling" bottom: "sum" top: "pool2"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool2" top: "fc"
        inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
"""
LOSS = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""


def blobs_of(net):
    """The bytes of the distinct blobs and parameters, and of the largest columns of one image."""
    blobs = {id(blob): blob for step in net.steps for blob in (*step.tops, *step.layer.blobs)}
    columns = 0
    for step in net.steps:
        if isinstance(step.setup.operation, ops.Convolution) and step.setup.operation.group == 1:
            kernel = math.prod(step.layer.blobs[0].shape[1:])
            columns = max(columns, kernel * math.prod(step.tops[0].shape[2:]) * 4)
    # tops that share the memory of their bottom count once
    arrays = {blob.data.__array_interface__["data"][0]: blob.data.nbytes for blob in blobs.values()}
    return sum(arrays.values()), columns


@pytest.fixture
def net(tmp_path: Path):
    (tmp_path / "net.prototxt").write_text(NET)
    return cf.Net(tmp_path / "net.prototxt", "TEST", rng=1)


def test_forward_takes_its_blobs_and_one_buffer_of_columns(net):
    tracemalloc.start()
    try:
        net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((4, 8, 48, 48))
        net.forward()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    blobs, columns = blobs_of(net)
    buffers = sum(a.nbytes for entry in net.tape.entries for a in entry.work.buffers.values())
    # LRN keeps its sums; those and the columns are all that is added
    assert peak < 1.3 * (blobs + columns + buffers)


@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_a_second_pass_adds_nothing(tmp_path, phase):
    (tmp_path / "net.prototxt").write_text(NET + LOSS)
    net = cf.Net(tmp_path / "net.prototxt", phase, rng=1)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((4, 8, 48, 48))
    net.blobs["label"].data[...] = [0, 1, 2, 3]
    for _ in range(2):
        net.forward()
        net.backward()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        net.forward()
        forward, peak_forward = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        net.backward()
        after, peak_backward = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert forward - before < 1 << 13
    assert after - before < 1 << 13
    # what comes and goes is small beside the blobs
    blobs, _ = blobs_of(net)
    assert peak_forward - before < blobs // 20
    assert peak_backward - forward < blobs // 5
