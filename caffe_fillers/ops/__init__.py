"""What layers compute, forward and backward, in NumPy.

Arrays are laid out as in Caffe: (images, channels, spatial axes ...), C order. Results have the type of the input, and
sums run in Caffe's order where that costs nothing, so that a float32 training follows the real one for as long as
rounding allows. Nothing here knows a prototxt: geometry comes as a `Window`.
"""

from __future__ import annotations

from .conv import col2im, convolution, convolution_backward, deconvolution, im2col
from .count import Accuracy, ArgMax, accuracy, argmax, class_accuracy
from .dense import inner_product, inner_product_backward
from .distance import (
    ContrastiveLoss,
    EuclideanLoss,
    contrastive_loss,
    contrastive_loss_backward,
    euclidean_loss,
    euclidean_loss_backward,
)
from .elementwise import relu, relu_backward, sigmoid, sigmoid_backward, tanh, tanh_backward
from .entropy import (
    InfogainLoss,
    SigmoidCrossEntropyLoss,
    infogain_loss,
    infogain_loss_backward,
    sigmoid_cross_entropy_loss,
    sigmoid_cross_entropy_loss_backward,
)
from .loss import (
    HingeLoss,
    MultinomialLogisticLoss,
    hinge_loss,
    hinge_loss_backward,
    multinomial_logistic_loss,
    multinomial_logistic_loss_backward,
)
from .operation import Given, Operation, Work
from .pool import average_pool, average_pool_backward, max_pool, max_pool_backward
from .softmax import Softmax, SoftmaxWithLoss, softmax, softmax_backward, softmax_loss, softmax_loss_backward
from .targets import Normalization
from .window import Window

__all__ = [
    "Accuracy",
    "ArgMax",
    "ContrastiveLoss",
    "EuclideanLoss",
    "Given",
    "HingeLoss",
    "InfogainLoss",
    "MultinomialLogisticLoss",
    "Normalization",
    "Operation",
    "SigmoidCrossEntropyLoss",
    "Softmax",
    "SoftmaxWithLoss",
    "Window",
    "Work",
    "accuracy",
    "argmax",
    "average_pool",
    "average_pool_backward",
    "class_accuracy",
    "col2im",
    "contrastive_loss",
    "contrastive_loss_backward",
    "convolution",
    "convolution_backward",
    "deconvolution",
    "euclidean_loss",
    "euclidean_loss_backward",
    "hinge_loss",
    "hinge_loss_backward",
    "im2col",
    "infogain_loss",
    "infogain_loss_backward",
    "inner_product",
    "inner_product_backward",
    "max_pool",
    "max_pool_backward",
    "multinomial_logistic_loss",
    "multinomial_logistic_loss_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_cross_entropy_loss",
    "sigmoid_cross_entropy_loss_backward",
    "softmax",
    "softmax_backward",
    "softmax_loss",
    "softmax_loss_backward",
    "tanh",
    "tanh_backward",
]
