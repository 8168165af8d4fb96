"""Layers at work against the real Caffe: tops, gradients, statistics, masks and refills."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema

RUN = Path(__file__).parents[1] / "golden" / "run"
CASES = json.loads((RUN / "layers.json").read_text())
# layers whose tops are no sums: the same bits
EXACT = (
    *("dropout", "relu", "pool_max", "pool_mask", "concat", "slice", "crop", "flatten", "reshape", "split", "filter"),
    *("absval", "clip", "threshold", "argmax", "accuracy", "im2col", "tile", "dummy_refill", "batch_reindex"),
)


@pytest.fixture(scope="module")
def arrays():
    with np.load(RUN / "layers.npz") as file:
        return dict(file)


def check(name: str, ours: np.ndarray, golden: np.ndarray, spread: float, exact: bool) -> None:
    assert ours.shape == golden.shape, name
    if exact:
        np.testing.assert_array_equal(ours.view(np.uint32), golden.view(np.uint32), name)
        return
    limit = max(4e-6, 5 * spread) * float(np.abs(golden).max(initial=0.0))
    assert np.isfinite(ours).all() == np.isfinite(golden).all(), name
    assert float(np.abs(ours - golden).max(initial=0.0)) <= limit, name


def parts(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


@pytest.mark.parametrize("name", CASES)
def test_layers(name, arrays):
    case = CASES[name]
    message = text_format.Parse(case["prototxt"], schema.NetParameter())
    net = cf.Net(message, case["phase"], rng=case["seed"])
    mine = parts(arrays, f"{name}/")
    exact = name.startswith(EXACT)
    for place, values in parts(mine, "set/").items():
        layer, index = place.rsplit("/", 1)
        net.params[layer][int(index)].data[...] = values
    passes = 1 + max(int(key.split("/")[0][3:]) for key in mine if key.startswith("top") and not key.startswith("topd"))
    seen = set()
    for f in range(passes):
        for blob, values in parts(mine, f"in{f}/").items():
            if net.blobs[blob].shape != values.shape:
                net.blobs[blob].reshape(*values.shape)
            net.blobs[blob].data[...] = values
        net.forward()
        for blob, values in parts(mine, f"top{f}/").items():
            key = f"top{f}/{blob}"
            seen.add(key)
            check(key, net.blobs[blob].data, values, case["spread"].get(key, 0.0), exact)
    for place, values in parts(mine, "stat/").items():
        layer, index = place.rsplit("/", 1)
        seen.add(f"stat/{place}")
        check(place, net.params[layer][int(index)].data, values, case["spread"].get(f"stat/{place}", 0.0), False)
    gradients = [key for key in mine if key.startswith(("indiff/", "paramdiff/"))]
    if gradients:
        for blob, values in parts(mine, "topdiff/").items():
            net.blobs[blob].diff[...] = values
        net.clear_param_diffs()
        net.backward()
    for key in gradients:
        kind, place = key.split("/", 1)
        if kind == "indiff":
            ours = net.blobs[place].diff
        else:
            layer, index = place.rsplit("/", 1)
            ours = net.params[layer][int(index)].diff
        seen.add(key)
        check(key, ours, mine[key], case["spread"].get(key, 0.0), False)
    assert seen
    assert {key for key in mine if not key.startswith(("in0", "in1", "in2", "set/", "topdiff/"))} <= seen
