"""Layers against PyTorch, forward and backward, in doubles: a second opinion beside the values measured from Caffe."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema

torch = functional = None
GAUSS = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


@pytest.fixture(scope="module", autouse=True)
def _pytorch():
    """Import PyTorch where these tests run: it would take a second of each process that collects them."""
    global torch, functional
    torch = pytest.importorskip("torch", reason="NOT RUN: PyTorch is not installed")
    functional = torch.nn.functional


def net_of(layer, shape, *more, phase="TRAIN"):
    text = "force_backward: true "
    for i, dims in enumerate((shape, *more)):
        dims = " ".join(f"dim: {dim}" for dim in dims)
        text += f'layer {{ name: "in{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {dims} }} }} }} '
    bottoms = " ".join(f'bottom: "b{i}"' for i in range(1 + len(more)))
    text += f'layer {{ name: "it" {bottoms} top: "y" {layer} }}'
    return cf.Net(text_format.Parse(text, schema.NetParameter()), phase, rng=3, dtype=np.float64)


def tensor(values):
    # through lists: PyTorch may have been built for another NumPy
    return torch.tensor(np.asarray(values).tolist(), dtype=torch.float64, requires_grad=True)


def array(values):
    return np.array(values.detach().tolist())


def same(net, compute, learned=None):
    """One pass both ways: tops, the gradient of the input, and those of the parameters."""
    random = np.random.default_rng(4)
    x = random.standard_normal(net.blobs["b0"].shape)
    others = {name: net.blobs[name].data.copy() for name in net.inputs[1:]}
    y = net.forward(b0=x, **others)["y"]
    dy = random.standard_normal(y.shape)
    net.backward(y=dy)
    blobs = net.layer_dict["it"].blobs[:learned]
    theirs, *parameters = tensor(x), *(tensor(blob.data) for blob in blobs)
    result = compute(theirs, *parameters)
    result.backward(tensor(dy).detach())
    np.testing.assert_allclose(y, array(result), rtol=0, atol=1e-11 * np.abs(y).max())
    for blob, other in zip((net.blobs["b0"], *blobs), (theirs, *parameters), strict=True):
        gradient = array(other.grad)
        np.testing.assert_allclose(blob.diff, gradient, rtol=0, atol=1e-11 * np.abs(gradient).max())


@pytest.mark.parametrize(
    ("group", "stride", "pad", "dilation"), [(1, 1, 0, 1), (2, 2, 1, 1), (3, 1, 2, 2), (6, 3, 1, 1)]
)
@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions(transposed, group, stride, pad, dilation):
    kind = "Deconvolution" if transposed else "Convolution"
    numbers = f"num_output: 12 kernel_size: 3 group: {group} stride: {stride} pad: {pad} dilation: {dilation} {GAUSS}"
    theirs = functional.conv_transpose2d if transposed else functional.conv2d
    options = {"stride": stride, "padding": pad, "dilation": dilation, "groups": group}
    same(
        net_of(f'type: "{kind}" convolution_param {{ {numbers} }}', (2, 6, 9, 8)),
        lambda x, w, b: theirs(x, w, b, **options),
    )


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 2)])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_poolings(method, kernel, stride, pad):
    net = net_of(
        f'type: "Pooling" pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} }}',
        (2, 3, 9, 8),
    )
    if method == "MAX":
        same(net, lambda x: functional.max_pool2d(x, kernel, stride, pad, ceil_mode=True))
    else:
        same(net, lambda x: functional.avg_pool2d(x, kernel, stride, pad, ceil_mode=True, count_include_pad=True))


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), [(5, 1e-1, 0.75, 1), (3, 2, 0.5, 2)])
def test_lrn(size, alpha, beta, k):
    numbers = f"local_size: {size} alpha: {alpha} beta: {beta} k: {k}"
    # the numbers are floats in the prototxt
    alpha, beta, k = (float(np.float32(each)) for each in (alpha, beta, k))
    same(
        net_of(f'type: "LRN" lrn_param {{ {numbers} }}', (2, 7, 3, 4)),
        lambda x: functional.local_response_norm(x, size, alpha, beta, k),
    )


@pytest.mark.parametrize("stored", [False, True])
def test_batch_norm(stored):
    layer = f'type: "BatchNorm" batch_norm_param {{ use_global_stats: {str(stored).lower()} }}'
    net = net_of(layer, (4, 3, 5, 2))
    eps, mean, variance = float(np.float32(1e-5)), [0.5, -1.0, 2.0], [0.5, 1.0, 3.0]
    for blob, values in zip(net.params["it"], (mean, variance, [1.0]), strict=True):
        blob.data[...] = values
    if stored:
        stored_mean, stored_variance = tensor(mean).detach(), tensor(variance).detach()
        same(net, lambda x: functional.batch_norm(x, stored_mean, stored_variance, eps=eps), 0)
    else:
        same(net, lambda x: functional.batch_norm(x, None, None, training=True, eps=eps), 0)


def test_lstm():
    net = net_of(f'type: "LSTM" recurrent_param {{ num_output: 3 {GAUSS} }}', (5, 2, 4), (5, 2))
    cont = net.blobs["b1"].data
    cont[...], cont[0] = 1, 0

    def lstm(x, weight, bias, recurrent):
        # the gates are in the order input, forget, output, new values; PyTorch's last two are the other way round
        order = torch.tensor([0, 1, 2, 3, 4, 5, 9, 10, 11, 6, 7, 8])
        model = torch.nn.LSTM(4, 3).double()
        parameters = {
            "weight_ih_l0": weight[order],
            "weight_hh_l0": recurrent[order],
            "bias_ih_l0": bias[order],
            "bias_hh_l0": torch.zeros(12, dtype=torch.float64),
        }
        return torch.func.functional_call(model, parameters, (x,))[0]

    same(net, lstm)
