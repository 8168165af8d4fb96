"""Draw the pictures of docs/fillers.md and docs/xavier.md: ``python docs/make_pictures.py``. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

import caffe_fillers as cf

matplotlib.use("agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parent / "images"
# conv2 of LeNet, but with enough filters for a smooth histogram: fan_in 500, fan_out 12,500
SHAPE = (500, 20, 5, 5)
BLUE, ORANGE, GREEN = "#3b6fb6", "#d9822b", "#4f9d69"


def histogram(axes, values, title, color=BLUE, span=None):
    axes.hist(values.ravel(), bins=120, range=span, color=color)
    axes.set_title(title, fontsize=9, family="monospace")
    axes.set_yticks([])
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(labelsize=8)
    mean = f"{values.mean(dtype=float):.4f}".replace("-0.0000", "0.0000")
    axes.annotate(
        f"mean {mean}\nstd {values.std(dtype=float):.4f}",
        (0.97, 0.95),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=8,
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def fillers() -> None:
    cases = [
        ('type: "uniform"  min: -0.1  max: 0.1', None),
        ('type: "gaussian"  std: 0.05', (-0.25, 0.25)),
        ('type: "gaussian"  std: 0.05  sparse: 100', (-0.25, 0.25)),
        ('type: "xavier"', None),
        ('type: "msra"', (-0.25, 0.25)),
        ('type: "positive_unitball"', None),
    ]
    figure, grid = plt.subplots(2, 3, figsize=(10.5, 5))
    for axes, (text, span) in zip(grid.flat, cases, strict=True):
        histogram(axes, cf.fill(SHAPE, text, rng=1701), text, span=span)
        if "sparse" in text:
            axes.set_yscale("log")
            axes.set_ylim(1, 2e7)
            axes.set_yticks([], minor=True)
            axes.set_yticks([])
            axes.set_xlabel("(the axis of counts is logarithmic)", fontsize=8)
    figure.suptitle(f"What the fillers draw for a blob of shape {'x'.join(map(str, SHAPE))}, seed 1701", fontsize=11)
    figure.tight_layout()
    figure.savefig(IMAGES / "fillers.png", dpi=110, metadata={"Software": None})


def bilinear() -> None:
    figure, row = plt.subplots(1, 4, figsize=(10.5, 2.9))
    for axes, kernel in zip(row, (3, 4, 8, 16), strict=True):
        values = cf.bilinear((1, 1, kernel, kernel))[0, 0]
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
        axes.set_title(f"{kernel}x{kernel}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        if kernel <= 4:
            for (y, x), value in np.ndenumerate(values):
                axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=8, color="k" if value < 0.6 else "w")
    figure.suptitle('type: "bilinear": the same kernel for every filter; white is 0, dark blue 1', fontsize=11)
    figure.tight_layout()
    figure.savefig(IMAGES / "bilinear.png", dpi=110, metadata={"Software": None})


def norms() -> None:
    shape = (256, 128, 3, 3)
    fan_in, fan_out = cf.fans(shape)
    figure, row = plt.subplots(1, 2, figsize=(10.5, 3.4))
    norms = (("FAN_IN", BLUE), ("AVERAGE", ORANGE), ("FAN_OUT", GREEN))
    for axes, name in zip(row, ("xavier", "msra"), strict=True):
        for norm, color in norms:
            values = getattr(cf, name)(shape, norm, rng=1701)
            axes.hist(
                values.ravel(),
                bins=120,
                range=(-0.16, 0.16),
                histtype="step",
                linewidth=1.6,
                color=color,
                label=f"{norm}: std {values.std():.4f}",
            )
        axes.set_title(f'type: "{name}"', fontsize=9, family="monospace")
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=8, loc="upper right", frameon=False)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    figure.suptitle(f"variance_norm, for {'x'.join(map(str, shape))}: fan_in {fan_in}, fan_out {fan_out}", fontsize=11)
    figure.tight_layout()
    figure.savefig(IMAGES / "variance_norm.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    fillers()
    bilinear()
    norms()
