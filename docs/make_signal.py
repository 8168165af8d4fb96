"""Draw the pictures of docs/signal.md: ``python docs/make_signal.py``. Needs matplotlib, and 1 GB for VGG-19."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

import matplotlib

import caffe_fillers as cf
from caffe_fillers.signals import SignalReport

matplotlib.use("agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
IMAGES = HERE / "images"
NETS = runpy.run_path(str(HERE.parent / "examples" / "signal" / "nets.py"))
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"


def report(text: str, folder: Path) -> SignalReport:
    path = folder / "net.prototxt"
    path.write_text(text, encoding="utf-8")
    return cf.signal(cf.Net(path, rng=1701), measure=True)


def plain(folder: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 4.6), layout="constrained")
    cases = [("ReLU", "msra", GREEN, "o"), ("TanH", "xavier", BLUE, "s"), ("ReLU", "xavier", ORANGE, "D")]
    cases.append(("Sigmoid", "xavier", GREY, "^"))
    for activation, filler, colour, mark in cases:
        rows = report(NETS["plain"](30, f'type: "{filler}"', activation), folder).layers
        depth = [row.depth for row in rows]
        line = "--" if activation == "TanH" else "-"
        axes.plot(depth, [row.forward for row in rows], line, color=colour, label=f"{activation} under {filler}")
        axes.plot(depth, [row.variance for row in rows], ":", color=colour, linewidth=1)
        axes.plot(depth, [row.measured for row in rows], mark, color=colour, markersize=4, markerfacecolor="none")
    axes.set_yscale("log")
    axes.set_ylim(1e-10, 30)
    axes.set_xlabel("layer")
    axes.set_title(
        "30 layers of 512: product of gains (lines), variance predicted (dots) and measured (marks)", fontsize=10
    )
    axes.legend(frameon=False, fontsize=9, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.3)
    figure.savefig(IMAGES / "signal_plain.png", dpi=110)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain(folder)
        for net in ("vgg", "resnet", "googlenet"):
            report(NETS[net](), folder).plot(IMAGES / f"signal_{net}.png")


if __name__ == "__main__":
    main()
