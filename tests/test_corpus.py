"""The corpus of real prototxts: every file keeps its class, strictly and leniently, and a report counts them.

Run as a script this file prints the table that `corpus_nets.tsv` holds.
"""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

import caffe_fillers as cf
from caffe_fillers import prototxt, schema
from caffe_fillers.upgrading import upgrade_net

TABLE = Path(__file__).parent / "corpus_nets.tsv"
IMAGES = {"Data", "ImageData", "WindowData", "AnnotatedData"}


def inputs_of(message):
    """Shapes for the data that is not in the corpus: what most of these nets were written for."""
    inputs = {}
    for layer in message.layer:
        if layer.type in IMAGES:
            inputs[layer.name] = (3, 256, 256)
        elif layer.type == "HDF5Data":
            inputs[layer.name] = {top: (4, 3, 64, 64) if "data" in top else (4,) for top in layer.top}
    return inputs


def is_solver(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            solver = cf.read_solver(path)
        except cf.CaffeError:
            return "solver" in path.name
    return any(solver.HasField(name) for name in ("net", "net_param", "train_net", "train_net_param"))


def reason(error):
    """Return why a file is refused, in a word or two."""
    text = str(error)
    if len(text.splitlines()) > 2:
        return "long"
    unknown = re.search(r"Unknown layer type: (\S+)", text)
    if unknown:
        return f"type {unknown[1]}"
    if "is unknown for layers" in text or "is unknown: " in text:
        return "asks for a shape"
    if "Unknown bottom blob" in text:
        return "bottom"
    return "check" if "Check failed" in text else "text"


def classify(path, solver, strict):
    """Return the kind of a file: "solver", "net", or why it is neither; of both phases the better."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if solver:
                cf.read_solver(path, strict=strict)
                return "solver"
            text = prototxt.read(path, schema.NetParameter, strict=strict)
            inputs = inputs_of(upgrade_net(text).message)
        except cf.CaffeError as error:
            return reason(error)
        results = []
        for phase in ("TRAIN", "TEST"):
            caught.clear()
            try:
                net = cf.Net(text, phase, rng=1, inputs=inputs, strict=strict, fill=False)
            except cf.CaffeError as error:
                results.append(reason(error))
            else:
                skipped = [each for each in caught if "skipped" in str(each.message)]
                assert len(skipped) <= 1, "what forks added is told in one warning"
                if net.layers:
                    return "net"
                results.append("empty")
    return results[0]


def classes(corpus):
    files = sorted([*(corpus / "files").glob("*.prototxt"), *(corpus / "caffe").rglob("*.prototxt")])
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        solver = is_solver(path)
        yield digest, classify(path, solver, True), classify(path, solver, False), path.name


@pytest.mark.slow
def test_every_file_keeps_its_class(corpus, capsys):
    wanted = {}
    for line in TABLE.read_text().splitlines()[1:]:
        digest, strict, lenient, _ = line.split("\t")
        wanted[digest] = strict, lenient
    changed, counts, total, gone = [], Counter(), 0, set(wanted)
    for digest, strict, lenient, name in classes(corpus):
        total += 1
        counts[f"strict: {strict.split()[0]}"] += 1
        counts[f"lenient: {lenient.split()[0]}"] += 1
        gone.discard(digest)
        if wanted.get(digest) != (strict, lenient):
            changed.append(f"{name}: now {strict!r}, {lenient!r}")
    with capsys.disabled():
        print(f"\ncorpus of {total} files: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    assert not changed
    assert not gone


if __name__ == "__main__":
    print("sha256\tstrict\tlenient\tfile")
    for row in dict.fromkeys(classes(Path(sys.argv[1]))):
        print("\t".join(row))
