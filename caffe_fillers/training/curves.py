"""The history of a training: losses, rates and test scores by iteration."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import CaffeError
from ..files import as_path, replacing

__all__ = ["Curves", "read_log"]

_ITERATION = re.compile(r"\] Iteration (\d+)(?: \(.*\))?, loss = (\S+)")
_RATE = re.compile(r"\] Iteration (\d+), lr = (\S+)")
_TESTING = re.compile(r"\] Iteration (\d+), Testing net \(#(\d+)\)")
_TEST_LOSS = re.compile(r"\] Test loss: (\S+)")
_TEST_OUTPUT = re.compile(r"\]     Test net output #\d+: (\S+) = (\S+)")


@dataclass(slots=True)
class Curves:
    """A training's curves.

    Attributes
    ----------
    loss : dict of int to float
        The loss by iteration, as Caffe prints it: averaged over the last `average_loss` iterations.
    lr : dict of int to float
        The rate by which the iteration changed the weights.
    test : dict of int to dict of int to dict
        By iteration and test net: the mean of each output by name, a list for an output of several values; with
        `test_compute_loss` also the loss.
    """

    loss: dict[int, float] = field(default_factory=dict)
    lr: dict[int, float] = field(default_factory=dict)
    test: dict[int, dict[int, dict[str, float | list[float]]]] = field(default_factory=dict)

    def tested(self, iteration: int, net: int, outputs: Iterable[tuple[str, float]]) -> None:
        """Enter the scores of a test net; a name that comes up again gets a list."""
        entry = self.test.setdefault(iteration, {}).setdefault(net, {})
        for name, value in outputs:
            before = entry.get(name)
            if before is None:
                entry[name] = value
            else:
                entry[name] = [*(before if isinstance(before, list) else [before]), value]

    def series(self, net: int, name: str) -> tuple[list[int], list[float]]:
        """Return a test output's iterations and values; of several values their mean."""
        found = {i: nets[net][name] for i, nets in sorted(self.test.items()) if name in nets.get(net, {})}
        return list(found), [sum(v) / len(v) if isinstance(v, list) else v for v in found.values()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON; the file is complete, or the older one unchanged."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict()))

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON: `loss` and `lr` as lists of [iteration, value], `test` by iteration."""
        return {
            "loss": [[i, _plain(value)] for i, value in self.loss.items()],
            "lr": [[i, _plain(value)] for i, value in self.lr.items()],
            "test": {
                str(i): {str(net): {name: _plain(value) for name, value in each.items()} for net, each in nets.items()}
                for i, nets in self.test.items()
            },
        }


def _plain(value: float | list[float]) -> object:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if math.isfinite(value) else None


def read_log(path: str | os.PathLike[str]) -> Curves:
    """Read the curves from a log of Caffe's, or one that `train --log` wrote.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    Curves

    Raises
    ------
    CaffeError
        If the file can't be read, or holds no iteration.

    Examples
    --------
    >>> from pathlib import Path
    >>> from caffe_fillers.training import read_log
    >>> lines = "I0210 13:39:22.381027 25210 solver.cpp:239] Iteration 100 (5.1 iter/s), loss = 0.25"
    >>> Path("train.log").write_text(lines) > 0
    True
    >>> read_log("train.log").loss
    {100: 0.25}
    """
    source, curves = as_path(path), Curves()
    try:
        with open(source, encoding="utf-8", errors="replace") as file:
            _read_lines(file, curves)
    except OSError as error:
        raise CaffeError(f"{source}: cannot be read: {error.strerror or error}") from None
    if not curves.loss and not curves.test:
        raise CaffeError(f"{source}: holds no line of a training ('Iteration N, loss = ...'): is it a log of Caffe's?")
    return curves


def _read_lines(lines: Iterable[str], curves: Curves) -> None:
    iteration, net, fresh = 0, 0, False
    for line in lines:
        if found := _TESTING.search(line):
            iteration, net = int(found[1]), int(found[2])
            # a run that went on tests its first iteration again
            curves.test.get(iteration, {}).pop(net, None)
            fresh = True
        elif found := _ITERATION.search(line):
            curves.loss[int(found[1])] = float(found[2])
            fresh = False
        elif found := _RATE.search(line):
            curves.lr[int(found[1])] = float(found[2])
        elif fresh and (found := _TEST_LOSS.search(line)):
            curves.tested(iteration, net, [("loss", float(found[1]))])
        elif fresh and (found := _TEST_OUTPUT.search(line)):
            name, value = found[1], float(found[2])
            if name == "loss" and curves.test.get(iteration, {}).get(net, {}).get("loss") == value:
                continue  # said already as the test's loss
            curves.tested(iteration, net, [(name, value)])
