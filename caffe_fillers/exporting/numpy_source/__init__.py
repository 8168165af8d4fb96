"""A net as a script that needs NumPy alone."""

from __future__ import annotations

from pathlib import Path

from ...errors import CaffeError
from ...net import Net
from ..plan import Plan

__all__ = ["export_source"]


def export_source(net: Net, plan: Plan, path: Path) -> list[Path]:
    """Write the plan of a net as a script, and its parameters beside it."""
    raise CaffeError(f"{path}: scripts can't be written yet; use .onnx")
