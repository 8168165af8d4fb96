"""Moments of weights and values: those that a filler is designed for, those measured, and histograms."""

from __future__ import annotations

import math

import numpy as np

from ..blob import Blob
from ..errors import CaffeError
from .rows import Filler

__all__ = ["Moments", "designed_moments", "histogram", "measured_moments"]

Moments = tuple[float, float]
"""Mean and variance."""

_BINS = 41


def designed_moments(filler: Filler, std: float | None) -> Moments | None:
    """Return the mean and variance that a filler is designed to give, or None."""
    kind = filler["type"]
    if kind == "positive_unitball" or std is None or not math.isfinite(std):
        return None
    mean = 0.0
    if kind == "constant":
        mean = float(filler.get("value", 0.0))
    elif kind == "uniform":
        mean = (float(filler.get("min", 0.0)) + float(filler.get("max", 1.0))) / 2
    elif kind == "gaussian":
        mean = float(filler.get("mean", 0.0))
    elif kind == "bilinear":
        return None
    return mean, std**2


def measured_moments(blob: Blob) -> Moments | None:
    try:
        data = blob.data
    except CaffeError:
        return None
    total = square = 0.0
    flat = data.reshape(-1)
    for start in range(0, flat.size, 1 << 20):
        piece = flat[start : start + (1 << 20)].astype(np.float64)
        total += float(piece.sum())
        square += float(piece @ piece)
    if not flat.size:
        return None
    mean = total / flat.size
    return mean, max(square / flat.size - mean**2, 0.0)


def histogram(values: np.ndarray) -> dict[str, list[float]]:
    """Counts of `values` in even bins that reach four deviations, or as far as there are values."""
    flat = values.reshape(-1)
    if flat.size > 200_000:
        flat = flat[:: flat.size // 200_000 + 1]
    flat = flat[np.isfinite(flat)].astype(np.float64)
    if not flat.size:
        return {"edges": [], "counts": []}
    mean, std = float(flat.mean()), float(flat.std())
    low, high = max(float(flat.min()), mean - 4 * std), min(float(flat.max()), mean + 4 * std)
    if not low < high:
        return {"edges": [low, high], "counts": [int(flat.size)]}
    counts, edges = np.histogram(flat, _BINS, (low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}
