"""Measure how fast arrays are filled, beside the alternatives a user has: a table and JSON.

    python benchmarks/fills.py [--quick] [--json FILE] [--picture FILE]

Every row is a ratio to ``ndarray.fill`` of the same array, measured in turn with it and best of several: 1 is the speed
at which the machine writes. PyTorch, MKL (libmkl_rt) and Boost's headers are used where they are installed.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from functools import partial
from math import prod
from pathlib import Path
from time import perf_counter, process_time, thread_time

import numpy as np

HERE = Path(__file__).parent
SIZES = {"1 K": 10**3, "100 K": 10**5, "10 M": 10**7, "100 M": 10**8}
DTYPES = ("float32", "float64")
FILLERS = {
    "constant": "type: 'constant' value: 0.5",
    "uniform": "type: 'uniform' min: -1 max: 1",
    "xavier": "type: 'xavier'",
    "gaussian": "type: 'gaussian' std: 0.01",
    "msra": "type: 'msra'",
    "sparse gaussian": "type: 'gaussian' std: 0.01 sparse: 15",
    "positive_unitball": "type: 'positive_unitball'",
    "bilinear": "type: 'bilinear'",
}
BOOST = "Boost (Caffe's way)"
STAND_IN = "Boost to 1.55 (stand-in)"
# also measured with as many threads as there are cores
SHARED = ("uniform", "xavier", "gaussian", "msra")


def ratio(call, out, quick, own=None):
    """(seconds, ratio to ndarray.fill, seconds of our own fill): the best of each, all measured in turn since a machine
    is not as fast in one minute as in another, short ones several times over."""
    calls = (call, partial(out.fill, 1), *([own] if own else []))
    best, inner = [], []
    for timed in calls:
        timed()
        began = perf_counter()
        timed()
        best.append(perf_counter() - began)
        inner.append(max(1, int(1e-3 / max(best[-1], 1e-9))))
    began, rounds = perf_counter(), 0
    while rounds < 1 or (rounds < 50 and perf_counter() - began < (0.2 if quick else 0.4)):
        rounds += 1
        for i, timed in enumerate(calls):
            start = perf_counter()
            for _ in range(inner[i]):
                timed()
            best[i] = min(best[i], (perf_counter() - start) / inner[i])
    return best[0], best[1] / best[0], best[2] if own else None


def own_fill(kind, out):
    import caffe_fillers as cf

    rng = cf.RNG(1701, boost="1.54" if kind == "Box-Muller" else "1.74")
    return partial(rng.fill_uniform, out, -1, 1, 1) if kind == "uniform" else partial(rng.fill_gaussian, out, 0, 1, 1)


def row(library, kind, dtype, label, threads, measured):
    names = ("who", "kind", "dtype", "size", "threads", "seconds", "ratio", "ours")
    return dict(zip(names, (library, kind, dtype, label, threads, *measured), strict=True))


def ours(args):
    import caffe_fillers as cf

    library = f"caffe_fillers {cf.simd}"
    for label, n in sizes(args):
        for dtype in DTYPES:
            rows = max(1, round(n**0.5) // 8)
            memory = np.ones(n, dtype)
            for kind, text in FILLERS.items():
                if kind == "sparse gaussian" and rows < 16:
                    continue
                shape = (n // 16, 1, 4, 4) if kind == "bilinear" else (rows, n // rows)
                out = memory[: prod(shape)].reshape(shape)
                rng = cf.RNG(1701)
                for threads in (1, os.cpu_count()) if kind in SHARED else (1,):
                    fill = partial(cf.fill, out, text, rng=rng, threads=threads)
                    alone = partial(cf.fill, out, text, rng=rng, threads=1) if threads > 1 else None
                    yield row(library, kind, dtype, label, threads, ratio(fill, out, args.quick, alone))
            for boost, era in (("1.54", "Box-Muller"), ("1.58", "ziggurat of 1.56")):
                fill = partial(cf.RNG(1701, boost=boost).fill_gaussian, memory, 0, 1, 1)
                yield row(library, era, dtype, label, 1, ratio(fill, memory, args.quick))


def sizes(args):
    return [(label, n) for label, n in SIZES.items() if not (args.quick and n > 10**7)]


def numpys(args):
    for label, n in sizes(args):
        for name in ("PCG64", "SFC64", "MT19937"):
            generator = np.random.Generator(getattr(np.random, name)(1701))
            for dtype in DTYPES:
                out = np.ones(n, dtype)
                for kind, draw in (("uniform", generator.random), ("gaussian", generator.standard_normal)):
                    fill = partial(draw, out=out, dtype=out.dtype)
                    measured = ratio(fill, out, args.quick, own_fill(kind, out))
                    yield row(f"NumPy {name}", kind, dtype, label, 1, measured)


def torchs(args):
    try:
        import torch
    except ImportError:
        return
    for threads in (1, os.cpu_count()):
        torch.set_num_threads(threads)
        for label, n in sizes(args):
            for dtype in DTYPES:
                out = np.ones(n, dtype)
                tensor = torch.from_numpy(out)
                for kind, fill in (("uniform", partial(tensor.uniform_, -1, 1)), ("gaussian", tensor.normal_)):
                    measured = ratio(fill, out, args.quick, own_fill(kind, out))
                    yield row("PyTorch", kind, dtype, label, threads, measured)


def mkls(args):
    """MKL's vector statistics: its MT19937 and Philox, with inversion for the gaussian."""
    found = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    try:
        mkl = ctypes.CDLL(str(found[0]) if found else ctypes.util.find_library("mkl_rt") or "libmkl_rt.so")
    except OSError:
        return
    mkl.MKL_Set_Num_Threads(1)
    assert mkl.MKL_Get_Max_Threads() == 1
    for name, generator in (("MT19937", 8 << 20), ("Philox", 16 << 20)):
        stream = ctypes.c_void_p()
        if mkl.vslNewStream(ctypes.byref(stream), generator, 1701):
            continue
        for label, n in sizes(args):
            for dtype, letter, real in zip(DTYPES, "sd", (ctypes.c_float, ctypes.c_double), strict=True):
                out = np.ones(n, dtype)
                to = out.ctypes.data_as(ctypes.c_void_p)
                for kind, method, a in (("uniform", 0, -1), ("gaussian", 2, 0)):
                    draw = partial(getattr(mkl, f"v{letter}Rng{kind.title()}"), method, stream, n, to, real(a), real(1))

                    def fill(draw=draw):
                        if draw():
                            raise RuntimeError("MKL could not fill")

                    process, thread = process_time(), thread_time()
                    measured = ratio(fill, out, args.quick, own_fill(kind, out))
                    process, thread = process_time() - process, thread_time() - thread
                    assert process < 1.1 * thread + 0.02, f"MKL took more threads than one: {process} s of {thread} s"
                    yield row(f"MKL {name}", kind, dtype, label, 1, measured)


def boosts(args):
    """The installed Boost, and a stand-in for the normal distribution of Boost up to 1.55."""
    import caffe_fillers as cf

    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "boost_fill"
        try:
            built = subprocess.run(["c++", "-O2", HERE / "boost_fill.cpp", "-o", program], capture_output=True)
        except OSError:
            return
        if built.returncode:
            return

        def boost(kind, dtype, n, runs):
            command = [program, kind, dtype, str(n), str(runs)]
            return subprocess.run(command, capture_output=True, check=True).stdout

        for kind, library in (("uniform", BOOST), ("gaussian", BOOST), ("Box-Muller", STAND_IN)):
            for dtype in DTYPES:
                rng = cf.RNG(1701, boost="1.54" if library == STAND_IN else "1.74")
                draw = partial(rng.uniform, -1, 1) if kind == "uniform" else partial(rng.gaussian, 0, 1)
                # only the same work may be compared: the same bits
                assert draw(10000, dtype).tobytes() == boost(kind, dtype, 10000, 0), (library, kind, dtype)
                for label, n in sizes(args):
                    best = int(boost(kind, dtype, n, max(2, min(20, 10**7 // n)))) * 1e-9
                    out = np.ones(n, dtype)
                    limit, _, own = ratio(partial(out.fill, 1), out, True, own_fill(kind, out))
                    yield row(library, kind, dtype, label, 1, (best, limit / best, own))


def instruction_sets():
    import caffe_fillers as cf

    return (cf.simd, *(name for name in ("avx2", "portable") if name != cf.simd))


def measure(args):
    for name in instruction_sets():
        command = [sys.executable, __file__, "--worker", *(["--quick"] if args.quick else [])]
        done = subprocess.run(command, env=os.environ | {"CAFFE_FILLERS_SIMD": name}, stdout=subprocess.PIPE, text=True)
        yield from map(json.loads, done.stdout.splitlines())
    for source in (numpys, torchs, mkls, boosts):
        yield from source(args)


def table(rows):
    print(f"{'':28}{'':20}{'':9}{'threads':>8}", *(f"{label:>9}" for label in SIZES))
    seen = {}
    for r in rows:
        seen.setdefault((r["kind"], r["dtype"], r["who"], r["threads"]), {})[r["size"]] = r["ratio"]
    order = sorted(seen, key=lambda key: (key[1], list(dict.fromkeys(r["kind"] for r in rows)).index(key[0])))
    for kind, dtype, library, threads in order:
        cells = seen[kind, dtype, library, threads]
        print(
            f"{library:28}{kind:20}{dtype:9}{threads:8}",
            *(f"{cells[label]:9.3f}" if label in cells else f"{'':9}" for label in SIZES),
        )


def goals(rows):
    """Yield, for each kind and library, how many times as fast our fills are, by size."""
    live = rows[0]["who"]
    found = {}
    for r in rows:
        if r["threads"] == 1:
            library, times = r["who"], r["seconds"] / r["ours"] if r["ours"] else None
            if library.startswith("MKL"):
                library = "MKL's best"
            elif library == live:
                library, times = "ndarray.fill", r["ratio"]
        else:
            library, times = "itself, all cores to one", r["ours"] / r["seconds"] if r["who"] == live else None
        if times and r["kind"] in ("uniform", "gaussian", "Box-Muller"):
            cells = found.setdefault((r["dtype"], r["kind"], library), {})
            cells[r["size"]] = min(times, cells.get(r["size"], times))
    kinds = ("uniform", "gaussian", "Box-Muller")
    for dtype, kind, library in sorted(found, key=lambda key: (key[0], kinds.index(key[1]))):
        if library not in ("NumPy SFC64", "NumPy MT19937"):
            yield kind, dtype, library, found[dtype, kind, library]


def goal_table(found):
    print(f"\n{'caffe_fillers as a multiple of':36}{'':12}{'':9}", *(f"{label:>9}" for label in SIZES))
    for kind, dtype, library, cells in found:
        if cells:
            print(f"{library:36}{kind:12}{dtype:9}", *(f"{cells[s]:9.2f}" if s in cells else f"{'':9}" for s in SIZES))


def picture(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    for axis, kind in zip(axes, ("uniform", "gaussian"), strict=True):
        chosen = [r for r in rows if (r["kind"], r["dtype"], r["size"], r["threads"]) == (kind, "float32", "100 K", 1)]
        chosen.sort(key=lambda r: r["ratio"])
        colours = ["tab:blue" if r["who"].startswith("caffe_fillers") else "tab:gray" for r in chosen]
        axis.barh([r["who"] for r in chosen], [r["ratio"] for r in chosen], color=colours)
        axis.set(title=f"{kind}: 100,000 float32, one thread", xlabel="speed as a share of ndarray.fill, in the cache")
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 10 million values")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--picture", metavar="FILE")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        for measured in ours(args):
            print(json.dumps(measured), flush=True)
        return
    rows = list(measure(args))
    table(rows)
    goal_table(goals(rows))
    if args.json:
        machine = {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}
        Path(args.json).write_text(json.dumps({**machine, "numpy": np.__version__, "rows": rows}, indent=1) + "\n")
    if args.picture:
        picture(rows, args.picture)


if __name__ == "__main__":
    main()
