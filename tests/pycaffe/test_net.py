"""caffe.Net: its ways of being made, its names, forward and backward."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe


def test_ways_of_making_one(net_file, net, tmp_path):
    weights = str(tmp_path / "weights, of a net")  # pycaffe cares for no suffix, nor for commas
    net.save(weights)
    for result in (
        caffe.Net(net_file, weights, caffe.TEST),
        caffe.Net(net_file, caffe.TEST, weights=weights),
        caffe.Net(network_file=net_file, weights=weights, phase=caffe.TEST, level=0, stages=["x"]),
        caffe.Net(net_file, caffe.TEST, 0, None, weights),
    ):
        assert result.wrapped.phase == "TEST"
        for name, blobs in net.params.items():
            for mine, theirs in zip(result.params[name], blobs, strict=True):
                assert np.array_equal(mine.data, theirs.data)
    for wrong in ((net_file,), (net_file, weights), (net_file, 7), (net_file, 0, 0, None, weights, 1)):
        with pytest.raises(cf.CaffeError):
            caffe.Net(*wrong)
    with pytest.raises(cf.CaffeError, match=r"none\.prototxt"):
        caffe.Net("none.prototxt", caffe.TEST)


def test_level_and_stages(tmp_path):
    def layer(name, rule):
        return f'layer {{ name: "{name}" type: "Input" top: "{name}" include {{ {rule} }} }}\n'

    path = tmp_path / "net.prototxt"
    path.write_text(layer("a", "min_level: 1") + layer("b", 'stage: "x"') + layer("c", "phase: TEST"))
    assert list(caffe.Net(path, caffe.TRAIN, level=1, stages=["x"]).blobs) == ["a", "b"]
    assert list(caffe.Net(path, caffe.TEST).blobs) == ["c"]


def test_names_are_those_of_caffes_net_with_its_splits(net):
    split = [f"score_ip_0_split_{i}" for i in range(2)]
    assert net._layer_names == ["data", "conv", "ip", "score_ip_0_split", "loss", "extra"]
    assert [layer.type for layer in net.layers][3:] == ["Split", "SoftmaxWithLoss", "Power"]
    assert list(net.blobs) == ["data", "label", "conv", "score", *split, "loss", "double"]
    assert net.top_names["score_ip_0_split"] == split
    assert net.bottom_names == OrderedDict(
        data=[], conv=["data"], ip=["conv"], score_ip_0_split=["score"], loss=[split[0], "label"], extra=[split[1]]
    )
    assert (net.inputs, net.outputs) == ([], ["double", "loss"])
    assert list(net.params) == ["conv", "ip"]
    assert net.layer_dict["conv"].blobs[0].data is net.params["conv"][0].data
    assert {name: weight for name, weight in net.blob_loss_weights.items() if weight} == {"loss": 1}
    assert [net._blob_names[i] for i in net._bottom_ids(4)] == [split[0], "label"]
    assert [net._blob_names[i] for i in net._top_ids(0)] == ["data", "label"]
    assert net.blobs["loss"].diff == 1
    assert [net._blob_names[i] for i in net._outputs] == net.outputs
    assert net._blob_loss_weights[net._outputs[1]] == 1


def test_blobs(net):
    blob = net.blobs["conv"]
    assert (blob.num, blob.channels, blob.height, blob.width, blob.count) == (*blob.shape, blob.data.size)
    assert list(blob.shape) == [5, 11, 8, 9]
    with pytest.raises(AttributeError):
        blob.data = 3
    with pytest.raises(cf.CaffeError, match="one int for each axis"):
        blob.reshape((5, 11, 8, 9))


def test_forward_and_backward(net):
    out = net.forward(blobs=["conv"])
    assert set(out) == {"loss", "double", "conv"}
    assert out["conv"] is net.blobs["conv"].data
    assert np.array_equal(out["double"], 2 * net.blobs["score"].data)
    assert out["loss"].shape == ()
    net.clear_param_diffs()
    assert net.backward(diffs=["data"])["data"] is net.blobs["data"].diff
    weight = net.params["conv"][0].diff
    assert weight.any()
    net.clear_param_diffs()
    assert not weight.any()


def test_start_and_end(net):
    net.forward()
    x = np.random.RandomState(0).standard_normal(net.blobs["conv"].shape).astype(np.float32)
    net.blobs["conv"].data[...] = x
    assert list(net.forward(start="ip", end="ip")) == ["score"]
    weight, bias = (blob.data for blob in net.params["ip"])
    np.testing.assert_allclose(net.blobs["score"].data, x.reshape(5, -1) @ weight.T + bias, rtol=1e-3, atol=1e-5)
    net.blobs["score"].diff[...] = 1
    assert list(net.backward(start="ip", end="ip")) == ["conv"]
    expected = (np.ones((5, 13), np.float32) @ weight).reshape(x.shape)
    np.testing.assert_allclose(net.blobs["conv"].diff, expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(cf.CaffeError, match="no layer is named 'fc'"):
        net.forward(start="fc")
    with pytest.raises(cf.CaffeError, match="no blob is named 'fc'"):
        net.forward(blobs=["fc"])


def test_inputs_by_keyword(deploy_file):
    net = caffe.Net(deploy_file, caffe.TEST)
    assert (net.inputs, net.outputs) == (["data"], ["prob"])
    # in Caffe an input that nobody wrote holds zeros
    np.testing.assert_allclose(net.forward()["prob"], 0.5)
    x = np.random.RandomState(1).standard_normal((4, 3, 8, 8))
    first = net.forward(data=x)["prob"].copy()
    net.blobs["data"].data[...] = x
    assert np.array_equal(net.forward()["prob"], first)
    assert np.array_equal(net.forward(data=x[:, :1, :1, :1])["prob"].shape, (4, 2, 1, 1))
    with pytest.raises(cf.CaffeError, match="do not match net inputs"):
        net.forward(image=x)
    with pytest.raises(cf.CaffeError, match="not batch sized"):
        net.forward(data=x[:3])
    with pytest.raises(cf.CaffeError, match="is of shape"):
        net.forward(data=x[:, :2])
    with pytest.raises(cf.CaffeError, match="do not match net outputs"):
        net.backward(conv=x)


def test_forward_all_and_backward_all(deploy_file):
    net = caffe.Net(deploy_file, caffe.TEST)
    x = np.random.RandomState(2).standard_normal((9, 3, 8, 8)).astype(np.float32)
    out = net.forward_all(data=x, blobs=["conv"])
    assert out["prob"].shape == out["conv"].shape == (9, 2, 1, 1)
    np.testing.assert_allclose(out["prob"].sum(1), 1, rtol=1e-6)
    net.blobs["data"].reshape(9, 3, 8, 8)
    assert np.allclose(net.forward(data=x)["prob"], out["prob"], atol=1e-6)
    net.blobs["data"].reshape(4, 3, 8, 8)
    outs, diffs = net.forward_backward_all(data=x, prob=np.ones((9, 2, 1, 1)), diffs=["conv"])
    assert np.array_equal(outs["prob"], out["prob"])
    assert set(diffs) == {"data", "conv"}
    assert diffs["data"].shape == (9, 3, 8, 8)
    for wrong in ({}, {"image": x}, {"data": x, "prob": np.ones((3, 2, 1, 1)), "x": x}):
        with pytest.raises(cf.CaffeError):
            net.forward_backward_all(**wrong)


def test_reshape_follows_the_inputs(deploy_file):
    net = caffe.Net(deploy_file, caffe.TEST)
    net.blobs["data"].reshape(1, 3, 10, 12)
    net.reshape()
    assert net.blobs["conv"].shape == (1, 2, 3, 5)
    assert net.forward()["prob"].shape == (1, 2, 3, 5)


def test_weights_go_round(net, net_file, tmp_path):
    pytest.importorskip("h5py")
    net.save_hdf5(str(tmp_path / "weights"))
    for read in ("load_hdf5", "copy_from"):
        other = caffe.Net(net_file, caffe.TRAIN)
        assert not np.array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
        getattr(other, read)(str(tmp_path / "weights"))
        assert np.array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
    other = caffe.Net(net_file, caffe.TRAIN)
    other.share_with(net)
    net.params["ip"][0].data[0] = 7
    assert other.params["ip"][0].data[0, 0] == 7


def test_one_stream_for_all(net_file, solver_file):
    def weights():
        return caffe.Net(net_file, caffe.TRAIN).params["conv"][0].data

    caffe.set_random_seed(1701)
    first, second = weights(), weights()
    caffe.set_random_seed(1701)
    assert np.array_equal(weights(), first)
    assert not np.array_equal(first, second)
    assert np.array_equal(cf.Net(net_file, rng=1701).params["conv"][0].data, first)
    # a solver's random_seed begins the stream anew, and what comes next goes on from there
    solver = caffe.get_solver(solver_file)
    assert np.array_equal(solver.net.params["conv"][0].data, first)
    caffe.set_random_seed(1701)
    _, _, third = weights(), weights(), weights()
    caffe.get_solver(solver_file)
    assert np.array_equal(weights(), third)


def test_memory_data(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "m" type: "MemoryData" top: "data" top: "label" '
        "memory_data_param { batch_size: 2 channels: 1 height: 2 width: 2 } }\n"
        'layer { name: "s" type: "Power" bottom: "data" top: "y" power_param { scale: 2 } }\n'
    )
    net = caffe.Net(path, caffe.TEST)
    with pytest.raises(cf.CaffeError):
        net.forward()
    data = np.arange(16, dtype=np.float32).reshape(4, 1, 2, 2)
    net.set_input_arrays(data, np.arange(4, dtype=np.float32))
    seen = []
    for _ in range(3):
        assert np.array_equal(net.forward()["y"], 2 * net.blobs["data"].data)
        seen.append(net.blobs["label"].data.ravel().tolist())
    assert seen == [[0, 1], [2, 3], [0, 1]]
    for wrong in (
        (data.astype(float), data[:, 0, 0, 0]),
        (data[:3], data[:3, 0, 0, 0]),
        (data[:, :, 0], data[0, 0, 0]),
    ):
        with pytest.raises(cf.CaffeError):
            net.set_input_arrays(*wrong)


def test_set_input_arrays_needs_memory_data(net):
    with pytest.raises(cf.CaffeError, match="first layer is a MemoryDataLayer"):
        net.set_input_arrays(np.ones((1, 1, 1, 1), np.float32), np.ones(1, np.float32))


def test_calls_before_and_after_each_layer(net):
    seen = []
    net.before_forward(lambda i: seen.append(("f", i)))
    net.after_forward(lambda i: seen.append(("F", i)))
    net.before_backward(lambda i: seen.append(("b", i)))
    net.after_backward(lambda i: seen.append(("B", i)))
    net.forward(end="conv")
    net.backward(start="conv")
    assert seen == [("f", 0), ("F", 0), ("f", 1), ("F", 1), ("b", 1), ("B", 1), ("b", 0), ("B", 0)]


def test_what_is_not_here_says_so(net):
    with pytest.raises(cf.CaffeError, match=r"net.reshape\(\)"):
        net.layers[1].setup([], [])
    with pytest.raises(cf.CaffeError, match="NCCL"):
        caffe.NCCL(None, "")
    with pytest.raises(cf.CaffeError, match="NCCL"):
        caffe.NCCL.new_uid()
    with pytest.raises(cf.CaffeError, match="4 solvers"):
        caffe.set_solver_count(4)
    assert not caffe.has_nccl()


def test_what_is_not_here_of_the_modules_says_so(net):
    for module, names in ((caffe, ("_caffe", "pycaffe")), (caffe.io, ("skimage", "resize", "zoom"))):
        for name in names:
            with pytest.raises(cf.CaffeError, match=f"{name}.* is not supported"):
                getattr(module, name)
        assert not hasattr(module, "anything")
    with pytest.raises(cf.CaffeError, match="no GPU"):
        _ = net.blobs["data"]._gpu_data_ptr
    assert not hasattr(net.blobs["data"], "anything")


def test_stand_in():
    code = """
import caffe_fillers.pycaffe
caffe_fillers.pycaffe.stand_in()
caffe_fillers.pycaffe.stand_in()
import caffe
import caffe.draw
from caffe import layers as L, params as P
from caffe.proto import caffe_pb2
from caffe.coord_map import crop
from caffe.io import load_image
assert caffe.Net is caffe_fillers.pycaffe.Net and caffe.draw is caffe_fillers.pycaffe.draw
data = L.Input()
crop(L.ReLU(data), data)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    late = "import sys; sys.modules['caffe'] = sys; import caffe_fillers.pycaffe as caffe; caffe.stand_in()"
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True)
    assert "another caffe is imported already" in done.stderr


def test_modes():
    caffe.set_mode_cpu()
    caffe.set_device(0)
    caffe.set_multiprocess(False)
    caffe.set_solver_count(1)
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    with pytest.warns(cf.CaffeWarning, match="on the CPU"):
        caffe.set_mode_gpu()
    assert {"Data", "Convolution", "InnerProduct", "Python"} <= set(caffe.layer_type_list())


def test_the_environment_says_what_is_logged_before_anything_else():
    code = "import caffe_fillers.pycaffe as caffe; caffe.log('hello')"
    for level, said in (("0", True), ("1", False), ("7", False), ("x", True)):
        env = os.environ | {"GLOG_minloglevel": level}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stderr.endswith("] hello\n") == said


def test_log(capsys):
    # whatever a script in this process asked for before
    caffe.init_log(0, True)
    caffe.log("hello")
    assert capsys.readouterr().err.endswith("] hello\n")
    caffe.init_log(1, True)
    caffe.log("not this")
    caffe.init_log()
    caffe.log("nor this")
    caffe.init_log(0, True)
    caffe.log("this")
    assert capsys.readouterr().err.endswith("] this\n")
