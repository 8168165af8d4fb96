"""A net at work uses as many threads as it was told to, in loops and in the BLAS; any number has one result."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import CaffeError, _core, blas

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 16 dim: 90 dim: 90 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "dw" type: "Convolution" bottom: "norm" top: "dw"
        convolution_param { num_output: 16 group: 16 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""


def outputs(tmp_path, threads):
    (tmp_path / "net.prototxt").write_text(NET)
    net = cf.Net(tmp_path / "net.prototxt", "TEST", rng=1, threads=threads)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal(net.blobs["data"].shape)
    return net.forward()["dw"].copy()


def test_any_number_of_threads_gives_the_same_bits(tmp_path):
    one = outputs(tmp_path, 1)
    for threads in (2, 3, 8, None):
        assert np.array_equal(one.view(np.uint32), outputs(tmp_path, threads).view(np.uint32))


def test_the_environment_limits_loops(monkeypatch):
    monkeypatch.setenv("CAFFE_FILLERS_THREADS", "2")
    with blas.threads_for_layers(7):
        assert _core.layer_threads(2) == 2
    monkeypatch.setenv("CAFFE_FILLERS_THREADS", "many")
    with pytest.raises(CaffeError, match="CAFFE_FILLERS_THREADS=many"), blas.threads_for_layers(7):
        pass


def test_numpys_blas_uses_no_more_and_gets_its_own_number_back(monkeypatch):
    monkeypatch.delenv("CAFFE_FILLERS_THREADS", raising=False)
    found = blas._of_blas()
    if found is None:
        pytest.skip("NOT RUN: NumPy's BLAS here has no number of threads to set")
    ask, give = found
    before = ask()
    try:
        give(2)
        with blas.threads_for_layers(None):
            assert ask() == 2
        with blas.threads_for_layers(1):
            assert ask() == 1
        assert ask() == 2
        with pytest.raises(ZeroDivisionError), blas.threads_for_layers(1):
            raise ZeroDivisionError
        assert ask() == 2
        monkeypatch.setenv("CAFFE_FILLERS_THREADS", "1")
        with blas.threads_for_layers(None):
            assert ask() == 1
        give(1)
        with blas.threads_for_layers(2):
            assert ask() == 1
    finally:
        give(before)
