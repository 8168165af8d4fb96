"""Whole trainings of `caffe train`, iteration by iteration: LeNet, the autoencoder, the siamese net, HDF5.

The first 50 iterations of each; all of them with CAFFE_FILLERS_WHOLE_RUNS=1, as .ci/long has it.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest

import caffe_fillers as cf

from .conftest import TRAININGS

NAMES = sorted(path.stem for path in TRAININGS.glob("*.json"))
WHOLE = bool(os.environ.get("CAFFE_FILLERS_WHOLE_RUNS"))


def test_there_are_trainings():
    assert len(NAMES) == 17


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_losses_rates_and_scores_are_caffes(name, beside_databases):
    golden = json.loads((TRAININGS / f"{name}.json").read_text())
    for path in TRAININGS.glob(f"{name}*.prototxt"):
        shutil.copy(path, beside_databases)
    solver = cf.Solver(f"{name}_solver.prototxt")
    count = len(golden["loss"])
    if WHOLE:
        solver.solve()
    else:
        count = 50
        solver.message.snapshot = 0
        solver.step(count)
    apart = {}
    for i in range(count):
        assert f"{solver.curves.lr[i]:g}" == f"{golden['lr'][i]:g}"
        ours, theirs = float(f"{solver.curves.loss[i]:g}"), golden["loss"][i]
        apart[i] = abs(ours - theirs) / abs(theirs) / max(2e-5, 10 * golden["spread"][i])
    assert max(apart.values()) <= 1, max(apart, key=apart.get)
    for iteration, nets in golden["test"].items():
        if int(iteration) > count or (int(iteration) == count and not WHOLE):
            continue
        for net, outputs in nets.items():
            ours = solver.curves.test[int(iteration)][int(net)]
            assert ours.keys() == outputs.keys()
            for output, theirs in outputs.items():
                spread = golden["test_spread"][iteration][net].get(output, 0)
                limit = 0.012 if output == "accuracy" else 0.06 * abs(theirs) + 0.002
                assert abs(ours[output] - theirs) <= max(limit, 3 * spread), (iteration, net, output)
