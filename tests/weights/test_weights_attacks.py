"""Files made to do harm: each is refused in plain words, soon, and without taking memory for what is not there."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from caffe_fillers import CaffeError
from caffe_fillers.weights import load_mean, load_weights

ATTACKS = Path(__file__).parents[1] / "attacks"
EXPECTED = dict(line.split("\t") for line in (ATTACKS / "expected.tsv").read_text().splitlines())


@pytest.mark.parametrize("name", EXPECTED)
def test_an_attack_is_refused(name):
    path = ATTACKS / name
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(CaffeError, match=EXPECTED[name]) as error:
            load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 1
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) <= 2
    with pytest.raises(CaffeError):
        load_mean(path)


def test_all_attacks_are_expected():
    kinds = {".caffemodel", ".npz", ".h5", ".safetensors"}
    assert {path.name for path in ATTACKS.iterdir() if path.suffix in kinds} == set(EXPECTED)


def test_attacks_stay_within_the_memory_of_the_process():
    program = (
        "import sys, resource\n"
        "from caffe_fillers import CaffeError\n"
        "from caffe_fillers.weights import load_weights\n"
        "import caffe_fillers.weights.caffemodel, h5py, safetensors.numpy\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: load_weights(path)\n"
        "    except CaffeError: pass\n"
        "    else: raise SystemExit(path)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    paths = [str(ATTACKS / name) for name in EXPECTED]
    out = subprocess.run([sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True).stdout
    assert int(out) < (64 << 20) // resource.getpagesize() * (resource.getpagesize() >> 10)
