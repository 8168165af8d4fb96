"""Plots of trainings: losses, test scores and rates by iteration, for one run or several together."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CaffeError
from ..files import as_path, replacing
from .curves import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["drawing"]

# Okabe and Ito's colours, which all eyes can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")


def drawing(path: str | os.PathLike[str]) -> Callable[[Mapping[str, Curves]], None]:
    """Return a function that draws runs, by name, into `path`; refuse a bad path now.

    Parameters
    ----------
    path : str or PathLike
        The picture, in a format of matplotlib's: ``.png``, ``.svg``, ``.pdf`` ...

    Returns
    -------
    callable
        It takes a mapping of names to `Curves`.

    Raises
    ------
    CaffeError
        If matplotlib is missing, it knows no format of that suffix, or the folder does not exist.

    Examples
    --------
    >>> from caffe_fillers.training import Curves, drawing
    >>> draw = drawing("run.png")
    >>> draw({"first run": Curves(loss={0: 2.3, 100: 0.25}, lr={0: 0.01, 100: 0.009})})
    """
    target = as_path(path)
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise CaffeError(f"{target}: to draw needs matplotlib: pip install 'caffe_fillers[plot]'") from None
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if target.suffix[1:].lower() not in known:
        raise CaffeError(f"{target}: the name of a picture must end in one of .{', .'.join(known)}")
    if not target.parent.is_dir():
        raise CaffeError(f"{target}: cannot be written: the folder {target.parent} does not exist")
    return lambda runs: _draw(target, runs)


def _draw(target: Path, runs: Mapping[str, Curves]) -> None:
    from matplotlib.figure import Figure

    # no pyplot: nothing global, no window
    figure = Figure(figsize=(10, 7.5), dpi=130, layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    loss, scores, rate = (figure.add_subplot(grid[place]) for place in ((0, slice(None)), (1, 0), (1, 1)))
    for i, (name, curves) in enumerate(runs.items()):
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "linewidth": 4.0 / (i + 1) if len(runs) > 1 else 1.5,
            "alpha": 0.85,
        }
        values = {at: value for at, value in sorted(curves.loss.items()) if math.isfinite(value)}
        loss.plot(list(values), list(values.values()), label=f"{name}: training", **style)
        rate.plot(*_sorted(curves.lr), label=name, **style)
        for k, (net, output) in enumerate(_outputs(curves)):
            axes = loss if "loss" in output else scores
            label = f"{name}: {output}" + (f" of test net {net}" if net else "")
            axes.plot(
                *curves.series(net, output), label=label, marker="o", markersize=4, ls=DASHES[k % len(DASHES)], **style
            )
    if any(curves.loss and min(curves.loss.values()) > 0 for curves in runs.values()):
        loss.set_yscale("log")
    for axes, title in ((loss, "Loss"), (scores, "Test outputs"), (rate, "Learning rate")):
        _tidy(axes, title)
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:].lower())


def _sorted(values: Mapping[int, float]) -> tuple[list[int], list[float]]:
    found = sorted(values.items())
    return [at for at, _ in found], [value for _, value in found]


def _outputs(curves: Curves) -> list[tuple[int, str]]:
    found: dict[tuple[int, str], None] = {}
    for nets in curves.test.values():
        for net, outputs in nets.items():
            found.update(dict.fromkeys((net, output) for output in outputs))
    return list(found)


def _tidy(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xlabel("iteration")
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)
