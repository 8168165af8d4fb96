"""Fills shared out among threads: the sequential bits and stream at every number of threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from caffe_fillers._core import RNG, cores
from caffe_fillers.errors import CaffeError

CHUNK = 64 * 624
STACK = 32 << 20


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
    expected, memory = np.empty(n, dtype), np.empty(n + 5, dtype)
    one = RNG(3, boost=boost)
    one.skip(100)
    start = one.copy()
    for at in range(0, n, part):
        getattr(one, "fill_" + kind)(expected[at : at + part], *numbers)
    for threads in ({"threads": 1}, {"threads": 2}, {"threads": 3}) if kind != "bernoulli" else ({},):
        many, out = start.copy(), memory[3 : 3 + n]
        memory[:] = 7
        getattr(many, "fill_" + kind)(out, *numbers, **threads)
        assert np.array_equal(out.view(np.uint32), expected.view(np.uint32))
        assert memory[[0, 1, 2, -2, -1]].tolist() == [7] * 5
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NOT RUN: needs Linux's limits on memory")
@pytest.mark.parametrize("stacks", [0.5, 1.5, 2.5])
def test_when_no_thread_can_be_started(stacks):
    """Memory for the stacks of so many; in a process of its own."""
    script = f"""
import resource
import numpy as np
from caffe_fillers._core import RNG
one, rng, out = RNG(5), RNG(5), np.empty(300_000, np.float32)
expected = one.gaussian(0, 1, 300_000)
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
room = int({stacks} * {STACK})
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room + (8 << 20),) * 2)
rng.fill_gaussian(out, 0, 1, threads=4)
assert out.tobytes() == expected.tobytes()
np.testing.assert_equal(rng.state, one.state)
"""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_STACK, ({STACK}, resource.RLIM_INFINITY))"
    script = f"{limited}; import os, sys; os.execv(sys.executable, [sys.executable, '-c', {script!r}])"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="NOT RUN: this system has no such signals")
def test_a_signal_whose_handler_raises_leaves_no_thread_behind():
    """In a process of its own, for what goes wrong hangs or writes where it must not."""
    script = """
import signal
import time
import numpy as np
from caffe_fillers._core import RNG
class Stop(Exception): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
n, stopped = 1_000_000, 0
whole = RNG(1)
expected = whole.gaussian(0, 1, n)
for i in range(150):
    rng, out = RNG(1), np.zeros(n, np.float32)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 * (i % 50 + 1))
        rng.fill_gaussian(out, 0, 1, threads=3)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Stop:
        stopped += 1
    if rng.position:
        assert rng.position == whole.position and out.tobytes() == expected.tobytes()
    else:
        assert not out.any()
assert stopped
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
@pytest.mark.parametrize(("n", "threads"), [(10, 1), (5000, 1), (5_000_000, 1), (5_000_000, 2)])
def test_in_a_thread_with_a_small_stack(kind, n, threads):
    script = f"""
import threading
import numpy as np
from caffe_fillers._core import RNG
one, rng, out = RNG(1), RNG(1), np.ones({n})
expected = one.{kind}(0, 1, {n}, np.float64)
threading.stack_size(64 << 10)
thread = threading.Thread(target=rng.fill_{kind}, args=(out, 0, 1, {threads}))
thread.start()
thread.join()
assert out.tobytes() == expected.tobytes() and rng.position == one.position
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


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


def test_the_limit_limits(monkeypatch):
    monkeypatch.delenv("CAFFE_FILLERS_THREADS", raising=False)
    assert [cores(threads) for threads in (1, 2, 8, 1000)] == [1, 2, 8, 16]
    assert 1 <= cores() <= 16
    for limit in (1, 2):
        monkeypatch.setenv("CAFFE_FILLERS_THREADS", str(limit))
        assert [cores(threads) for threads in (1, 2, 8)] == [1, limit, limit]
        assert cores() <= limit


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="NOT RUN: this system does not list threads")
@pytest.mark.parametrize(("kind", "low", "n"), [("gaussian", 0, 10_000_000), ("uniform", -1, 30_000_000)])
@pytest.mark.parametrize("limit", [1, 2])
def test_a_fill_keeps_to_the_limit(limit, kind, low, n, monkeypatch):
    monkeypatch.setenv("CAFFE_FILLERS_THREADS", str(limit))
    out, most = np.empty(n, np.float32), 0
    for _ in range(2 if limit == 1 else 50):
        before = len(os.listdir("/proc/self/task"))
        thread = threading.Thread(target=getattr(RNG(1), "fill_" + kind), args=(out, low, 1, 8))
        thread.start()
        while thread.is_alive():
            most = max(most, len(os.listdir("/proc/self/task")) - before)
        thread.join()
        if most > 1:
            break
    assert most == limit


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_threads_are_counted(threads):
    rng = RNG(1)
    with pytest.raises(CaffeError, match="threads"):
        rng.fill_gaussian(np.empty(3), 0, 1, threads=threads)
    assert rng.position == 0
