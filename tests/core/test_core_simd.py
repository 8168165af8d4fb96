"""Every instruction set that this machine has, held to the portable path: the same bits, the same number of draws.

The set is chosen at import, so each one lives in an interpreter of its own that answers over pipes.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe_fillers._core import RNG, simd
from caffe_fillers.seeds.recurrence import untemper

SETS = ("neon",) if platform.machine() in ("aarch64", "arm64") else ("avx512", "avx2")
LENGTHS = [*range(51), *range(220, 231), *range(390, 401), *range(610, 661), *range(1240, 1261)]
WORKER = f"""
import pickle, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_core_simd import answer
while True:
    pickle.dump(answer(*pickle.load(sys.stdin.buffer)), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


def answer(boost, seed, skip, fills):
    """Return a digest of all arrays of a stream, the draws used and the next draw.

    In place of a seed, the first 624 draws.
    """
    crafted = not isinstance(seed, int)
    rng, digest = RNG(0 if crafted else seed, boost=boost), hashlib.sha256()
    if crafted:
        rng.state = {"bit_generator": "MT19937", "state": {"key": untemper(seed), "pos": 0}}
    rng.skip(skip)
    for kind, dtype, n, offset, first, second in fills:
        memory = np.full(n + offset + 32, 7, dtype)
        out = memory[offset : offset + n]
        if kind in ("uniform", "gaussian"):
            getattr(rng, "fill_" + kind)(out, first, second)
        else:
            getattr(rng, kind)(out, first)
        digest.update(memory)
    return digest.hexdigest(), rng.position, rng.random_raw()


class Interpreter:
    def __init__(self, name):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=os.environ | {"CAFFE_FILLERS_SIMD": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(self, *request):
        pickle.dump(request, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()


def supported(name):
    env = os.environ | {"CAFFE_FILLERS_SIMD": name}
    done = subprocess.run([sys.executable, "-c", "import caffe_fillers._core"], env=env, capture_output=True, text=True)
    # any other fault must not pass for a set that is missing
    assert done.returncode == 0 or "not supported" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.fixture(scope="module")
def portable():
    interpreter = Interpreter("portable")
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="module", params=SETS)
def fast(request):
    if not supported(request.param):
        pytest.skip(f"NOT RUN: this machine has no {request.param}")
    interpreter = Interpreter(request.param)
    yield interpreter
    interpreter.close()


KINDS = [
    ("uniform", -1, 1),
    ("uniform", 0.5, 0.5),  # half of all draws are rejected
    ("gaussian", 0, 1),
    ("gaussian", 0.1, 0.01),
    ("fill_bernoulli", 0.3, None),
    ("mask_bernoulli", 0.3, None),
]


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("boost", ["1.54", "1.58", "1.74"])
def test_lengths_at_the_edges_of_the_recurrence(fast, portable, boost, dtype):
    for kind, first, second in KINDS:
        request = boost, 1701, 0, [(kind, dtype, n, n % 17, first, second) for n in LENGTHS]
        assert fast(*request) == portable(*request), kind
        for n in LENGTHS:
            request = boost, n, n, [(kind, dtype, n, 1, first, second)]
            assert fast(*request) == portable(*request), (kind, n)


fills = st.one_of(
    st.tuples(
        st.just("uniform"),
        st.sampled_from("fd"),
        st.integers(0, 3000),
        st.integers(0, 31),
        st.floats(-10, 0, width=32),
        st.sampled_from([0, 1, 3e-3, 2.0**100]),
    ),
    st.tuples(
        st.just("gaussian"),
        st.sampled_from("fd"),
        st.integers(0, 3000),
        st.integers(0, 31),
        st.floats(-10, 10, width=32),
        st.floats(2.0**-100, 2.0**100, width=32),
    ),
    st.tuples(
        st.sampled_from(["fill_bernoulli", "mask_bernoulli"]),
        st.sampled_from("fd"),
        st.integers(0, 2000),
        st.integers(0, 31),
        st.floats(0, 1),
        st.none(),
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["1.54", "1.58", "1.74"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2000),
    st.lists(fills, max_size=4),
)
def test_random_fills(fast, portable, boost, seed, skip, fills):
    assert fast(boost, seed, skip, fills) == portable(boost, seed, skip, fills)


def hard_draws(rng):
    """Draws most of which begin points outside their layers, many in the tail, or round up to 1."""
    tops = rng.choice([0, 0xC00000, 0xF00000, 0xFD0000, 0xFE0000, 0xFFFFFE, 0xFFFFFF], 624)
    layers = rng.choice([0, 1, 2, 60, 101, 126, 127], 624)
    draws = (tops << 8 | layers << 1 | rng.integers(0, 2, 624)).astype(np.uint32)
    plain = rng.random(624) < rng.choice([0, 0.5, 0.9, 0.99])
    return np.where(plain, rng.integers(0, 2**32, 624, np.uint32), draws)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("boost", ["1.58", "1.74"])
def test_runs_of_points_outside_their_layers(fast, portable, boost, dtype):
    rng = np.random.default_rng(1964)
    for _ in range(150):
        draws = hard_draws(rng)
        first = RNG(0)
        first.state = {"bit_generator": "MT19937", "state": {"key": untemper(draws), "pos": 0}}
        assert np.array_equal(first.random_raw(624), draws)
        skip, n, more = (int(each) for each in rng.integers(0, [70, 700, 700]))
        request = boost, draws, skip, [("gaussian", dtype, n, 0, 0, 1), ("gaussian", dtype, more, 0, 0, 1)]
        assert fast(*request) == portable(*request)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("boost", ["1.58", "1.74"])
def test_drafts_that_end_anywhere(fast, portable, boost, dtype):
    # a draft is of 1872 draws, for which float64 has half as many values
    lengths = [*range(600, 720, 7), *range(900, 1060, 3), *range(1820, 2020, 3), *range(3720, 3880, 7)]
    request = boost, 5, 0, [("gaussian", dtype, n, n % 17, 0, 1) for n in lengths * 3]
    assert fast(*request) == portable(*request)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("boost", ["1.54", "1.58", "1.74"])
def test_millions(fast, portable, boost, dtype):
    request = boost, 20140620, 3, [("gaussian", dtype, 5_000_003, 1, 0, 1), ("uniform", dtype, 5_000_003, 1, 0, 1)]
    assert fast(*request) == portable(*request)


def test_the_live_set_is_named():
    assert simd in (*SETS, "portable")


@pytest.mark.parametrize(
    ("name", "text"), [("sse9", "unknown"), ("neon" if simd != "neon" else "avx2", "not supported")]
)
def test_a_bad_choice_fails_at_import(name, text):
    done = subprocess.run(
        [sys.executable, "-c", "import caffe_fillers._core"],
        env=os.environ | {"CAFFE_FILLERS_SIMD": name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "CaffeError" in last
    assert text in last
