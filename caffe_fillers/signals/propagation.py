"""How variances go through a net: one walk forward for the signal, one backward for the gradient.

Two things are followed through every blob: the product of the papers' gains, and how its values are distributed (see
`meanfield`). `signal` makes a report of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..layers.rule import Layer, Shape
from ..net import Net
from .activations import activation
from .fans import WEIGHTED, Fans, true_fans, values_pooled
from .meanfield import Values
from .moments import designed_moments, histogram, measured_moments

__all__ = ["LayerSignal", "Walk"]

_RECURRENT = {"LSTM", "RNN"}
# their values are distributed as before: moved, copied, or taken between neighbours
_SAME = {
    *("Crop", "Flatten", "Im2col", "Permute", "Reshape", "ShuffleChannel", "Split", "Squeeze", "Tile"),
    *("Interp", "Reorg", "ResizeBilinear", "ResizeNearestNeighbor", "ROIPooling", "Upsample", "UpsampleDarknet"),
}


@dataclass(slots=True)
class LayerSignal:
    """One layer with weights.

    Attributes
    ----------
    layer, type : str
    depth : int
        How many layers with weights the longest way from the input to here has, this one included.
    shape : tuple of int
        Of the weight.
    activation : str
        The type of the activation that follows; empty for none.
    factor : float or None
        What that activation does to a variance (see `activations`).
    fan_in, fan_out : float or None
        How many inputs make one output, and how many outputs one input goes to, on average and away from borders:
        group, stride and, in a Deconvolution, the other direction counted.
    caffe_fan_in, caffe_fan_out : int or None
        What Caffe's xavier and msra divide by: ``count / shape[0]`` and ``count / shape[1]``.
    filler : dict or None
    weight_variance, weight_variance_measured : float or None
        From the filler, and of the values that the net holds.
    forward_gain, backward_gain : float or None
        ``fan_in Var(W) factor`` and ``fan_out Var(W) factor``; the mean square of W where its mean is not 0.
    forward : float or None
        Product of the gains from the input up to here, activation included.
    backward : float or None
        Product of the gains from the end of the net back to this layer's bottom, summed over all who read that.
    variance : float or None
        Predicted variance of the layer's result, for inputs of variance 1.
    measured : float or None
        The same, measured.
    holds_forward, holds_backward : dict or None
        A filler with which that gain would be 1.
    normalised : bool
        Whether a normalisation follows, which makes the scale of the weights count for nothing forward.
    line : int or None
        Where the layer stands in the prototxt.
    weights_histogram, histogram : dict or None
        ``{"edges": [...], "counts": [...]}`` of the weights, and of the measured result.
    """

    layer: str
    type: str
    depth: int
    shape: Shape
    activation: str = ""
    factor: float | None = None
    fan_in: float | None = None
    fan_out: float | None = None
    caffe_fan_in: int | None = None
    caffe_fan_out: int | None = None
    filler: dict[str, Any] | None = None
    weight_variance: float | None = None
    weight_variance_measured: float | None = None
    forward_gain: float | None = None
    backward_gain: float | None = None
    forward: float | None = None
    backward: float | None = None
    variance: float | None = None
    measured: float | None = None
    holds_forward: dict[str, Any] | None = None
    holds_backward: dict[str, Any] | None = None
    normalised: bool = False
    line: int | None = None
    weights_histogram: dict[str, list[float]] | None = None
    histogram: dict[str, list[float]] | None = None


# --- the walk ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Blob:
    """What is known of a blob at one point of the net (a layer in place makes another one of the same name)."""

    shape: Shape
    values: Values
    product: float
    depth: int = 0
    back: float = 0.0
    read: bool = False
    matters: bool = False


@dataclass(slots=True)
class _Step:
    """A layer between its blobs, and what it multiplies a gradient with: (bottom, top, factor)."""

    layer: Layer
    bottoms: list[int]
    tops: list[int]
    down: list[tuple[int, int, float]] = field(default_factory=list)
    row: LayerSignal | None = None
    modelled: bool = True


class Walk:
    """Follows the signal forward, then gradients backward."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.rng = np.random.default_rng(0)
        self.blobs: list[_Blob] = []
        self.steps: list[_Step] = []
        self.measured: dict[int, tuple[float, float] | None] = {}
        rows = iter(net.fills())
        # layers may share a name
        self.fills = {(id(layer), i): next(rows) for layer in net.layers for i in range(len(layer.blobs))}
        self.owners = {f"{row['layer']}/{row['index']}": row for row in self.fills.values()}
        now: dict[str, int] = {}
        for layer in net.layers:
            step = _Step(layer, [now[name] for name in layer.bottoms], [])
            made = self._forward(step, [self.blobs[i] for i in step.bottoms])
            for i in step.bottoms:
                self.blobs[i].read = True
            for name, (values, product) in zip(layer.tops, made, strict=True):
                depth = max((self.blobs[i].depth for i in step.bottoms), default=0)
                shape = net.blobs[name].shape if name in net.blobs else ()
                now[name] = len(self.blobs)
                step.tops.append(len(self.blobs))
                self.blobs.append(_Blob(shape, values, product, depth + (step.row is not None)))
            if step.row is not None:
                step.row.depth = self.blobs[step.tops[0]].depth
            self.steps.append(step)
        self._backward()
        self._finish_rows()

    # forward: each returns, for every top, its values and the product of gains up to it

    def _forward(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        layer, tops = step.layer, len(step.layer.tops)
        if not bottoms:
            return [(Values.normal(0.0, 0.0, 1.0), 1.0)] * tops
        if layer.type in WEIGHTED and layer.blobs:
            return self._weighted(step, bottoms)
        first = bottoms[0]
        made = activation(layer)
        if made is not None:
            step.down = [(0, 0, made.factor)]
            return [(first.values.map(made.function), first.product * made.factor)]
        handler = _HANDLERS.get(layer.type)
        if handler is not None:
            return handler(self, step, bottoms)
        if layer.type in _SAME:
            step.down = [(0, t, 1.0) for t in range(tops)]
            return [(first.values, first.product)] * tops
        if layer.type in _RECURRENT and layer.blobs:
            step.row = self._row(layer, 0, None)
        step.modelled = False
        step.down = [(0, t, 1.0) for t in range(tops)] if not layer.type.endswith("Loss") else []
        return [(Values.normal(0.0, 0.0, 1.0), 1.0)] * tops

    def _weight(self, layer: Layer, index: int) -> tuple[dict[str, Any] | None, tuple[float, float], Any, Any]:
        """Filler, moments to reckon with, moments from the filler, moments measured."""
        row = self.fills[id(layer), index]
        if row["shared_with"] is not None:
            row = self.owners.get(row["shared_with"], row)
        designed = None if row["filler"] is None else designed_moments(row["filler"], row["std"])
        blob = layer.blobs[index]
        if id(blob) not in self.measured:
            self.measured[id(blob)] = measured_moments(blob)
        measured = self.measured[id(blob)]
        copied = self.net.report is not None
        used = measured if (designed is None or copied) and measured is not None else designed
        return row["filler"], used or (0.0, 0.0), designed, measured

    def _row(self, layer: Layer, index: int, fans: Fans | None) -> LayerSignal:
        filler, (mean, variance), designed, measured = self._weight(layer, index)
        square = variance + mean**2
        fill = self.fills[id(layer), index]
        row = LayerSignal(layer.name, layer.type, 0, layer.blobs[index].shape, filler=filler, line=layer.line)
        row.caffe_fan_in, row.caffe_fan_out = fill["fan_in"], fill["fan_out"]
        row.weight_variance = None if designed is None else designed[1]
        if measured is not None:
            row.weight_variance_measured = measured[1]
            row.weights_histogram = histogram(layer.blobs[index].data)
        if fans is not None:
            row.fan_in, row.fan_out = fans.into, fans.out
            row.forward_gain, row.backward_gain = fans.into * square, fans.out * square
        return row

    def _weighted(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        layer = step.layer
        pairs = len(layer.tops) if layer.type != "MarginInnerProduct" else 1
        top = self.net.blobs[layer.tops[0]].shape
        fans = true_fans(layer, layer.blobs[0].shape, bottoms[0].shape, top)
        step.row = self._row(layer, 0, fans)
        _, (mean, variance), _, _ = self._weight(layer, 0)
        square = variance + mean**2
        made = []
        for i in range(pairs):
            values = bottoms[i].values
            if layer.type == "Embed":
                values = Values.normal(mean, variance, 0.0)
                product = square
            else:
                values = values.weighed(fans.into * fans.inside, mean, variance)
                product = bottoms[i].product * fans.into * square
            if len(layer.blobs) > 1:
                values = values.shifted(*self._weight(layer, 1)[1])
            made.append((values, product))
            step.down.append((i, i, fans.out * square))
        made += [(Values.normal(0.0, 0.0, 1.0), 1.0)] * (len(layer.tops) - pairs)
        step.row.variance = made[0][0].variance
        return made

    def _batch_norm(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        """As it trains, with the batch's own statistics; those of use_global_stats don't exist at the start."""
        param = step.layer.message
        eps = param.mvn_param.eps if step.layer.type == "MVN" else param.batch_norm_param.eps
        divide = step.layer.type != "MVN" or param.mvn_param.normalize_variance
        values = bottoms[0].values
        within = values.within if divide else 1.0
        gain = 1 / (within + eps) if divide else 1.0
        step.down = [(0, 0, gain)]
        # forward the signal itself is what gets variance 1
        product = 1.0 if divide and bottoms[0].product > 0 and within > eps else bottoms[0].product * gain
        made = values.normalised(eps, divide)
        if len(step.layer.blobs) == 5:
            made, gain = self._affine(made, step.layer, 3, 4)
            product, step.down = product * gain, [(0, 0, step.down[0][2] * gain)]
        return [(made, product)] * len(step.layer.tops)

    def _affine(self, values: Values, layer: Layer, scale: int | None, bias: int | None) -> tuple[Values, float]:
        gain = 1.0
        if scale is not None:
            mean, variance = self._weight(layer, scale)[1]
            gain = mean**2 + variance
            grown = values.variance * gain + values.mean**2 * variance
            values = (
                values.scaled(mean)
                if variance == 0
                else Values.normal(values.mean * mean, max(grown - values.within * gain, 0.0), values.within * gain)
            )
        if bias is not None:
            values = values.shifted(*self._weight(layer, bias)[1])
        return values, gain

    def _scale(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        layer = step.layer
        own = len(bottoms) == 1
        if own:
            scale = 0 if layer.type == "Scale" else None
            bias = 0 if layer.type == "Bias" else 1 if len(layer.blobs) > 1 else None
            values, gain = self._affine(bottoms[0].values, layer, scale, bias)
            step.down = [(0, 0, gain)]
            return [(values, bottoms[0].product * gain)]
        if layer.type == "Bias":
            return self._sum(step, bottoms, [1.0, 1.0])
        made = self._product(step, bottoms)
        if layer.blobs:
            made = [(made[0][0].shifted(*self._weight(layer, 0)[1]), made[0][1])]
        return made

    def _sum(self, step: _Step, bottoms: list[_Blob], coefficients: Sequence[float]) -> list[tuple[Values, float]]:
        """Residual sums: variances add."""
        parts = [b.values.scaled(c) for b, c in zip(bottoms, coefficients, strict=True)]
        step.down = [(i, 0, c**2) for i, c in enumerate(coefficients)]
        product = sum(b.product * c**2 for b, c in zip(bottoms, coefficients, strict=True))
        return [(Values.summed(parts, self.rng), product)]

    def _add(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        return self._sum(step, bottoms, [1.0] * len(bottoms))

    def _normalize(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        """SSD's: each place's channels divided by their length, then scaled."""
        channels = bottoms[0].shape[1] if len(bottoms[0].shape) > 1 else 1
        length = math.sqrt(channels * bottoms[0].values.square)
        gain = 1 / length if length > 0 else 0.0
        values, scaled = self._affine(bottoms[0].values.scaled(gain), step.layer, 0 if step.layer.blobs else None, None)
        step.down = [(0, 0, gain**2 * scaled)]
        return [(values, bottoms[0].product * gain**2 * scaled)] * len(step.layer.tops)

    def _product(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        squares = [b.values.square for b in bottoms]
        others = [math.prod(squares[:i] + squares[i + 1 :]) for i in range(len(bottoms))]
        step.down = [(i, 0, other) for i, other in enumerate(others)]
        product = sum(b.product * other for b, other in zip(bottoms, others, strict=True))
        return [(Values.combined([b.values for b in bottoms], np.multiply, self.rng), product)]

    def _eltwise(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        param = step.layer.message.eltwise_param
        operation = type(param).EltwiseOp.Name(param.operation)
        if operation == "SUM":
            return self._sum(step, bottoms, list(param.coeff) or [1.0] * len(bottoms))
        if operation == "PROD":
            return self._product(step, bottoms)
        # one of them passes at each place
        step.down = [(i, 0, 1 / len(bottoms)) for i in range(len(bottoms))]
        values = Values.combined([b.values for b in bottoms], np.maximum, self.rng)
        return [(values, sum(b.product for b in bottoms) / len(bottoms))]

    def _axpy(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        factor, x, y = bottoms
        square = factor.values.square
        scaled = Values.combined([x.values, factor.values], np.multiply, self.rng)
        step.down = [(0, 0, x.values.square), (1, 0, square), (2, 0, 1.0)]
        return [(Values.summed([scaled, y.values], self.rng), x.product * square + y.product)]

    def _concat(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        shares = [float(math.prod(b.shape)) for b in bottoms]
        if not all(shares):
            shares = [1.0] * len(bottoms)
        step.down = [(i, 0, 1.0) for i in range(len(bottoms))]
        product = sum(b.product * share for b, share in zip(bottoms, shares, strict=True)) / sum(shares)
        return [(Values.mixed([b.values for b in bottoms], shares), product)]

    def _slice(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        whole = math.prod(bottoms[0].shape)
        for t, name in enumerate(step.layer.tops):
            step.down.append((0, t, math.prod(self.net.blobs[name].shape) / whole if whole else 0.0))
        return [(bottoms[0].values, bottoms[0].product)] * len(step.layer.tops)

    def _pooling(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        """Counts as 1 in the products, as in the papers; the prediction knows what it does."""
        layer = step.layer
        param = layer.message.pooling_param
        method = type(param).PoolMethod.Name(param.pool)
        number = values_pooled(layer, bottoms[0].shape, self.net.blobs[layer.tops[0]].shape)
        values = bottoms[0].values
        made = values.largest_of(number) if method == "MAX" else values.average_of(number)
        step.down = [(0, 0, 1.0)]
        return [(made, bottoms[0].product)] * len(layer.tops)

    def _lrn(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        """The sum of squares taken at its mean."""
        param = step.layer.message.lrn_param
        k = param.k if param.norm_region == type(param).NormRegion.Value("ACROSS_CHANNELS") else 1.0
        base = k + param.alpha * bottoms[0].values.square
        scale = base**-param.beta if base > 0 and math.isfinite(base) else 0.0
        step.down = [(0, 0, scale**2)]
        return [(bottoms[0].values.scaled(scale), bottoms[0].product * scale**2)]

    def _dropout(self, step: _Step, bottoms: list[_Blob]) -> list[tuple[Values, float]]:
        """In training what stays is scaled up, so that variances grow by 1 / (1 - ratio)."""
        ratio = step.layer.message.dropout_param.dropout_ratio if step.layer.phase == "TRAIN" else 0.0
        gain = 1 / (1 - ratio) if ratio < 1 else 0.0
        step.down = [(0, 0, gain)]
        return [(bottoms[0].values.dropped(ratio, self.rng), bottoms[0].product * gain)]

    # backward

    def _backward(self) -> None:
        lossless = True
        for step in self.steps:
            if step.layer.type.endswith(("Loss", "LossOHEM")) and step.bottoms:
                weights = step.layer.message.loss_weight
                self.blobs[step.bottoms[0]].back += (weights[0] if weights else 1.0) ** 2
                lossless = False
        for blob in self.blobs:
            if lossless and not blob.read and blob.depth:
                blob.back = 1.0
        for step in reversed(self.steps):
            tops = [self.blobs[i] for i in step.tops]
            matters = step.row is not None or any(top.matters for top in tops)
            for i in step.bottoms:
                self.blobs[i].matters |= matters
            for bottom, top, factor in step.down:
                if top < len(tops):
                    self.blobs[step.bottoms[bottom]].back += factor * tops[top].back
        for step in self.steps:
            if step.row is not None and step.row.backward_gain is not None:
                step.row.backward = self.blobs[step.bottoms[0]].back

    # what follows a layer

    def _finish_rows(self) -> None:
        readers: dict[int, list[_Step]] = {}
        for step in self.steps:
            for i in step.bottoms:
                readers.setdefault(i, []).append(step)
        for step in self.steps:
            row = step.row
            if row is None or row.fan_in is None or row.forward_gain is None or row.backward_gain is None:
                continue
            factor, blob = 1.0, step.tops[0]
            for follower in _following(step, readers):
                if follower.layer.type in ("BatchNorm", "MVN", "BN"):
                    row.normalised = True
                made = activation(follower.layer)
                if made is not None and follower.layer.type != "Power":
                    row.activation, factor, blob = follower.layer.type, made.factor, follower.tops[0]
                    break
            row.factor = factor
            row.forward = self.blobs[blob].product
            row.forward_gain *= factor
            # the gradient that comes to the layer's top has been through the activation already
            row.backward_gain *= factor
            row.holds_forward = _holding(row, row.fan_in, factor)
            row.holds_backward = _holding(row, row.fan_out, factor)


def _following(step: _Step, readers: dict[int, list[_Step]]) -> Iterator[_Step]:
    """The layers behind `step`, down its first readers, up to the next layer with weights."""
    seen = 0
    while step.tops and seen < 20:
        behind = [s for s in readers.get(step.tops[0], ()) if s.tops]
        if not behind or behind[0].row is not None or not behind[0].modelled:
            return
        step = behind[0]
        seen += 1
        yield step


_HANDLERS: dict[str, Callable[[Walk, _Step, list[_Blob]], list[tuple[Values, float]]]] = {
    "Add": Walk._add,
    "Axpy": Walk._axpy,
    "BN": Walk._batch_norm,
    "BatchNorm": Walk._batch_norm,
    "Bias": Walk._scale,
    "Concat": Walk._concat,
    "Dropout": Walk._dropout,
    "Eltwise": Walk._eltwise,
    "LRN": Walk._lrn,
    "MVN": Walk._batch_norm,
    "Mul": Walk._product,
    "Normalize": Walk._normalize,
    "Pooling": Walk._pooling,
    "Scale": Walk._scale,
    "Slice": Walk._slice,
}


def _holding(row: LayerSignal, fan: float | None, factor: float) -> dict[str, Any] | None:
    """A filler that makes ``fan Var(W) factor`` 1: one of Caffe's by name where it comes within 2 %."""
    if not fan or not factor or not math.isfinite(factor):
        return None
    wanted = 1 / (fan * factor)
    if row.caffe_fan_in and row.caffe_fan_out:
        norms = {
            "FAN_IN": row.caffe_fan_in,
            "FAN_OUT": row.caffe_fan_out,
            "AVERAGE": (row.caffe_fan_in + row.caffe_fan_out) / 2,
        }
        for norm, n in norms.items():
            for kind, scale in (("msra", 2.0), ("xavier", 1.0)):
                if abs(scale / n / wanted - 1) < 0.02:
                    return {"type": kind} if norm == "FAN_IN" else {"type": kind, "variance_norm": norm}
    return {"type": "gaussian", "std": float(f"{math.sqrt(wanted):.4g}")}
