"""The compatibility promise as a table: `python tests/manifest.py` compares, with `--write` it writes anew.

manifest.tsv holds the sha256 (of the little-endian bytes) and the draws of every public filler in both types, every
profile of Boost and every revision of Caffe. A row that changes breaks somebody's result: it needs a note in
CHANGELOG.md with the word "bits" and the filler's name; `.ci/manifest` asks for it.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np

import caffe_fillers as cf

PATH = Path(__file__).with_name("manifest.tsv")
HEAD = ["filler", "dtype", "shape", "seed", "boost", "caffe", "rests_on", "draws", "sha256"]
BOOSTS = ("1.54", "1.58", "1.74")
REVISIONS = ("v0.9999", "rc", "rc2", "rc3", "1.0", "master")
SHAPES = ((64, 3, 7, 7), (300, 70), (1, 1, 20, 50), (2, 3, 4, 5, 6), (100,))
SEEDS = (1701, 4294967295)
CALLS: dict[str, dict] = {
    "constant": {"value": 0.1},
    "uniform": {"min": -0.3, "max": 0.7},
    "gaussian": {"mean": 0.5, "std": 0.01},
    "gaussian sparse": {"std": 0.1, "sparse": 1},
    "positive_unitball": {},
    "xavier": {},
    "xavier FAN_OUT": {"variance_norm": "FAN_OUT"},
    "xavier AVERAGE": {"variance_norm": "AVERAGE"},
    "msra": {},
    "msra FAN_OUT": {"variance_norm": "FAN_OUT"},
    "msra AVERAGE": {"variance_norm": "AVERAGE"},
    "bilinear": {},
    "variance_scaling uniform": {"scale": 0.7, "distribution": "uniform"},
    "variance_scaling normal": {"scale": 0.7, "variance_norm": "AVERAGE"},
    "lecun_normal": {},
    "xavier_normal": {},
    "he_normal": {"negative_slope": 0.25},
}
NORMAL = ("gaussian", "msra", "variance_scaling normal", "lecun_normal", "xavier_normal", "he_normal")


def one(name: str, shape: tuple[int, ...], seed: int, dtype: str, boost: str, caffe: str) -> tuple[str, str]:
    """Return the draws and the hash of one fill, or "-" and "refused"."""
    rng = cf.RNG(seed, boost=boost)
    try:
        out = getattr(cf, name.split()[0])(shape, rng=rng, dtype=np.dtype(dtype), caffe=caffe, **CALLS[name])
    except cf.CaffeError:
        return "-", "refused"
    return str(rng.position), hashlib.sha256(out.astype(out.dtype.newbyteorder("<")).tobytes()).hexdigest()


def rows() -> list[list[str]]:
    """Compute the table; profiles and revisions that agree share a row."""
    table = []
    for name in CALLS:
        for shape in (*SHAPES, (6, 1, 5, 5)) if name == "bilinear" else SHAPES:
            for seed in SEEDS:
                for dtype in ("float32", "float64"):
                    found: dict[tuple[str, ...], dict[str, list[str]]] = {}
                    for boost in BOOSTS:
                        libm = boost == "1.54" and dtype == "float64" and name.startswith(NORMAL)
                        for caffe in REVISIONS:
                            result = one(name, shape, seed, dtype, boost, caffe)
                            rests = "libm" if libm and result[1] != "refused" else "-"
                            found.setdefault((rests, *result), {}).setdefault(boost, []).append(caffe)
                    for result, where in found.items():
                        groups: dict[str, list[str]] = {}
                        for boost, revisions in where.items():
                            groups.setdefault(",".join(revisions), []).append(boost)
                        for revisions, boosts in groups.items():
                            key = [name, dtype, "x".join(map(str, shape)), str(seed), ",".join(boosts), revisions]
                            table.append([*key, *result])
    return table


def written() -> list[list[str]]:
    """Return the rows of manifest.tsv."""
    head, *lines = PATH.read_text().splitlines()
    assert head.split("\t") == HEAD
    return [line.split("\t") for line in lines]


if __name__ == "__main__":
    output = rows()
    if "--write" in sys.argv:
        PATH.write_text("".join("\t".join(row) + "\n" for row in [HEAD, *output]))
    elif output != written():
        print(*("\t".join(row) for row in output if row not in written()), sep="\n")
        sys.exit("the manifest differs")
    print(f"{len(output)} rows")
