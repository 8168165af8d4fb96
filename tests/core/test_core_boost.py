"""The newest profile against Boost itself: a small C++ program over its public headers, other numbers in each run."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from caffe_fillers._core import RNG

SOURCE = Path(__file__).parents[1] / "c" / "boost_oracle.cpp"
HEADER = "boost/random/normal_distribution.hpp"
DTYPES = {"float": np.float32, "double": np.float64}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        pytest.skip("NOT RUN: no C++ compiler, so the normal was not held against Boost")
    probe = subprocess.run(
        [compiler, "-E", "-x", "c++", "-"], input=f"#include <{HEADER}>", capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip("NOT RUN: no Boost headers (Debian: libboost-dev), so the normal was not held against Boost")
    program = tmp_path_factory.mktemp("boost") / "oracle"
    subprocess.run([compiler, "-O2", "-ffp-contract=off", SOURCE, "-o", program], check=True)
    return program


def cases(seed):
    choose = random.Random(seed)
    for _ in range(60):
        kind, dtype = choose.choice(["uniform", "gaussian", "gaussian", "bernoulli"]), choose.choice(list(DTYPES))
        n = choose.choice([0, 1, 2, 3, 226, 311, 397, 623, 624, 625, 1247, 1249, choose.randrange(10**5), 3 * 10**5])
        scale = 10.0 ** choose.uniform(-6, 6)
        if kind == "uniform":
            a = choose.choice([0.0, -scale, scale * choose.uniform(-1, 1)])
            b = a + scale * choose.random()
        elif kind == "gaussian":
            a, b = choose.choice([0.0, choose.uniform(-scale, scale)]), scale
        else:
            a, b = choose.choice([choose.random(), 1.0, 1e-9]), 0.0
        yield kind, dtype, choose.getrandbits(32), float(DTYPES[dtype](a)), float(DTYPES[dtype](b)), n


@pytest.mark.slow
def test_bits_and_stream_are_boosts(oracle):
    seed = random.SystemRandom().getrandbits(32)
    drawn = list(cases(seed))
    lines = []
    for kind, dtype, engine_seed, a, b, n in drawn:
        above = np.nextafter(DTYPES[dtype](b), DTYPES[dtype](np.inf)) if kind == "uniform" else b
        lines.append(f"{kind} {dtype} {engine_seed} {float(a).hex()} {float(above).hex()} {n}\n")
    out = subprocess.run([oracle], input="".join(lines).encode(), capture_output=True, check=True).stdout
    at = 0
    for kind, dtype, engine_seed, a, b, n in drawn:
        said = f"cases({seed}): {kind} {dtype} seed={engine_seed} {a!r} {b!r} n={n}"
        rng = RNG(engine_seed)
        ours = rng.bernoulli(a, n, DTYPES[dtype]) if kind == "bernoulli" else getattr(rng, kind)(a, b, n, DTYPES[dtype])
        assert ours.tobytes() == out[at : at + ours.nbytes], said
        at += ours.nbytes
        assert rng.random_raw() == int.from_bytes(out[at : at + 4], "little"), said
        at += 4
    assert at == len(out)
