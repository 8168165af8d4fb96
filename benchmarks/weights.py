"""Reading and writing weights, beside NumPy's own reading and writing of the same bytes: ``python weights.py``.

The weights are VGG-16's (138 million values, 553 MB). Every format is written to a new file, written over that file,
and read again several times, the ways taking turns, so that all of them see the same machine; the best time of each
counts. We replace an old file only once the new one is on the disk; ``tofile`` leaves that to the system. Peak memory
is that of a fresh process, beyond what it held before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import caffe_fillers as cf

FORMATS = (".caffemodel", ".npz", ".h5", ".safetensors")
LIMITS = {"write": 2.0, "read": 1.5, "memory": 1.2}  # for .caffemodel
CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


def vgg16() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(1)
    shapes = {f"conv{i}": (CHANNELS[i + 1], CHANNELS[i], 3, 3) for i in range(13)}
    shapes |= {"fc6": (4096, 25088), "fc7": (4096, 4096), "fc8": (1000, 4096)}
    return {name: [rng.random(shape, np.float32), np.zeros(shape[0], np.float32)] for name, shape in shapes.items()}


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def best(actions: dict[str, Callable[[], object]], repeats: int, before: Callable[[str], None]) -> dict[str, float]:
    """Time the actions in turns; return the best time of each."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            before(name)
            times[name].append(seconds(action))
    return {name: min(values) for name, values in times.items()}


def peak(path: Path, action: str) -> float:
    """Return the peak memory of reading or writing, as a multiple of the weights."""
    program = f"""
import numpy as np, caffe_fillers as cf
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10
path, other = {str(path)!r}, {str(path.with_name("peak" + path.suffix))!r}
small = {{"a": [np.zeros(1, np.float32)]}}
cf.save_weights(other, small)
cf.load_weights(other)
if {action!r} == "write":
    weights = cf.load_weights(path)
    before = peak()
    cf.save_weights(other, weights)
else:
    before = peak()
    weights = cf.load_weights(path)
after = peak()
print((after - before) / sum(array.nbytes for arrays in weights.values() for array in arrays))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout) + (action == "write")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help="where to write the files (default: a temporary folder)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if .caffemodel misses its limits")
    arguments = parser.parse_args()

    weights = vgg16()
    flat = np.concatenate([array.reshape(-1) for arrays in weights.values() for array in arrays])
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        raw = Path(folder) / "raw.bin"
        paths = {suffix: Path(folder) / f"vgg16{suffix}" for suffix in FORMATS}

        def fresh(name: str) -> None:
            (raw if name == "raw" else paths[name]).unlink(missing_ok=True)
            os.sync()

        writes: dict[str, Callable[[], object]] = {"raw": lambda: flat.tofile(raw)}
        writes |= {suffix: lambda path=path: cf.save_weights(path, weights) for suffix, path in paths.items()}
        written = best(writes, arguments.repeats, fresh)
        replaced = best(writes, arguments.repeats, lambda name: os.sync())
        reads: dict[str, Callable[[], object]] = {"raw": lambda: np.fromfile(raw, np.float32)}
        reads |= {suffix: lambda path=path: cf.load_weights(path) for suffix, path in paths.items()}
        read = best(reads, arguments.repeats, lambda name: None)
        for suffix, path in paths.items():
            rows.append(
                {
                    "format": suffix,
                    "write": written[suffix] / written["raw"],
                    "replace": replaced[suffix] / replaced["raw"],
                    "read": read[suffix] / read["raw"],
                    "write_memory": peak(path, "write"),
                    "read_memory": peak(path, "read"),
                }
            )

    megabytes = flat.nbytes / 1e6
    print(f"{megabytes:.0f} MB; tofile {written['raw']:.3f} s, over an old file {replaced['raw']:.3f} s,")
    print(f"fromfile {read['raw']:.3f} s; the rest as ratios")
    print(f"{'':14}{'write':>8}{'replace':>9}{'read':>8}{'peak memory, write':>20}{'read':>8}")
    for row in rows:
        print(
            f"{row['format']:14}{row['write']:8.2f}{row['replace']:9.2f}{row['read']:8.2f}"
            f"{row['write_memory']:20.2f}{row['read_memory']:8.2f}"
        )
    if arguments.json:
        record = {"megabytes": megabytes, "tofile": written["raw"], "fromfile": read["raw"], "formats": rows}
        Path(arguments.json).write_text(json.dumps(record, indent=2) + "\n")
    model = rows[0]
    memory = max(model["write_memory"], model["read_memory"])
    missed = model["write"] > LIMITS["write"] or model["read"] > LIMITS["read"] or memory > LIMITS["memory"]
    return int(arguments.check and missed)


if __name__ == "__main__":
    sys.exit(main())
