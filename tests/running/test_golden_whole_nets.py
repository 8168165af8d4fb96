"""Whole nets of the corpus at work against the real Caffe: every blob after one forward pass."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf

NETS = json.loads((Path(__file__).parents[1] / "golden" / "run" / "nets.json").read_text())


def parameters(net: cf.Net) -> None:
    """Write the parameters that the goldens were measured with."""
    k = 0
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            r = np.random.RandomState(1000 + k)
            k += 1
            shape = blob.shape
            if layer.type == "BatchNorm":
                # all three were drawn each time, one of them was taken
                values = (0.1 * r.standard_normal(shape), 0.5 + r.uniform(0, 1, shape), np.full(shape, 2.0))[i]
            elif layer.type == "Scale":
                values = (0.5 + r.uniform(0, 1, shape), 0.1 * r.standard_normal(shape))[i]
            elif layer.type == "PReLU":
                values = 0.25 * (0.5 + r.uniform(0, 1, shape))
            elif i == 0 and len(shape) >= 2:
                values = r.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
            else:
                values = 0.1 * r.standard_normal(shape)
            blob.data[...] = np.asarray(values, np.float32)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*all weights of this net are 0")
@pytest.mark.parametrize("name", NETS)
def test_nets(name, corpus):
    case = NETS[name]
    path = corpus / name if name.startswith("caffe/") else corpus / "files" / name
    net = cf.Net(path, "TEST", rng=1, fill=True)
    for blob, shape in case["inputs"].items():
        net.blobs[blob].reshape(*shape)
    net.reshape()
    parameters(net)
    for j, blob in enumerate(net.inputs):
        target = net.blobs[blob]
        target.data[...] = np.random.RandomState(j).standard_normal(target.shape)
    net.forward()
    seen = 0
    for blob, golden in case["blobs"].items():
        ours = net.blobs[blob].data
        assert list(ours.shape) == golden["shape"], blob
        limit = max(4e-6, 5 * golden["spread"]) * golden["max"]
        at = np.asarray(golden["values"], np.float32)
        assert float(np.abs(ours.reshape(-1)[golden["at"]] - at).max(initial=0.0)) <= limit, blob
        assert abs(float(np.abs(ours).max(initial=0.0)) - golden["max"]) <= limit, blob
        assert abs(float(ours.mean(dtype=np.float64)) - golden["mean"]) <= limit, blob
        seen += 1
    assert seen
