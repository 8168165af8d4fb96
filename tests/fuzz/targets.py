"""The targets of the fuzzer: each takes bytes, and only CaffeError may come out of it.

`run` adds the bounds: a second of CPU time and 512 MB. Used by fuzz.py under atheris, and by test_fuzz.py without it.
"""

from __future__ import annotations

import atexit
import os
import resource
import shutil
import tempfile
import time
import warnings
import zlib
from pathlib import Path

import numpy as np

import caffe_fillers as cf
from caffe_fillers import prototxt, schema
from caffe_fillers.sources import is_solver
from caffe_fillers.upgrading import upgrade_net, upgrade_solver
from caffe_fillers.weights import caffemodel, hdf5, npz, safetensors

SECONDS, BYTES = 1.0, 512 << 20
PASS = 1 << 18  # values in the tops of a net that is run
_PAGE = resource.getpagesize()
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_FOLDER = Path(tempfile.mkdtemp(prefix="caffe_fillers-fuzz-", dir=_MEMORY))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


class Fault(Exception):
    """The input was read, but in a way that it must not be."""


def _file(data: bytes, suffix: str) -> Path:
    path = _FOLDER / f"input{suffix}"
    path.write_bytes(data)
    return path


def text(data: bytes) -> None:
    kind = (schema.NetParameter, schema.SolverParameter, schema.FillerParameter)[zlib.crc32(data) % 3]
    is_solver(_file(data, ".prototxt"))
    lenient = strict = None
    try:
        strict = prototxt.parse(data, kind, strict=True)
    finally:
        lenient = prototxt.parse(data, kind)
    # what is accepted strictly is read the same way without
    if strict.message.SerializeToString(deterministic=True) != lenient.message.SerializeToString(deterministic=True):
        raise Fault("strict and lenient readings differ")


def upgrade(data: bytes) -> None:
    if zlib.crc32(data) % 4 == 0:
        upgrade_solver(prototxt.parse(data, schema.SolverParameter))
        return
    new = upgrade_net(prototxt.parse(data, schema.NetParameter))
    if len(new.origin) != len(new.message.layer):
        raise Fault("an upgraded layer without an origin")
    again = upgrade_net(new.message).message
    if again.SerializeToString(deterministic=True) != new.message.SerializeToString(deterministic=True):
        raise Fault("upgrading twice is not upgrading once")


def binary_upgrade(data: bytes) -> None:
    message = schema.NetParameter()
    try:
        message.ParseFromString(data)
    except Exception:  # protobuf's own refusal
        return
    upgrade_net(message)


def net(data: bytes) -> None:
    bits = zlib.crc32(data)
    path = _file(data, ".prototxt")
    caffe = ("master", "1.0", "rc3", "v0.9999")[bits >> 3 & 3]
    options = {"strict": bits % 2 == 0, "max_bytes": 32 << 20, "rng": 1, "caffe": caffe}
    inputs = dict.fromkeys(("data", "mnist", "cifar", "input"), (3, 32, 32)) if bits & 4 else None
    if is_solver(path):
        cf.Solver(path, inputs=inputs, **options)
        return
    rng = cf.RNG(1)
    options["rng"] = rng
    phase = ("TRAIN", "TEST")[bits >> 1 & 1]
    try:
        filled = cf.Net(path, phase, inputs=inputs, **options)
    except cf.CaffeError:
        if rng.position:
            raise Fault("a refused net left the stream elsewhere") from None
        raise
    planned = cf.Net(path, phase, inputs=inputs, fill=False, **options | {"rng": cf.RNG(1)})
    if [layer.draws for layer in planned.layers] != [layer.draws for layer in filled.layers]:
        raise Fault("the ledger without filling differs")
    one_pass(filled)


def one_pass(net: cf.Net) -> None:
    """Run a stranger's net once, forward and backward, for as long as the time of an input lasts."""
    if any(layer.type == "HDF5Output" for layer in net.layers):  # it writes where the text says
        return
    if sum(blob.count() for blob in net.blobs.values()) > PASS:
        return
    started = time.process_time()

    def stop(_: int) -> None:
        if time.process_time() - started > SECONDS / 4:
            raise cf.CaffeError("it takes too long")

    net.tape.before_forward.append(stop)
    net.tape.before_backward.append(stop)
    for layer in net.layers:
        if not layer.bottoms:
            for name in layer.tops:
                net.blobs[name].data[...] = 1
    before = net.rng.position
    try:
        net.forward()
    except cf.CaffeError:
        if net.rng.position != before:
            raise Fault("a refused pass left the stream elsewhere") from None
        raise
    net.backward()


def _same(first: cf.weights.WeightSet, second: cf.weights.WeightSet) -> None:
    for a, b in zip(first.layers, second.layers, strict=True):
        for x, y in zip(a.arrays, b.arrays, strict=True):
            if x.tobytes() != y.tobytes() or x.shape != y.shape or x.dtype != y.dtype:
                raise Fault("what was read and written again differs")


def _weights(module, suffix):
    def target(data: bytes) -> None:
        path = _file(data, suffix)
        weights = module.read(path)
        if zlib.crc32(data) % 8 == 0:
            other = path.with_name("again" + suffix)
            module.write(other, weights)
            _same(weights, module.read(other))

    return target


def mean(data: bytes) -> None:
    cf.load_mean(_file(data, ".binaryproto"))


def any_format(data: bytes) -> None:
    cf.load_weights(_file(data, ".bin"), names="torch" if zlib.crc32(data) % 2 else None)


TARGETS = {
    "prototxt": text,
    "upgrade": upgrade,
    "binary_upgrade": binary_upgrade,
    "net": net,
    "caffemodel": _weights(caffemodel, ".caffemodel"),
    "npz": _weights(npz, ".npz"),
    "safetensors": _weights(safetensors, ".safetensors"),
    "hdf5": _weights(hdf5, ".h5"),
    "mean": mean,
    "any_format": any_format,
}


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(name: str, data: bytes) -> None:
    """Give the bytes to a target; let out what must not come out."""
    target = TARGETS[name]
    before, highest, started = _resident(), _peak(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", cf.CaffeWarning)
        try:
            target(data)
        except cf.CaffeError as error:
            message = str(error)
            if len(message) > 4000:
                raise Fault(f"an error of {len(message)} characters: {message[:500]}") from None
    spent = time.process_time() - started
    if spent > SECONDS:
        raise Fault(f"took {spent:.2f} s")
    peak = _peak()
    if peak - before > BYTES and peak > highest:  # a peak of this very input
        raise Fault(f"took {(peak - before) >> 20} MB")


# --- seeds -----------------------------------------------------------------------------------------------------------

_HERE = Path(__file__).parent
_TESTS = _HERE.parent


def seeds(name: str) -> list[bytes]:
    """Inputs to start from: goldens, attacks, small files made here, the corpus where it is."""
    found = [path.read_bytes() for path in sorted((_HERE / "found" / name).glob("*"))]
    if name in ("prototxt", "upgrade", "net"):
        paths = sorted((_TESTS / "golden" / "nets").rglob("*.prototxt"))
        corpus = Path(os.environ.get("CAFFE_FILLERS_CORPUS") or _TESTS.parents[1] / "shared" / "corpus")
        paths += sorted(corpus.rglob("*.prototxt"))
        texts = [path.read_bytes() for path in paths if path.stat().st_size < 1 << 16]
        if name == "upgrade":
            texts = [each for each in texts if b"layers" in each or b"input" in each or b"solver" in each]
        return found + texts
    if name == "binary_upgrade":
        result = []
        for each in seeds("upgrade"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result.append(prototxt.parse(each, schema.NetParameter).message.SerializeToString())
            except cf.CaffeError:
                continue
        return found + result
    return found + _weight_seeds(name)


def _weight_seeds(name: str) -> list[bytes]:
    suffixes = {"caffemodel": [".caffemodel"], "npz": [".npz"], "safetensors": [".safetensors"], "hdf5": [".h5"]}
    wanted = suffixes.get(name, [".caffemodel", ".npz", ".safetensors", ".h5"])
    result: list[bytes] = []
    nets = [
        {"conv1": [np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2), np.ones(3, np.float32)]},
        {
            "a": [np.zeros((2, 3))],
            "b/c": [np.float32([[1]]), np.zeros(0, np.float32)],
            "bn": [np.ones(2, np.float32)] * 3,
        },
    ]
    text = (
        'input: "d" input_shape { dim: 1 dim: 2 } layer { name: "i" type: "InnerProduct" bottom: "d" top: "i" '
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } } '
        'layer { name: "e" type: "ReLU" bottom: "i" top: "i" }'
    )
    filled = _file(text.encode(), ".prototxt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for suffix in wanted:
            path = _FOLDER / f"seed{suffix}"
            for weights in nets:
                cf.save_weights(path, weights)
                result.append(path.read_bytes())
            cf.Net(filled, rng=1).save(path)
            result.append(path.read_bytes())
    if name == "mean":
        result = [cf.Blob.from_array(np.zeros((1, 3, 4, 4), np.float32)).to_proto().SerializeToString()]
    attacks = [path for path in sorted((_TESTS / "attacks").iterdir()) if path.suffix in wanted]
    if name == "caffemodel":
        attacks += sorted((_TESTS / "golden" / "caffemodel").rglob("*.caffemodel"))
    return result + [path.read_bytes() for path in attacks if path.stat().st_size < 1 << 16]
