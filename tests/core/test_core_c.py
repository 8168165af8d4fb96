"""The C core without Python: the goldens on every instruction set, and its logf, expf, sinf, cosf on every input."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CORE = TESTS.parent / "csrc"
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="module")
def build(once, tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler or not CORE.is_dir():
        pytest.skip("NOT RUN: no C compiler or no csrc/, so the C core was not tried by itself")

    folder = tmp_path_factory.mktemp("c")

    def compiled(place):
        # optimized in full the loops of layers take most of a compilation: so the extension has them, which
        # tests/ops/test_native.py tries, and the programs of .ci/cross; here is looked at what they read and write
        flags = [*FLAGS, "-O1"] if place == "layers" else FLAGS

        def make(there):
            for source in sorted((CORE / place).glob("*.c")):
                command = [compiler, *flags, f"-I{CORE}", "-c", source, "-o", there / f"{source.stem}.o"]
                subprocess.run(command, check=True)

        return make

    def objects(layers):
        for place in ["", "simd", "layers"] if layers else ["", "simd"]:
            yield from sorted(once(f"c-{place}", compiled(place)).glob("*.o"))

    @cache
    def compile_one(name, without=None):
        """A program of tests/c over the whole core, but for one file of it where the program includes that."""
        core = [output for output in objects(name in ("layers", "teams")) if output.name != without]
        program = [TESTS / "c" / f"{name}.c", "-o", folder / name]
        subprocess.run([compiler, *FLAGS, "-pthread", f"-I{CORE}", *core, *program, "-lm"], check=True)
        return folder / name

    return compile_one


@pytest.fixture(scope="module")
def goldens(build):
    text = subprocess.run([sys.executable, TESTS / "c" / "streams.py"], capture_output=True, check=True).stdout
    return build("goldens"), text


@pytest.mark.slow
@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512", "neon"])
def test_goldens(goldens, simd):
    program, text = goldens
    done = subprocess.run([program, simd], input=text, capture_output=True)
    if done.returncode == 77:
        pytest.skip(f"NOT RUN: this machine has no {simd}")
    assert done.returncode == 0, done.stdout.decode()
    assert b" 0 failures" in done.stdout


@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512", "neon"])
def test_teams(build, simd):
    done = subprocess.run([build("teams"), simd], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(f"NOT RUN: this machine has no {simd}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(", 0 differ\n")


@pytest.mark.slow
@pytest.mark.parametrize("simd", ["portable", "avx2", "avx512", "neon"])
def test_loops_of_layers(build, simd):
    done = subprocess.run([build("layers"), simd], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(f"NOT RUN: this machine has no {simd}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(" 0 failures\n")


@pytest.mark.slow
@pytest.mark.parametrize("simd", ["avx2", "avx512", "neon"])
def test_verdicts_at_their_margins(build, simd):
    # normal.c is part of the program, since what decides draw by draw is not visible outside
    program = build("margins", without="normal.o")
    done = subprocess.run([program, simd], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip(f"NOT RUN: this machine has no {simd}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith(" 0 wrong\n")


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="NOT RUN: the C library is not glibc")
def test_every_float_that_can_occur_is_glibcs(build):
    done = subprocess.run([build("libm")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "0 differ\n"
