"""Propagates variances through a net: forward for the signal, backward for the gradient.

Two things are followed through every blob: the product of the papers' gains, and how its values are distributed (see
`meanfield`). `signal` makes a report of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from .. import ops
from ..layers.rule import Layer
from ..net import Net
from ..planning import Step as Planned
from .fans import Fans, true_fans
from .meanfield import Values
from .moments import Moments, designed_moments, histogram, measured_moments
from .rows import Filler, LayerSignal
from .through import Passing, Signal, activation, through

__all__ = ["Propagation"]


@dataclass(slots=True)
class _Step:
    """A layer between its blobs, and the factors of its gradients: (bottom, top, factor)."""

    planned: Planned
    bottoms: list[int]
    tops: list[int] = field(default_factory=list)
    down: list[tuple[int, int, float]] = field(default_factory=list)
    row: LayerSignal | None = None
    modelled: bool = True

    @property
    def layer(self) -> Layer:
        return self.planned.layer

    @property
    def operation(self) -> ops.Operation | None:
        return self.planned.setup.operation


class Propagation:
    """The signal followed forward, then gradients backward."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.rng = np.random.default_rng(0)
        self.blobs: list[Signal] = []
        self.steps: list[_Step] = []
        self.measured: dict[int, Moments | None] = {}
        rows = iter(net.fills())
        planned = [step for step in net.steps if not step.node.inserted]
        # layers may share a name
        self.fills = {(id(step.layer), i): next(rows) for step in planned for i in range(len(step.layer.blobs))}
        self.owners = {f"{row['layer']}/{row['index']}": row for row in self.fills.values()}
        now: dict[str, int] = {}
        for each in planned:
            self._add(_Step(each, [now[name] for name in each.layer.bottoms]), now)
        self._backward()
        self._finish_rows()

    def _add(self, step: _Step, now: dict[str, int]) -> None:
        bottoms = [self.blobs[i] for i in step.bottoms]
        result = self._forward(step, bottoms)
        depth = max((bottom.depth for bottom in bottoms), default=0) + (step.row is not None)
        for bottom in bottoms:
            bottom.read = True
        for name, blob, (values, product) in zip(step.layer.tops, step.planned.tops, result, strict=True):
            now[name] = len(self.blobs)
            step.tops.append(len(self.blobs))
            self.blobs.append(Signal(blob.shape, values, product, depth))
        if step.row is not None:
            step.row.depth = depth
        self.steps.append(step)

    # forward: for every top, its values and the product of gains up to it

    def _forward(self, step: _Step, bottoms: list[Signal]) -> list[tuple[Values, float]]:
        layer, shapes = step.layer, [blob.shape for blob in step.planned.tops]
        anew = [(Values.normal(0.0, 0.0, 1.0), 1.0)] * len(shapes)
        if not bottoms:
            return anew
        first = bottoms[0]
        weights = [blob.shape for blob in layer.blobs]
        if weights and shapes and len(weights[0]) > 1:
            fans = true_fans(step.operation, weights[0], first.shape, shapes[0])
            if fans is not None:
                return self._weighted(step, bottoms, fans)
        function = activation(step.operation, self._slope(layer))
        if function is not None:
            step.down = [(0, 0, function[1])]
            return [(first.values.map(function[0]), first.product * function[1])]
        weight = partial(self._moments, layer)
        result = through(Passing(layer, step.operation, bottoms, shapes, weight, self.rng))
        if result is not None:
            step.down = result.down
            return result.tops
        if isinstance(step.operation, (ops.LSTM, ops.RNN)):
            step.row = self._row(layer, 0, None)
        step.modelled = False
        step.down = [] if step.planned.is_loss else [(0, t, 1.0) for t in range(len(shapes))]
        return anew

    def _slope(self, layer: Layer) -> float:
        """The root mean square of a layer's first parameter: for a PReLU, of its slopes."""
        if not layer.blobs:
            return 0.0
        mean, variance = self._moments(layer, 0)
        return math.sqrt(variance + mean**2)

    def _moments(self, layer: Layer, index: int) -> Moments:
        return self._weight(layer, index)[1]

    def _weight(self, layer: Layer, index: int) -> tuple[Filler | None, Moments, Moments | None, Moments | None]:
        """Filler, moments to propagate, moments from the filler, moments measured."""
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

    def _weighted(self, step: _Step, bottoms: list[Signal], fans: Fans) -> list[tuple[Values, float]]:
        layer, tops = step.layer, len(step.planned.tops)
        step.row = self._row(layer, 0, fans)
        mean, variance = self._moments(layer, 0)
        square = variance + mean**2
        result = []
        # a convolution goes over each bottom; a fork's inner product may have labels beside the one
        for i, bottom in enumerate(bottoms[:tops] if step.operation is not None else bottoms[:1]):
            if isinstance(step.operation, ops.Embed):
                values, product = Values.normal(mean, variance, 0.0), square
            else:
                values = bottom.values.weighed(fans.into * fans.inside, mean, variance)
                product = bottom.product * fans.into * square
            if len(layer.blobs) > 1:
                values = values.shifted(*self._moments(layer, 1))
            result.append((values, product))
            step.down.append((i, i, fans.out * square))
        result += [(Values.normal(0.0, 0.0, 1.0), 1.0)] * (tops - len(result))
        step.row.variance = result[0][0].variance
        return result

    # backward

    def _backward(self) -> None:
        lossless = True
        for step in self.steps:
            if step.planned.is_loss and step.bottoms:
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
                if isinstance(follower.operation, (ops.BatchNorm, ops.MVN, ops.BN, ops.MovingBN)):
                    row.normalised = True
                result = activation(follower.operation, self._slope(follower.layer))
                if result is not None and not isinstance(follower.operation, ops.Power):
                    row.activation, factor, blob = follower.layer.type, result[1], follower.tops[0]
                    break
            row.factor = factor
            row.forward = self.blobs[blob].product
            row.forward_gain *= factor
            # the gradient at the layer's top has passed the activation already
            row.backward_gain *= factor
            row.unit_gain_filler_forward = _holding(row, row.fan_in, factor)
            row.unit_gain_filler_backward = _holding(row, row.fan_out, factor)


def _following(step: _Step, readers: dict[int, list[_Step]]) -> Iterator[_Step]:
    """Return the layers after `step`, along first readers, up to the next layer with weights."""
    seen = 0
    while step.tops and seen < 20:
        behind = [s for s in readers.get(step.tops[0], ()) if s.tops]
        if not behind or behind[0].row is not None or not behind[0].modelled:
            return
        step = behind[0]
        seen += 1
        yield step


def _holding(row: LayerSignal, fan: float | None, factor: float) -> Filler | None:
    """Return a filler with ``fan Var(W) factor`` of 1: one of Caffe's by name if it comes within 2 %."""
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
