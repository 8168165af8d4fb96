"""An operation made without numbers is what Caffe makes of a layer without parameters."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_fillers import ops, schema
from caffe_fillers.ops import Window

# the operation, the message, and for each of its numbers the name that Caffe's has
SAME = [
    (ops.ArgMax, "argmax_param", {"top_k": "top_k", "out_max_val": "out_max_val"}),
    (ops.Accuracy, "accuracy_param", {"top_k": "top_k", "axis": "axis"}),
    (ops.BatchNorm, "batch_norm_param", {"fraction": "moving_average_fraction", "eps": "eps"}),
    (ops.Bias, "bias_param", {"axis": "axis"}),
    (ops.Concat, "concat_param", {"axis": "axis"}),
    (ops.ContrastiveLoss, "contrastive_loss_param", {"margin": "margin", "legacy": "legacy_version"}),
    (ops.Dropout, "dropout_param", {"ratio": "dropout_ratio"}),
    (ops.ELU, "elu_param", {"alpha": "alpha"}),
    (ops.Eltwise, "eltwise_param", {"stable": "stable_prod_grad"}),
    (ops.Exp, "exp_param", {"base": "base", "scale": "scale", "shift": "shift"}),
    (ops.InfogainLoss, "infogain_loss_param", {"axis": "axis"}),
    (ops.InnerProduct, "inner_product_param", {"axis": "axis", "transpose": "transpose"}),
    (ops.LRN, "lrn_param", {"size": "local_size", "alpha": "alpha", "beta": "beta", "k": "k"}),
    (ops.Log, "log_param", {"base": "base", "scale": "scale", "shift": "shift"}),
    (ops.MVN, "mvn_param", {"across_channels": "across_channels", "variance": "normalize_variance", "eps": "eps"}),
    (ops.Power, "power_param", {"power": "power", "scale": "scale", "shift": "shift"}),
    (ops.ReLU, "relu_param", {"negative_slope": "negative_slope"}),
    (ops.Reduction, "reduction_param", {"axis": "axis", "coefficient": "coeff"}),
    (ops.Scale, "scale_param", {"axis": "axis", "bias": "bias_term"}),
    (ops.Softmax, "softmax_param", {"axis": "axis"}),
    (ops.SoftmaxWithLoss, "softmax_param", {"axis": "axis"}),
    (ops.Swish, "swish_param", {"beta": "beta"}),
    (ops.Threshold, "threshold_param", {"at": "threshold"}),
]


@pytest.mark.parametrize(("kind", "message", "names"), SAME, ids=[kind.__name__ for kind, *_ in SAME])
def test_numbers_left_out_are_caffes(kind, message, names):
    given, operation = getattr(schema.LayerParameter(), message), kind()
    for ours, theirs in names.items():
        assert np.float32(getattr(operation, ours)) == np.float32(getattr(given, theirs)), ours


def test_words_left_out_are_caffes():
    layer = schema.LayerParameter()
    for word, message, field in (
        (ops.Eltwise().method, layer.eltwise_param, "operation"),
        (ops.HingeLoss().norm, layer.hinge_loss_param, "norm"),
        (ops.Pooling(Window.square(2)).method, layer.pooling_param, "pool"),
        (ops.Reduction().method, layer.reduction_param, "operation"),
    ):
        assert message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_name[word].number == getattr(message, field)


@pytest.mark.parametrize("pool", [ops.max_pool, ops.average_pool])
def test_windows_that_begin_inside_count_unless_one_says_otherwise(pool):
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    assert pool(x, Window.square(2, stride=2)).shape == (1, 1, 3, 3)
    assert pool(x, Window.square(2, stride=2), ceil=False).shape == (1, 1, 2, 2)
    assert ops.Pooling(Window.square(2)).ceil
