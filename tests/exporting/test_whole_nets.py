"""Whole nets of the corpus, exported: an ONNX file and a script of each beside the net and the real Caffe."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import caffe_fillers as cf

sys.path.insert(0, str(Path(__file__).parents[1] / "running"))
from test_golden_whole_nets import NETS, parameters

# as far as every blob of a net is held to Caffe's own, as a part of its largest value
LIMIT = 1e-4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:(?s).*all weights of this net are 0")
@pytest.mark.parametrize("name", NETS)
def test_nets(name, corpus, tmp_path):
    case = NETS[name]
    net = cf.Net(corpus / name if name.startswith("caffe/") else corpus / "files" / name, "TEST", rng=1)
    for blob, shape in case["inputs"].items():
        net.blobs[blob].reshape(*shape)
    net.reshape()
    parameters(net)
    made, _ = cf.export(net, tmp_path / "net.onnx"), cf.export(net, tmp_path / "net.py")
    given = [np.random.RandomState(j).standard_normal(net.blobs[n].shape) for j, n in enumerate(net.inputs)]
    feed = {blob: np.float32(values) for blob, values in zip(net.inputs, given, strict=True)}
    for blob, values in feed.items():
        net.blobs[blob].data[...] = values
    net.forward()
    script = runpy.run_path(str(tmp_path / "net.py"))["forward"](*(feed[blob] for blob in made.inputs), blobs=True)
    for blob, values in script.items():
        ours = net.blobs[blob].data
        np.testing.assert_array_equal(values.reshape(ours.shape).view(np.uint32), ours.view(np.uint32), blob)
    model = onnx.load(tmp_path / "net.onnx")
    there = {value.name for value in (*model.graph.output, *model.graph.input)}
    wanted = {blob: value for blob, value in made.values.items() if blob not in feed}
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in set(wanted.values()) - there)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(list(wanted.values()), {blob: feed[blob] for blob in made.inputs})
    for blob, values in zip(wanted, found, strict=True):
        golden = case["blobs"][blob]
        ours = net.blobs[blob].data
        flat = values.reshape(-1)
        largest = float(np.abs(ours).max())
        assert float(np.abs(flat - ours.reshape(-1)).max()) <= LIMIT * largest, blob
        at = np.asarray(golden["values"], np.float32)
        assert float(np.abs(flat[golden["at"]] - at).max(initial=0.0)) <= LIMIT * golden["max"], blob
