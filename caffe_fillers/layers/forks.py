"""Layer types of forks of Caffe, with certain shapes and parameters.

Each entry names the fork whose set-up it follows. A fork's fields are not in the schema: a rule reads them from
`layer.extras`, where the reader of prototxts leaves what BVLC Caffe does not know. What forks added to types that BVLC
Caffe does have (a BatchNorm with a scale, uneven padding) stands with those types.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from .. import ops
from ..checks import c_div, c_int, need, need_equal
from ..errors import CaffeError
from ..fillers import Spec
from . import losses, spatial
from .data import datum_shape, image_data
from .elementwise import each
from .extras import Fields
from .rule import Layer, Param, Setup, Shape, axis, check_counts, count, filler, layer_type, legacy
from .transforming import draws_of

NONE, ONE, TWO, SCALAR = (0, 0), (1, 1), (2, 2), losses.SCALAR

SSD = "weiliu89/caffe (SSD)"
RCNN = "rbgirshick/caffe-fast-rcnn"
POINTS = "goodluckcwl/custom-caffe"
RFCN = "daijifeng001/caffe-rfcn"
SEGNET = "alexgkendall/caffe-segnet"
SEGNET_YOLO = f"{SEGNET}; with one bottom eric612/MobileNet-YOLO"
SEGNET_PSPNET = f"{SEGNET} (scale_filler, shift_filler), hszhao/PSPNet (slope_filler, bias_filler)"
YOLO = "eric612/MobileNet-YOLO"
SYNOPSYS = "foss-for-synopsys-dwc-arc-processors/synopsys-caffe"


layer_type("ReLU6", bottoms=ONE, tops=ONE, fork=YOLO)(each(lambda layer: ops.ReLU6()))
layer_type("HardSwish", bottoms=ONE, tops=ONE, fork=SYNOPSYS)(each(lambda layer: ops.HardSwish()))


# --- SSD -----------------------------------------------------------------------------------------------------------


@layer_type("Permute", bottoms=ONE, tops=ONE, fork=SSD)
def permute(layer: Layer, bottoms: list[Shape]) -> Setup:
    bottom, order = bottoms[0], Fields.of(layer, "permute_param").integers("order")
    for i in order:
        need(
            0 <= i < len(bottom),
            f"order < num_axes_ ({i} vs. {len(bottom)}) order should be less than the input dimension.",
        )
    need(len(set(order)) == len(order), "there are duplicate orders", f"order names an axis twice: {order}")
    # axes that order lacks follow
    order += [i for i in range(len(bottom)) if i not in order]
    return Setup([tuple(bottom[i] for i in order)], operation=ops.Permute(tuple(order)))


@layer_type("Normalize", bottoms=ONE, tops=(1, 2), fork=f"{SSD}; with normalize_param happynear/caffe-windows")
def normalize(layer: Layer, bottoms: list[Shape]) -> Setup:
    bottom = bottoms[0]
    num, channels, height, width = legacy(bottom)
    if Fields.of(layer, "normalize_param").values or len(layer.tops) == 2:
        tops: list[Shape] = [(num, channels, height, width), (num, 1, height, width)]
        return Setup(tops[: len(layer.tops)])
    need(
        len(bottom) >= 2,
        f"bottom[0]->num_axes() >= 2 ({len(bottom)} vs. 2) Number of axes of bottom blob must be >=2.",
    )
    fields = Fields.of(layer, "norm_param")
    shape = () if fields.flag("channel_shared", True) else (channels,)
    operation = ops.Normalize(fields.flag("across_spatial", True), fields.number("eps", float(np.float32(1e-10))))
    return Setup([bottom], [Param(shape, fields.filler("scale_filler", Spec(value=1.0)), "scale")], operation=operation)


def _aspect_ratios(fields: Fields) -> list[float]:
    """Return the aspect ratios: 1, and each that differs from those before it."""
    ratios = [1.0]
    for ratio in fields.numbers("aspect_ratio"):
        if all(abs(ratio - other) >= 1e-6 for other in ratios):
            ratios.append(ratio)
            if fields.flag("flip", True):
                need(ratio != 0, "aspect_ratio != 0 (0 vs. 0)", "flip needs the inverse of each aspect ratio")
                ratios.append(float(np.float32(1.0 / ratio)))
    return ratios


_Number = TypeVar("_Number", int, float)


def _prior_box(fields: Fields) -> ops.PriorBox:
    """The operation of a PriorBox."""

    def pair(one: str, both: str, number: Callable[[str], _Number]) -> tuple[_Number, _Number] | None:
        """Return height and width, from one field or from two."""
        if f"{both}_h" in fields or f"{both}_w" in fields:
            return number(f"{both}_h"), number(f"{both}_w")
        return (number(one), number(one)) if one in fields else None

    image, step = pair("img_size", "img", fields.integer), pair("step", "step", fields.number)
    small, large = fields.numbers("min_size"), fields.numbers("max_size")
    return ops.PriorBox(
        tuple(zip(small, large, strict=True)) if large else tuple((size,) for size in small),
        tuple(_aspect_ratios(fields)),
        tuple(fields.numbers("variance")) or (0.1,),
        # 0 stands for the size of the bottoms
        image if image and all(image) else None,
        step if step and all(step) else None,
        fields.number("offset", 0.5),
        fields.flag("clip"),
    )


@layer_type("PriorBox", bottoms=TWO, tops=ONE, fork=SSD)
def prior_box(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "prior_box_param")
    small, large, variance = (fields.numbers(name) for name in ("min_size", "max_size", "variance"))
    need(len(small) > 0, "prior_box_param.min_size_size() > 0 (0 vs. 0) must provide min_size.")
    need(min(small) > 0, f"min_sizes_.back() > 0 ({min(small):g} vs. 0) min_size must be positive.")
    if large:
        need_equal(len(small), len(large), "prior_box_param.min_size_size() == prior_box_param.max_size_size()")
        for low, high in zip(small, large, strict=True):
            need(
                high > low,
                f"max_sizes_[i] > min_sizes_[i] ({high:g} vs. {low:g}) max_size must be greater than min_size.",
            )
    need(len(variance) in (0, 1, 4), f"prior_box_param.variance_size() == 4 ({len(variance)} vs. 4)")
    priors = len(_aspect_ratios(fields)) * len(small) + len(large)
    _, _, height, width = legacy(bottoms[0])
    size = height * width * priors * 4
    need(size > 0, f"top_shape[2] > 0 ({size} vs. 0)", f"the bottom, {bottoms[0]}, is empty")
    axes = len(bottoms[0]) == len(bottoms[1]) == 4
    return Setup([(1, 2, size)], operation=_prior_box(fields) if axes else None)


def _boxes(layer: Layer, bottoms: list[Shape], name: str) -> None:
    """Refuse predictions that don't fit the priors, as DetectionOutput and MultiBoxLoss do."""
    fields = Fields.of(layer, name)
    need("num_classes" in fields, f"{name}.has_num_classes() Must specify num_classes")
    classes = fields.integer("num_classes")
    located = 1 if fields.flag("share_location", True) else classes
    location, confidence = legacy(bottoms[0]), legacy(bottoms[1])
    priors = legacy(bottoms[2])[2] // 4
    need_equal(location[0], confidence[0], "bottom[0]->num() == bottom[1]->num()")
    for kind, per_prior, shape in (("loc", located * 4, location), ("conf", classes, confidence)):
        need(
            priors * per_prior == shape[1],
            f"num_priors_ * {'num_loc_classes_ * 4' if kind == 'loc' else 'num_classes_'} == channels "
            f"({priors * per_prior} vs. {shape[1]}) Number of priors must match number of "
            f"{'location' if kind == 'loc' else 'confidence'} predictions.",
        )


@layer_type("DetectionOutput", bottoms=(3, 4), tops=ONE, fork=SSD, runs=False)
def detection_output(layer: Layer, bottoms: list[Shape]) -> Setup:
    _boxes(layer, bottoms, "detection_output_param")
    # one row as long as no boxes are found: image, label, confidence and four corners
    return Setup([(1, 1, 1, 7)])


@layer_type("MultiBoxLoss", bottoms=(4, 4), tops=ONE, automatic_top=True, fork=SSD, runs=False)
def multi_box_loss(layer: Layer, bottoms: list[Shape]) -> Setup:
    _boxes(layer, bottoms, "multibox_loss_param")
    return Setup([SCALAR])


def _resized(fields: Fields, height: int, width: int) -> tuple[int, int]:
    """Return the size of an image after transform_param.resize_param, if the text has one."""
    if "resize_param" not in fields:
        return height, width
    resize = Fields.of_value("transform_param.resize_param", fields.values["resize_param"][-1])
    to_height, to_width = resize.integer("height"), resize.integer("width")
    if resize.text("resize_mode", "WARP") != "FIT_SMALL_SIZE":
        return to_height, to_width
    need(min(height, width, to_height, to_width) > 0, "FIT_SMALL_SIZE needs sizes above 0")
    aspect = np.float32(width) / np.float32(height)
    if aspect < np.float32(to_width) / np.float32(to_height):
        return int(np.float32(to_width) / aspect), to_width
    return to_height, int(aspect * np.float32(to_height))


@layer_type("AnnotatedData", bottoms=NONE, tops=(1, None), fork=SSD)
def annotated_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    """The label's number of boxes depends on the data; it is 1 unless the caller gives it."""
    if len(layer.tops) > 2:
        # a layer of the same name in another fork
        return losses.given_tops(layer)
    param, fields = layer.message.data_param, Fields.of(layer, "transform_param")
    channels, *size = datum_shape(layer, layer.given(layer.tops[0]), "an image", param.source)
    size = list(_resized(fields, *size))
    batch, whole = c_int(param.batch_size), c_int(layer.message.transform_param.crop_size)
    for i, letter in enumerate("hw"):
        crop = whole or fields.integer(f"crop_{letter}")
        need(size[i] >= crop, f"datum_{('height', 'width')[i]} >= crop_{letter} ({size[i]} vs. {crop})")
        size[i] = crop or size[i]
    tops: list[Shape] = [(batch, channels, *size)]
    need(count(tops[0]) > 0, "data_", f"batch_size: {batch} and images of {size} make no data")
    for name in layer.tops[1:]:
        keys = [key for key in (f"{name}@{layer.net_phase}", name) if key in layer.inputs and name != layer.name]
        tops.append(tuple(layer.inputs[keys[0]]) if keys else (1, 1, 1, 8))
    draws = []
    # one thread reads for all layers of the same name and source
    if (reader := f"{layer.name}:{param.source}") not in layer.readers:
        layer.readers.add(reader)
        draws.append("reader thread")
    transform = layer.message.transform_param
    seeded = transform.mirror or (layer.phase == "TRAIN" and transform.crop_size > 0)
    return Setup(tops, draws=[*draws, *["transformer"] * (2 * seeded), "prefetch thread"], operation=ops.Given())


# --- R-CNN and R-FCN -----------------------------------------------------------------------------------------------


@layer_type("ROIPooling", "ROI_POOLING", bottoms=TWO, tops=ONE, fork=RCNN)
def roi_pooling(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "roi_pooling_param")
    height, width = fields.integer("pooled_h"), fields.integer("pooled_w")
    need(height > 0, f"roi_pool_param.pooled_h() > 0 ({height} vs. 0) pooled_h must be > 0")
    need(width > 0, f"roi_pool_param.pooled_w() > 0 ({width} vs. 0) pooled_w must be > 0")
    fits = len(bottoms[0]) == 4 and math.prod(bottoms[1][1:]) == 5
    operation = ops.ROIPooling((height, width), fields.number("spatial_scale", 1.0)) if fits else None
    return Setup([(legacy(bottoms[1])[0], legacy(bottoms[0])[1], height, width)], operation=operation)


@layer_type("PSROIPooling", bottoms=TWO, tops=ONE, fork=RFCN, runs=False)
def psroi_pooling(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "psroi_pooling_param")
    outputs, group, channels = fields.integer("output_dim"), fields.integer("group_size"), legacy(bottoms[0])[1]
    need(outputs > 0, f"psroi_pooling_param.output_dim() > 0 ({outputs} vs. 0) output_dim must be > 0")
    need(group > 0, f"psroi_pooling_param.group_size() > 0 ({group} vs. 0) group_size must be > 0")
    need_equal(
        channels,
        outputs * group * group,
        "channels_ == output_dim_*group_size_*group_size_",
        "the bottom has output_dim channels for each of group_size x group_size parts",
    )
    return Setup([(legacy(bottoms[1])[0], outputs, group, group)])


@layer_type("BoxAnnotatorOHEM", bottoms=(4, 4), tops=TWO, fork=RFCN, runs=False)
def box_annotator(layer: Layer, bottoms: list[Shape]) -> Setup:
    rois, loss, labels, weights = (legacy(bottom) for bottom in bottoms)
    need_equal(5, rois[1], "5 == bottom[0]->channels()", "bottom 0 holds regions: an image and four corners")
    for i, shape in ((1, loss), (2, labels)):
        need_equal(shape, (rois[0], 1, *rois[2:]), f"the shape of bottom[{i}] fits the regions")
    need_equal((weights[0], *weights[2:]), (rois[0], *rois[2:]), "the shape of bottom[3] fits the regions")
    return Setup([(rois[0], 1, *rois[2:]), (rois[0], weights[1], *rois[2:])])


def _smooth_l1(layer: Layer, bottoms: list[Shape]) -> tuple[int, int, int, int]:
    first = legacy(bottoms[0])
    need_equal(first[0], legacy(bottoms[1])[0], "bottom[0]->num() == bottom[1]->num()")
    for i, bottom in enumerate(bottoms[1:], 1):
        need_equal(first[1:], legacy(bottom)[1:], f"bottom[0] and bottom[{i}] agree in channels, height and width")
    return first


@layer_type(
    "SmoothL1Loss", "SMOOTH_L1_LOSS", bottoms=(2, 4), tops=(1, 2), automatic_top=True, fork=f"{RCNN}, {SSD}", runs=False
)
def smooth_l1_loss(layer: Layer, bottoms: list[Shape]) -> Setup:
    num, _, height, width = _smooth_l1(layer, bottoms)
    # the second top is R-FCN's, the loss of each region
    return Setup([SCALAR, (num, 1, height, width)][: len(layer.tops)])


@layer_type("SmoothL1LossOHEM", bottoms=(2, 3), tops=(1, 2), automatic_top=True, fork=RFCN, runs=False)
def smooth_l1_loss_ohem(layer: Layer, bottoms: list[Shape]) -> Setup:
    num, _, height, width = _smooth_l1(layer, bottoms)
    return Setup([SCALAR, (num, 1, height, width)][: len(layer.tops)])


@layer_type("SoftmaxWithLossOHEM", bottoms=TWO, tops=(1, 3), automatic_top=True, fork=RFCN, runs=False)
def softmax_with_loss_ohem(layer: Layer, bottoms: list[Shape]) -> Setup:
    scores, labels = bottoms
    a = axis(scores, layer.message.softmax_param.axis)
    need_equal(
        math.prod(scores[:a]) * math.prod(scores[a + 1 :]),
        count(labels),
        "outer_num_ * inner_num_ == bottom[1]->count()",
        "Number of labels must match number of predictions",
    )
    return Setup([SCALAR, scores, labels][: len(layer.tops)])


# --- convolutions of single channels -------------------------------------------------------------------------------


layer_type(
    "DepthwiseConvolution", bottoms=(1, None), tops=(1, None), equal=True, fork="yonghenglh6/DepthwiseConvolution"
)(spatial.convolution)


@layer_type("ConvolutionDepthwise", bottoms=ONE, tops=ONE, fork="sp2823/caffe, farmingyard/ShuffleNet")
def convolution_depthwise(layer: Layer, bottoms: list[Shape]) -> Setup:
    # num_output and group have no effect there: each channel of the bottom has a filter
    param, channels = layer.message.convolution_param, legacy(bottoms[0])[1]
    window = spatial.padded(layer, spatial.convolution_window(param, 2))
    params = [Param((channels, 1, *window.kernel), filler(param, "weight_filler"))]
    if param.bias_term:
        params.append(Param((channels,), filler(param, "bias_filler"), "bias"))
    tops = spatial.convolved(layer, [legacy(bottoms[0])], channels, 1, window, transposed=False)
    operation = ops.Convolution(window, channels) if len(bottoms[0]) == 4 else None
    return Setup(tops, params, operation=operation)


@layer_type("ShuffleChannel", bottoms=ONE, tops=ONE, fork="farmingyard/ShuffleNet")
def shuffle_channel(layer: Layer, bottoms: list[Shape]) -> Setup:
    group = Fields.of(layer, "shuffle_channel_param").integer("group", 1)
    need(group > 0, f"group_ > 0 ({group} vs. 0) group must be greater than 0")
    return Setup([tuple(legacy(bottoms[0]))], operation=ops.ShuffleChannel(group))


# --- normalisation -------------------------------------------------------------------------------------------------


@layer_type("BN", bottoms=ONE, tops=(1, 3), fork=SEGNET_PSPNET)
def bn(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields, channels = Fields.of(layer, "bn_param"), legacy(bottoms[0])[1]
    shape = (1, channels, 1, 1)
    if any(name in fields for name in ("slope_filler", "momentum", "eps", "frozen")) and "shift_filler" not in fields:
        check_counts(layer, ONE, ONE)
        params = [
            Param(shape, fields.filler("slope_filler"), "slope"),
            Param(shape, fields.filler("bias_filler"), "bias"),
            Param(shape, None, "mean", learned=False),
            Param(shape, Spec(value=float(fields.flag("frozen"))), "variance", learned=False),
        ]
        moving = ops.MovingBN(
            fields.number("eps", float(np.float32(1e-5))),
            fields.number("momentum", float(np.float32(0.9))),
            layer.phase == "TEST",
            fields.flag("frozen"),
        )
        return Setup([bottoms[0]], params, operation=moving)
    if "bias_filler" in fields or not any(name in fields for name in ("scale_filler", "shift_filler", "bn_mode")):
        raise CaffeError(
            "forks define different BN layers, and this one does not show which it is\n"
            "bn_param with scale_filler and shift_filler is SegNet's, with slope_filler and bias_filler PSPNet's"
        )
    params = [
        Param(shape, fields.filler("scale_filler"), "scale"),
        Param(shape, fields.filler("shift_filler"), "shift"),
    ]
    tops: list[Shape] = [legacy(bottoms[0]), shape, shape]
    operation = ops.BN(fields.text("bn_mode", "LEARN") in ("LEARN", "0"))
    return Setup(tops[: len(layer.tops)], params, operation=operation)


# --- sizes ---------------------------------------------------------------------------------------------------------


@layer_type("Interp", bottoms=ONE, tops=ONE, fork="hszhao/PSPNet, DeepLab")
def interp(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "interp_param")
    num, channels, *sizes = legacy(bottoms[0])
    before, after = fields.integer("pad_beg"), fields.integer("pad_end")
    for pad, name in ((before, "pad_beg_"), (after, "pad_end_")):
        need(pad <= 0, f"{name} <= 0 ({pad} vs. 0) Only supports non-pos padding (cropping) for now")
    shrink, zoom = fields.integer("shrink_factor", 1), fields.integer("zoom_factor", 1)
    need(shrink >= 1, f"shrink_factor >= 1 ({shrink} vs. 1) Shrink factor must be positive")
    need(zoom >= 1, f"zoom_factor >= 1 ({zoom} vs. 1) Zoom factor must be positive")
    factors = ("shrink_factor" in fields) + ("zoom_factor" in fields)
    given = "height" in fields and "width" in fields
    need(factors > 0 or given, "false", "interp_param needs height and width, zoom_factor or shrink_factor")
    out = []
    for i, name in enumerate(("height", "width")):
        size = sizes[i] + before + after
        need(size > 0, f"{name}_in_eff_ > 0 ({size} vs. 0) {name} should be positive")
        # both factors together are used only if no size is given
        if factors == 1 or not given:
            size = c_div(size - 1, shrink) + 1
            size += (size - 1) * (zoom - 1)
        else:
            size = fields.integer(name)
        need(size > 0, f"{name}_out_ > 0 ({size} vs. 0) {name} should be positive")
        out.append(size)
    return Setup([(num, channels, *out)], operation=ops.Interp((-before, -after)) if len(bottoms[0]) == 4 else None)


@layer_type("Upsample", bottoms=(1, 2), tops=ONE, fork=SEGNET_YOLO)
def upsample(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields, bottom = Fields.of(layer, "upsample_param"), bottoms[0]
    if len(bottoms) == 1:
        scale = fields.integer("scale", 2)
        return replace(_scaled_up(bottom, scale), operation=ops.Upsample(scale) if scale > 0 else None)
    for i, shape in enumerate(bottoms):
        need_equal(4, len(shape), f"4 == bottom[{i}]->num_axes()", "Upsample takes (num, channels, height, width)")
    need_equal(bottom, bottoms[1], "the shapes of bottom and mask", "the mask is the second top of the Pooling before")
    if "upsample_h" in fields and "upsample_w" in fields:
        size = (fields.integer("upsample_h"), fields.integer("upsample_w"))
        need(min(size) > 1, f"upsample_h_, upsample_w_ > 1 ({min(size)} vs. 1)")
        return Setup([(*bottom[:2], *size)], operation=ops.Upsample())
    out = []
    for i, letter in enumerate("hw"):
        scale = fields.integer(f"scale_{letter}") if "scale_h" in fields else fields.integer("scale", 2)
        pad = fields.flag(f"pad_out_{letter}")
        need(
            scale > 1,
            f"scale_{letter}_ > 1 ({scale} vs. 1)",
            "give scale, both scale_h and scale_w, or upsample_h and _w",
        )
        need(not pad or scale == 2, f"!pad_out_{letter}_ || scale_{letter}_ == 2", "padding needs a scale of 2")
        out.append(bottom[2 + i] * scale - pad)
    return Setup([(*bottom[:2], *out)], operation=ops.Upsample())


def _scaled_up(bottom: Shape, scale: int) -> Setup:
    need(len(bottom) >= 2, f"bottom[0]->num_axes() >= 2 ({len(bottom)} vs. 2)")
    return Setup([(*bottom[:-2], bottom[-2] * scale, bottom[-1] * scale)])


@layer_type("UpsampleDarknet", bottoms=ONE, tops=ONE, fork=SYNOPSYS, runs=False)
def upsample_darknet(layer: Layer, bottoms: list[Shape]) -> Setup:
    return _scaled_up(bottoms[0], Fields.of(layer, "upsample_darknet_param").integer("stride", 1))


@layer_type("Reorg", bottoms=ONE, tops=ONE, fork=f"intel/caffe, {YOLO}")
def reorg(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "reorg_param")
    stride = fields.integer("stride")
    need(stride > 0, "reorg_param.has_stride() == true", "Reorg needs a stride above 0")
    num, channels, height, width = legacy(bottoms[0])
    reverse = fields.flag("reverse")
    # otherwise it reads past the end of its bottom
    fits = channels % stride**2 == 0 and (reverse or height % stride == width % stride == 0) and len(bottoms[0]) == 4
    operation = ops.Reorg(stride, reverse) if fits else None
    if reverse:
        return Setup([(num, channels // stride**2, height * stride, width * stride)], operation=operation)
    return Setup([(num, channels * stride**2, height // stride, width // stride)], operation=operation)


@layer_type("ResizeBilinear", "ResizeNearestNeighbor", bottoms=ONE, tops=ONE, fork=SYNOPSYS, runs=False)
def resize(layer: Layer, bottoms: list[Shape]) -> Setup:
    name = "resize_bilinear_param" if layer.type == "ResizeBilinear" else "resize_nearest_neighbor_param"
    fields, bottom = Fields.of(layer, name), bottoms[0]
    layout = fields.text("data_format", "NHWC")
    need(layout in ("NHWC", "NCHW"), f"{name}.data_format is NHWC or NCHW, got {layout}")
    need_equal(4, len(bottom), "4 == bottom[0]->num_axes()", f"{layer.type} takes four axes")
    top = list(bottom)
    for size, place in (("height", layout.index("H")), ("width", layout.index("W"))):
        scaled = np.float32(bottom[place]) * np.float32(fields.number(f"scale_{size}", 1.0))
        top[place] = fields.integer(f"output_{size}") if f"output_{size}" in fields else math.floor(scaled)
    return Setup([tuple(top)])


@layer_type("Squeeze", bottoms=ONE, tops=ONE, fork=SYNOPSYS)
def squeeze(layer: Layer, bottoms: list[Shape]) -> Setup:
    bottom = bottoms[0]
    axes = [axis(bottom, i) for i in Fields.of(layer, "squeeze_param").integers("axis")]
    for i in axes:
        need_equal(bottom[i], 1, "bottom[0]->shape(axis[i]) == 1", "Can't remove axis that is not shape 1!")
    top = tuple(dim for i, dim in enumerate(bottom) if dim != 1 or (axes and i not in axes))
    return Setup([top], operation=ops.Reshape())


# --- sums and products ---------------------------------------------------------------------------------------------


@layer_type("Axpy", bottoms=(3, 3), tops=ONE, fork="hujie-frank/SENet")
def axpy(layer: Layer, bottoms: list[Shape]) -> Setup:
    scale, x, y = bottoms
    need(
        len(scale) >= 2 and len(x) >= 2, "bottom[0]->shape(1) == bottom[1]->shape(1)", f"the scale is {scale}, x is {x}"
    )
    need_equal(scale[:2], x[:2], "bottom[0]->shape(0, 1) == bottom[1]->shape(0, 1)", "one factor per image and channel")
    need(set(scale[2:]) <= {1}, "bottom[0]->shape(2) == 1", f"one factor per image and channel; the scale is {scale}")
    need_equal(x, y, "bottom[1]->shape() == bottom[2]->shape()")
    return Setup([x], operation=ops.Axpy())


@layer_type("Add", "Mul", bottoms=TWO, tops=ONE, fork=SYNOPSYS)
def broadcast(layer: Layer, bottoms: list[Shape]) -> Setup:
    try:
        top = np.broadcast_shapes(*bottoms)
    except ValueError:
        raise CaffeError(
            f"Check failed: Dimensions must be equal or 1 in the bottoms!\nthey are {bottoms[0]} and {bottoms[1]}"
        ) from None
    return Setup([top], operation=ops.Add() if layer.type == "Add" else ops.Mul())


# --- losses that compare two blobs --------------------------------------------------------------------------------


@layer_type("L1Loss", bottoms=(1, 2), tops=ONE, automatic_top=True, fork="NVIDIA/caffe, LiteFlowNet", runs=False)
@layer_type("DiceCoefLoss", bottoms=TWO, tops=ONE, automatic_top=True, fork="fantes/caffe", runs=False)
@layer_type(
    "WeightEuclideanLoss", bottoms=TWO, tops=ONE, automatic_top=True, fork="goodluckcwl/custom-caffe", runs=False
)
def loss_of_two(layer: Layer, bottoms: list[Shape]) -> Setup:
    for other in bottoms[1:]:
        need_equal(bottoms[0][:1], other[:1], "bottom[0]->num() == bottom[1]->num()")
        left, right = math.prod(bottoms[0][1:]), math.prod(other[1:])
        need_equal(left, right, "bottom[0]->count(1) == bottom[1]->count(1)", "Inputs must have the same dimension.")
    return Setup([SCALAR])


# --- faces ---------------------------------------------------------------------------------------------------------


@layer_type("CenterLoss", bottoms=TWO, tops=ONE, automatic_top=True, fork="ydwen/caffe-face", runs=False)
def center_loss(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "center_loss_param")
    width = math.prod(bottoms[0][axis(bottoms[0], fields.integer("axis", 1)) :])
    need(legacy(bottoms[1])[1:] == (1, 1, 1), "bottom[1]->channels() == 1", f"one label per image; got {bottoms[1]}")
    return Setup([SCALAR], [Param((fields.integer("num_output"), width), fields.filler("center_filler"), "centers")])


@layer_type("MarginInnerProduct", bottoms=TWO, tops=(1, 2), fork="wy1iu/sphereface", runs=False)
def margin_inner_product(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "margin_inner_product_param")
    first, outputs = axis(bottoms[0], fields.integer("axis", 1)), fields.integer("num_output")
    need_equal(legacy(bottoms[0])[0], legacy(bottoms[1])[0], "bottom[0]->num() == bottom[1]->num()")
    weight = Param((outputs, math.prod(bottoms[0][first:])), fields.filler("weight_filler"))
    return Setup([(*bottoms[0][:first], outputs), (1,)][: len(layer.tops)], [weight])


# --- images with maps as labels ------------------------------------------------------------------------------------


@layer_type("ImageLabelmapData", bottoms=NONE, tops=TWO, fork="s9xie/hed")
def image_labelmap_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    setup = image_data(layer, bottoms)
    batch, _, height, width = setup.tops[0]
    return Setup([setup.tops[0], (batch, 1, height, width)], draws=setup.draws, operation=ops.Given())


@layer_type("DenseImageData", bottoms=NONE, tops=TWO, fork="TimoSaemann/caffe-segnet-cudnn5")
def dense_image_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    fields = Fields.of(layer, "dense_image_data_param")
    sizes = []
    for kind in ("new", "crop"):
        height, width = fields.integer(f"{kind}_height"), fields.integer(f"{kind}_width")
        need((height > 0) == (width > 0), f"{kind}_height and {kind}_width are set at the same time")
        sizes.append((height, width))
    crop = c_int(layer.message.transform_param.crop_size)
    channels = 3 if fields.flag("is_color", True) else 1
    size = (crop, crop) if crop > 0 else next((pair for pair in reversed(sizes) if pair[0]), None)
    if size is None:
        size = datum_shape(layer, layer.given(*layer.tops[:1]), "an image", fields.text("source"))[1:]
    batch = fields.integer("batch_size")
    need(batch > 0, f"batch_size > 0 ({batch} vs. 0)", "dense_image_data_param needs a batch_size")
    draws = draws_of(layer, shuffle=fields.flag("shuffle"), skip=fields.integer("rand_skip") > 0)
    return Setup([(batch, channels, *size), (batch, 1, *size)], draws=draws, operation=ops.Given())


@layer_type("ImageSegData", bottoms=NONE, tops=(2, 3), fork="DeepLab, hszhao/PSPNet")
def image_seg_data(layer: Layer, bottoms: list[Shape]) -> Setup:
    """Set up three tops: an image, its labels by pixel, and the image's original size."""
    param, transform = layer.message.image_data_param, Fields.of(layer, "transform_param")
    height, width, batch = c_int(param.new_height), c_int(param.new_width), c_int(param.batch_size)
    need((height > 0) == (width > 0), "new_height and new_width are set at the same time")
    whole = c_int(layer.message.transform_param.crop_size)
    pair = transform.integer("crop_h"), transform.integer("crop_w")
    need((pair[0] > 0) == (pair[1] > 0), "crop_h and crop_w should be used at the same time and should be positive.")
    need(not (whole and any(pair)), "Use either crop_size or crop_h & crop_w, not both.")
    size = (whole, whole) if whole else pair if any(pair) else (height, width)
    if not any(size):
        size = datum_shape(layer, layer.given(*layer.tops[:1]), "an image", param.source)[1:]
    need(batch > 0, f"batch_size > 0 ({batch} vs. 0) Positive batch size required")
    tops: list[Shape] = [(batch, 3 if param.is_color else 1, *size), (batch, 1, *size), (batch, 1, 1, 2)]
    draws = draws_of(layer, shuffle=param.shuffle, skip=param.rand_skip > 0)
    return Setup(tops[: len(layer.tops)], draws=draws, operation=ops.Given())
