"""Measure how fast a lost seed is found: at once by the recurrence, or else seed by seed.

    python benchmarks/seeds.py [--whole] [--json FILE]

The rate of the search through all seeds is measured over 2**29 of them (with --whole, for a first layer on all cores,
over every one), as a ratio to the obvious way, which seeds the generator, draws and compares.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import caffe_fillers as cf

NET = """input: "data" input_shape {{ dim: 1 dim: 3 dim: 32 dim: 32 }}
layer {{ name: "first" type: "Convolution" bottom: "data" top: "first" convolution_param {{
  num_output: {outputs} kernel_size: 3 bias_term: false weight_filler {{ {filler} }} }} }}
layer {{ name: "second" type: "Convolution" bottom: "first" top: "second" convolution_param {{
  num_output: 32 kernel_size: 3 bias_term: false weight_filler {{ {filler} }} }} }}"""
FILLERS = {"xavier": "type: 'xavier'", "gaussian": "type: 'gaussian' std: 0.01"}
SEED = 2**32 - 1  # the last seed tried
# seven filters of 3 x 3 x 3 are too few values for the recurrence
AT_ONCE, ONE_BY_ONE = 32, 7


def search(folder, filler, outputs, layer, boost, seeds=range(2**32), threads=None):
    path = Path(folder) / "net.prototxt"
    path.write_text(NET.format(filler=FILLERS[filler], outputs=outputs))
    net = cf.Net(path, rng=SEED, boost=boost)
    began = perf_counter()
    found = cf.find_seed(net.params, path, layer=layer, seeds=seeds, threads=threads)
    return perf_counter() - began, found


def obvious(seconds=1.0):
    """Return the seeds per second of a simple loop over the generator, with one thread."""
    wanted, seed, began = cf.RNG(SEED).random_raw(), 0, perf_counter()
    while perf_counter() - began < seconds:
        for _ in range(1000):
            seed += cf.RNG(seed).random_raw() != wanted
    return seed / (perf_counter() - began)


def numpys(seconds=1.0):
    wanted, seed, began = np.random.RandomState(SEED).randint(2**31), 0, perf_counter()
    while perf_counter() - began < seconds:
        for _ in range(100):
            seed += np.random.RandomState(seed).randint(2**31) != wanted
    return seed / (perf_counter() - began)


def rows(whole, folder):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for filler, boosts in (("xavier", ("1.74",)), ("gaussian", ("1.74", "1.54"))):
        for boost in boosts:
            taken, found = search(folder, filler, AT_ONCE, "first", None if filler == "xavier" else boost)
            assert found == SEED
            yield {"what": f"{filler}, first layer", "boost": boost, "way": "at once", "seconds": taken}
    taken, found = search(folder, "xavier", AT_ONCE, "second", None)
    assert found == SEED
    yield {"what": "xavier, second layer", "boost": "1.74", "way": "at once", "seconds": taken}
    # every seed but the right one, so that the search does not end early
    count = SEED if whole else 2**29
    for filler, outputs, layer, boost in (
        ("xavier", ONE_BY_ONE, "first", None),
        ("gaussian", ONE_BY_ONE, "first", None),
        ("gaussian", AT_ONCE, "second", "1.74"),
    ):
        for threads in (1, cores):
            part = count // 32 if layer == "second" else count // (cores // threads)
            taken, found = search(folder, filler, outputs, layer, boost, range(part), threads)
            assert found is None
            row = {"what": f"{filler}, {layer} layer", "boost": boost or "any", "way": "one by one"}
            yield {**row, "threads": threads, "seconds": taken / part * 2**32, "rate": part / taken}
    yield {"what": "RNG(seed), draw, compare", "way": "one by one", "threads": 1, "rate": obvious()}
    yield {"what": "RandomState(seed), draw, compare", "way": "one by one", "threads": 1, "rate": numpys()}


def table(measured):
    rates = {row["what"]: row["rate"] for row in measured if row.get("threads") == 1}
    usual = rates["RNG(seed), draw, compare"]
    print(f"{'':36}{'Boost':>7}{'threads':>9}{'all 2**32':>12}{'million/s':>11}{'x obvious':>11}")
    for row in measured:
        rate, seconds = row.get("rate"), row.get("seconds", 2**32 / row.get("rate", 1))
        cells = (f"{rate / 1e6:11.2f}", f"{rate / usual:11.1f}") if rate else (f"{'at once':>11}", "")
        print(f"{row['what']:36}{row.get('boost', ''):>7}{row.get('threads', 1):9}{seconds:10.1f} s", *cells, sep="")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="every seed, for a first layer on all cores")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows(args.whole, folder):
                print(json.dumps(row), flush=True)
        return
    said = {}
    for name in (cf.simd, *(name for name in ("avx2", "portable") if name != cf.simd)):
        command = [sys.executable, __file__, "--worker", *(["--whole"] if args.whole and name != "portable" else [])]
        env = os.environ | {"CAFFE_FILLERS_SIMD": name}
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
        if done.returncode == 0:
            said[name] = list(map(json.loads, done.stdout.splitlines()))
            print(f"\n{name}")
            table(said[name])
    if args.json:
        Path(args.json).write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
