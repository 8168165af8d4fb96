"""The gaussian fills held to the plain reference of csrc/ziggurat.py, draw by draw."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_fillers._core import RNG
from caffe_fillers.seeds.recurrence import untemper

CORE = Path(__file__).parents[2] / "csrc"


@pytest.fixture(scope="module")
def reference():
    if not CORE.is_dir():
        pytest.skip("NOT RUN: no csrc/, so the fills were not held to the reference")
    sys.path.insert(0, str(CORE))
    try:
        import ziggurat
    finally:
        sys.path.remove(str(CORE))
    return ziggurat


def check(reference, rng, real, n):
    draws = rng.copy()
    expected = [reference.normal(draws.random_raw, real) for _ in range(n)]
    assert rng.gaussian(0, 1, n, real).tobytes() == np.array(expected, real).tobytes()
    assert rng.position == draws.position


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_usual_draws(reference, real):
    for n in (1, 2, 639, 641, 5000):
        check(reference, RNG(n), real, n)


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_points_outside_their_layers(reference, real):
    """Draws by the layers' upper ends, and many of the lowest layer, which has the tail."""
    choose = np.random.default_rng(1)
    for _ in range(8):
        top = choose.choice([0x80, 0xF0, 0xFC, 0xFE, 0xFF], 624) << 24 | choose.integers(0, 1 << 16, 624) << 8
        draws = (top | choose.choice([0, 1, 2, 4, 120, 200, 253, 254, 255], 624)).astype(np.uint32)
        rng = RNG(0)
        rng.state = {"bit_generator": "MT19937", "state": {"key": untemper(draws), "pos": 0}}
        check(reference, rng, real, 700)
