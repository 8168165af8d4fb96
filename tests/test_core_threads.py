"""Fills shared out among threads: the sequential bits and stream at every number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from caffe_fillers._core import RNG
from caffe_fillers.errors import CaffeError

CHUNK = 64 * 624


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("boost", ["1.54", "1.58", "1.74"])
@pytest.mark.parametrize(
    ("kind", "first", "second"), [("gaussian", 0, 1), ("uniform", -1, 1), ("uniform", 0, 1), ("uniform", 0.5, 0.5)]
)
def test_any_number_of_threads(kind, first, second, boost, dtype):
    for n in (0, 1, 623, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 700_001):
        one = RNG(n, boost=boost)
        one.skip(n % 700)
        start = one.copy()
        expected, out = np.empty(n, dtype), np.full(n + 1, 7, dtype)
        getattr(one, "fill_" + kind)(expected, first, second, threads=1)
        for threads in (2, 3, 7, 40):
            many = start.copy()
            getattr(many, "fill_" + kind)(out[:n], first, second, threads=threads)
            assert out[:n].tobytes() == expected.tobytes(), (n, threads)
            assert out[n] == 7
            assert many.position == one.position
            np.testing.assert_equal(many.state, one.state)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kind", "numbers", "boost"),
    [
        ("gaussian", (0, 1), "1.74"),
        ("gaussian", (0, 1), "1.54"),
        ("uniform", (-1, 1), "1.74"),
        ("uniform", (0.5, 0.5), "1.74"),
        ("bernoulli", (0.3,), "1.74"),
        ("bernoulli", (0,), "1.74"),
    ],
)
def test_arrays_larger_than_a_cache(kind, numbers, boost, dtype):
    part = 1 << 20
    n = (32 << 20) // np.dtype(dtype).itemsize + 1001
    expected, room = np.empty(n, dtype), np.empty(n + 5, dtype)
    one = RNG(3, boost=boost)
    one.skip(100)
    start = one.copy()
    for at in range(0, n, part):
        getattr(one, "fill_" + kind)(expected[at : at + part], *numbers)
    for threads in ({"threads": 1}, {"threads": 2}, {"threads": 3}) if kind != "bernoulli" else ({},):
        many, out = start.copy(), room[3 : 3 + n]
        room[:] = 7
        getattr(many, "fill_" + kind)(out, *numbers, **threads)
        assert np.array_equal(out.view(np.uint32), expected.view(np.uint32))
        assert room[[0, 1, 2, -2, -1]].tolist() == [7] * 5
        assert many.position == one.position
        np.testing.assert_equal(many.state, one.state)


@pytest.mark.slow
@pytest.mark.parametrize("boost", ["1.54", "1.74"])
@pytest.mark.parametrize("kind", ["gaussian", "uniform"])
def test_rejected_draws_shift_what_follows(kind, boost):
    # 40 million draws hold about one that float32 rounds up to 1
    outs = []
    for threads in (1, 2, 5):
        rng, out = RNG(199406, boost=boost), np.empty(40_000_000, np.float32)
        getattr(rng, "fill_" + kind)(out, 0, 1, threads=threads)
        outs.append((out, rng.position, rng.random_raw()))
    assert outs[0][1] > 40_000_000
    for out, position, following in outs[1:]:
        assert np.array_equal(out.view(np.uint32), outs[0][0].view(np.uint32))
        assert (position, following) == outs[0][1:]


def test_the_default_for_large_arrays():
    one, default = RNG(1), RNG(1)
    expected, out = np.empty(1_000_000, np.float32), np.empty(1_000_000, np.float32)
    one.fill_gaussian(expected, 0, 1, threads=1)
    default.fill_gaussian(out, 0, 1)
    assert out.tobytes() == expected.tobytes()
    np.testing.assert_equal(default.state, one.state)


def test_threads_that_share_a_stream_may_each_use_several():
    rng = RNG(5)
    outs = [np.empty(200_000, np.float32) for _ in range(6)]
    callers = [threading.Thread(target=rng.fill_uniform, args=(out, -1, 1, 3)) for out in outs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
        assert not caller.is_alive()
    whole = RNG(5).uniform(-1, 1, 1_200_000)
    assert sorted(out.tobytes() for out in outs) == sorted(part.tobytes() for part in whole.reshape(6, -1))


def test_when_no_thread_can_be_started(monkeypatch):
    one = RNG(5)
    expected = one.gaussian(0, 1, 300_000)
    started = []

    def start(self):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(self)
        begin(self)

    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    rng, out = RNG(5), np.empty(300_000, np.float32)
    rng.fill_gaussian(out, 0, 1, threads=4)
    assert out.tobytes() == expected.tobytes()
    np.testing.assert_equal(rng.state, one.state)


@pytest.mark.parametrize("limit", ["0", "-1", "two", "1.5"])
def test_a_bad_limit(limit):
    script = (
        "import numpy as np; from caffe_fillers._core import RNG; RNG(1).fill_gaussian(np.empty(9), 0, 1, threads=2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"CAFFE_FILLERS_THREADS": limit},
        capture_output=True,
        text=True,
    )
    assert "CaffeError: CAFFE_FILLERS_THREADS" in done.stderr


def test_the_limit_limits():
    script = """
import threading, numpy as np
from caffe_fillers._core import RNG
def start(self): raise SystemExit("a thread was started")
threading.Thread.start = start
RNG(1).fill_gaussian(np.empty(1_000_000, np.float32), 0, 1, threads=8)
RNG(1).fill_uniform(np.empty(5_000_000, np.float32), 0, 1)
"""
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"CAFFE_FILLERS_THREADS": "1"}, check=True)


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_are_counted(threads):
    rng = RNG(1)
    with pytest.raises(CaffeError, match="threads"):
        rng.fill_gaussian(np.empty(3), 0, 1, threads=threads)
    assert rng.position == 0
