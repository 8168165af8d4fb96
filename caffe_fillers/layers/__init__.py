"""Layer types: one rule for each, grouped by what the layers do.

`register` adds a type of one's own; `Setup`, `Param`, `Layer` and `filler` are what a rule is written in.
"""

from __future__ import annotations

from . import (
    data,
    dense,
    elementwise,
    forks,
    losses,
    python,
    recurrent,
    reshaping,
    resizing,
    sequences,
    spatial,
    volumes,
)
from .rule import RULES, Layer, Param, Rule, Setup, filler, register

__all__ = ["RULES", "Layer", "Param", "Rule", "Setup", "filler", "register"]
