"""Count the nets of the corpus that can be exported, and the reasons against the others: python benchmarks/exporting.py
CORPUS.

Takes each prototxt that BVLC Caffe reads and that has inputs of its own (a deploy net). Parameters are noise of a
sensible size, batches are cut to one. Each net is exported as ONNX and as a script; both are run beside the net.
"""

from __future__ import annotations

import argparse
import collections
import csv
import math
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import caffe_fillers as cf

LARGEST = 1 << 30  # bytes of parameters


def fill(net: cf.Net) -> None:
    """Fill the parameters with noise under which signals neither vanish nor explode."""
    r = np.random.default_rng(0)
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            shape = blob.shape
            if layer.type == "BatchNorm":
                values = (0.1 * r.standard_normal(shape), r.uniform(0.5, 1.5, shape), np.full(shape, 2.0))[min(i, 2)]
            elif layer.type in ("Scale", "PReLU") and i == 0:
                values = r.uniform(0.5, 1.5, shape)
            elif i == 0 and len(shape) > 1:
                values = r.standard_normal(shape, np.float32) * math.sqrt(2 / math.prod(shape[1:]))
            else:
                values = 0.1 * r.standard_normal(shape)
            blob.data[...] = values


def deploy_net(path: Path) -> cf.Net | str:
    """Return the net of a file, or the reason why it is not to be exported."""
    try:
        plan = cf.Net(path, "TEST", strict=True, fill=False)
    except cf.CaffeError as error:
        return f"not set up by BVLC Caffe: {type(error).__name__}"
    if not plan.inputs:
        return "no deploy net"
    size = 4 * sum(math.prod(blob.shape) for layer in plan.layers for blob in layer.blobs)
    if size > LARGEST:
        return "more than 1 GiB of parameters: not tried"
    net = cf.Net(path, "TEST", strict=True, rng=1)
    fill(net)
    for name in net.inputs:
        shape = net.blobs[name].shape
        if len(shape) == 4:
            net.blobs[name].reshape(1, *shape[1:])
    try:
        net.reshape()
    except cf.CaffeError:
        for step in net.steps:
            for blob, planned in zip(step.tops, step.setup.tops, strict=True):
                blob.reshape(planned)
    return net


def reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][-100:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", default="", help="a part of the file's name")
    parser.add_argument("--no-run", action="store_true", help="export, but don't run what was exported")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    with open(chosen.corpus / "index.tsv", newline="") as file:
        names = [f"files/{row['file']}" for row in csv.DictReader(file, delimiter="\t")]
    names += sorted(str(p.relative_to(chosen.corpus)) for p in (chosen.corpus / "caffe").rglob("*.prototxt"))
    left, found = collections.Counter(), {"onnx": collections.Counter(), "py": collections.Counter()}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if chosen.only not in name:
                continue
            net = deploy_net(chosen.corpus / name)
            if isinstance(net, str):
                left[net] += 1
                continue
            for suffix, counts in found.items():
                start = time.perf_counter()
                try:
                    result = cf.export(net, Path(folder) / f"net.{suffix}", check=not chosen.no_run)
                    same = "exported" if chosen.no_run else "exported, the same"
                    said = f"differs: {result.check}" if result.check is not None and not result.check else same
                except Exception as error:
                    said = reason(error)
                counts[said] += 1
                print(f"{name} {suffix} {time.perf_counter() - start:.1f} s: {said}", flush=True)
    for said, count in left.most_common():
        print(f"{count:5} {said}")
    for suffix, counts in found.items():
        good = counts["exported"] + counts["exported, the same"]
        print(f"\n.{suffix}: {good} of {sum(counts.values())} deploy nets")
        for said, count in counts.most_common():
            print(f"{count:5} {said}")


if __name__ == "__main__":
    main()
