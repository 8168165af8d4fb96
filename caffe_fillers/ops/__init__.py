"""The arithmetic of layers, forward and backward, in NumPy.

Arrays are laid out as in Caffe: (images, channels, spatial axes ...), C order. Results have the type of the input, and
sums run in Caffe's order where that costs nothing, so that a float32 training follows the real one for as long as
rounding allows. Nothing here knows a prototxt: geometry comes as a `Window`.

The text of every function is NumPy's version and complete: `export` writes it into scripts that stand for themselves.
Some are decorated by `in_c`, which calls a twin in C first, with the same bits; the function is its oracle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import later

if TYPE_CHECKING:
    from .batchnorm import *
    from .bn import *
    from .columns import *
    from .combine import *
    from .conv import *
    from .count import *
    from .deconv import *
    from .dense import *
    from .depthwise import *
    from .distance import *
    from .dropping import *
    from .elementwise import *
    from .eltwise import *
    from .entropy import *
    from .gates import *
    from .loss import *
    from .lrn import *
    from .norm import *
    from .operation import *
    from .parametric import *
    from .pool import *
    from .powers import *
    from .probability import *
    from .pyramid import *
    from .rectifiers import *
    from .recurrent import *
    from .reduce import *
    from .regions import *
    from .resize import *
    from .scaling import *
    from .select import *
    from .sequence import *
    from .shape import *
    from .targets import *
    from .window import *

# each module is imported when one of its names is first asked for
_MODULES = {
    "batchnorm": (
        "BatchNorm",
        "batch_norm",
        "batch_norm_train",
    ),
    "bn": (
        "BN",
        "MovingBN",
    ),
    "columns": (
        "col2im",
        "im2col",
    ),
    "combine": (
        "Concat",
        "Silence",
        "Slice",
        "Split",
        "concat",
        "slice_axis",
        "split_backward",
    ),
    "conv": (
        "Convolution",
        "Im2col",
        "convolution",
        "convolution_backward",
        "convolution_gradients",
    ),
    "count": (
        "Accuracy",
        "ArgMax",
        "accuracy",
        "argmax",
        "class_accuracy",
    ),
    "deconv": (
        "Deconvolution",
        "deconvolution",
        "deconvolution_gradients",
    ),
    "dense": (
        "Embed",
        "InnerProduct",
        "Parameter",
        "embed",
        "embed_backward",
        "inner_product",
        "inner_product_backward",
    ),
    "depthwise": (
        "depthwise_convolution",
        "depthwise_gradients",
    ),
    "distance": (
        "ContrastiveLoss",
        "EuclideanLoss",
        "contrastive_loss",
        "contrastive_loss_backward",
        "euclidean_loss",
        "euclidean_loss_backward",
    ),
    "dropping": (
        "Dropout",
        "dropout",
        "dropout_mask",
    ),
    "elementwise": (
        "BNLL",
        "ELU",
        "Elementwise",
        "Sigmoid",
        "Swish",
        "TanH",
        "bnll",
        "bnll_backward",
        "elu",
        "elu_backward",
        "sigmoid",
        "sigmoid_backward",
        "swish",
        "swish_backward",
        "tanh",
        "tanh_backward",
    ),
    "eltwise": (
        "Add",
        "Axpy",
        "Eltwise",
        "Mul",
        "add",
        "axpy",
        "eltwise_max",
        "eltwise_product",
        "eltwise_sum",
        "multiply",
    ),
    "entropy": (
        "InfogainLoss",
        "SigmoidCrossEntropyLoss",
        "infogain_loss",
        "infogain_loss_backward",
        "sigmoid_cross_entropy_loss",
        "sigmoid_cross_entropy_loss_backward",
    ),
    "loss": (
        "HingeLoss",
        "MultinomialLogisticLoss",
        "hinge_loss",
        "hinge_loss_backward",
        "multinomial_logistic_loss",
        "multinomial_logistic_loss_backward",
    ),
    "lrn": (
        "LRN",
        "local_response_norm",
        "local_response_norm_within",
    ),
    "gates": (
        "lstm",
        "lstm_backward",
        "lstm_unit",
        "lstm_unit_backward",
    ),
    "norm": (
        "MVN",
        "Normalize",
        "mean_variance_norm",
        "normalize",
    ),
    "operation": (
        "Given",
        "Operation",
        "Work",
    ),
    "pool": (
        "Pooling",
        "average_pool",
        "average_pool_backward",
        "max_pool",
        "max_pool_backward",
        "unpool",
    ),
    "powers": (
        "Exp",
        "Log",
        "Power",
        "exp",
        "exp_backward",
        "log",
        "log_backward",
        "power",
        "power_backward",
    ),
    "parametric": (
        "PReLU",
        "prelu",
        "prelu_backward",
        "prelu_slope_backward",
    ),
    "rectifiers": (
        "AbsVal",
        "Clip",
        "HardSwish",
        "ReLU",
        "ReLU6",
        "Threshold",
        "absolute",
        "absolute_backward",
        "clip",
        "clip_backward",
        "hard_swish",
        "hard_swish_backward",
        "relu",
        "relu6",
        "relu6_backward",
        "relu_backward",
        "threshold",
    ),
    "recurrent": (
        "recurrent_inputs",
        "recurrent_inputs_backward",
        "rnn",
        "rnn_backward",
    ),
    "reduce": (
        "Method",
        "Reduction",
        "reduction",
        "reduction_backward",
    ),
    "regions": (
        "PriorBox",
        "ROIPooling",
        "prior_box",
        "roi_pool",
    ),
    "resize": (
        "Interp",
        "Reorg",
        "Upsample",
        "interpolate",
        "reorganize",
        "repeat_pixels",
        "upsample",
    ),
    "scaling": (
        "Bias",
        "Scale",
        "bias",
        "bias_backward",
        "scale",
        "scale_backward",
    ),
    "select": (
        "BatchReindex",
        "Filter",
        "batch_reindex",
        "batch_reindex_backward",
        "filter_items",
    ),
    "sequence": (
        "LSTM",
        "RNN",
        "LSTMUnit",
    ),
    "shape": (
        "Crop",
        "Permute",
        "Reshape",
        "ShuffleChannel",
        "Tile",
        "crop",
        "permute",
        "shuffle_channels",
        "tile",
        "tile_backward",
    ),
    "probability": (
        "Softmax",
        "SoftmaxWithLoss",
        "softmax",
        "softmax_backward",
        "softmax_loss",
        "softmax_loss_backward",
    ),
    "pyramid": (
        "SPP",
        "spp",
    ),
    "targets": ("Normalization",),
    "window": ("Window",),
}
__all__ = [name for names in _MODULES.values() for name in names]
__getattr__, __dir__ = later(__name__, _MODULES)
