"""Whole nets of the corpus at work against the real Caffe: every blob after one forward pass."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

NETS = json.loads((Path(__file__).parents[1] / "golden" / "run" / "nets.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("whole_net", NETS, indirect=True, scope="session")
def test_nets(whole_net):
    net, case = whole_net
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
