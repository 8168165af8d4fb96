"""The signal report: textbook results, fans counted one by one, and predictions beside measurements."""

from __future__ import annotations

import itertools
import json
import math
import re
import runpy
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import ops, schema
from caffe_fillers.signals import SignalReport
from caffe_fillers.signals.fans import true_fans
from caffe_fillers.signals.meanfield import Values
from caffe_fillers.signals.plots import signal_plot
from caffe_fillers.signals.rows import LayerSignal
from caffe_fillers.signals.through import activation

ROOT = Path(__file__).parents[1]
NETS = runpy.run_path(str(ROOT / "examples" / "signal" / "nets.py"))


def build(tmp_path: Path, text: str, **options: Any) -> cf.Net:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        return cf.Net(path, rng=options.pop("rng", 1), **options)


def over(shape: tuple[int, ...], *layers: str) -> str:
    dims = " ".join(f"dim: {dim}" for dim in shape)
    return f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n' + "\n".join(
        f"layer {{ {layer} }}" for layer in layers
    )


def conv(name: str, bottom: str, rest: str, kind: str = "Convolution") -> str:
    filler = "" if "weight_filler" in rest else 'weight_filler { type: "msra" }'
    return f'name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}" convolution_param {{ {rest} {filler} }}'


def dense(name: str, bottom: str, outputs: int, filler: str = 'type: "msra"', rest: str = "") -> str:
    param = f"num_output: {outputs} weight_filler {{ {filler} }} {rest}"
    return f'name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" inner_product_param {{ {param} }}'


def plain(tmp_path: Path, depth: int, filler: str, activation: str, width: int = 400, **options: Any) -> SignalReport:
    return cf.signal(build(tmp_path, NETS["plain"](depth, filler, activation, width)), **options)


# --- the textbook ----------------------------------------------------------------------------------------------------


def test_thirty_relus_under_xavier_lose_the_signal(tmp_path: Path) -> None:
    report = plain(tmp_path, 30, 'type: "xavier"', "ReLU", measure=True)
    for i, row in enumerate(report.layers, 1):
        assert row.forward_gain == pytest.approx(1 / 2)
        assert row.backward_gain == pytest.approx(1 / 2)
        assert row.forward == pytest.approx(2.0**-i)
        assert row.backward == pytest.approx(2.0 ** (i - 31))
        assert row.variance == pytest.approx(2.0 ** (1 - i))
        # one draw of so deep a net wanders from its mean
        assert 1 / 5 < row.measured / row.variance < 5
        assert row.unit_gain_filler_forward == row.unit_gain_filler_backward == {"type": "msra"}
    assert [text[: text.index(" (")] for text in report.findings] == [
        "forward: the signal vanishes at layer 'ip11'",
        "backward: the gradient vanishes at layer 'ip20'",
    ]
    assert all('weight_filler { type: "msra" } in 30 layers' in text for text in report.findings)


def test_thirty_relus_under_msra_keep_it(tmp_path: Path) -> None:
    report = plain(tmp_path, 30, 'type: "msra"', "ReLU", measure=True)
    for row in report.layers:
        assert row.forward == pytest.approx(1, rel=1e-4)
        assert row.backward == pytest.approx(1, rel=1e-4)
        assert row.variance == pytest.approx(2, rel=1e-4)
        assert 1 / 5 < row.measured / row.variance < 5
    assert report.findings == []


def test_thirty_tanhs_under_xavier_keep_it(tmp_path: Path) -> None:
    report = plain(tmp_path, 30, 'type: "xavier"', "TanH", measure=True)
    for row in report.layers:
        assert row.forward == pytest.approx(1, rel=1e-4)
        assert row.backward == pytest.approx(1, rel=1e-4)
        # tanh saturates: the values shrink, slowly, and the prediction knows how far
        assert row.measured == pytest.approx(row.variance, rel=0.25)
    assert report.layers[-1].variance > 0.01
    assert report.findings == []


def test_thirty_sigmoids_lose_it_at_once(tmp_path: Path) -> None:
    report = plain(tmp_path, 30, 'type: "xavier"', "Sigmoid", measure=True)
    assert report.layers[4].forward == pytest.approx(16.0**-5)
    # what is left are values that no longer depend on the input
    assert report.layers[-1].measured == pytest.approx(report.layers[-1].variance, rel=0.2)
    assert "vanishes" in report.findings[0]


def test_prelu_is_kept_by_he_normal(tmp_path: Path) -> None:
    report = plain(tmp_path, 30, 'type: "msra"', "PReLU")
    assert report.layers[-1].forward == pytest.approx((1 + 0.25**2) ** 30, rel=1e-4)
    holder = report.layers[0].unit_gain_filler_forward
    assert holder is not None
    assert holder["std"] == pytest.approx(math.sqrt(2 / (1 + 0.25**2) / 400), rel=1e-3)
    assert np.std(cf.he_normal((400, 400), 0.25, rng=1)) == pytest.approx(holder["std"], rel=0.01)


def test_batch_normalisation_makes_gradients_grow_by_pi_over_pi_minus_1(tmp_path: Path) -> None:
    # Yang et al. 2019: in a deep net of ReLU behind batch normalisation
    layers, top = [], "x"
    for i in range(6):
        layers += [dense(f"ip{i}", top, 300), f'name: "bn{i}" type: "BatchNorm" bottom: "ip{i}" top: "bn{i}"']
        layers += [f'name: "relu{i}" type: "ReLU" bottom: "bn{i}" top: "bn{i}"']
        top = f"bn{i}"
    report = cf.signal(build(tmp_path, over((64, 300), *layers)))
    backward = [row.backward for row in report.layers[1:]]
    for left, right in itertools.pairwise(backward):
        assert left / right == pytest.approx(math.pi / (math.pi - 1), rel=0.02)
    assert all(row.normalised and row.forward == pytest.approx(1 / 2) for row in report.layers)


# --- fans ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (conv("y", "x", "num_output: 6 kernel_size: 3"), (1, 4, 12, 10)),
        (conv("y", "x", "num_output: 6 kernel_size: 3 pad: 1"), (1, 4, 12, 10)),
        (conv("y", "x", "num_output: 6 kernel_h: 3 kernel_w: 5 stride: 2 pad_h: 1 pad_w: 2 group: 2"), (1, 4, 12, 10)),
        (conv("y", "x", "num_output: 6 kernel_size: 3 dilation: 2 pad: 2 stride: 3"), (1, 4, 12, 10)),
        (conv("y", "x", "num_output: 4 kernel_size: 5 pad: 4 group: 4"), (1, 4, 7, 3)),
        (conv("y", "x", "num_output: 6 kernel_size: 3 pad: 1"), (1, 4, 9)),
        (conv("y", "x", "num_output: 6 kernel_size: 2 pad: 1 stride: 2"), (1, 4, 5, 6, 7)),
        (conv("y", "x", "num_output: 6 kernel_size: 4 stride: 2 pad: 1", "Deconvolution"), (1, 4, 5, 6)),
        (conv("y", "x", "num_output: 4 kernel_size: 3 stride: 2 group: 4", "Deconvolution"), (1, 4, 5, 6)),
        (
            conv("y", "x", "num_output: 4 kernel_size: 3 stride: 1 pad: 1 group: 4", "DepthwiseConvolution"),
            (1, 4, 5, 6),
        ),
        (conv("y", "x", "num_output: 4 kernel_size: 3 stride: 1 pad: 1", "ConvolutionDepthwise"), (1, 4, 5, 6)),
        (dense("y", "x", 7), (3, 4, 5)),
        (dense("y", "x", 7, rest="transpose: true"), (3, 4, 5)),
        (dense("y", "x", 7, rest="axis: 2"), (3, 4, 5)),
    ],
)
def test_fans_are_those_of_the_sums(tmp_path: Path, layer: str, shape: tuple[int, ...]) -> None:
    """Count the connections: with weights and inputs of 1, each output says how many inputs it has."""
    net, counted = build(tmp_path, over(shape, layer)), connections(tmp_path, layer, shape)
    (row,) = cf.signal(net).layers
    fans = true_fans(net.steps[1].setup.operation, net.params["y"][0].shape, shape, net.blobs["y"].shape)
    assert fans is not None
    assert counted["y"].sum() == pytest.approx(counted["y"].size * row.fan_in * fans.inside)
    assert counted["x"].sum() == counted["y"].sum()
    assert (row.caffe_fan_in, row.caffe_fan_out) == cf.fans(net.params["y"][0].shape)
    # away from borders, where each input has as many outputs as it can: on a larger image, over one turn of the stride
    turn = int(match[1]) if (match := re.search(r"stride: (\d)", layer)) else 1
    if "convolution_param" in layer:
        counted = connections(tmp_path, layer, (*shape[:2], *(24 if len(shape) < 5 else 12 for _ in shape[2:])))
    for blob, fan in (("y", row.fan_in), ("x", row.fan_out)):
        values = counted[blob]
        middle = (slice(n // 2, n // 2 + turn) for n in values.shape[2:]) if "convolution_param" in layer else ()
        assert values[(..., *middle)].mean() == fan


def connections(tmp_path: Path, layer: str, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return how many inputs each value of "y" is a sum of, and into how many outputs each value of "x" goes."""
    net = build(tmp_path, "force_backward: true\n" + over(shape, layer))
    for blob in net.params["y"]:
        blob.data[...] = 0
    net.params["y"][0].data[...] = 1
    net.blobs["x"].data[...] = 1
    net.forward()
    net.blobs["y"].diff[...] = 1
    net.backward()
    return {"y": net.blobs["y"].data.astype(float), "x": net.blobs["x"].diff.astype(float)}


def test_fan_out_counts_group_and_stride(tmp_path: Path) -> None:
    (row,) = cf.signal(
        build(tmp_path, over((1, 4, 40, 40), conv("y", "x", "num_output: 6 kernel_size: 4 stride: 2 group: 2")))
    ).layers
    assert (row.fan_in, row.fan_out) == (2 * 16, 3 * 16 / 4)
    assert (row.caffe_fan_in, row.caffe_fan_out) == (32, 96)
    # a deconvolution's weight is the other way round, and Caffe's fans with it
    text = conv("y", "x", "num_output: 6 kernel_size: 4 stride: 2 group: 2", "Deconvolution")
    (row,) = cf.signal(build(tmp_path, over((1, 4, 10, 10), text))).layers
    assert (row.fan_in, row.fan_out) == (2 * 16 / 4, 3 * 16)
    assert (row.caffe_fan_in, row.caffe_fan_out) == (48, 64)


@pytest.mark.parametrize("caffe", ["v0.9999", "rc", "rc2", "rc3", "1.0"])
def test_old_revisions_drew_inner_products_far_too_small(caffe: str) -> None:
    report = cf.signal(lenet(caffe=caffe), measure=True)
    old = caffe in ("v0.9999", "rc", "rc2")
    row = report.layers[2]
    assert (row.layer, row.fan_in, row.fan_out) == ("ip1", 800, 500)
    assert row.caffe_fan_in == (400_000 if old else 800)
    assert row.forward_gain == pytest.approx(1 / 2 / (500 if old else 1))
    assert row.measured == pytest.approx(row.variance, rel=0.4)


def test_padding_is_in_the_prediction_and_not_in_the_gain(tmp_path: Path) -> None:
    net = build(tmp_path, over((1, 16, 4, 4), conv("y", "x", "num_output: 64 kernel_size: 3 pad: 1")))
    (row,) = cf.signal(net, measure=True, images=300).layers
    assert row.forward_gain == pytest.approx(2)
    # 10 of 12 taps meet a pixel on each axis
    assert row.variance == pytest.approx(2 * (10 / 12) ** 2)
    assert row.measured == pytest.approx(row.variance, rel=0.05)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (conv("y", "x", "num_output: 64 kernel_size: 3 group: 4 weight_filler { %s }"), "Convolution"),
        (conv("y", "x", "num_output: 64 kernel_size: 3 stride: 2 weight_filler { %s }"), "Convolution"),
        (
            conv("y", "x", "num_output: 8 kernel_size: 4 stride: 2 weight_filler { %s }", "Deconvolution"),
            "Deconvolution",
        ),
        (dense("y", "x", 50, "%s", "transpose: true"), "InnerProduct"),
    ],
)
@pytest.mark.parametrize("activation", ["ReLU", "TanH", "PReLU", "ELU", "Sigmoid"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_filler_that_is_named_holds_the_signal(
    tmp_path: Path, layer: str, kind: str, activation: str, direction: str
) -> None:
    after = f'name: "z" type: "{activation}" bottom: "y" top: "y"'
    (row,) = cf.signal(build(tmp_path, over((1, 16, 9, 9), layer % 'type: "gaussian" std: 0.5', after))).layers
    holder = row.unit_gain_filler_forward if direction == "forward" else row.unit_gain_filler_backward
    assert holder is not None
    text = " ".join(f'{k}: "{v}"' if k == "type" else f"{k}: {v}" for k, v in holder.items())
    (row,) = cf.signal(build(tmp_path, over((1, 16, 9, 9), layer % text, after))).layers
    assert (row.forward_gain if direction == "forward" else row.backward_gain) == pytest.approx(1, rel=0.02)


# --- predictions beside measurements ---------------------------------------------------------------------------------

MIDDLE = [
    'name: "m" type: "ReLU" bottom: "a" top: "m" relu_param { negative_slope: 0.2 }',
    'name: "m" type: "PReLU" bottom: "a" top: "m"',
    'name: "m" type: "ELU" bottom: "a" top: "m" elu_param { alpha: 0.7 }',
    'name: "m" type: "Sigmoid" bottom: "a" top: "m"',
    'name: "m" type: "TanH" bottom: "a" top: "m"',
    'name: "m" type: "AbsVal" bottom: "a" top: "m"',
    'name: "m" type: "BNLL" bottom: "a" top: "m"',
    'name: "m" type: "Swish" bottom: "a" top: "m"',
    'name: "m" type: "Clip" bottom: "a" top: "m" clip_param { min: -1 max: 0.5 }',
    'name: "m" type: "Threshold" bottom: "a" top: "m" threshold_param { threshold: 0.5 }',
    'name: "m" type: "Exp" bottom: "a" top: "m" exp_param { scale: 0.3 }',
    'name: "m" type: "Power" bottom: "a" top: "m" power_param { power: 2 scale: 0.5 shift: 1 }',
    'name: "m" type: "Power" bottom: "a" top: "m" power_param { scale: 0.5 shift: 1 }',
    'name: "m" type: "ReLU6" bottom: "a" top: "m"',
    'name: "m" type: "HardSwish" bottom: "a" top: "m"',
    'name: "m" type: "Dropout" bottom: "a" top: "m" dropout_param { dropout_ratio: 0.3 }',
    'name: "m" type: "LRN" bottom: "a" top: "m" lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 k: 2 }',
    'name: "m" type: "LRN" bottom: "a" top: "m" lrn_param { local_size: 3 alpha: 0.2 norm_region: WITHIN_CHANNEL }',
    'name: "m" type: "BatchNorm" bottom: "a" top: "m"',
    'name: "m" type: "BatchNorm" bottom: "a" top: "m" batch_norm_param { scale_bias: true }',
    'name: "m" type: "MVN" bottom: "a" top: "m"',
    'name: "m" type: "MVN" bottom: "a" top: "m" mvn_param { normalize_variance: false }',
    'name: "m" type: "Scale" bottom: "a" top: "m" '
    "scale_param { filler { value: 3 } bias_term: true bias_filler { value: 2 } }",
    'name: "m" type: "Bias" bottom: "a" top: "m" bias_param { filler { type: "gaussian" std: 2 } }',
    'name: "m" type: "Scale" bottom: "a" top: "m" scale_param { filler { type: "gaussian" mean: 1 std: 1 } }',
    'name: "m" type: "Pooling" bottom: "a" top: "m" pooling_param { pool: MAX kernel_size: 2 stride: 2 }',
    'name: "m" type: "Pooling" bottom: "a" top: "m" pooling_param { pool: AVE kernel_size: 3 stride: 2 }',
    'name: "m" type: "Pooling" bottom: "a" top: "m" pooling_param { pool: AVE global_pooling: true }',
    'name: "m" type: "Eltwise" bottom: "a" bottom: "b" top: "m"',
    'name: "m" type: "Eltwise" bottom: "a" bottom: "b" top: "m" eltwise_param { coeff: 1 coeff: -2 }',
    'name: "m" type: "Eltwise" bottom: "a" bottom: "b" top: "m" eltwise_param { operation: PROD }',
    'name: "m" type: "Eltwise" bottom: "a" bottom: "b" top: "m" eltwise_param { operation: MAX }',
    'name: "m" type: "Scale" bottom: "a" bottom: "b" top: "m" scale_param { axis: 0 }',
    'name: "m" type: "Concat" bottom: "a" bottom: "b" bottom: "b" top: "m"',
    'name: "m" type: "Slice" bottom: "a" top: "m" top: "n" slice_param { slice_point: 60 }',
    'name: "m" type: "Add" bottom: "a" bottom: "b" top: "m"',
    'name: "m" type: "Mul" bottom: "a" bottom: "b" top: "m"',
    'name: "m" type: "BN" bottom: "a" top: "m" bn_param { scale_filler { value: 3 } shift_filler { value: 2 } }',
    'name: "m" type: "Normalize" bottom: "a" top: "m" norm_param { across_spatial: false scale_filler { value: 20 } }',
    'name: "m" type: "Permute" bottom: "a" top: "m" permute_param { order: [0, 2, 3, 1] }',
    'name: "m" type: "Flatten" bottom: "a" top: "m"',
    'name: "m" type: "Reshape" bottom: "a" top: "m" reshape_param { shape { dim: 0 dim: -1 } }',
]


@pytest.mark.parametrize("middle", MIDDLE)
def test_predicted_variances_are_those_measured(tmp_path: Path, middle: str) -> None:
    """Layer between two layers with weights: the second's result is what the layer between leaves."""
    # 1x1 kernels keep neighbours independent, which the prediction takes them for
    text = over(
        (2, 200, 6, 6),
        conv("a", "x", "num_output: 200 kernel_size: 1 bias_filler { value: 0.3 }"),
        conv("b", "x", 'num_output: 200 kernel_size: 1 weight_filler { type: "xavier" }'),
        middle,
        dense("z", "m", 400),
    )
    report = cf.signal(build(tmp_path, text, rng=3), measure=True, images=32)
    assert report.notes == []
    row = report.layers[-1]
    assert row.measured == pytest.approx(row.variance, rel=0.12), middle
    assert row.depth == 2


def test_every_activation_is_tried() -> None:
    tried = {middle.split('type: "')[1].split('"')[0] for middle in MIDDLE}
    kinds = {kind.__name__ for kind in ops.Elementwise.__subclasses__()}
    assert kinds - tried == {"Log"}


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ('type: "ReLU"', 1 / 2),
        ('type: "ReLU" relu_param { negative_slope: 0.5 }', (1 + 0.5**2) / 2),
        ('type: "PReLU"', (1 + 0.25**2) / 2),
        ('type: "PReLU" prelu_param { filler { value: 0.1 } }', (1 + 0.1**2) / 2),
        ('type: "Sigmoid"', 1 / 16),
        ('type: "TanH"', 1),
        ('type: "ELU"', 1),
        ('type: "ELU" elu_param { alpha: 0.5 }', (1 + 0.5**2) / 2),
        ('type: "BNLL"', 1 / 4),
        ('type: "Swish"', 1 / 4),
        ('type: "AbsVal"', 1),
        ('type: "Clip" clip_param { min: 1 max: 2 }', 0),
        ('type: "Exp" exp_param { scale: 2 }', 4),
        ('type: "Log" log_param { shift: 2 }', 1 / 4),
    ],
)
def test_factors_are_mean_squares_of_the_slopes_at_0(tmp_path: Path, text: str, factor: float) -> None:
    net = build(
        tmp_path, over((1, 4, 3, 3), dense("a", "x", 4, rest="axis: -1"), f'name: "f" {text} bottom: "a" top: "f"')
    )
    (row,) = cf.signal(net).layers
    assert row.factor == pytest.approx(factor)
    actual = activation(net.steps[2].setup.operation, net.params["f"][0].data[0] if "f" in net.params else 0.0)
    assert actual is not None
    at = np.array([[-2e-6, -1e-6], [1e-6, 2e-6]])
    slopes = np.diff(actual[0](at), axis=1) / np.diff(at, axis=1)
    assert np.mean(slopes**2) == pytest.approx(factor, rel=1e-3, abs=1e-9)
    assert cf.signal(build(tmp_path, (tmp_path / "net.prototxt").read_text(), fill=False)).layers[
        0
    ].factor == pytest.approx(factor)


def test_residual_sums_add_and_branches_join(tmp_path: Path) -> None:
    text = over(
        (1, 32, 8, 8),
        conv("a", "x", 'num_output: 32 kernel_size: 1 weight_filler { type: "xavier" }'),
        'name: "sum" type: "Eltwise" bottom: "a" bottom: "x" top: "sum" eltwise_param { coeff: 1 coeff: 0.5 }',
        conv("b", "sum", 'num_output: 96 kernel_size: 1 weight_filler { type: "msra" }'),
        'name: "join" type: "Concat" bottom: "sum" bottom: "b" top: "join"',
        conv("c", "join", 'num_output: 10 kernel_size: 1 weight_filler { type: "xavier" }'),
    )
    a, b, c = cf.signal(build(tmp_path, text)).layers
    assert a.forward == pytest.approx(1)
    assert b.forward == pytest.approx(2 * 1.25)
    assert c.forward == pytest.approx((32 * 1.25 + 96 * 2.5) / 128)
    assert c.backward == pytest.approx(10 / 128)
    # through b and around it
    assert b.backward == pytest.approx(10 / 128 * (96 * 2 / 32 + 1))
    assert a.backward == pytest.approx(b.backward * (1 + 0.25))
    assert [row.depth for row in (a, b, c)] == [1, 2, 3]


BETWEEN = [
    ('"Permute"', "permute_param { order: [0, 2, 3, 1] }", 1),
    ('"Flatten"', "", 1),
    ('"Bias"', "bias_param { filler { value: 3 } }", 1),
    ('"Scale"', "scale_param { filler { value: 3 } }", 9),
    ('"MVN"', "mvn_param { normalize_variance: false }", 1),
    # what divides values of variance 4 by their deviation does so with the gradient
    ('"MVN"', "", 1 / 4),
    ('"BatchNorm"', "", 1 / 4),
    ('"BN"', "bn_param { scale_filler { value: 3 } }", 9 / 4),
    # 16 channels of mean square 4 have the length 8
    ('"Normalize"', "norm_param { across_spatial: false scale_filler { value: 4 } }", 4**2 / 8**2),
    ('"Dropout"', "dropout_param { dropout_ratio: 0.2 }", 1 / 0.8),
    # Caffe keeps nothing at a ratio of 1
    ('"Dropout"', "dropout_param { dropout_ratio: 1 }", 0),
    ('"LRN"', "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }", 4**-1.5),
]


@pytest.mark.parametrize(("kind", "param", "factor"), BETWEEN)
def test_a_layer_between_multiplies_signal_and_gradient(tmp_path: Path, kind: str, param: str, factor: float) -> None:
    text = over(
        (2, 16, 4, 4),
        conv("a", "x", 'num_output: 16 kernel_size: 1 weight_filler { type: "gaussian" std: 0.5 }'),
        f'name: "m" type: {kind} bottom: "a" top: "m" {param}',
        dense("z", "m", 10, 'type: "gaussian" std: 0.1'),
    )
    a, z = cf.signal(build(tmp_path, text, phase="TRAIN")).layers
    assert (a.forward_gain, a.backward_gain) == pytest.approx((4, 4))
    assert z.forward == pytest.approx(4 * factor * z.forward_gain, rel=1e-3)
    assert a.backward == pytest.approx(4 * factor * z.backward_gain, rel=1e-3)


def test_axpy_multiplies_and_adds(tmp_path: Path) -> None:
    a = 'num_output: 16 kernel_size: 1 weight_filler { type: "gaussian" std: %s }'
    text = over(
        (2, 16, 1, 1),
        conv("f", "x", a % 0.5),
        conv("x1", "x", a % 0.25),
        conv("y", "x", a % 0.75),
        'name: "m" type: "Axpy" bottom: "f" bottom: "x1" bottom: "y" top: "m"',
        conv("z", "m", a % 0.25),
    )
    f, _, _, z = cf.signal(build(tmp_path, text)).layers
    # mean squares of 4, 1 and 9: f times x, plus y; the gradient to f is multiplied with x, that to x with f
    assert z.forward == pytest.approx(4 * 1 + 9, rel=1e-3)
    assert z.backward == pytest.approx(1)
    # three branches from one blob: what each sends back, times its own gain
    assert f.backward == pytest.approx(4 * 1 + 1 * 4 + 9 * 1, rel=1e-3)


@pytest.mark.parametrize("std", [0.001, 0.5])
def test_a_length_of_1_is_given_to_short_and_long(tmp_path: Path, std: float) -> None:
    text = over(
        (2, 16, 4, 4),
        conv("a", "x", f'num_output: 16 kernel_size: 1 weight_filler {{ type: "gaussian" std: {std} }}'),
        'name: "m" type: "Normalize" bottom: "a" top: "m" norm_param { across_spatial: false }',
        dense("z", "m", 10, 'type: "gaussian" std: 0.1'),
    )
    a, z = cf.signal(build(tmp_path, text)).layers
    # a sixteenth of the square for each channel, whatever came
    assert z.forward == pytest.approx(z.forward_gain / 16, rel=1e-3)
    assert a.backward == pytest.approx(z.backward_gain / 16, rel=1e-3)


def test_dead_units_have_no_length_to_divide_by(tmp_path: Path) -> None:
    text = over(
        (2, 16),
        dense("a", "x", 16, rest="bias_filler { value: -1000 }"),
        'name: "r" type: "ReLU" bottom: "a" top: "r"',
        'name: "m" type: "Normalize" bottom: "r" top: "m" norm_param { across_spatial: false }',
        dense("z", "m", 10),
    )
    a, z = cf.signal(build(tmp_path, text)).layers
    assert (z.forward, z.variance, a.backward) == (0, 0, 0)


def test_what_no_signal_passes_stays_without_one(tmp_path: Path) -> None:
    # a length of 0, and steps that no small difference gets through, even if their values vary
    zeros = dense("a", "x", 16, "", "axis: 1")
    for before, between in (
        (zeros, 'type: "Normalize" norm_param { across_spatial: false }'),
        (dense("a", "x", 16), 'type: "Threshold"'),
    ):
        text = over(
            (2, 16),
            before,
            f'name: "m" {between} bottom: "a" top: "m"',
            'name: "n" type: "BatchNorm" bottom: "m" top: "n"',
            dense("z", "n", 10),
        )
        first, last = cf.signal(build(tmp_path, text, phase="TRAIN")).layers
        assert (first.backward, last.forward) == (0, 0), between


def test_losses_start_the_gradient_with_their_weights(tmp_path: Path) -> None:
    text = over(
        (8, 50),
        'name: "labels" type: "Input" top: "label" input_param { shape { dim: 8 } }',
        dense("a", "x", 50, 'type: "xavier"'),
        dense("b", "a", 10, 'type: "xavier"'),
        dense("aux", "a", 10, 'type: "xavier"'),
        'name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "l"',
        'name: "loss2" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "l2" loss_weight: 0.3',
        'name: "top1" type: "Accuracy" bottom: "b" bottom: "label" top: "acc"',
    )
    a, b, aux = cf.signal(build(tmp_path, text)).layers
    assert b.backward == pytest.approx((1 + 0.09) * 10 / 50)
    assert aux.backward == b.backward
    assert a.backward == pytest.approx(b.backward)


# --- what is said ----------------------------------------------------------------------------------------------------


def test_weights_of_zero_are_told(tmp_path: Path) -> None:
    text = over((1, 8), dense("a", "x", 8, ""), dense("b", "a", 8, ""))
    report = cf.signal(build(tmp_path, text))
    (finding,) = report.findings
    assert finding.startswith("layer 'a' and 1 more begin with weights of 0")


def test_an_explosion_is_told(tmp_path: Path) -> None:
    report = plain(tmp_path, 8, 'type: "gaussian" std: 0.5', "ReLU")
    assert "forward: the signal explodes at layer 'ip3' (layer 3 of 8)" in report.findings[0]
    assert 'weight_filler { type: "msra" } in 8 layers' in report.findings[0]


def test_what_is_not_modelled_is_noted_where_it_matters(tmp_path: Path) -> None:
    text = over(
        (5, 2, 6),
        'name: "cont" type: "Input" top: "c" input_param { shape { dim: 5 dim: 2 } }',
        'name: "lstm" type: "LSTM" bottom: "x" bottom: "c" top: "h" '
        'recurrent_param { num_output: 4 weight_filler { type: "xavier" } }',
        dense("y", "h", 3, rest="axis: 2"),
        'name: "p" type: "Softmax" bottom: "y" top: "p" softmax_param { axis: 2 }',
    )
    report = cf.signal(build(tmp_path, text), measure=True)
    assert report.notes == [
        "layer 'lstm' of type LSTM is not modelled: behind it the signal starts anew",
    ]
    lstm, y = report.layers
    assert (lstm.type, lstm.fan_in, lstm.caffe_fan_in, lstm.measured) == ("LSTM", None, 6, None)
    # it runs, and so what lies behind it is measured
    assert y.forward_gain == pytest.approx(2)
    assert y.measured is not None


def test_where_measuring_stops_is_noted_if_anything_was_to_be_measured_behind(tmp_path: Path) -> None:
    # noise is no number of a row
    table = 'name: "e" type: "Embed" bottom: "x" top: "e" embed_param { input_dim: 9 num_output: 5 }'
    aside = 'name: "r" type: "ReLU" bottom: "e" top: "r"'

    def notes(*layers: str) -> list[str]:
        return cf.signal(build(tmp_path, over((4, 6), table, aside, *layers)), measure=True).notes

    said = "not measured from here on: 'e' (Embed)"
    assert said not in notes()
    assert said not in notes(dense("y", "x", 3))
    # the blob that two take is split, by a layer that the net's file does not have
    assert said in notes(dense("y", "e", 3))
    assert said in notes(dense("y", "r", 3))
    assert said in notes(dense("y", "x", 3), dense("z", "r", 3))


def test_copied_weights_count_as_they_are(tmp_path: Path) -> None:
    net = build(tmp_path, over((1, 50), dense("a", "x", 60, 'type: "xavier"')))
    net.params["a"][0].data[...] *= 3
    net.save(tmp_path / "w.npz")
    net = build(tmp_path, over((1, 50), dense("a", "x", 60, 'type: "xavier"')), weights=tmp_path / "w.npz")
    (row,) = cf.signal(net).layers
    assert row.weight_variance == pytest.approx(1 / 50)
    assert row.weight_variance_measured == pytest.approx(9 / 50, rel=0.1)
    assert row.forward_gain == pytest.approx(9, rel=0.1)


def test_layers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    text = over(
        (4, 30),
        dense("a", "x", 40, 'type: "xavier"'),
        dense("a", "a", 50, 'type: "gaussian" std: 3').replace('top: "a"', 'top: "b"'),
    )
    first, second = cf.signal(build(tmp_path, text), measure=True).layers
    assert (first.layer, second.layer) == ("a", "a")
    assert (first.filler, second.filler) == ({"type": "xavier"}, {"type": "gaussian", "std": 3.0})
    assert first.measured == pytest.approx(1, rel=0.4)
    assert second.measured == pytest.approx(40 * 9, rel=0.4)


def test_a_net_without_values_has_its_theory(tmp_path: Path) -> None:
    text = NETS["plain"](5, 'type: "xavier"', "ReLU", 40)
    full, empty = cf.signal(build(tmp_path, text)), cf.signal(build(tmp_path, text, fill=False))
    assert [row.forward for row in full.layers] == [row.forward for row in empty.layers]
    assert empty.layers[0].weight_variance_measured is None
    with pytest.raises(cf.CaffeError, match="fill=True"):
        cf.signal(build(tmp_path, text, fill=False), measure=True)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(cf.CaffeError, match="signal reads a Net, got str"):
        cf.signal("net.prototxt")  # type: ignore[arg-type]
    with pytest.raises(cf.CaffeError, match="images is a number above 0"):
        cf.signal(build(tmp_path, NETS["plain"](2, 'type: "xavier"', "ReLU", 4)), measure=True, images=0)


def test_reports_are_the_same_each_time_and_leave_the_net_alone(tmp_path: Path) -> None:
    net = build(tmp_path, NETS["resnet"](blocks=(1, 1, 1, 1)).replace("224", "32"))
    before = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    first, second = (cf.signal(net, measure=True, images=2).to_dict() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)
    assert all(
        (a == b.data).all() for name, blobs in net.params.items() for a, b in zip(before[name], blobs, strict=True)
    )


# --- tables of values ------------------------------------------------------------------------------------------------


def test_tables_of_values_keep_their_moments() -> None:
    rng = np.random.default_rng(0)
    a, b = Values.normal(0.3, 0.5, 2.0), Values.normal(-1.0, 0.0, 0.5).map(np.abs)
    assert (a.mean, a.between, a.within) == pytest.approx((0.3, 0.5, 2.0))
    assert a.square == pytest.approx(0.09 + 2.5)
    total = Values.summed([a, b], rng)
    assert total.mean == pytest.approx(a.mean + b.mean)
    assert total.variance == pytest.approx(a.variance + b.variance)
    mixed = Values.mixed([a, b], [3, 1])
    assert mixed.mean == pytest.approx((3 * a.mean + b.mean) / 4)
    assert mixed.square == pytest.approx((3 * a.square + b.square) / 4)
    assert a.weighed(10, 0.0, 0.1).variance == pytest.approx(a.square)
    assert a.dropped(0.25, rng).square == pytest.approx(a.square / 0.75, rel=0.02)
    assert a.dropped(0.0, rng) is a
    normal = a.normalised(0.0)
    assert (normal.mean, normal.variance) == (pytest.approx(0, abs=1e-12), pytest.approx(1))
    # the largest of four standard normals: Teichroew 1956
    assert Values.normal(0, 0, 1).largest_of(4).mean == pytest.approx(1.0294, abs=0.01)
    assert Values.normal(0, 0, 1).largest_of(4).variance == pytest.approx(0.4917, abs=0.03)


# --- pictures and the command line -----------------------------------------------------------------------------------


def lenet(**options: Any) -> cf.Net:
    return cf.Net(ROOT / "examples/mnist/lenet_train_test.prototxt", rng=1701, inputs={"mnist": (1, 28, 28)}, **options)


def test_html_is_one_file_complete_in_itself(tmp_path: Path) -> None:
    report = cf.signal(lenet(), measure=True)
    report.layers[0].layer = "<b>&conv"
    signal_plot(report, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;conv" in page
    for outside in ("http", "src=", "href=", "url(", "@import", "<script"):
        assert outside not in page
    assert page.count('<section class="card">') == 4
    assert page.count('class="histogram"') == 4
    assert 'name="viewport"' in page
    assert "nan" not in page


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"fill": False}])
def test_png_and_html_are_drawn_of_any_report(tmp_path: Path, options: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib", reason="NOT RUN: matplotlib is not installed")
    report = cf.signal(lenet(**options))
    report.plot(tmp_path / "a.png")
    report.plot(tmp_path / "a.html")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    odd = LayerSignal("odd", "LSTM", 1, (), forward=math.inf, backward=math.nan, variance=0.0)
    report = SignalReport("", "TEST", [odd])
    report.plot(tmp_path / "b.png")
    report.plot(tmp_path / "b.html")
    assert json.dumps(report.to_dict(), allow_nan=False)


def test_plots_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = cf.signal(lenet())
    with pytest.raises(cf.CaffeError, match=r"a plot is \.png or \.html, not \.svg"):
        report.plot(tmp_path / "a.svg")
    with pytest.raises(cf.CaffeError, match="there is nothing to draw"):
        SignalReport("", "TEST").plot(tmp_path / "a.html")
    with pytest.raises(cf.CaffeError, match="nowhere"):
        report.plot(tmp_path / "nowhere" / "a.html")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(cf.CaffeError, match=r"pip install 'caffe_fillers\[plot\]'"):
        report.plot(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path: Path) -> None:
    from caffe_fillers.cli import main

    (tmp_path / "net.prototxt").write_text(NETS["plain"](12, 'type: "xavier"', "ReLU", 60))
    arguments = ["signal", str(tmp_path / "net.prototxt"), "--seed", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[1].split()[:4] == ["layer", "fan_in", "fan_out", "Caffe's"]
    assert lines[2].split()[:6] == ["ip1", "60", "60", "60/60", "xavier", "0.0167"]
    assert "forward: the signal vanishes at layer 'ip11'" in result.output
    result = CliRunner().invoke(main, [*arguments, "--measure", "--json", "--plot", str(tmp_path / "a.html")])
    assert result.exit_code == 0
    printed = json.loads(result.output)
    assert printed["seed"] == 1
    assert printed["images"] == 32
    assert printed["layers"][0]["measured"] == pytest.approx(1, rel=0.2)
    assert (tmp_path / "a.html").stat().st_size > 10_000
    assert CliRunner().invoke(main, [*arguments, "--plot", str(tmp_path / "a.svg")]).exit_code == 1


# --- real nets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layers", "depth", "parameters"),
    [("vgg", 19, 19, 143_667_240), ("resnet", 54, 50, 25_557_032 + 53_120 + 53), ("googlenet", 58, 22, 6_998_552)],
)
def test_the_nets_of_the_documentation_are_those_of_the_papers(
    tmp_path: Path, name: str, layers: int, depth: int, parameters: int
) -> None:
    net = build(tmp_path, NETS[name](), fill=False)
    report = cf.signal(net)
    assert len(report.layers) == layers
    assert max(row.depth for row in report.layers) == depth
    assert sum(blob.count() for blobs in net.params.values() for blob in blobs) == parameters


@pytest.mark.slow
def test_the_corpus_has_its_report(corpus: Path) -> None:
    seen = numbers = 0
    for path in sorted((corpus / "files").iterdir())[::4]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", cf.CaffeWarning)
                net = cf.Net(path, "TEST", fill=False, rng=1)
        except cf.CaffeError:
            continue
        seen += 1
        for row in cf.signal(net).layers:
            for value in (row.forward, row.backward, row.variance):
                assert value is None or (math.isfinite(value) and value >= 0), (path, row)
                numbers += value is not None
    assert seen >= 20
    assert numbers >= 1000


def test_fans_of_tables_and_of_single_channels() -> None:
    from caffe_fillers import ops
    from caffe_fillers.signals.fans import true_fans

    # a row of a table is looked up, not summed
    table = true_fans(ops.Embed(), (7, 3), (2,), (2, 3))
    assert (table.into, table.out) == (1, 3)
    single = true_fans(ops.Convolution(ops.Window.square(3, stride=2), 4), (4, 1, 3, 3), (2, 4, 9, 9), (2, 4, 4, 4))
    assert (single.into, single.out) == (9, 9 / 4)


def test_weights_with_a_mean_count_by_their_squares() -> None:
    ip = """layer {{ name: "{0}" type: "InnerProduct" bottom: "{0}" top: "{1}" inner_product_param {{
      num_output: {2} weight_filler {{ type: "uniform" min: 2 max: 4 }} }} }}"""
    text = 'input: "a" input_shape { dim: 4 dim: 50 }' + ip.format("a", "b", 60) + ip.format("b", "c", 20)
    row = cf.signal(cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)).layers[0]
    square = 3**2 + 2**2 / 12
    assert row.forward_gain == pytest.approx(50 * square)
    assert row.backward_gain == pytest.approx(60 * square)
    assert row.backward == pytest.approx(60 * square * 20 * square)
