"""Theory's predictions for a net before training."""

from __future__ import annotations

from .report import SignalReport, signal

__all__ = ["SignalReport", "signal"]
