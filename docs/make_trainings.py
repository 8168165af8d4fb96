"""Run every training that was measured with Caffe and draw Caffe's losses and ours: docs/images/trainings.png.

python docs/make_trainings.py [FOLDER]

FOLDER keeps databases and curves; a training whose curves are there is not run again. The table of start-mnist.md is
printed at the end.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import sys
import tempfile
import time
from pathlib import Path

from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

import caffe_fillers as cf

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests/golden/run/trainings"
CAFFE, OURS = "#E69F00", "#000000"


def databases() -> None:
    cf.datasets.mnist(".")
    cf.datasets.siamese(".")
    runpy.run_path(str(ROOT / "examples/hdf5_classification/make_data.py"))["make"](Path(), Path())


def run(name: str) -> dict:
    kept = Path(f"{name}_curves.json")
    if not kept.exists():
        solver = cf.Solver(f"{name}_solver.prototxt")
        began = time.perf_counter()
        with threadpool_limits(1, "blas"):
            solver.solve()
        print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)
        kept.write_text(json.dumps(solver.curves.to_dict()))
    return json.loads(kept.read_text())


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).resolve()
    folder.mkdir(exist_ok=True)
    picture = ROOT / "docs/images/trainings.png"
    os.chdir(folder)
    if not Path("train.txt").exists():
        databases()
    for path in GOLDEN.glob("*.prototxt"):
        shutil.copy(path, ".")
    names = sorted(path.stem for path in GOLDEN.glob("*.json"))
    figure = Figure(figsize=(13, 13), dpi=90, layout="constrained")
    axes = figure.subplots(5, 4).ravel()
    for name, place in zip(names, axes, strict=False):
        golden, ours = json.loads((GOLDEN / f"{name}.json").read_text()), run(name)
        place.plot(golden["loss"], color=CAFFE, linewidth=3.5, alpha=0.75, label="Caffe")
        losses = [loss for i, loss in ours["loss"] if i < len(golden["loss"])]
        place.plot(losses, color=OURS, linewidth=0.7, label="caffe_fillers")
        place.set_title(name, fontsize=10)
        place.set_yscale("log")
        place.spines[["top", "right"]].set_visible(False)
        last = max(golden["test"], key=int)
        for net, outputs in golden["test"][last].items():
            for output, value in outputs.items():
                print(f"| {name} | {last} | {net} | {output} | {value:g} | {ours['test'][last][net][output]:.6g} |")
    for place in axes[len(names) :]:
        place.set_axis_off()
    axes[len(names)].legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="center")
    figure.savefig(picture)


if __name__ == "__main__":
    main()
