"""Whole nets of the corpus, exported: an ONNX file and a script of each beside the net and the real Caffe."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import caffe_fillers as cf

NETS = json.loads((Path(__file__).parents[1] / "golden" / "run" / "nets.json").read_text())
# as far as every blob of a net is held to Caffe's own, as a part of its largest value
LIMIT = 1e-4


def _value(name: str) -> onnx.ValueInfoProto:
    return onnx.ValueInfoProto(name=name)


@pytest.mark.slow
@pytest.mark.parametrize("whole_net", NETS, indirect=True, scope="session")
def test_nets(whole_net, tmp_path):
    net, case = whole_net
    result, _ = cf.export(net, tmp_path / "net.onnx"), cf.export(net, tmp_path / "net.py")
    feed = {blob: net.blobs[blob].data for blob in net.inputs}
    script = runpy.run_path(str(tmp_path / "net.py"))["forward"](*(feed[blob] for blob in result.inputs), blobs=True)
    assert script.keys() >= net.blobs.keys() - feed.keys()
    for blob, values in script.items():
        ours = net.blobs[blob].data
        np.testing.assert_array_equal(values.reshape(ours.shape).view(np.uint32), ours.view(np.uint32), blob)
    wanted = {blob: value for blob, value in result.values.items() if blob not in feed}
    there = {result.values[blob] for blob in (*result.inputs, *result.outputs)}
    # two messages of protobuf, one behind the other, are read as one that has the fields of both
    more = onnx.ModelProto(graph=onnx.GraphProto(output=map(_value, sorted(set(wanted.values()) - there))))
    with open(tmp_path / "net.onnx", "ab") as model:
        model.write(more.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # threads that wait for each other cost more than they save
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", options, providers=["CPUExecutionProvider"])
    found = session.run(list(wanted.values()), {blob: feed[blob] for blob in result.inputs})
    for blob, values in zip(wanted, found, strict=True):
        golden = case["blobs"][blob]
        ours = net.blobs[blob].data
        flat = values.reshape(-1)
        largest = float(np.abs(ours).max())
        assert float(np.abs(flat - ours.reshape(-1)).max()) <= LIMIT * largest, blob
        at = np.asarray(golden["values"], np.float32)
        assert float(np.abs(flat[golden["at"]] - at).max(initial=0.0)) <= LIMIT * golden["max"], blob
