"""Pictures of trainings: loss and accuracy by iteration. Colours are Okabe and Ito's, which all eyes can tell apart."""

from __future__ import annotations

from pathlib import Path

import matplotlib.backend_bases
import matplotlib.figure
import matplotlib.ticker
import numpy as np
from training import Log

BLUE, ORANGE, BLACK = "#0072B2", "#E69F00", "#000000"
COLOURS = (BLUE, "#D55E00", "#009E73", "#CC79A7", ORANGE, "#56B4E9", BLACK)
DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 1)), (0, (9, 3)), "-")
MARKERS = "osD^vPX"
SUFFIXES = matplotlib.backend_bases.FigureCanvasBase.get_supported_filetypes()


def _figure(width: float, height: float) -> matplotlib.figure.Figure:
    # no pyplot: nothing global, no window
    return matplotlib.figure.Figure(figsize=(width, height), dpi=130, layout="constrained")


def _tidy(axes: matplotlib.axes.Axes, ylabel: str) -> None:
    axes.set_ylabel(ylabel)
    axes.set_xlabel("iteration")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _plain_log(axes: matplotlib.axes.Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _accuracies(log: Log) -> tuple[list[int], list[float]]:
    # where nothing is a number any more, Caffe counts every digit as right
    known = {
        at: 100 * scores["accuracy"]
        for at, scores in log.test.items()
        if "accuracy" in scores and np.isfinite(scores.get("loss", 0))
    }
    return list(known), list(known.values())


def against(path: Path, log: Log, reference: Log) -> None:
    """A run over its reference: the losses, how far they lie apart, the test accuracies."""
    count = min(len(log.train_loss), len(reference.train_loss))
    ours, theirs = np.array(log.train_loss[:count]), np.array(reference.train_loss[:count])
    figure = _figure(10, 6.5)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))

    loss = figure.add_subplot(grid[0, :])
    loss.plot(theirs, color=ORANGE, linewidth=4.5, alpha=0.75, label="Caffe, measured")
    loss.plot(ours, color=BLACK, linewidth=0.9, label="caffe_fillers and NumPy")
    loss.set_title("Training loss of every batch")
    _plain_log(loss)
    loss.legend(frameon=False)
    _tidy(loss, "softmax loss")

    apart = figure.add_subplot(grid[1, 0])
    apart.plot(np.abs(ours - theirs) / theirs, ".", markersize=3.5, color=BLUE)
    apart.axhline(5e-6, color=BLACK, linewidth=0.8, linestyle="--")
    apart.text(count, 3.5e-6, "Caffe's log has six digits", ha="right", va="top", fontsize=8)
    apart.set_title("How far the losses lie apart")
    apart.set_yscale("log")
    apart.set_ylim(bottom=1e-8)
    _tidy(apart, "relative difference")

    accuracy = figure.add_subplot(grid[1, 1])
    accuracy.plot(*_accuracies(reference), "o", markersize=11, color=ORANGE, alpha=0.75, label="Caffe, measured")
    accuracy.plot(*_accuracies(log), "x", markersize=6, color=BLACK, label="caffe_fillers and NumPy")
    accuracy.set_title("Accuracy on the test digits")
    accuracy.set_ylim(0, 104)
    accuracy.legend(frameon=False, loc="lower right")
    _tidy(accuracy, "percent of digits right")
    figure.savefig(path)


def together(path: Path, logs: dict[str, Log], window: int = 10) -> None:
    """One run or several: the losses, each point the mean of `window` batches, and the test accuracies."""
    figure = _figure(10, 4.6)
    loss, accuracy = figure.subplots(1, 2)
    for i, (name, log) in enumerate(logs.items()):
        values = np.array(log.train_loss)
        lost = np.flatnonzero(~np.isfinite(values))
        if len(lost):
            values = values[: lost[0]]
            name += f"\n(NaN from iteration {lost[0]} on)"
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "label": name}
        width = max(1, min(window, len(values)))
        if len(values):
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            at = np.arange(len(smooth)) + (width - 1) / 2
            loss.plot(at, smooth, linewidth=1.8, marker="X" if len(lost) else "", markevery=[-1], **style)
        accuracy.plot(*_accuracies(log), linewidth=1.5, marker=MARKERS[i % len(MARKERS)], markersize=5, **style)
    loss.set_title(f"Training loss, mean of {window} batches")
    _plain_log(loss)
    _tidy(loss, "softmax loss")
    accuracy.set_title("Accuracy on the test digits")
    accuracy.set_ylim(0, 104)
    accuracy.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _tidy(accuracy, "percent of digits right")
    if len(logs) > 1:
        figure.legend(
            *loss.get_legend_handles_labels(), loc="outside lower center", ncols=min(6, len(logs)), frameon=False
        )
    figure.savefig(path)
