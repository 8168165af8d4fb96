"""How fast arrays are filled, beside what a user would pick instead: a table and JSON.

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
from pathlib import Path
from time import perf_counter

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


def seconds(call, least, budget):
    """The best time of a call, repeated inside for short ones."""
    began = perf_counter()
    call()
    once = perf_counter() - began
    inner = max(1, int(1e-3 / max(once, 1e-9)))
    rounds = max(least, min(50, int(budget / max(once * inner, 1e-9))))
    best = once
    for _ in range(rounds):
        began = perf_counter()
        for _ in range(inner):
            call()
        best = min(best, (perf_counter() - began) / inner)
    return best


def ratio(call, out, quick):
    """(seconds, ratio to ndarray.fill), the two measured in turn."""
    times = []
    for _ in range(2 if quick else 3):
        times.append((seconds(call, 2, 0.1), seconds(partial(out.fill, 1), 2, 0.05)))
    best, limit = min(t for t, _ in times), min(t for _, t in times)
    return best, limit / best


def row(who, kind, dtype, label, threads, measured):
    names = ("who", "kind", "dtype", "size", "threads", "seconds", "ratio")
    return dict(zip(names, (who, kind, dtype, label, threads, *measured), strict=True))


def ours(args):
    import caffe_fillers as cf

    who = f"caffe_fillers {cf.simd}"
    for label, n in sizes(args):
        for dtype in DTYPES:
            rows = max(1, round(n**0.5) // 8)
            shape = (rows, n // rows)
            square = (max(1, n // 16), 1, 4, 4)
            for kind, text in FILLERS.items():
                out = np.ones(square if kind == "bilinear" else shape, dtype)
                if kind == "sparse gaussian" and rows < 16:
                    continue
                rng = cf.RNG(1701)
                for threads in (1, os.cpu_count()) if n >= 10**7 and kind in ("uniform", "gaussian") else (1,):
                    fill = partial(cf.fill, out, text, rng=rng, threads=threads)
                    yield row(who, kind, dtype, label, threads, ratio(fill, out, args.quick))
            for boost, era in (("1.54", "Box-Muller"), ("1.58", "ziggurat of 1.56")):
                out, rng = np.ones(n, dtype), cf.RNG(1701, boost=boost)
                yield row(who, era, dtype, label, 1, ratio(partial(rng.fill_gaussian, out, 0, 1, 1), out, args.quick))


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
                    yield row(f"NumPy {name}", kind, dtype, label, 1, ratio(fill, out, args.quick))


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
                    yield row("PyTorch", kind, dtype, label, threads, ratio(fill, out, args.quick))


def mkls(args):
    """MKL's vector statistics: its MT19937 and Philox, by inversion for the gaussian."""
    found = sorted(Path(sys.prefix, "lib").glob("libmkl_rt.so*"))
    try:
        mkl = ctypes.CDLL(str(found[0]) if found else ctypes.util.find_library("mkl_rt") or "libmkl_rt.so")
        mkl.MKL_Set_Num_Threads(1)
    except OSError:
        return
    for name, generator in (("MT19937", 8 << 20), ("Philox", 16 << 20)):
        stream = ctypes.c_void_p()
        if mkl.vslNewStream(ctypes.byref(stream), generator, 1701):
            continue
        for label, n in sizes(args):
            for dtype, letter, real in zip(DTYPES, "sd", (ctypes.c_float, ctypes.c_double), strict=True):
                out = np.ones(n, dtype)
                to = out.ctypes.data_as(ctypes.c_void_p)
                for kind, method, a in (("uniform", 0, -1), ("gaussian", 2, 0)):
                    function = getattr(mkl, f"v{letter}Rng{kind.title()}")
                    fill = partial(function, method, stream, n, to, real(a), real(1))
                    yield row(f"MKL {name}", kind, dtype, label, 1, ratio(fill, out, args.quick))


def boosts(args):
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "boost_fill"
        try:
            built = subprocess.run(["c++", "-O2", HERE / "boost_fill.cpp", "-o", program], capture_output=True)
        except OSError:
            return
        if built.returncode:
            return
        for label, n in sizes(args):
            for dtype in DTYPES:
                out = np.ones(n, dtype)
                for kind in ("uniform", "gaussian"):
                    runs = str(max(2, min(20, 10**7 // n)))
                    done = subprocess.run([program, kind, dtype, str(n), runs], capture_output=True, check=True)
                    best = int(done.stdout) * 1e-9
                    limit = seconds(partial(out.fill, 1), 5, 0.1)
                    yield row("Boost (Caffe's way)", kind, dtype, label, 1, (best, limit / best))


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
    for kind, dtype, who, threads in order:
        cells = seen[kind, dtype, who, threads]
        print(
            f"{who:28}{kind:20}{dtype:9}{threads:8}",
            *(f"{cells[label]:9.3f}" if label in cells else f"{'':9}" for label in SIZES),
        )


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
    if args.json:
        machine = {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}
        Path(args.json).write_text(json.dumps({**machine, "numpy": np.__version__, "rows": rows}, indent=1) + "\n")
    if args.picture:
        picture(rows, args.picture)


if __name__ == "__main__":
    main()
