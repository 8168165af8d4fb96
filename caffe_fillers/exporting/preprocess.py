"""Image preprocessing that Caffe's data layer did, exported as part of the net."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CaffeError
from .plan import Plan, Value

if TYPE_CHECKING:
    from .onnx.builder import Builder

__all__ = ["Preprocess", "as_preprocess"]

_KEYS = ("mean", "scale", "order")


@dataclass(frozen=True, slots=True)
class Preprocess:
    """``(x - mean) * scale`` for images in RGB, or in BGR, the order of Caffe's nets.

    `mean` is one number, one a channel in the net's own order (BGR), or an image.
    """

    mean: np.ndarray | None = None
    scale: float = 1.0
    swap: bool = True

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return the net's input for the images `x`."""
        if self.swap:
            x = x[:, ::-1]
        if self.mean is not None:
            x = x - self.mean
        return np.ascontiguousarray(x * x.dtype.type(self.scale))

    def image(self, plan: Plan) -> Value:
        """Return the input that holds images: the one with four axes."""
        found = [value for value in plan.inputs if len(value.shape) == 4]
        if len(found) != 1:
            raise CaffeError(
                f"preprocess needs one input of images, with four axes; the net has {len(found)} of "
                f"{', '.join(value.blob for value in plan.inputs)}"
            )
        channels = found[0].shape[1]
        if self.swap and channels != 3:
            raise CaffeError(f"input '{found[0].blob}' has {channels} channel(s), not red, green and blue: order=BGR")
        if self.mean is not None:
            try:
                fits = np.broadcast_shapes(self.mean.shape, found[0].shape[1:]) == found[0].shape[1:]
            except ValueError:
                fits = False
            if not fits:
                raise CaffeError(
                    f"a mean of shape {self.mean.shape} doesn't fit images of {found[0].shape[1:]}\n"
                    "give one number for each channel, or crop the mean image to the net's input"
                )
        return found[0]

    def nodes(self, g: Builder, plan: Plan) -> dict[str, str]:
        """Add the nodes to an ONNX graph; return the graph's own inputs by the net's."""
        value = self.image(plan)
        blob, value.name = value.name, f"{value.name}_preprocessed"
        g.reserve([value.name])
        steps: list[tuple[str, list[str]]] = []
        if self.swap:
            steps.append(("Slice", [g.whole([2]), g.whole([-4]), g.whole([1]), g.whole([-1])]))
        if self.mean is not None:
            steps.append(("Sub", [g.numbers(self.mean)]))
        if self.scale != 1:
            steps.append(("Mul", [g.number(self.scale)]))
        x = blob
        for i, (kind, others) in enumerate(steps or [("Identity", [])], 1):
            x = g.add(kind, [x, *others], value.name if i == max(1, len(steps)) else f"{blob}_{kind}")
        return {value.name: blob}


def as_preprocess(given: Mapping[str, object] | Preprocess | None) -> Preprocess | None:
    """Read the caller's mapping with `mean`, `scale` and `order`.

    Raises
    ------
    CaffeError
        If a key is unknown, the mean can't be read, or the order is none.
    """
    if given is None or isinstance(given, Preprocess):
        return given
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise CaffeError(f"preprocess takes {', '.join(_KEYS)}, got {', '.join(map(repr, unknown))}")
    order = given.get("order", "RGB")
    if order not in ("RGB", "BGR"):
        raise CaffeError(f"order is RGB or BGR, the order of an image's channels, got {order!r}")
    scale = given.get("scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not np.isfinite(scale):
        raise CaffeError(f"scale is a number, got {scale!r}")
    return Preprocess(_mean(given.get("mean")), float(scale), order == "RGB")


def _mean(given: object) -> np.ndarray | None:
    if given is None:
        return None
    if isinstance(given, (str, os.PathLike)):
        from ..weights.mean import load_mean

        given = load_mean(given)
    mean = np.asarray(given, np.float32)
    if mean.ndim == 4 and mean.shape[0] == 1:
        mean = mean[0]
    if mean.ndim not in (0, 1, 3) or not np.isfinite(mean).all():
        raise CaffeError(f"mean is a number, one for each channel, or an image, got an array of shape {mean.shape}")
    return mean.reshape(-1, 1, 1) if mean.ndim == 1 else mean
