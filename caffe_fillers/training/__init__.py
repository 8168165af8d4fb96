"""Training: the solver, its rates and updates, snapshots, and Caffe's own log lines."""

from __future__ import annotations

from .curves import Curves, read_log
from .log import LogFile, number, score_text
from .plots import drawing
from .setup_log import setup_lines
from .solver import Solver

__all__ = ["Curves", "LogFile", "Solver", "drawing", "number", "read_log", "score_text", "setup_lines"]
