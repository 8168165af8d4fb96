"""What the theory says about a net before it is trained."""

from __future__ import annotations

from .report import SignalReport, signal

__all__ = ["SignalReport", "signal"]
