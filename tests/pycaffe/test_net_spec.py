"""NetSpec, layers and params: every way of calling them, and the text that comes of it.

The texts in net_spec.json are those that pycaffe's own net_spec writes for the same calls.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.internal import api_implementation

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe
from caffe_fillers.pycaffe import layers as L
from caffe_fillers.pycaffe import params as P
from caffe_fillers.pycaffe.proto import caffe_pb2

EXPECTED = json.loads(Path(__file__).with_name("net_spec.json").read_text())


def lenet(caffe, L, P):
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(
        shape=[dict(dim=[4, 1, 28, 28]), dict(dim=4)], transform_param=dict(scale=1.0 / 255), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool1, num_output=500, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


def automatic_names(caffe, L, P):
    data, label = L.DummyData(shape=[dict(dim=[4, 2, 9, 9]), dict(dim=[4])], ntop=2)
    conv = L.Convolution(data, kernel_size=3, num_output=2)
    relu = L.ReLU(conv, in_place=True)
    both = L.Eltwise(L.Convolution(relu, kernel_size=1, num_output=2), relu, operation=P.Eltwise.SUM, coeff=[1, -1])
    score = L.InnerProduct(both, num_output=3)
    return caffe.to_proto(L.SoftmaxWithLoss(score, label), L.Accuracy(score, label, top_k=2))


def names_by_item(caffe, L, P):
    n = caffe.NetSpec()
    n["data"] = L.Input(shape=[dict(dim=[2, 3, 8, 8])])
    for i in range(2):
        n[f"res{i}/conv"] = L.Convolution(
            n["data" if i == 0 else "res0/conv"], num_output=3, kernel_size=3, pad=1, bias_term=False
        )
        n[f"res{i}/bn"] = L.BatchNorm(n[f"res{i}/conv"], in_place=True, param=[dict(lr_mult=0)] * 3)
        setattr(n, f"res{i}/scale", L.Scale(n[f"res{i}/bn"], bias_term=True, in_place=True))
    return n.to_proto()


def lists_and_dicts(caffe, L, P):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        source="train_lmdb",
        backend=P.Data.LMDB,
        batch_size=8,
        ntop=2,
        include=dict(phase=0, stage=["a", "b"], not_stage="c"),
        transform_param=dict(crop_size=7, mean_value=[104, 117, 123], mirror=True),
    )
    n.conv = L.Convolution(
        n.data,
        kernel_size=[3, 5],
        stride=2,
        pad=[1, 2],
        num_output=4,
        group=1,
        param=[dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0, name="b")],
        weight_filler=dict(type="msra", variance_norm=2),
        bias_filler=dict(type="constant", value=0.1),
        engine=1,
    )
    n.up = L.Deconvolution(
        n.conv, convolution_param=dict(num_output=4, kernel_size=4, stride=2, weight_filler=dict(type="bilinear"))
    )
    n.crop = L.Crop(n.up, n.data, axis=2, offset=[1, 2])
    n.norm = L.LRN(n.crop, local_size=5, alpha=1e-4, beta=0.75, norm_region=P.LRN.WITHIN_CHANNEL)
    n.loss = L.SoftmaxWithLoss(
        n.norm,
        n.label,
        loss_param=dict(ignore_label=255, normalization=P.Loss.VALID),
        loss_weight=0.5,
        propagate_down=[True, False],
    )
    return n.to_proto()


def several_tops(caffe, L, P):
    n = caffe.NetSpec()

    def conv_relu(bottom, outputs):
        conv = L.Convolution(bottom, kernel_size=1, num_output=outputs)
        return conv, L.ReLU(conv, in_place=True)

    n.data, label = L.DummyData(shape=[dict(dim=[2, 4, 3, 3]), dict(dim=[2])], ntop=2)
    n.conv1, n.relu1 = conv_relu(n.data, 6)
    first, n.second, third = L.Slice(n.relu1, ntop=3, slice_point=[1, 3])
    n.joined = L.Concat(third, first, n.second, axis=1)
    n.quiet = L.Silence(label, ntop=0)
    n.also = L.Silence(first, third, ntop=0)
    return n.to_proto()


def hidden_layers(caffe, L, P):
    n = caffe.NetSpec()
    n.a, n.b = L.DummyData(shape=dict(dim=3), ntop=2)
    hidden = L.Power(n.a, power=2, scale=-0.5, shift=3)
    n.out = L.Reduction(L.AbsVal(hidden), operation=P.Reduction.ASUM, axis=0)
    n.silence = L.Silence(n.b, ntop=0)
    return n.to_proto()


def python_and_text(caffe, L, P):
    n = caffe.NetSpec()
    params = dict(batch_size=2, im_shape=[3, 4], split='tr"ain')
    n.data, n.label = L.Python(module="layers", layer="Source", ntop=2, param_str=str(params))
    n.out = L.Python(n.data, python_param=dict(module="layers", layer="Other"), loss_weight=1)
    return n.to_proto()


def renamed_top(caffe, L, P):
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 2])))
    n.drop = n.last = L.Dropout(n.data, dropout_ratio=0.25, in_place=True)
    n.out = L.InnerProduct(n.last, num_output=2**20, axis=-1, weight_filler=dict(type="gaussian", std=1e-5, sparse=3))
    return n.to_proto()


CASES = [
    lenet,
    automatic_names,
    names_by_item,
    lists_and_dicts,
    several_tops,
    hidden_layers,
    python_and_text,
    renamed_top,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_text_is_pycaffes(case):
    expected = EXPECTED[case.__name__]
    if api_implementation.Type() == "python":
        # which writes 0.0 for C++'s 0
        expected = str(text_format.Parse(expected, caffe_pb2.NetParameter()))
    assert str(case(caffe, L, P)) == expected


def test_every_case_is_in_the_table():
    assert {case.__name__ for case in CASES} == set(EXPECTED)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_text_is_read_back(case, tmp_path):
    result = case(caffe, L, P)
    path = tmp_path / "net.prototxt"
    path.write_text(str(result))
    assert cf.read_net(path) == result
    assert text_format.Parse(str(result), caffe_pb2.NetParameter()) == result


def test_lenet_is_set_up_from_its_text(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(str(lenet(caffe, L, P)))
    net = cf.Net(path)
    assert net.top_names["relu1"] == ["fc1"]
    assert net.params["conv1"][0].shape == (20, 1, 5, 5)


def test_a_top_writes_what_it_needs():
    data = L.Input(shape=dict(dim=[1]))
    wanted, other = L.ReLU(data), L.TanH(data)
    assert [layer.type for layer in wanted.to_proto().layer] == ["Input", "ReLU"]
    assert [layer.type for layer in caffe.to_proto(other, wanted).layer] == ["Input", "TanH", "ReLU"]


def test_nets_may_be_deeper_than_pythons_stack():
    top = L.Input(shape=dict(dim=[1]))
    for _ in range(3000):
        top = L.ReLU(top)
    assert top.to_proto().layer[-1].name == "ReLU3000"


def test_inputs_are_tops():
    data = L.DummyData(ntop=2)
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$"):
        L.Silence(data, ntop=0)
    assert L.Silence(*data, ntop=0).ntop == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda d: L.ReLU(d, kernel=3), r"L.ReLU\(kernel=...\): LayerParameter has no field 'kernel', nor has relu_p"),
        (lambda d: L.Softmaxx(d, axis=1), "LayerParameter has no field 'axis'"),
        (lambda d: L.Convolution(d, weight_filler=dict(tpye="xavier")), "FillerParameter has no field 'tpye'"),
        (lambda d: L.Convolution(d, num_output="many"), r"L.Convolution\(num_output='many'\)"),
        (lambda d: L.Convolution(d, num_output=[3, 4]), "takes one value"),
    ],
)
def test_wrong_fields(make, said):
    with pytest.raises(cf.CaffeError, match=said):
        make(L.Input()).to_proto()


def test_a_wrong_field_is_an_attribute_error_and_a_missing_top_a_key_error_too():
    with pytest.raises(AttributeError):
        L.ReLU(kernel=3).to_proto()
    n = caffe.NetSpec()
    assert not hasattr(n, "conv1")
    with pytest.raises(KeyError):
        n["conv1"]
    n.conv1 = 3
    with pytest.raises(cf.CaffeError, match="NetSpec's 'conv1' is what a call of layers returns, got 3"):
        n.to_proto()


def test_old_names_of_messages_and_constants():
    solver = caffe_pb2.SolverParameter(solver_mode=caffe_pb2.SolverParameter.GPU, type="SGD")
    assert str(solver) == 'solver_mode: GPU\ntype: "SGD"\n'
    assert (caffe.TRAIN, caffe.TEST, caffe_pb2.Phase.Name(1)) == (0, 1, "TEST")
    assert caffe_pb2.PoolingParameter.PoolMethod.Name(P.Pooling.STOCHASTIC) == "STOCHASTIC"
    assert {"NetParameter", "Datum", "BlobProto", "V1LayerParameter", "TRAIN"} <= set(dir(caffe_pb2))
    assert caffe_pb2.Datum(channels=3).SerializeToString() == b"\x08\x03"
    with pytest.raises(AttributeError, match="no such message"):
        _ = caffe_pb2.NetParam
