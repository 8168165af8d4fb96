"""The numbers that rules hand to the operations of windows, normalisations and regions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import ops
from caffe_fillers.ops import Window

SHAPES = {"x": (2, 4, 6, 8), "rois": (3, 5), "image": (2, 3, 60, 40)}
INPUT = 'layer {{ name: "{0}" type: "Input" top: "{0}" input_param {{ shape {{ {1} }} }} }}\n'


def f32(value: float) -> float:
    return float(np.float32(value))


CASES = [
    # type, parameters, further bottoms, phase, what comes of it
    (
        "Convolution",
        "convolution_param { num_output: 4 group: 2 kernel_h: 3 kernel_w: 1 stride: 2 pad: 1 dilation: 2 }",
        (),
        "TRAIN",
        ops.Convolution(Window((3, 1), (2, 2), (1, 1), (2, 2)), 2),
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 pad_t: 0 pad_b: 1 pad_l: 2 pad_r: 3 }",
        (),
        "TRAIN",
        ops.Convolution(Window((3, 3), (1, 1), (0, 2), (1, 1), (1, 3))),
    ),
    (
        "Deconvolution",
        "convolution_param { num_output: 8 group: 4 kernel_size: 2 stride: 3 }",
        (),
        "TRAIN",
        ops.Deconvolution(Window.square(2, stride=3), 4),
    ),
    (
        "ConvolutionDepthwise",
        "convolution_param { num_output: 9 kernel_size: 3 pad: 1 }",
        (),
        "TRAIN",
        ops.Convolution(Window.square(3, pad=1), 4),
    ),
    (
        "Im2col",
        "convolution_param { axis: 2 kernel_size: 3 stride: 2 }",
        (),
        "TRAIN",
        ops.Im2col(Window((3,), (2,), (0,), (1,))),
    ),
    (
        "Pooling",
        "pooling_param { pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR }",
        (),
        "TRAIN",
        ops.Pooling(Window.square(3, stride=2), "AVE", False),
    ),
    ("Pooling", "pooling_param { pool: AVE_EXC_PAD kernel_size: 3 }", (), "TRAIN", None),
    (
        "LRN",
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.25 k: 2 }",
        (),
        "TRAIN",
        ops.LRN(3, 0.5, 0.25, 2.0, False),
    ),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }", (), "TRAIN", ops.LRN(5, 1.0, 0.75, 1.0, True)),
    (
        "MVN",
        "mvn_param { across_channels: true normalize_variance: false eps: 0.5 }",
        (),
        "TRAIN",
        ops.MVN(True, False, 0.5),
    ),
    ("MVN", "", (), "TRAIN", ops.MVN(False, True, f32(1e-9))),
    ("BatchNorm", "", (), "TRAIN", ops.BatchNorm(f32(1e-5), f32(0.999), False)),
    ("BatchNorm", "", (), "TEST", ops.BatchNorm(f32(1e-5), f32(0.999), True)),
    (
        "BatchNorm",
        "batch_norm_param { use_global_stats: false eps: 0.5 moving_average_fraction: 0.25 }",
        (),
        "TEST",
        ops.BatchNorm(0.5, 0.25, False),
    ),
    (
        "BatchNorm",
        "batch_norm_param { scale_bias: true eps: 0 use_global_stats: true }",
        (),
        "TRAIN",
        ops.BatchNorm(f32(1e-5), f32(0.999), False, renewed=True),
    ),
    (
        "BatchNorm",
        "batch_norm_param { engine: MKLDNN use_global_stats: true }",
        (),
        "TRAIN",
        ops.BatchNorm(f32(1e-5), f32(0.999), True),
    ),
    ("BN", "bn_param { scale_filler { value: 1 } bn_mode: INFERENCE }", (), "TRAIN", ops.BN(False)),
    ("BN", "bn_param { shift_filler { value: 1 } }", (), "TEST", ops.BN(True)),
    (
        "BN",
        "bn_param { slope_filler { value: 1 } momentum: 0.5 frozen: true }",
        (),
        "TEST",
        ops.MovingBN(f32(1e-5), 0.5, True, True),
    ),
    ("Normalize", "norm_param { across_spatial: false }", (), "TRAIN", ops.Normalize(False, f32(1e-10))),
    ("Normalize", "", (), "TRAIN", ops.Normalize(True, f32(1e-10))),
    ("Normalize", 'normalize_param { normalize_type: "L2" }', (), "TRAIN", None),
    ("Interp", "interp_param { height: 3 width: 4 pad_beg: -1 pad_end: -2 }", (), "TRAIN", ops.Interp((1, 2))),
    ("Upsample", "upsample_param { scale: 3 }", (), "TRAIN", ops.Upsample(3)),
    ("Upsample", "upsample_param { scale: 2 }", ("x",), "TRAIN", ops.Upsample()),
    ("Reorg", "reorg_param { stride: 2 }", (), "TRAIN", ops.Reorg(2)),
    ("Reorg", "reorg_param { stride: 2 reverse: true }", (), "TRAIN", ops.Reorg(2, True)),
    ("Reorg", "reorg_param { stride: 3 }", (), "TRAIN", None),
    (
        "ROIPooling",
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.0625 }",
        ("rois",),
        "TRAIN",
        ops.ROIPooling((2, 3), 0.0625),
    ),
    (
        "PriorBox",
        "prior_box_param { min_size: 4 max_size: 9 aspect_ratio: 2 variance: 0.25 img_h: 30 img_w: 20 step: 8 "
        "clip: true }",
        ("image",),
        "TRAIN",
        ops.PriorBox(((4.0, 9.0),), (1.0, 2.0, 0.5), (0.25,), (30, 20), (8.0, 8.0), 0.5, True),
    ),
    (
        "PriorBox",
        "prior_box_param { min_size: 4 aspect_ratio: 2 flip: false offset: 0.25 img_size: 0 }",
        ("image",),
        "TRAIN",
        ops.PriorBox(((4.0,),), (1.0, 2.0), (0.1,), None, None, 0.25, False),
    ),
]


@pytest.mark.parametrize(("kind", "parameters", "more", "phase", "expected"), CASES)
def test_rules_hand_on_what_the_text_says(kind, parameters, more, phase, expected, tmp_path):
    bottoms = ["x", *more]
    inputs = [INPUT.format(name, " ".join(f"dim: {dim}" for dim in SHAPES[name])) for name in sorted(set(bottoms))]
    wires = " ".join(f'bottom: "{name}"' for name in bottoms)
    path = tmp_path / "net.prototxt"
    path.write_text("".join(inputs) + f'layer {{ name: "l" type: "{kind}" {wires} top: "y" {parameters} }}')
    with warnings.catch_warnings():
        # of types and fields that BVLC Caffe doesn't know
        warnings.simplefilter("ignore", cf.CaffeWarning)
        net = cf.Net(path, phase, fill=False)
    assert net.steps[-1].setup.operation == expected
