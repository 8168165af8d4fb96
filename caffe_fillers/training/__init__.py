"""Training: the solver, its rates and updates, snapshots, and Caffe's own log lines."""

from __future__ import annotations

from .solver import Solver

__all__ = ["Solver"]
