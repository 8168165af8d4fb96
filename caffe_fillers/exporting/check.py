"""Runs an exported net beside the original and compares their outputs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .. import ops
from ..errors import CaffeError
from ..net import Net
from ..porting import BlobComparison, compare_blobs
from .plan import Plan, Value
from .preprocess import Preprocess

__all__ = ["ONNX_TOLERANCE", "check_onnx", "check_source"]

ONNX_TOLERANCE = 1e-4

# runs an exported script in a process without this package, and keeps every blob
_RUNNER = """
import sys, runpy
import numpy as np
forward = runpy.run_path(sys.argv[1])["forward"]
with np.load(sys.argv[2]) as file:
    given = [file[f"arr_{i}"] for i in range(len(file.files))]
outputs = forward(*given, blobs=True)
assert "caffe_fillers" not in sys.modules
np.savez(sys.argv[3], **{str(i): value for i, value in enumerate(outputs.values())}, names=np.array(list(outputs)))
"""


def check_onnx(net: Net, plan: Plan, path: Path, preprocess: Preprocess | None, tolerance: float) -> BlobComparison:
    """Run the file and `net` on random input; compare each blob relative to its largest value."""
    given = examples(plan, net.dtype, preprocess)
    mine = dict(given)
    fed = {
        value.name.removesuffix("_preprocessed") if preprocess else value.name: given[value.blob]
        for value in plan.inputs
    }
    if preprocess is not None:
        image = preprocess.image(plan)
        fed[image.blob] = given[image.blob]
        mine[image.blob] = preprocess.apply(given[image.blob])
    run_net(net, plan, mine)
    names = list(dict.fromkeys(value.name for value in plan.finals.values()))
    feed = {name: np.ascontiguousarray(array, np.float32) for name, array in fed.items()}
    results = dict(zip(names, _run_onnx(path, names, feed), strict=True))
    return _compared(net, plan, {blob: results[value.name] for blob, value in plan.finals.items()}, tolerance)


def _run_onnx(path: Path, names: list[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    import onnx

    model = onnx.load(path, load_external_data=False)
    given = {value.name for value in model.graph.input}
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known | given)
    feed = {name: array for name, array in feed.items() if name in given}
    wanted = [name for name in names if name not in given]
    try:
        import onnxruntime
    except ImportError:
        onnx.load_external_data_for_model(model, str(path.parent))
        from onnx.reference import ReferenceEvaluator

        found = ReferenceEvaluator(model).run(wanted, dict(feed))
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        folder = str(path.parent.resolve())
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        graph, providers = model.SerializeToString(), ["CPUExecutionProvider"]
        try:
            found = onnxruntime.InferenceSession(graph, options, providers=providers).run(wanted, feed)
        except Exception as error:  # ONNX Runtime's exceptions, which have no common class
            raise CaffeError(f"{path}: ONNX Runtime can't run it: {error}") from None
    results = {**feed, **dict(zip(wanted, found, strict=True))}
    return [np.asarray(results[name]) for name in names]


def check_source(net: Net, plan: Plan, path: Path) -> BlobComparison:
    """Run the script, in an interpreter of its own, and `net` on random input; compare each blob bit for bit."""
    given, environment = examples(plan, net.dtype), dict(os.environ)
    with _one_thread(environment):
        run_net(net, plan, given)
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs, runner = (Path(folder) / name for name in ("inputs.npz", "outputs.npz", "run.py"))
        np.savez(inputs, *(given[value.blob] for value in plan.inputs))
        runner.write_text(_RUNNER)
        command = [sys.executable, "-I", str(runner), str(path.resolve()), str(inputs), str(outputs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
            raise CaffeError(f"{path}: the script failed: {last}")
        with np.load(outputs) as file:
            results = {str(name): file[str(i)] for i, name in enumerate(file["names"])}
    return _compared(net, plan, results, 0.0)


def _one_thread(environment: dict[str, str]) -> AbstractContextManager[object]:
    """Limit the BLAS of both sides to one thread if possible: with several, sums have another order."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    environment.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1"))
    limits: AbstractContextManager[object] = threadpool_limits(1, "blas")
    return limits


def _compared(net: Net, plan: Plan, results: Mapping[str, np.ndarray], tolerance: float) -> BlobComparison:
    shaped = {}
    for blob, array in results.items():
        shape = net.blobs[blob].shape
        # blobs that share memory have the shape of the one written last
        shaped[blob] = array.reshape(shape) if array.size == net.blobs[blob].count() else array
    given = {value.blob for value in plan.inputs}
    return compare_blobs(net, {blob: array for blob, array in shaped.items() if blob not in given}, tolerance)


def run_net(net: Net, plan: Plan, given: Mapping[str, np.ndarray]) -> None:
    """Run the exported part of `net` on given data."""
    for name, array in given.items():
        net.blobs[name].data[...] = array
    for place in plan.places:
        net.tape.forward(place, place + 1)


def examples(plan: Plan, dtype: npt.DTypeLike, preprocess: Preprocess | None = None) -> dict[str, np.ndarray]:
    """Return random values for each input, of the kind that its readers take."""
    r = np.random.default_rng(0)
    kinds = _kinds(plan)
    image = None if preprocess is None else preprocess.image(plan)
    results = {}
    for value in plan.inputs:
        kind, limit = kinds.get(id(value), ("", 0))
        if value is image:
            array = r.integers(0, 256, value.shape).astype(dtype)
        elif kind == "whole":
            array = r.integers(0, max(1, limit), value.shape).astype(dtype)
        elif kind == "regions":
            array = np.sort(r.uniform(0, limit, (value.shape[0], 5)), axis=1)[:, [0, 1, 2, 3, 4]].astype(dtype)
            array[:, 0] = 0
            array = array[:, [0, 1, 2, 3, 4]].reshape(value.shape)
        else:
            array = r.standard_normal(value.shape).astype(dtype)
        results[value.blob] = array
    return results


def _kinds(plan: Plan) -> dict[int, tuple[str, int]]:
    """Return the inputs that hold whole numbers below a limit, or regions of an image."""
    kinds: dict[int, tuple[str, int]] = {}
    for entry in reversed(plan.entries):
        operation, reads = entry.operation, entry.reads
        found: list[tuple[Value, tuple[str, int]]] = []
        if isinstance(operation, ops.Embed):
            found = [(reads[0], ("whole", len(entry.blobs[0])))]
        elif isinstance(operation, ops.BatchReindex):
            found = [(reads[1], ("whole", reads[0].shape[0]))]
        elif isinstance(operation, (ops.LSTM, ops.RNN)):
            found = [(reads[1], ("whole", 2))]
        elif isinstance(operation, (ops.Filter, ops.LSTMUnit)):
            found = [(reads[-1], ("whole", 2))]
        elif isinstance(operation, ops.ROIPooling):
            found = [(reads[1], ("regions", int(min(reads[0].shape[2:]) / operation.scale)))]
        elif isinstance(operation, ops.Upsample) and len(reads) > 1:
            found = [(reads[1], ("whole", entry.y.shape[2] * entry.y.shape[3]))]
        elif isinstance(operation, (ops.Reshape, ops.Split, ops.Slice, ops.Concat)):
            known = next((kinds[id(value)] for value in entry.writes if id(value) in kinds), None)
            found = [(value, known) for value in reads] if known else []
        for value, kind in found:
            kinds.setdefault(id(value), kind)
    return kinds
