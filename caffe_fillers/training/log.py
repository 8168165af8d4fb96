"""Caffe's log lines during training, in the format that parsers of its logs expect."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

import numpy as np

from ..errors import CaffeError
from ..files import as_path

__all__ = ["LogFile", "LogStream", "ignored_lines", "number", "score_lines", "score_text", "scores"]


def number(value: float | np.floating) -> str:
    """Return a float as C++ writes it to a stream: with six digits."""
    return f"{float(value):g}"


class LogStream:
    """Log lines in glog's form on a stream: ``I0210 13:39:22.381027 25210 solver.cpp:204] text``.

    Month and day without the year, as the glog of Caffe's time wrote them and Caffe's own ``parse_log.py`` expects.

    Parameters
    ----------
    stream : text file
    """

    path = Path("the stream")

    def __init__(self, stream: TextIO) -> None:
        self._file = stream
        self._process = os.getpid()
        self._second, self._stamp = -1, ""

    def __call__(self, place: str, text: str, severity: str = "I") -> None:
        """Write a line; `place` is the file and line of Caffe's source that would have logged it."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%m%d %H:%M:%S", time.localtime(second))
        try:
            self._file.write(
                f"{severity}{self._stamp}.{int((now - second) * 1e6):06d} {self._process:5d} {place}] {text}\n"
            )
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> CaffeError:
        return CaffeError(f"{self.path}: the log cannot be written: {error.strerror or error}")


class LogFile(LogStream):
    """A file of log lines in glog's form.

    Parameters
    ----------
    path : str or PathLike
    append : bool
        Append to an older log, for a run that continues from a snapshot.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path: Path = as_path(path)
        try:
            # by lines, so that the log of a killed run ends where the run did
            file = open(self.path, "a" if append else "w", buffering=1, encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from None
        super().__init__(file)

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from None

    def __enter__(self) -> LogFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ignored_lines(path: str, layers: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Place and text of the lines on layers of a weights' file that the net does not have."""
    place = "net.cpp:801" if path.endswith(".h5") else "net.cpp:746"
    for name in layers:
        yield place, f"Ignoring source layer {name}"


def scores(outputs: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.floating]]:
    """Yield every value of a net's outputs, under the output's name."""
    for name, values in outputs.items():
        for value in values.reshape(-1):
            yield name, value


def score_text(
    outputs: Mapping[str, np.ndarray], weights: Mapping[str, float]
) -> Iterator[tuple[str, np.floating, str]]:
    """Yield the name and value of each output, and its weight if it is part of the loss."""
    for name, value in scores(outputs):
        weight, weighted = weights.get(name, 0.0), ""
        if weight:
            with np.errstate(all="ignore"):
                weighted = f" (* {number(weight)} = {number(value.dtype.type(weight) * value)} loss)"
        yield name, value, weighted


def score_lines(kind: str, outputs: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> Iterator[str]:
    """Yield the lines that Caffe prints of a net's outputs."""
    for i, (name, value, weighted) in enumerate(score_text(outputs, weights)):
        yield f"    {kind} net output #{i}: {name} = {number(value)}{weighted}"
