"""Layer types of the forks: shapes and parameters calculated by hand from the forks' set-up code."""

from __future__ import annotations

import csv
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers.layers import RULES

FORKS = {name for name, rule in RULES.items() if rule.fork not in ("", "user")}


def setup(
    tmp_path: Path, kind: str, bottoms: list[tuple[int, ...]], text: str = "", tops: int = 1, **options: Any
) -> tuple[list[tuple[int, ...]], cf.layers.Layer]:
    """Set up one layer of type `kind` over bottoms of the given shapes; its top shapes, and the layer."""
    layer = "".join(f' bottom: "b{i}"' for i in range(len(bottoms))) + "".join(f' top: "t{i}"' for i in range(tops))
    net = "".join(
        f'layer {{ name: "in{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {dims(shape)} }} }} }}\n'
        for i, shape in enumerate(bottoms)
    )
    path = tmp_path / "net.prototxt"
    path.write_text(f'{net}layer {{ name: "it" type: "{kind}"{layer} {text} }}\n')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        result = cf.Net(path, rng=1, **options)
    return [result.blobs[f"t{i}"].shape for i in range(tops)], result.layer_dict["it"]


def dims(shape: tuple[int, ...]) -> str:
    return " ".join(f"dim: {dim}" for dim in shape)


FEATURES = (2, 12, 10, 8)
CLIP = (2, 3, 16, 20, 30)

SHAPES = [
    ("Permute", [FEATURES], "permute_param { order: 0 order: 2 order: 3 order: 1 }", [(2, 10, 8, 12)]),
    ("Permute", [FEATURES], "permute_param { order: 3 }", [(8, 2, 12, 10)]),
    ("Permute", [FEATURES], "", [FEATURES]),
    ("Normalize", [FEATURES], "norm_param { across_spatial: false }", [FEATURES]),
    ("Normalize", [FEATURES], 'normalize_param { normalize_type: "L2" }', [FEATURES, (2, 1, 10, 8)]),
    # 10 x 8 places, (1, 2, 1/2) + 1 boxes, 4 corners
    (
        "PriorBox",
        [FEATURES, (2, 3, 99, 99)],
        "prior_box_param { min_size: 30 max_size: 60 aspect_ratio: 2 }",
        [(1, 2, 1280)],
    ),
    # (1, 2, 3) x 2 boxes; the second 2 is one it has
    (
        "PriorBox",
        [FEATURES, FEATURES],
        "prior_box_param { min_size: [1, 2] aspect_ratio: [2, 2.0000001, 3] flip: false }",
        [(1, 2, 80 * 6 * 4)],
    ),
    # flipping 2 makes 0.5, which is then no new one
    ("PriorBox", [FEATURES, FEATURES], "prior_box_param { min_size: 1 aspect_ratio: [2, 0.5] }", [(1, 2, 80 * 3 * 4)]),
    (
        "DetectionOutput",
        [(2, 40), (2, 30), (1, 2, 40)],
        "detection_output_param { num_classes: 3 share_location: true }",
        [(1, 1, 1, 7)],
    ),
    ("MultiBoxLoss", [(2, 40), (2, 30), (1, 2, 40), (1, 1, 5, 8)], "multibox_loss_param { num_classes: 3 }", [()]),
    ("ROIPooling", [(1, 256, 40, 60), (300, 5)], "roi_pooling_param { pooled_w: 6 pooled_h: 7 }", [(300, 256, 7, 6)]),
    # the name that it had in nets of 2014
    ("ROI_POOLING", [(1, 256, 40, 60), (300, 5)], "roi_pooling_param { pooled_w: 6 pooled_h: 7 }", [(300, 256, 7, 6)]),
    (
        "PSROIPooling",
        [(1, 21 * 49, 40, 60), (300, 5)],
        "psroi_pooling_param { spatial_scale: 0.0625 output_dim: 21 group_size: 7 }",
        [(300, 21, 7, 7)],
    ),
    (
        "BoxAnnotatorOHEM",
        [(300, 5, 1, 1), (300, 1, 1, 1), (300, 1, 1, 1), (300, 8, 1, 1)],
        "box_annotator_ohem_param { roi_per_img: 128 ignore_label: -1 }",
        [(300, 1, 1, 1), (300, 8, 1, 1)],
    ),
    ("SmoothL1Loss", [(300, 84)] * 4, "smooth_l1_loss_param { sigma: 3.0 }", [()]),
    ("SMOOTH_L1_LOSS", [(300, 84)] * 3, "", [()]),
    ("SmoothL1LossOHEM", [(300, 8, 1, 1)] * 3, "loss_weight: 0 " * 2, [(), (300, 1, 1, 1)]),
    ("SoftmaxWithLossOHEM", [(300, 21), (300,)], "loss_weight: 0 " * 3, [(), (300, 21), (300,)]),
    (
        "DepthwiseConvolution",
        [FEATURES],
        "convolution_param { num_output: 12 group: 12 kernel_size: 3 stride: 2 pad: 1 }",
        [(2, 12, 5, 4)],
    ),
    # group and num_output count for nothing
    (
        "ConvolutionDepthwise",
        [FEATURES],
        "convolution_param { num_output: 99 group: 5 kernel_size: 3 dilation: 2 stride: 1 pad: 1 }",
        [(2, 12, 8, 6)],
    ),
    ("ShuffleChannel", [FEATURES], "shuffle_channel_param { group: 3 }", [FEATURES]),
    ("ReLU6", [FEATURES], "", [FEATURES]),
    ("HardSwish", [FEATURES], "", [FEATURES]),
    ("BN", [FEATURES], "bn_param { scale_filler { value: 1 } shift_filler { value: 0.001 } }", [FEATURES]),
    ("BN", [FEATURES], "bn_param { slope_filler { value: 1 } bias_filler { } frozen: true }", [FEATURES]),
    ("Interp", [FEATURES], "interp_param { height: 60 width: 33 }", [(2, 12, 60, 33)]),
    ("Interp", [FEATURES], "interp_param { zoom_factor: 8 }", [(2, 12, 73, 57)]),
    ("Interp", [FEATURES], "interp_param { shrink_factor: 2 pad_beg: -1 }", [(2, 12, 5, 4)]),
    ("Interp", [FEATURES], "interp_param { shrink_factor: 2 zoom_factor: 3 }", [(2, 12, 13, 10)]),
    ("Interp", [FEATURES], "interp_param { shrink_factor: 2 zoom_factor: 3 height: 5 width: 6 }", [(2, 12, 5, 6)]),
    ("Interp", [FEATURES], "interp_param { zoom_factor: 2 height: 5 width: 6 }", [(2, 12, 19, 15)]),
    ("Upsample", [FEATURES, FEATURES], "upsample_param { scale: 2 }", [(2, 12, 20, 16)]),
    ("Upsample", [FEATURES, FEATURES], "upsample_param { scale: 2 pad_out_h: true }", [(2, 12, 19, 16)]),
    ("Upsample", [FEATURES, FEATURES], "upsample_param { scale_h: 3 scale_w: 4 }", [(2, 12, 30, 32)]),
    ("Upsample", [FEATURES, FEATURES], "upsample_param { upsample_h: 45 upsample_w: 60 }", [(2, 12, 45, 60)]),
    ("Upsample", [FEATURES], "upsample_param { scale: 3 }", [(2, 12, 30, 24)]),
    ("UpsampleDarknet", [FEATURES], "upsample_darknet_param { stride: 2 }", [(2, 12, 20, 16)]),
    ("Reorg", [FEATURES], "reorg_param { stride: 2 }", [(2, 48, 5, 4)]),
    ("Reorg", [FEATURES], "reorg_param { stride: 2 reverse: true }", [(2, 3, 20, 16)]),
    (
        "ResizeBilinear",
        [FEATURES],
        'resize_bilinear_param { output_height: 5 output_width: 6 data_format: "NCHW" }',
        [(2, 12, 5, 6)],
    ),
    (
        "ResizeNearestNeighbor",
        [FEATURES],
        "resize_nearest_neighbor_param { scale_height: 2 scale_width: 1.5 }",
        [(2, 24, 15, 8)],
    ),
    ("Squeeze", [(2, 1, 3, 1)], "", [(2, 3)]),
    ("Squeeze", [(2, 1, 3, 1)], "squeeze_param { axis: -1 }", [(2, 1, 3)]),
    ("Axpy", [(2, 12, 1, 1), FEATURES, FEATURES], "", [FEATURES]),
    ("Add", [FEATURES, (12, 1, 1)], "", [FEATURES]),
    ("Mul", [(2, 12, 1, 1), FEATURES], "", [FEATURES]),
    ("CenterLoss", [(64, 2), (64,)], "center_loss_param { num_output: 10 }", [()]),
    (
        "MarginInnerProduct",
        [(64, 512), (64,)],
        "margin_inner_product_param { num_output: 10 type: QUADRUPLE base: 1000 iteration: 0 }",
        [(64, 10), (1,)],
    ),
    (
        "ImageLabelmapData",
        [],
        "image_data_param { batch_size: 2 new_height: 50 new_width: 40 }",
        [(2, 3, 50, 40), (2, 1, 50, 40)],
    ),
    (
        "DenseImageData",
        [],
        "dense_image_data_param { batch_size: 3 new_height: 512 new_width: 1024 crop_height: 500 crop_width: 700 }",
        [(3, 3, 500, 700), (3, 1, 500, 700)],
    ),
    (
        "DenseImageData",
        [],
        "dense_image_data_param { batch_size: 3 is_color: false } transform_param { crop_size: 9 }",
        [(3, 1, 9, 9), (3, 1, 9, 9)],
    ),
    ("SmoothL1Loss", [(300, 8, 1, 1)] * 4, "loss_weight: 0 " * 2, [(), (300, 1, 1, 1)]),
    # over (time, batch, features) as CTPN has it, else time steps of each of batch_size sequences in turn
    ("Lstm", [(5, 2, 4)], "lstm_param { num_output: 3 }", [(5, 2, 3)]),
    ("Lstm", [(6, 4), (6,)], "lstm_param { num_output: 3 batch_size: 2 }", [(6, 3)]),
    ("Lstm", [(6, 4, 1, 1)], "lstm_param { num_output: 3 }", [(6, 3)]),
    ("Lstm", [(6, 2, 2)], "inner_product_param { num_output: 3 }", [(6, 3, 1, 1)]),
    ("Transpose", [FEATURES], "transpose_param { dim: 3 dim: 2 dim: 0 dim: 1 }", [(8, 10, 2, 12)]),
    ("Reverse", [(5, 2, 4)], "reverse_param { axis: 0 }", [(5, 2, 4)]),
    (
        "Convolution3D",
        [CLIP],
        "convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1 temporal_stride: 2 }",
        [(2, 4, 8, 20, 30)],
    ),
    (
        "CONVOLUTION3D",
        [CLIP],
        "convolution_param { num_output: 4 kernel_size: 3 stride: 2 bias_term: false filter_group: 2 }",
        [(2, 4, 16, 9, 14)],
    ),
    (
        "DECONVOLUTION3D",
        [CLIP],
        "convolution_param { num_output: 4 kernel_size: 4 kernel_depth: 4 stride: 2 temporal_stride: 2 pad: 1 "
        "temporal_pad: 1 }",
        [(2, 4, 32, 40, 60)],
    ),
    ("Deconvolution3D", [CLIP], "convolution_param { num_output: 1 kernel_size: 1 }", [(2, 1, 16, 20, 30)]),
    # rounded up
    (
        "POOLING3D",
        [CLIP],
        "pooling_param { kernel_size: 3 stride: 2 kernel_depth: 2 temporal_stride: 3 }",
        [(2, 3, 6, 10, 15)],
    ),
    ("Pooling3D", [CLIP], "pooling_param { kernel_size: 2 stride: 2 }", [(2, 3, 16, 10, 15)]),
    (
        "VIDEO_DATA",
        [],
        "image_data_param { batch_size: 2 new_length: 16 new_height: 128 new_width: 171 } "
        "transform_param { crop_size: 112 }",
        [(2, 3, 16, 112, 112), (2, 1, 1, 1, 1)],
    ),
    (
        "NdConvolution",
        [CLIP],
        "convolution_param { num_output: 6 group: 3 kernel_shape { dim: 3 dim: 5 dim: 1 } "
        "stride_shape { dim: 1 dim: 2 dim: 3 } pad_shape { dim: 1 dim: 0 dim: 0 } }",
        [(2, 6, 16, 8, 10)],
    ),
    ("Resize", [FEATURES], "resize_param { height: 5 width: 6 }", [(2, 12, 5, 6)]),
    ("Resize", [FEATURES], "resize_param { height_out: 5 width_out: 6 }", [(2, 12, 5, 6)]),
    ("Resize", [FEATURES], "resize_param { resize_ratio: 0.25 }", [(2, 12, 2, 2)]),
    (
        "Resize",
        [FEATURES],
        "resize_param { is_pyramid_test: true out_height_scale: 0.5 out_width_scale: 2 }",
        [(2, 12, 5, 16)],
    ),
    ("Remap", [FEATURES, (2, 2, 5, 6)], "", [(2, 12, 5, 6)]),
    ("CROP", [FEATURES, (2, 99, 5, 6)], "", [(2, 12, 5, 6)]),
    (
        "UNPOOLING",
        [FEATURES, FEATURES],
        "unpooling_param { kernel_size: 2 stride: 2 unpool_size: 14 }",
        [(2, 12, 14, 14)],
    ),
    ("UNPOOLING", [FEATURES, FEATURES], "unpooling_param { unpool_h: 14 unpool_w: 15 }", [(2, 12, 14, 15)]),
    # an odd row more than a pooling would have begun with
    ("Unpooling", [FEATURES], "unpooling_param { kernel_size: 2 stride: 2 }", [(2, 12, 21, 17)]),
    ("Unpooling", [FEATURES, FEATURES], "pooling_param { kernel_size: 2 stride: 2 }", [(2, 12, 20, 16)]),
    (
        "BilinearInterpolation",
        [FEATURES],
        "bilinear_interpolation_param { interpolation_factor: 2 }",
        [(2, 12, 20, 16)],
    ),
    ("BilinearInterpolation", [FEATURES, (1, 1, 5, 6)], "", [(2, 12, 5, 6)]),
    ("L1Loss", [FEATURES, FEATURES], "", [()]),
    ("L1Loss", [FEATURES], "l1_loss_param { l2_per_location: true }", [()]),
    ("DiceCoefLoss", [FEATURES, FEATURES], "", [()]),
    ("WeightEuclideanLoss", [(4, 136), (4, 136)], "", [()]),
    (
        "ImageSegData",
        [],
        "image_data_param { batch_size: 2 label_type: PIXEL } transform_param { crop_size: 321 mirror: true }",
        [(2, 3, 321, 321), (2, 1, 321, 321), (2, 1, 1, 2)],
    ),
    (
        "ImageSegData",
        [],
        "image_data_param { batch_size: 2 is_color: false } transform_param { crop_h: 5 crop_w: 6 }",
        [(2, 1, 5, 6), (2, 1, 5, 6)],
    ),
]


@pytest.mark.parametrize(("kind", "bottoms", "text", "tops"), SHAPES)
def test_tops(tmp_path: Path, kind: str, bottoms: list[Any], text: str, tops: list[Any]) -> None:
    assert setup(tmp_path, kind, bottoms, text, len(tops))[0] == tops


def shapes(layer: cf.layers.Layer) -> list[tuple[int, ...]]:
    return [blob.shape for blob in layer.blobs]


def test_parameters_of_sequences_and_volumes(tmp_path: Path) -> None:
    fill = "weight_filler { type: 'uniform' min: 1 max: 2 } bias_filler { value: 3 }"
    lstm = setup(tmp_path, "Lstm", [(5, 2, 4)], f"lstm_param {{ num_output: 3 {fill} }}")[1]
    assert shapes(lstm) == [(12, 4), (12, 3), (12,)]
    # two weights, then the bias: each draws once
    assert [draw.count for draw in lstm.draws] == [48, 36]
    assert lstm.blobs[2].data.tolist() == [3] * 12
    first = setup(tmp_path, "Lstm", [(6, 2, 2)], f"inner_product_param {{ num_output: 3 {fill} }}")[1]
    assert shapes(first) == [(1, 4, 3, 4), (1, 4, 3, 3), (1, 1, 4, 3)]
    bare = setup(tmp_path, "Lstm", [(6, 4)], "inner_product_param { num_output: 3 bias_term: false }")[1]
    assert shapes(bare) == [(1, 4, 3, 4), (1, 4, 3, 3)]
    with pytest.raises(cf.CaffeError, match="did you mean LSTM"):
        setup(tmp_path, "Lstm", [(5, 2, 4)], "recurrent_param { num_output: 3 }")
    text = "convolution_param { num_output: 4 kernel_size: 3 kernel_depth: 2 }"
    assert shapes(setup(tmp_path, "CONVOLUTION3D", [CLIP], text)[1]) == [(4, 3, 2, 3, 3), (1, 1, 1, 1, 4)]
    assert shapes(setup(tmp_path, "DECONVOLUTION3D", [CLIP], text)[1]) == [(3, 4, 2, 3, 3), (1, 1, 1, 1, 4)]
    for depth in ("inf", "1e400", "nan"):
        with pytest.raises(cf.CaffeError, match="kernel_depth is a number, got"):
            setup(tmp_path, "CONVOLUTION3D", [CLIP], text.replace("kernel_depth: 2", f"kernel_depth: {depth}"))
    text = "convolution_param { num_output: 6 group: 3 kernel_shape { dim: 1 dim: 2 dim: 3 } }"
    assert shapes(setup(tmp_path, "NdConvolution", [CLIP], text)[1]) == [(6, 1, 1, 2, 3), (6,)]


def test_r_fcn_s_softmax_with_loss_has_three_tops(tmp_path: Path) -> None:
    bottoms, text = [(300, 21), (300,)], "loss_weight: 0 " * 3
    assert setup(tmp_path, "SoftmaxWithLoss", bottoms, text, 3)[0] == [(), (300, 21), (300,)]
    with pytest.raises(cf.CaffeError, match="at most 2 top"):
        setup(tmp_path, "SoftmaxWithLoss", bottoms, text, 3, strict=True)


def test_every_type_of_a_fork_has_a_shape_calculated_by_hand() -> None:
    assert {kind for kind, *_ in SHAPES} | {"AnnotatedData"} == FORKS


def values(layer: cf.layers.Layer) -> list[tuple[tuple[int, ...], list[float]]]:
    """Shape and distinct values of each parameter."""
    return [(blob.shape, np.unique(blob.data).tolist()) for blob in layer.blobs]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("Normalize", "", [((), [1])]),
        ("Normalize", "norm_param { channel_shared: false scale_filler { value: 20 } }", [((12,), [20])]),
        # a filler without a type is a constant 0, as everywhere
        ("Normalize", "norm_param { scale_filler { } }", [((), [0])]),
        ("Normalize", 'normalize_param { normalize_type: "L2" }', []),
        ("BN", "bn_param { scale_filler { value: 3 } }", [((1, 12, 1, 1), [3]), ((1, 12, 1, 1), [0])]),
        (
            "BN",
            "bn_param { slope_filler { value: 3 } bias_filler { value: 2 } frozen: true }",
            [((1, 12, 1, 1), [3]), ((1, 12, 1, 1), [2]), ((1, 12, 1, 1), [0]), ((1, 12, 1, 1), [1])],
        ),
        ("BatchNorm", "batch_norm_param { eps: 0.1 }", [((12,), [0]), ((12,), [0]), ((1,), [0])]),
        (
            "BatchNorm",
            "batch_norm_param { eps: 0.1 scale_bias: true }",
            [((12,), [0]), ((12,), [0]), ((1,), [1]), ((12,), [1]), ((12,), [0])],
        ),
        (
            "BatchNorm",
            "batch_norm_param { scale_filler { value: 5 } bias_filler { value: 6 } } param { lr_mult: 1 }",
            [((12,), [0]), ((12,), [0]), ((1,), [1]), ((12,), [5]), ((12,), [6])],
        ),
        (
            "BatchNorm",
            "batch_norm_param { engine: MKLDNN filler { value: 5 } }",
            [((12,), [0]), ((12,), [0]), ((1,), [0]), ((12,), [5]), ((12,), [0])],
        ),
        (
            "BatchNorm",
            "batch_norm_param { engine: MKLDNN bias_term: false }",
            [((12,), [0]), ((12,), [0]), ((1,), [0]), ((12,), [1])],
        ),
        ("BatchNorm", "batch_norm_param { engine: CAFFE }", [((12,), [0]), ((12,), [0]), ((1,), [0])]),
    ],
)
def test_parameters(tmp_path: Path, kind: str, text: str, expected: list[Any]) -> None:
    assert values(setup(tmp_path, kind, [FEATURES], text)[1]) == expected


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("BatchNorm", "batch_norm_param { scale_bias: true }", [0, 0, 0, 1, 1]),
        ("BatchNorm", "batch_norm_param { engine: MKLDNN }", [0, 0, 0, 1, 1]),
        ("BatchNorm", "batch_norm_param { engine: CAFFE }", [0, 0, 0]),
        ("BN", "bn_param { slope_filler { value: 3 } bias_filler { value: 2 } }", [1, 1, 0, 0]),
    ],
)
def test_solvers_leave_statistics_alone(tmp_path: Path, kind: str, text: str, expected: list[float]) -> None:
    setup(tmp_path, kind, [FEATURES], text)
    net = cf.Net(tmp_path / "net.prototxt", fill=False)
    assert [lr for lr, _ in net.multipliers] == expected


def test_a_pooling_of_the_same_size_needs_steps(tmp_path: Path) -> None:
    text = "pooling_param {{ kernel_size: 3 stride_h: {} stride_w: {} pad_type: 1 }}"
    assert setup(tmp_path, "Pooling", [FEATURES], text.format(3, 2))[0] == [(2, 12, 4, 4)]
    for steps in ((0, 2), (2, 0)):
        with pytest.raises(cf.CaffeError, match=r"stride > 0 \(0 vs. 0\)"):
            setup(tmp_path, "Pooling", [FEATURES], text.format(*steps))


def test_filled_parameters_draw_as_any_other(tmp_path: Path) -> None:
    text = 'convolution_param { num_output: 12 kernel_size: 3 stride: 1 pad: 0 weight_filler { type: "msra" } }'
    _, layer = setup(tmp_path, "ConvolutionDepthwise", [FEATURES], text)
    assert layer.blobs[0].data.tobytes() == cf.fill((12, 1, 3, 3), "msra", rng=1).tobytes()
    text = 'margin_inner_product_param { num_output: 10 weight_filler { type: "xavier" variance_norm: AVERAGE } }'
    _, layer = setup(tmp_path, "MarginInnerProduct", [(64, 512), (64,)], text)
    filler = {"type": "xavier", "variance_norm": "AVERAGE"}
    assert layer.blobs[0].data.tobytes() == cf.fill((10, 512), filler, rng=1).tobytes()
    assert [(draw.start, draw.what) for draw in layer.draws] == [(0, "weight xavier")]


def test_draws_of_the_data_layers(tmp_path: Path) -> None:
    text = (
        "image_data_param { batch_size: 2 new_height: 50 new_width: 40 shuffle: true } transform_param { mirror: true }"
    )
    layer = setup(tmp_path, "ImageLabelmapData", [], text, tops=2)[1]
    assert [draw.what for draw in layer.draws] == ["transformer", "shuffle", "transformer", "prefetch thread"]
    text = "dense_image_data_param { batch_size: 2 new_height: 50 new_width: 40 shuffle: true rand_skip: 9 }"
    layer = setup(tmp_path, "DenseImageData", [], text, tops=2)[1]
    assert [draw.what for draw in layer.draws] == ["shuffle", "rand_skip", "prefetch thread"]


ANNOTATED = 'data_param { source: "a_lmdb" batch_size: 8 }'


@pytest.mark.parametrize(
    ("text", "inputs", "tops", "draws"),
    [
        ("", {"it": (3, 100, 80)}, [(8, 3, 100, 80), (1, 1, 1, 8)], []),
        (
            "transform_param { mirror: true resize_param { prob: 1 resize_mode: WARP height: 300 width: 310 } }",
            {"t0": (3, 1, 1), "t1": (1, 1, 12, 8)},
            [(8, 3, 300, 310), (1, 1, 12, 8)],
            ["transformer"] * 2,
        ),
        # 100 x 80 fits into 50 x 60 by its width: 60 / 0.8
        (
            "transform_param { crop_size: 40 resize_param { resize_mode: FIT_SMALL_SIZE height: 50 width: 60 } }",
            {"it": (3, 100, 80)},
            [(8, 3, 40, 40), (1, 1, 1, 8)],
            ["transformer"] * 2,
        ),
        (
            "transform_param { crop_h: 75 resize_param { resize_mode: FIT_SMALL_SIZE height: 50 width: 60 } }",
            {"it@TRAIN": (3, 100, 80), "it": (3, 1, 1)},
            [(8, 3, 75, 60), (1, 1, 1, 8)],
            [],
        ),
    ],
)
def test_annotated_data(tmp_path: Path, text: str, inputs: Any, tops: Any, draws: list[str]) -> None:
    result, layer = setup(tmp_path, "AnnotatedData", [], f"{ANNOTATED} {text}", tops=2, inputs=inputs)
    assert result == tops
    assert [draw.what for draw in layer.draws] == ["reader thread", *draws, "prefetch thread"]
    with pytest.raises(cf.CaffeError, match="--input it=CxHxW"):
        setup(tmp_path, "AnnotatedData", [], f"{ANNOTATED} {text}", tops=2)


def test_an_image_that_is_not_here_is_asked_for(tmp_path: Path) -> None:
    text = "dense_image_data_param { batch_size: 2 }"
    with pytest.raises(cf.CaffeError, match="--input it=CxHxW"):
        setup(tmp_path, "DenseImageData", [], text, tops=2)
    tops, _ = setup(tmp_path, "DenseImageData", [], text, tops=2, inputs={"it": (3, 360, 480)})
    assert tops == [(2, 3, 360, 480), (2, 1, 360, 480)]


FIELDS_OF_KNOWN_TYPES = [
    # (10 + 0 + 1 - 3) / 2 + 1
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad_b: 1 pad_l: 3 pad_r: 2 }",
        (2, 4, 5, 6),
    ),
    ("Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad_b: 1 pad_r: 2 }", (2, 4, 20, 15)),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 2 }", (2, 12, 5, 4)),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }", (2, 12, 4, 3)),
    ("Pooling", "pooling_param { kernel_size: 3 stride: 2 ceil_mode: false round_mode: CEIL }", (2, 12, 5, 4)),
]


@pytest.mark.parametrize(("kind", "text", "top"), FIELDS_OF_KNOWN_TYPES)
def test_fields_that_forks_added_to_known_types(tmp_path: Path, kind: str, text: str, top: tuple[int, ...]) -> None:
    assert setup(tmp_path, kind, [FEATURES], text)[0] == [top]


@pytest.mark.parametrize(
    ("kind", "bottoms", "text", "message"),
    [
        ("Permute", [FEATURES], "permute_param { order: 4 }", r"order < num_axes_ \(4 vs. 4\)"),
        ("Permute", [FEATURES], "permute_param { order: 1 order: 1 }", "duplicate orders"),
        ("Permute", [FEATURES], "permute_param { order: X }", "permute_param.order is a number, got 'X'"),
        ("Permute", [FEATURES], "permute_param: 4", "permute_param is a message"),
        ("Normalize", [(3,)], "", "num_axes"),
        ("PriorBox", [FEATURES, FEATURES], "", "must provide min_size"),
        ("PriorBox", [FEATURES, FEATURES], "prior_box_param { min_size: 0 }", "min_size must be positive"),
        ("PriorBox", [FEATURES, FEATURES], "prior_box_param { min_size: 3 max_size: 2 }", "max_size must be greater"),
        ("PriorBox", [FEATURES, FEATURES], "prior_box_param { min_size: 3 aspect_ratio: 0 }", "aspect_ratio != 0"),
        ("DetectionOutput", [(2, 40), (2, 30), (1, 2, 40)], "", "num_classes"),
        (
            "DetectionOutput",
            [(2, 40), (2, 30), (1, 2, 40)],
            "detection_output_param { num_classes: 4 }",
            r"\(40 vs. 30\) Number of priors",
        ),
        ("ROIPooling", [FEATURES, (3, 5)], "roi_pooling_param { pooled_h: 7 }", "pooled_w must be > 0"),
        ("PSROIPooling", [FEATURES, (3, 5)], "psroi_pooling_param { output_dim: 2 group_size: 2 }", r"\(12 vs. 8\)"),
        ("SmoothL1Loss", [(3, 4), (3, 5)], "", "agree in channels"),
        ("BoxAnnotatorOHEM", [(3, 4)] * 4, "", "regions"),
        ("Interp", [FEATURES], "", "needs height and width"),
        ("Interp", [FEATURES], "interp_param { zoom_factor: 0 }", "Zoom factor must be positive"),
        ("Upsample", [FEATURES, FEATURES], "upsample_param { scale: 3 pad_out_h: true }", "needs a scale of 2"),
        ("Upsample", [FEATURES, (1, 1)], "", "Upsample takes"),
        ("BN", [FEATURES], "", "does not show which it is"),
        ("Reorg", [FEATURES], "", "stride"),
        ("Squeeze", [FEATURES], "squeeze_param { axis: 1 }", "not shape 1"),
        ("Axpy", [FEATURES, FEATURES, FEATURES], "", "one factor per image and channel"),
        ("Add", [(2, 3), (2, 4)], "", "Dimensions must be equal or 1"),
        ("Convolution", [(2, 3, 9)], "convolution_param { num_output: 4 kernel_size: 3 pad_b: 1 }", "two spatial axes"),
        ("ShuffleChannel", [FEATURES], "shuffle_channel_param { group: 0 }", "greater than 0"),
    ],
)
def test_refusals(tmp_path: Path, kind: str, bottoms: list[Any], text: str, message: str) -> None:
    tops = 2 if kind == "BoxAnnotatorOHEM" else 1
    with pytest.raises(cf.CaffeError, match=message) as caught:
        setup(tmp_path, kind, bottoms, text, tops)
    assert f"net.prototxt:{len(bottoms) + 1}: layer 'it'" in str(caught.value)


def test_strict_refuses_types_of_forks(tmp_path: Path) -> None:
    with pytest.raises(cf.CaffeError, match="Unknown layer type: Squeeze"):
        setup(tmp_path, "Squeeze", [(2, 1)], strict=True)


@pytest.mark.slow
def test_the_corpus_is_read_without_shapes_from_the_caller(corpus: Path, record_property: Any) -> None:
    with (corpus / "index.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if "non-BVLC types" in row["notes"]]
    built = []
    for row in rows:
        for phase in ("TRAIN", "TEST"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", cf.CaffeWarning)
                    cf.Net(corpus / "files" / row["file"], phase=phase, fill=False, rng=1)
            except cf.CaffeError:
                continue
            built.append(row["file"])
            break
    record_property("built", f"{len(built)} of {len(rows)}")
    # the rest lacks data that only the caller has, is broken, or has types that nobody else has
    assert len(built) >= 25, f"{len(built)} of {len(rows)} nets with types of forks were built"


def test_the_page_of_layer_types_is_what_the_rules_say() -> None:
    script = Path(__file__).parents[1] / "docs" / "make_layers.py"
    result = runpy.run_path(str(script))
    assert result["PAGE"].read_text(encoding="utf-8") == result["page"](), "run python docs/make_layers.py"
