"""A net that computes: each layer of a `caffe_fillers.Net`, forward and backward, by `caffe_fillers.ops`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from digits import Digits

from caffe_fillers import CaffeError, ops
from caffe_fillers.layers import spatial

Arrays = list[np.ndarray]


class Operation:
    """One layer at work. Results that the way back needs are kept until the next `forward`.

    Attributes
    ----------
    learns_below : bool
        Whether anything below learns: whether `backward` must return a gradient.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.blobs = layer.blobs
        self.learns_below = False

    def forward(self, bottoms: Arrays) -> Arrays:
        raise NotImplementedError

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        """Add to the blobs' `diff`, return the gradient of the first bottom."""
        raise CaffeError(f"layer '{self.layer.name}': no gradient goes back through {self.layer.type} here")


class Data(Operation):
    """Batches of digits one after another, beginning anew where they end."""

    def __init__(self, layer: Any, digits: Digits) -> None:
        super().__init__(layer)
        transform, self.batch = layer.message.transform_param, layer.message.data_param.batch_size
        for name in ("crop_size", "mirror", "mean_file"):
            if getattr(transform, name):
                raise CaffeError(f"layer '{layer.name}': transform_param's {name} is not done in this example")
        if not len(digits.labels):
            raise CaffeError(f"layer '{layer.name}': there are no digits in {digits.origin}")
        self.scale = np.float32(transform.scale)
        self.mean = np.array(transform.mean_value, np.float32)[:, None, None]
        self.digits = digits
        self.at = 0

    def forward(self, bottoms: Arrays) -> Arrays:
        chosen = np.arange(self.at, self.at + self.batch) % len(self.digits.labels)
        self.at = int(chosen[-1] + 1)
        images = self.digits.images[chosen].astype(np.float32)
        if self.mean.size:
            images -= self.mean
        return [images * self.scale, self.digits.labels[chosen]][: len(self.layer.tops)]


class Convolution(Operation):
    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        param = layer.message.convolution_param
        if param.axis != 1:
            raise CaffeError(f"layer '{layer.name}': a convolution over axis {param.axis} is not done in this example")
        self.group = param.group
        self.window = spatial.convolution_window(param, self.blobs[0].data.ndim - 2)
        self.columns: np.ndarray | None = None

    def forward(self, bottoms: Arrays) -> Arrays:
        (x,) = bottoms
        self.shape = x.shape
        places = math.prod(self.window.convolved(x.shape[2:]))
        needed = (len(x), x.shape[1] * math.prod(self.window.kernel), places)
        if self.columns is None or self.columns.shape != needed:
            self.columns = np.empty(needed, x.dtype)
        bias = self.blobs[1].data if len(self.blobs) > 1 else None
        return [ops.convolution(x, self.blobs[0].data, bias, self.window, group=self.group, columns=self.columns)]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        assert self.columns is not None, "forward comes first"
        weight, group = self.blobs[0].data, self.group
        dx, *gradients = ops.convolution_backward(
            dtop, weight, self.window, self.columns, self.shape, group=group, inputs=self.learns_below
        )
        _add(self.blobs, gradients)
        return dx


class Pooling(Operation):
    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        param = layer.message.pooling_param
        self.method = type(param).PoolMethod.Name(param.pool)
        if self.method not in ("MAX", "AVE") or len(layer.tops) > 1:
            raise CaffeError(f"layer '{layer.name}': this example pools MAX and AVE, with one top")
        self.ceil = param.round_mode == type(param).RoundMode.Value("CEIL")

    def forward(self, bottoms: Arrays) -> Arrays:
        (self.x,) = bottoms
        self.window = spatial.pooling_window(self.layer.message.pooling_param, self.x.shape[2:])
        pool = ops.max_pool if self.method == "MAX" else ops.average_pool
        self.y = pool(self.x, self.window, ceil=self.ceil)
        return [self.y]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        if self.method == "MAX":
            return ops.max_pool_backward(dtop, self.x, self.y, self.window)
        return ops.average_pool_backward(dtop, self.x.shape, self.window)


class InnerProduct(Operation):
    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.axis, self.transpose = layer.message.inner_product_param.axis, layer.message.inner_product_param.transpose

    def _weight(self) -> np.ndarray:
        weight: np.ndarray = self.blobs[0].data
        return weight.T if self.transpose else weight

    def forward(self, bottoms: Arrays) -> Arrays:
        (x,) = bottoms
        self.shape, lead = x.shape, x.shape[: self.axis]
        self.rows = x.reshape(math.prod(lead), -1)
        bias = self.blobs[1].data if len(self.blobs) > 1 else None
        y = ops.inner_product(self.rows, self._weight(), bias)
        return [y.reshape(*lead, -1)]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        dx, dweight, dbias = ops.inner_product_backward(dtop.reshape(len(self.rows), -1), self.rows, self._weight())
        _add(self.blobs, [dweight.T if self.transpose else dweight, dbias])
        return dx.reshape(self.shape)


class ReLU(Operation):
    def forward(self, bottoms: Arrays) -> Arrays:
        (self.x,) = bottoms
        return [ops.relu(self.x, self.layer.message.relu_param.negative_slope)]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        return ops.relu_backward(dtop, self.x, self.layer.message.relu_param.negative_slope)


class Sigmoid(Operation):
    def forward(self, bottoms: Arrays) -> Arrays:
        self.y = ops.sigmoid(bottoms[0])
        return [self.y]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        return ops.sigmoid_backward(dtop, self.y)


class TanH(Operation):
    def forward(self, bottoms: Arrays) -> Arrays:
        self.y = ops.tanh(bottoms[0])
        return [self.y]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        return ops.tanh_backward(dtop, self.y)


class Softmax(Operation):
    def forward(self, bottoms: Arrays) -> Arrays:
        self.axis = self.layer.message.softmax_param.axis % bottoms[0].ndim
        self.y = ops.softmax(bottoms[0], self.axis)
        return [self.y]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        return ops.softmax_backward(dtop, self.y, self.axis)


class SoftmaxWithLoss(Operation):
    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        param, weights = layer.message.loss_param, layer.message.loss_weight
        self.weight = weights[0] if weights else 1.0
        normalization = type(param).NormalizationMode.Name(param.normalization)
        if not param.HasField("normalization") and param.HasField("normalize"):
            normalization = "VALID" if param.normalize else "BATCH_SIZE"
        self.options: dict[str, Any] = {
            "normalization": normalization,
            "ignore_label": param.ignore_label if param.HasField("ignore_label") else None,
        }

    def forward(self, bottoms: Arrays) -> Arrays:
        scores, self.labels = bottoms
        self.options["axis"] = self.layer.message.softmax_param.axis % scores.ndim
        loss, self.probabilities = ops.softmax_loss(scores, self.labels, **self.options)
        return [np.array(loss, scores.dtype)]

    def backward(self, dtop: np.ndarray) -> np.ndarray | None:
        return ops.softmax_loss_backward(self.probabilities, self.labels, loss_weight=self.weight, **self.options)


class Accuracy(Operation):
    def forward(self, bottoms: Arrays) -> Arrays:
        scores, labels = bottoms
        param = self.layer.message.accuracy_param
        if len(self.layer.tops) > 1:
            raise CaffeError(f"layer '{self.layer.name}': accuracy by class is not done in this example")
        ignore = param.ignore_label if param.HasField("ignore_label") else None
        axis = param.axis % scores.ndim
        return [np.array(ops.accuracy(scores, labels, top_k=param.top_k, axis=axis, ignore_label=ignore))]


OPERATIONS = {
    kind.__name__: kind
    for kind in (Convolution, Pooling, InnerProduct, ReLU, Sigmoid, TanH, Softmax, SoftmaxWithLoss, Accuracy)
}


class Network:
    """All layers of a net at work.

    Parameters
    ----------
    net : caffe_fillers.Net
        Its blobs are used where they are, so that its weights are always the trained ones.
    digits : Digits
        What its data layers read.
    """

    def __init__(self, net: Any, digits: Digits) -> None:
        unknown = sorted({layer.type for layer in net.layers} - {"Data", *OPERATIONS})
        if unknown:
            raise CaffeError(
                f"this example doesn't compute {', '.join(unknown)}; it computes Data, {', '.join(OPERATIONS)}"
            )
        for layer in net.layers:
            wanted = {"Data": 0, "SoftmaxWithLoss": 2, "Accuracy": 2}.get(layer.type, 1)
            if len(layer.bottoms) != wanted or layer.message.propagate_down:
                raise CaffeError(
                    f"layer '{layer.name}': this example computes {layer.type} with {wanted} bottom(s), "
                    "and without propagate_down"
                )
        self.operations: list[Operation] = []
        learning: set[str] = set()
        for layer in net.layers:
            operation = Data(layer, digits) if layer.type == "Data" else OPERATIONS[layer.type](layer)
            operation.learns_below = any(name in learning for name in layer.bottoms)
            if layer.blobs or operation.learns_below:
                learning.update(layer.tops)
            self.operations.append(operation)
        given = {name for layer in net.layers if layer.type == "Data" for name in layer.tops}
        self.outputs = [name for name in net.outputs if name not in given]

    def forward(self) -> dict[str, np.ndarray]:
        """Take the next batch through the net; return what nobody reads: losses and accuracies."""
        blobs: dict[str, np.ndarray] = {}
        for operation in self.operations:
            tops = operation.forward([blobs[name] for name in operation.layer.bottoms])
            blobs.update(zip(operation.layer.tops, tops, strict=True))
        return {name: blobs[name] for name in self.outputs}

    def loss(self, outputs: dict[str, np.ndarray]) -> float:
        """The weighted sum of the losses among `outputs`."""
        return sum(
            operation.weight * float(outputs[operation.layer.tops[0]])
            for operation in self.operations
            if isinstance(operation, SoftmaxWithLoss)
        )

    def backward(self) -> None:
        """Add the gradients of the last batch to the blobs' `diff`."""
        gradients: dict[str, np.ndarray] = {}
        for operation in reversed(self.operations):
            layer = operation.layer
            if isinstance(operation, SoftmaxWithLoss):
                gradients[layer.tops[0]] = np.ones((), np.float32)
            dtop = gradients.pop(layer.tops[0], None)
            if dtop is None or not (layer.blobs or operation.learns_below):
                continue
            dbottom = operation.backward(dtop)
            if dbottom is not None and operation.learns_below:
                # a blob that several layers read gets the sum
                known = gradients.get(layer.bottoms[0])
                gradients[layer.bottoms[0]] = dbottom if known is None else known + dbottom

    def clear_gradients(self) -> None:
        for operation in self.operations:
            for blob in operation.blobs:
                blob.diff[...] = 0


def _add(blobs: Sequence[Any], gradients: Sequence[np.ndarray]) -> None:
    for blob, gradient in zip(blobs, gradients, strict=False):
        blob.diff[...] += gradient.reshape(blob.shape)
