"""One row of the signal report."""

from __future__ import annotations

from dataclasses import dataclass

from ..layers.rule import Shape

__all__ = ["Filler", "LayerSignal"]

Filler = dict[str, str | float]


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
        What that activation does to a variance (see `through`).
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
    unit_gain_filler_forward, unit_gain_filler_backward : dict or None
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
    filler: Filler | None = None
    weight_variance: float | None = None
    weight_variance_measured: float | None = None
    forward_gain: float | None = None
    backward_gain: float | None = None
    forward: float | None = None
    backward: float | None = None
    variance: float | None = None
    measured: float | None = None
    unit_gain_filler_forward: Filler | None = None
    unit_gain_filler_backward: Filler | None = None
    normalised: bool = False
    line: int | None = None
    weights_histogram: dict[str, list[float]] | None = None
    histogram: dict[str, list[float]] | None = None
