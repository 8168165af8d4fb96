"""Threads, forks, subinterpreters; and that nothing is leaked."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import caffe_fillers as cf

FILLERS = [
    'type: "uniform" min: -1',
    'type: "gaussian" std: 0.1',
    'type: "msra"',
    'type: "gaussian" sparse: 1',
    'type: "positive_unitball"',
    'type: "xavier"',
    'type: "bilinear"',
]
SHAPE = (20, 5, 9, 9)


def together(count, work):
    barrier = Barrier(count)

    def run(index):
        barrier.wait()
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.parametrize("boost", ["1.54", "1.58", "1.74"])
@pytest.mark.parametrize("inner", [None, 3])
def test_threads_with_streams_of_their_own(boost, inner):
    def fill(seed):
        rng = cf.RNG(seed, boost=boost)
        return [cf.fill(SHAPE, filler, rng=rng, threads=inner).tobytes() for filler in FILLERS], rng.random_raw()

    assert together(12, fill) == [fill(seed) for seed in range(12)]


@pytest.mark.parametrize("filler", FILLERS[:3])
@pytest.mark.parametrize("boost", ["1.54", "1.74"])
def test_threads_that_share_a_stream_get_whole_fills_of_it(filler, boost):
    """Each fill is what one thread alone would get at some place of the stream, and the places fit together."""
    shared, count, size = cf.RNG(3, boost=boost), 8, 997
    taken = together(count, lambda _: [cf.fill(size, filler, rng=shared).tobytes() for _ in range(20)])
    alone = cf.RNG(3, boost=boost)
    wanted = [cf.fill(size, filler, rng=alone).tobytes() for _ in range(20 * count)]
    assert sorted(each for part in taken for each in part) == sorted(wanted)
    order = {each: place for place, each in enumerate(wanted)}
    for part in taken:
        places = [order[each] for each in part]
        assert places == sorted(places)
    assert shared.position == alone.position
    assert shared.random_raw() == alone.random_raw()


def test_threads_that_look_at_and_copy_a_stream_see_it_between_fills():
    shared = cf.RNG(5)
    ends = {0} | {n * 624 * 7 for n in range(1, 200)}

    def work(index):
        if index % 2:
            return [shared.copy().position for _ in range(300)] + [shared.position for _ in range(300)]
        for _ in range(40):
            shared.random_raw(624 * 7)
        return []

    seen = {position for part in together(6, work) for position in part}
    assert seen <= ends
    assert shared.position == 3 * 40 * 624 * 7


def test_nets_are_built_side_by_side(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "d" input_shape { dim: 2 dim: 3 dim: 9 dim: 9 }\n'
        'layer { name: "c" type: "Convolution" bottom: "d" top: "c" convolution_param { num_output: 8 kernel_size: 3 '
        'weight_filler { type: "msra" } bias_filler { type: "uniform" } } }'
    )

    def build(seed):
        net = cf.Net(path, rng=seed)
        net.save(tmp_path / f"{seed}.npz")
        return [blob.data.tobytes() for blob in net.params["c"]]

    assert together(8, build) == [build(seed) for seed in range(8)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT RUN: this system has no fork")
def test_a_fork_goes_on_as_its_parent_does():
    """In a process of its own: pytest's may have threads."""
    program = textwrap.dedent("""
        import os, sys
        import caffe_fillers as cf
        rng = cf.RNG(7)
        cf.fill((30, 40), "msra", rng=rng)
        cf.fill((3000, 400), "msra", rng=rng, threads=4)
        receiver, sender = os.pipe()
        child = os.fork()
        part = cf.fill((50, 60), "gaussian", rng=rng, threads=3).tobytes() + bytes(str(rng.random_raw()), "ascii")
        if child == 0:
            with os.fdopen(sender, "wb") as file:
                file.write(part)
            os._exit(0)
        os.close(sender)
        with os.fdopen(receiver, "rb") as file:
            theirs = file.read()
        assert os.waitpid(child, 0)[1] == 0
        assert theirs == part
        print("same")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "same\n", done.stderr


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="NOT RUN: only CPython has subinterpreters")
def test_a_subinterpreter_is_refused_in_a_line():
    program = textwrap.dedent("""
        import sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import caffe_fillers
        inside = "\\n".join([
            "import sys",
            f"sys.path[:] = {sys.path!r}",
            "try: import caffe_fillers",
            "except ImportError as error: sys.stdout.write(str(error)); sys.stdout.flush()",
            "else: sys.stdout.write('was let in')",
        ])
        interpreters.run_string(interpreters.create(), inside)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        "caffe_fillers does not work in a subinterpreter, since NumPy does not: use threads or processes"
    ), done.stderr


def grown(work, count):
    """Kilobytes by which the process grows while `work` is done `count` times, after a first tenth of that."""
    for _ in range(count // 10):
        work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        work()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (after - before) // (1024 if sys.platform == "darwin" else 1)


def alone(function):
    """Call a function of this file in a process of its own: in this one what others freed would hide a leak."""
    program = f"import runpy; runpy.run_path({__file__!r})[{function.__name__!r}]()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_million_fills_leak_nothing():
    alone(million_fills)


def test_ten_thousand_failing_fills_leak_nothing():
    alone(failing_fills)


def million_fills():
    rng, out, filler = cf.RNG(1), np.empty(10, np.float32), {"type": "gaussian", "std": 0.1}
    assert grown(lambda: cf.fill(out, "xavier", rng=rng), 900_000) < 2000
    assert grown(lambda: cf.fill(10, filler, rng=rng), 100_000) < 2000


def failing_fills():
    rng, whole = cf.RNG(1), np.zeros((3, 4), np.int32)
    closed = np.zeros((3, 4), np.float32)
    closed.flags.writeable = False
    bad = [
        ((3, 4), 'type: "gaussian" std: -1'),
        ((3, 4), "xaver"),
        ((-3, 4), "xavier"),
        (whole, "xavier"),
        (closed, "xavier"),
        (np.zeros((3, 4), ">f4"), "uniform"),
        ((3, 4), 'type: "xavier'),
        ((3, 4), {"type": "uniform", "min": 2}),
    ]

    def fail():
        for target, filler in bad:
            with pytest.raises(cf.CaffeError):
                cf.fill(target, filler, rng=rng)
        with pytest.raises(cf.CaffeError):
            rng.state = {"bit_generator": "PCG64"}
        with pytest.raises(cf.CaffeError):
            rng.uniform(2, 1, 3)

    assert grown(fail, 1000) < 2000
    assert rng.position == 0
