"""pycaffe's process-wide settings: the random stream, the mode and the log."""

from __future__ import annotations

import os
import sys
import time
import warnings

from .. import fillers
from .._core import RNG
from ..errors import CaffeError, CaffeWarning
from ..layers import RULES
from ..training.log import LogStream

__all__ = [
    "NCCL",
    "Timer",
    "has_nccl",
    "init_log",
    "layer_type_list",
    "log",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "stream",
]


_SEVERITIES = "IWEF"


def _from_environment() -> str:
    """Return the severity in glog's own variable."""
    level = os.environ.get("GLOG_minloglevel", "")  # noqa: SIM112
    return _SEVERITIES[min(int(level), 3)] if level.isdecimal() else "I"


class _Process:
    """The fields of Caffe's singleton."""

    stream: RNG | None = None
    rank = 0
    severity = _from_environment()


def stream() -> RNG:
    """Return the random stream that all nets and solvers draw from, as in Caffe; at first seeded from entropy.

    Examples
    --------
    >>> from caffe_fillers import pycaffe as caffe
    >>> caffe.set_random_seed(1701)
    >>> caffe.common.stream().seed
    1701
    """
    if _Process.stream is None:
        _Process.stream = fillers.as_rng(None)
    return _Process.stream


def set_random_seed(seed: int) -> None:
    """Restart the stream: new nets, and Dropout and others from now on, draw from it.

    Parameters
    ----------
    seed : int
        Modulo 2**32, as Caffe's generator takes it.
    """
    begin_anew(int(seed))


def begin_anew(seed: int) -> None:
    """Seed the stream; C's `rand` goes on, as in Caffe's process."""
    anew = RNG(seed % 2**32, boost=stream().boost)
    anew.c_rand = stream().c_rand
    stream().become(anew)


# --- the mode --------------------------------------------------------------------------------------------------------


def set_mode_cpu() -> None:
    """Do nothing: all runs on the CPU."""


def set_mode_gpu() -> None:
    """Warn that all runs on the CPU."""
    warnings.warn("there is no GPU here: the nets run on the CPU", CaffeWarning, stacklevel=2)


def set_device(device: int) -> None:
    """Do nothing: all runs on the CPU."""


def set_multiprocess(multiprocess: bool) -> None:
    """Do nothing: there is one process."""


def solver_count() -> int:
    """Return the number of solvers that train together: 1."""
    return 1


def set_solver_count(count: int) -> None:
    """Refuse to train with several solvers."""
    if count != 1:
        raise CaffeError(f"training with {count} solvers at once is not supported: set_solver_count takes 1")


def solver_rank() -> int:
    """Return the rank of this solver."""
    return _Process.rank


def set_solver_rank(rank: int) -> None:
    """Set the number of this solver, which is added to the random_seed of solvers made from now on."""
    _Process.rank = int(rank)


def has_nccl() -> bool:
    """Return whether several GPUs can train together: False."""
    return False


class NCCL:
    """Training on several GPUs, which is not supported."""

    def __init__(self, *_: object) -> None:
        raise CaffeError("NCCL, training on several GPUs, is not supported: step the solver without it")

    @staticmethod
    def new_uid() -> bytes:
        """Raise the error of NCCL."""
        raise CaffeError("NCCL, training on several GPUs, is not supported: step the solver without it")


class Timer:
    """A stop watch.

    Examples
    --------
    >>> from caffe_fillers import pycaffe as caffe
    >>> timer = caffe.Timer()
    >>> timer.start()
    >>> timer.stop()
    >>> 0 <= timer.ms < 1000
    True
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._spent = 0.0

    def start(self) -> None:
        """Start it from nothing."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Stop it."""
        if self._since is not None:
            self._spent, self._since = time.perf_counter() - self._since, None

    @property
    def ms(self) -> float:
        """Return the milliseconds from start to stop, or up to now while it runs."""
        return 1e3 * (self._spent if self._since is None else time.perf_counter() - self._since)


def layer_type_list() -> list[str]:
    """Return Caffe's layer types in alphabetical order, with those of forks and your own."""
    return sorted(RULES)


# --- the log ---------------------------------------------------------------------------------------------------------


def init_log(level: int = 0, stderr: bool = False) -> None:
    """Log lines of `level` (0 info, 1 warning, 2 error) and above to standard error.

    Without `stderr` errors alone: pycaffe then writes the others to files in the temporary folder, which is not done
    here. Before the first call all lines are logged, but for those below the environment's GLOG_minloglevel.
    """
    _Process.severity = _SEVERITIES[min(max(level, 0 if stderr else 2), 3)]


def write_log(place: str, text: str, severity: str = "I") -> None:
    """Log a line in glog's form, if its severity is high enough."""
    if _SEVERITIES.index(severity) >= _SEVERITIES.index(_Process.severity):
        LogStream(sys.stderr)(place, text, severity)


def log(text: str) -> None:
    """Log a line."""
    write_log("_caffe.cpp:64", text)
