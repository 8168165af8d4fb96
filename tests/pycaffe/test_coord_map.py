"""caffe.coord_map: Crop layers that align two tops."""

from __future__ import annotations

import pytest

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe
from caffe_fillers.pycaffe import layers as L
from caffe_fillers.pycaffe.coord_map import coord_map_from_to, crop


def offsets(top):
    param = top.to_proto().layer[-1].crop_param
    return param.axis, list(param.offset)


def test_layers_that_stay_in_place():
    data = L.Input()
    conv = L.Convolution(data, kernel_size=3, pad=1)
    assert offsets(crop(data, L.Scale(L.ReLU(L.BatchNorm(conv))))) == (2, [0])


def test_pads_and_strides():
    data = L.Input()
    assert offsets(crop(L.Pooling(data, kernel_size=3, pad=5), data)) == (2, [4])
    deconv = dict(convolution_param=dict(kernel_size=2, stride=2))
    twice = L.Deconvolution(L.Convolution(data, kernel_size=2, stride=2, pad=6), **deconv)
    assert offsets(crop(twice, data)) == (2, [6])
    sides = L.Convolution(data, kernel_size=[3, 5], pad=[3, 7])
    assert offsets(crop(sides, data)) == (2, [2, 5])
    axis, scale, _ = coord_map_from_to(twice, L.Pooling(twice, kernel_size=2, stride=2))
    assert (axis, float(scale[0])) == (1, 0.5)


def test_the_shift_of_a_crop_counts_and_its_second_bottom_does_not():
    data = L.Input()
    wide = L.Convolution(data, kernel_size=1, pad=4)
    cut = L.Crop(wide, data, axis=2, offset=3)
    assert offsets(crop(cut, data)) == (2, [1])


def test_made_into_a_net(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 20, 20]))
    n.conv = L.Convolution(n.data, num_output=2, kernel_size=3, pad=8)
    n.cut = crop(n.conv, n.data)
    path = tmp_path / "net.prototxt"
    path.write_text(str(n.to_proto()))
    net = cf.Net(path, "TEST", fill=False)
    assert net.blobs["conv"].shape == (1, 2, 34, 34)
    assert net.blobs["cut"].shape == (1, 2, 20, 20)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda d: (L.Convolution(d, kernel_size=3, stride=2), d), "scale mismatch"),
        (lambda d: (L.Convolution(d, kernel_size=3), d), "begins at"),
        (lambda d: (L.Convolution(d, kernel_size=2, pad=4), d), "begins at"),
        (lambda d: (L.InnerProduct(d, num_output=2), d), "connected by spatial layers"),
        (lambda d: (L.Convolution(d, kernel_size=3, pad_h=2), d), "old fields"),
        (lambda d: (L.Convolution(L.Convolution(d, kernel_size=1), kernel_size=1, axis=2), d), "axis 2 and axis 1"),
    ],
)
def test_what_can_not_be_aligned(make, said):
    with pytest.raises(cf.CaffeError, match=said):
        crop(*make(L.Input()))
