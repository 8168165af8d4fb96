"""Losses and accuracies. Their tops have no axes."""

from __future__ import annotations

import math
from functools import partial
from typing import cast

from google.protobuf.message import DecodeError

from .. import ops, schema
from ..arrays import Array
from ..blob import Blob
from ..checks import c_int, need, need_equal
from ..errors import CaffeError
from ..files import as_path, check_readable
from .rule import Layer, Setup, Shape, axis, count, layer_type, legacy

__all__ = ["given_tops"]

TWO, ONE = (2, 2), (1, 1)
SCALAR: Shape = ()


def _same_first(bottoms: list[Shape]) -> None:
    axis(bottoms[0], 0), axis(bottoms[1], 0)
    need(
        bottoms[0][0] == bottoms[1][0],
        f"bottom[0]->shape(0) == bottom[1]->shape(0) ({bottoms[0][0]} vs. {bottoms[1][0]}) "
        "The data and label should have the same first dimension.",
    )


def _labels(scores: Shape, labels: Shape, a: int) -> None:
    outer_inner = math.prod(scores[:a]) * math.prod(scores[a + 1 :])
    need(
        outer_inner == count(labels),
        f"outer_num_ * inner_num_ == bottom[1]->count() ({outer_inner} vs. {count(labels)}) "
        "Number of labels must match number of predictions",
        f"predictions of shape {scores} with the classes on axis {a} need {outer_inner} labels",
    )


def _singletons(bottom: Shape, index: int, first: int) -> None:
    for i, name in enumerate(("channels", "height", "width")[first:], first):
        dim = legacy(bottom)[1 + i]
        need(dim == 1, f"bottom[{index}]->{name}() == 1 ({dim} vs. 1)", f"bottom {index} is {bottom}")


def _loss_weight(layer: Layer) -> float:
    return layer.message.loss_weight[0] if layer.message.loss_weight else 1.0


def _ignored(param: schema.LossParameter | schema.AccuracyParameter) -> int | None:
    return param.ignore_label if param.HasField("ignore_label") else None


def _normalization(layer: Layer, default: ops.Normalization = "VALID") -> ops.Normalization:
    """Return the normalization of loss_param, else that of its older switch `normalize`, else the layer's `default`."""
    param = layer.message.loss_param
    if param.HasField("normalization"):
        return cast("ops.Normalization", type(param).NormalizationMode.Name(param.normalization))
    if param.HasField("normalize"):
        return "VALID" if param.normalize else "BATCH_SIZE"
    return default


@layer_type("Accuracy", bottoms=TWO, tops=(1, 2))
def accuracy(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.accuracy_param
    scores, labels = bottoms
    k = c_int(param.top_k)
    need(count(labels) > 0, "bottom[1]->count() > 0 (0 vs. 0)", "Caffe divides by the number of labels: there are none")
    per_label = count(scores) // count(labels)
    need(
        k <= per_label,
        f"top_k_ <= bottom[0]->count() / bottom[1]->count() ({k} vs. {per_label}) "
        "top_k must be less than or equal to the number of classes.",
    )
    a = axis(scores, param.axis)
    _labels(scores, labels, a)
    if len(layer.tops) > 1:
        _not_in_place(layer, a)
    operation = ops.Accuracy(k, a, _ignored(param))
    return Setup([SCALAR, (scores[a],)][: len(layer.tops)], operation=operation)


@layer_type("EuclideanLoss", bottoms=TWO, tops=ONE, automatic_top=True)
def euclidean(layer: Layer, bottoms: list[Shape]) -> Setup:
    _same_first(bottoms)
    need(not layer.in_place[0], "start_axis <= end_axis (1 vs. 0)", "EuclideanLoss can't work in place; rename the top")
    left, right = (math.prod(bottom[1:]) for bottom in bottoms)
    need_equal(left, right, "bottom[0]->count(1) == bottom[1]->count(1)", "Inputs must have the same dimension.")
    return Setup([SCALAR], operation=ops.EuclideanLoss())


@layer_type("HingeLoss", bottoms=TWO, tops=ONE, automatic_top=True)
def hinge(layer: Layer, bottoms: list[Shape]) -> Setup:
    _same_first(bottoms)
    param = layer.message.hinge_loss_param
    return Setup([SCALAR], operation=ops.HingeLoss(type(param).Norm.Name(param.norm)))


@layer_type("MultinomialLogisticLoss", bottoms=TWO, tops=ONE, automatic_top=True)
def multinomial(layer: Layer, bottoms: list[Shape]) -> Setup:
    _same_first(bottoms)
    _singletons(bottoms[1], 1, 0)
    return Setup([SCALAR], operation=ops.MultinomialLogisticLoss())


@layer_type("SigmoidCrossEntropyLoss", bottoms=TWO, tops=ONE, automatic_top=True)
def sigmoid_cross_entropy(layer: Layer, bottoms: list[Shape]) -> Setup:
    _same_first(bottoms)
    _not_in_place(layer, 0)
    need_equal(
        count(bottoms[0]),
        count(bottoms[1]),
        "bottom[0]->count() == bottom[1]->count()",
        "SIGMOID_CROSS_ENTROPY_LOSS layer inputs must have the same count.",
    )
    # the Sigmoid inside takes a loss_weight from the text, but not the default of a loss
    written = any(layer.message.loss_weight)
    need(count(bottoms[0]) > 0 or not written, "diff_", f"a loss_weight for scores that are empty, {bottoms[0]}")
    operation = ops.SigmoidCrossEntropyLoss(_ignored(layer.message.loss_param), _normalization(layer, "BATCH_SIZE"))
    return Setup([SCALAR], operation=operation)


@layer_type("SoftmaxWithLoss", bottoms=TWO, tops=(1, 3), automatic_top=True)
def softmax_with_loss(layer: Layer, bottoms: list[Shape]) -> Setup:
    scores, labels = bottoms
    if len(layer.tops) == 3:
        need(
            not layer.strict,
            "MaxTopBlobs() >= top.size() (2 vs. 3) SoftmaxWithLoss Layer produces at most 2 top blob(s) as output.",
        )
        # R-FCN's: the probabilities and the loss of each label too
        _labels(scores, labels, axis(scores, layer.message.softmax_param.axis))
        return Setup([SCALAR, scores, labels])
    for tops, weights in ((1, len(layer.message.loss_weight) or 1), (len(layer.tops), 1)):
        # the weights must fit the one top of the Softmax inside as well as the layer's own
        need(
            tops == weights,
            f"top.size() == num_loss_weights ({tops} vs. {weights}) "
            "loss_weight must be unspecified or specified once per top blob.",
            "SoftmaxWithLoss declares a second top, but Caffe master can't set it up; give one top and one loss_weight",
        )
    a = axis(scores, layer.message.softmax_param.axis)
    _softmax_inside(scores, a, _loss_weight(layer))
    _same_first(bottoms)
    _not_in_place(layer, layer.message.softmax_param.axis)
    _labels(scores, labels, a)
    return Setup([SCALAR], operation=ops.SoftmaxWithLoss(a, _ignored(layer.message.loss_param), _normalization(layer)))


def _softmax_inside(scores: Shape, a: int, weight: float) -> None:
    """Check the Softmax inside these losses: its top gets a gradient wherever the loss counts."""
    need(scores[a] > 0, "data_", f"axis {a} of the scores, {scores}, is empty")
    need(count(scores) > 0 or weight == 0, "diff_", f"the scores, {scores}, are empty")


def _not_in_place(layer: Layer, a: int) -> None:
    if layer.in_place[0]:
        # when Caffe looks for the scores' axes, the scores have the loss's shape: no axes
        try:
            axis(SCALAR, a)
        except CaffeError as error:
            raise CaffeError(f"{error}\n{layer.type} can't work in place; rename the top") from None


@layer_type("InfogainLoss", bottoms=(2, 3), tops=(1, 2), automatic_top=True)
def infogain(layer: Layer, bottoms: list[Shape]) -> Setup:
    param = layer.message.infogain_loss_param
    scores, labels = bottoms[:2]
    a = axis(scores, param.axis)
    _softmax_inside(scores, a, 1)
    need(
        not layer.message.loss_param.HasField("normalize"),
        '!this->layer_param_.loss_param().has_normalize() normalize is deprecated. use "normalization"',
    )
    classes = scores[a]
    if len(bottoms) < 3:
        need(
            param.HasField("source"),
            "this->layer_param_.infogain_loss_param().has_source() Infogain matrix source must be specified.",
            "give infogain_loss_param.source, or a third bottom",
        )
        matrix = classes * classes
    else:
        matrix = count(bottoms[2])
    _same_first(bottoms)
    _not_in_place(layer, param.axis)
    _labels(scores, labels, a)
    need(
        matrix == classes * classes,
        f"infogain->count() == num_labels_*num_labels_ ({matrix} vs. {classes * classes})",
        f"the infogain matrix of {classes} classes has {classes * classes} values",
    )
    operation = ops.InfogainLoss(
        a,
        _ignored(layer.message.loss_param),
        _normalization(layer),
        partial(_blob_file, param.source) if len(bottoms) < 3 else None,
    )
    return Setup([SCALAR, scores][: len(layer.tops)], operation=operation)


def _blob_file(source: str) -> Array:
    """Return the values in a file that holds one BlobProto."""
    path = as_path(source)
    check_readable(path)
    try:
        return Blob.from_proto(schema.BlobProto.FromString(path.read_bytes())).data
    except DecodeError:
        raise CaffeError(f"{path}: is no blob (a BlobProto), which an infogain matrix is read from") from None
    except CaffeError as error:
        raise CaffeError(f"{path}: {error}") from None


@layer_type("ContrastiveLoss", bottoms=(3, 3), tops=ONE, automatic_top=True)
def contrastive(layer: Layer, bottoms: list[Shape]) -> Setup:
    _same_first(bottoms)
    left, right = legacy(bottoms[0])[1], legacy(bottoms[1])[1]
    need_equal(left, right, "bottom[0]->channels() == bottom[1]->channels()", "the two features differ in length")
    _singletons(bottoms[0], 0, 1)
    _singletons(bottoms[1], 1, 1)
    _singletons(bottoms[2], 2, 0)
    param = layer.message.contrastive_loss_param
    return Setup([SCALAR], operation=ops.ContrastiveLoss(param.margin, param.legacy_version))


def given_tops(layer: Layer) -> Setup:
    """Set up a layer whose tops only the caller knows: their shapes come from `inputs`."""
    tops: list[Shape] = []
    for name in layer.tops:
        shape = layer.given(name)
        if shape is None:
            raise CaffeError(
                f"the shape of top {name!r} is unknown for layers of type {layer.type!r}\n"
                f"give it: inputs={{{name!r}: (...)}} or --input {name}=DIMS"
            )
        tops.append(tuple(shape))
    # a layer without bottoms runs on the values that the caller writes to its tops
    return Setup(tops, operation=None if layer.bottoms else ops.Given())
