"""The signal report: how the variance of an untrained net's signal grows or shrinks with depth.

`propagation` computes the moments. This module says where the signal vanishes or explodes, and what keeps the gain 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from ..errors import CaffeError
from ..net import Net

if TYPE_CHECKING:
    # imported only when a report is asked for
    from .rows import Filler, LayerSignal

__all__ = ["EXPLODED", "VANISHED", "SignalReport", "signal"]

VANISHED, EXPLODED = 1e-3, 1e3
"""Where a product of gains counts as the end of the signal: its amplitude has changed some thirtyfold."""


@dataclass(slots=True)
class SignalReport:
    """The result of `signal`.

    Attributes
    ----------
    name, phase : str
    layers : list of LayerSignal
        The layers with weights, in the net's order.
    findings : list of str
        Where the signal vanishes or explodes, and which fillers keep the gain at 1.
    notes : list of str
        What the theory cannot model in this net.
    images : int
        The number of images that were measured; 0 without `measure`.
    """

    name: str
    phase: str
    layers: list[LayerSignal] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: int = 0

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; what is not finite becomes None."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the report by depth, with a histogram for each layer.

        Parameters
        ----------
        path : str or PathLike
            ``.png`` (needs matplotlib, the extra `plot`) or ``.html`` (one self-contained file).

        Raises
        ------
        CaffeError
            For another suffix, a report without layers, or a file that can't be written.
        """
        from .plots import signal_plot

        signal_plot(self, path)

    def __repr__(self) -> str:
        return f"<SignalReport {self.name!r} {self.phase}: {len(self.layers)} layers with weights>"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- findings ------------------------------------------------------------------------------------------------------


def _filler_text(filler: Filler | None) -> str:
    if filler is None:
        return "another one"
    rest = "".join(
        f" {key}: {value:g}" if isinstance(value, float) else f" {key}: {value}"
        for key, value in filler.items()
        if key != "type"
    )
    return f'type: "{filler["type"]}"{rest}'


def _product(row: LayerSignal, forward: bool) -> float | None:
    return row.forward if forward else row.backward


def _gain(row: LayerSignal, forward: bool) -> float | None:
    return row.forward_gain if forward else row.backward_gain


def _times(number: int) -> str:
    return f"in {number} layer{'s' * (number > 1)}"


def _unit_gain_fillers(rows: Sequence[LayerSignal], forward: bool, vanished: bool) -> str:
    """Return the fillers that would give these layers gain 1, the most frequent first."""
    counts: dict[str, int] = {}
    for row in rows:
        gain = _gain(row, forward)
        if gain is None or row.normalised or not (gain < 0.9 if vanished else gain > 1.1):
            continue
        filler_text = _filler_text(row.unit_gain_filler_forward if forward else row.unit_gain_filler_backward)
        counts[filler_text] = counts.get(filler_text, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    most_frequent = ordered[:2]
    hints = [f"weight_filler {{ {name} }} {_times(number)}" for name, number in most_frequent]
    rest = sum(number for _, number in ordered[2:])
    if rest:
        hints.append(f"others {_times(rest)}")
    return "; to keep the gain at 1: " + ", ".join(hints) if hints else ""


def _find(rows: Sequence[LayerSignal], forward: bool) -> list[str]:
    """Return where the signal ends in this direction.

    What counts is the change since the first layer: its own scale belongs to the input's, or the loss's. The gradient
    of the input itself is of no use.
    """
    ordered_rows = [row for row in (rows if forward else reversed(rows)) if _product(row, forward) is not None]
    if not forward:
        ordered_rows = [row for row in ordered_rows if row.depth > 1]
    if not ordered_rows:
        return []
    products = [_product(row, forward) or 0.0 for row in ordered_rows]
    # a variance of 0 from the start has its own text
    changes = [product / products[0] if products[0] else 1.0 for product in products]
    for vanished in (True, False):
        beyond = [change <= VANISHED if vanished else change >= EXPLODED for change in changes]
        # a narrow branch dips for a layer or two; the signal ends where it stays low
        at = next((i for i in range(len(ordered_rows)) if all(beyond[i : i + 3])), None)
        if at is None:
            continue
        row = ordered_rows[at]
        text = (
            f"{'forward: the signal' if forward else 'backward: the gradient'} "
            f"{'vanishes' if vanished else 'explodes'} "
            f"at layer '{row.layer}' (layer {row.depth} of {max(row.depth for row in rows)}): "
            f"the product of gains is {products[at]:.2g} there"
        )
        if at < len(ordered_rows) - 1:
            text += f", {products[-1]:.2g} at the {'end' if forward else 'beginning'}"
        return [text + _unit_gain_fillers(rows, forward, vanished)]
    return []


def _findings(rows: list[LayerSignal]) -> list[str]:
    dead = [row for row in rows if row.fan_in is not None and row.forward_gain == 0]
    if dead:
        others = f" and {len(dead) - 1} more begin" if len(dead) > 1 else " begins"
        return [
            f"layer '{dead[0].layer}'{others} with weights of 0: nothing passes, and all outputs learn alike; "
            "give them a weight_filler, or copy weights"
        ]
    return _find(rows, forward=True) + _find(rows, forward=False)


def signal(net: Net, measure: bool = False, *, images: int | None = None) -> SignalReport:
    """Predict how a net's signal grows or shrinks before training.

    Parameters
    ----------
    net : Net
        The net. With ``fill=False`` it suffices for the theory. Its phase counts: Dropout works in TRAIN.
    measure : bool, optional
        Pass noise of mean 0 and variance 1 through the net in NumPy, as far as its layers allow, and measure.
    images : int, optional
        The number of images to pass through; by default a number that runs quickly.

    Returns
    -------
    SignalReport
        `layers` has a row for each layer with weights; `findings` says where the signal vanishes or explodes.

    Raises
    ------
    CaffeError
        If `net` is not a Net, or `measure` is true for a net without values.

    Notes
    -----
    *Products.* For a layer with weights the forward gain is ``fan_in Var(W) factor`` (He et al. 2015, equation 9) and
    the backward gain ``fan_out Var(W) factor`` (equation 13), with the fans of the actual sums. They are multiplied
    along depth. Where branches join, Concat takes the mean by channels, and the sums of an Eltwise add. Pooling counts
    as 1, Dropout in training as ``1 / (1 - ratio)``, LRN as its formula for the predicted mean square, Scale as the
    square of its scale. BatchNorm (always as in training, with the batch's own statistics) sets the forward product to
    1 and divides the backward one by the predicted variance. Backward products begin with 1 at the losses (with the
    square of loss_weight), or at the outputs of a net without losses. Padding is not counted.

    *Prediction.* `variance` follows the distribution of the values, in the mean-field picture: weights are random,
    inputs are independent noise. It counts padding, biases, means other than 0, and saturation. It leaves out the
    correlation of neighbouring values.

    After layers whose values are not modelled (recurrent layers, Softmax, Python layers ...) the signal starts anew
    with variance 1. A note says so if layers with weights follow.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> net = cf.Net("examples/mnist/lenet_train_test.prototxt", rng=1701, inputs={"mnist": (1, 28, 28)})
    >>> report = cf.signal(net)
    >>> [(row.layer, row.fan_in, row.activation, row.factor) for row in report.layers]
    [('conv1', 25, '', 1.0), ('conv2', 500, '', 1.0), ('ip1', 800, 'ReLU', 0.5), ('ip2', 500, '', 1.0)]
    """
    if not isinstance(net, Net):
        raise CaffeError(f"signal reads a Net, got {type(net).__name__}; build one with caffe_fillers.Net(path)")
    from .propagation import Propagation

    propagation = Propagation(net)
    rows = [step.row for step in propagation.steps if step.row is not None]
    report = SignalReport(net.name, net.phase, rows, _findings(rows))
    for step in propagation.steps:
        if not step.modelled and any(propagation.blobs[i].matters for i in step.tops):
            report.notes.append(
                f"layer '{step.layer.name}' of type {step.layer.type} is not modelled: behind it the signal starts anew"
            )
    if measure:
        from .measure import measure as measure_signal

        places = {i for i, step in enumerate(propagation.steps) if step.row is not None and step.row.fan_in is not None}
        results = measure_signal(net, places, images)
        report.images = results.images
        for i, step in enumerate(propagation.steps):
            if step.row is not None and i in results.variances:
                step.row.measured, step.row.histogram = results.variances[i], results.histograms[i]
        if results.stopped:
            report.notes.append("not measured from here on: " + ", ".join(results.stopped))
    return report
