"""Exports a net as a graph of ONNX operators."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ... import ops
from ..._version import __version__
from ...errors import CaffeError
from ...net import Net
from ..plan import Entry, Plan, Value
from ..preprocess import Preprocess
from .builder import Builder, translate
from .file import write_model
from .normal import folds, stored_norm

if TYPE_CHECKING:
    import onnx

__all__ = ["DEFAULT_OPSET", "OLDEST_OPSET", "export_onnx"]

# TensorRT 10, OpenVINO and OpenCV 5 all read this one
DEFAULT_OPSET = 17
OLDEST_OPSET = 13


def _library() -> ModuleType:
    try:
        import onnx
    except ImportError:
        raise CaffeError("an ONNX file needs the package onnx\npip install 'caffe_fillers[onnx]'") from None
    return onnx


def check_opset(opset: int | None) -> int:
    """Return the opset to write; raise CaffeError for one that can't be written."""
    newest = _library().defs.onnx_opset_version()
    if opset is None:
        return DEFAULT_OPSET
    if isinstance(opset, bool) or not isinstance(opset, int) or not OLDEST_OPSET <= opset <= newest:
        raise CaffeError(
            f"opset {opset!r} can't be written: {OLDEST_OPSET} to {newest} can, {DEFAULT_OPSET} unless told\n"
            "in older ones the operators for these layers don't exist yet"
        )
    return opset


def export_onnx(
    net: Net,
    plan: Plan,
    path: Path,
    *,
    opset: int | None = None,
    preprocess: Preprocess | None = None,
    external: bool | None = None,
) -> list[Path]:
    """Write the plan of a net as an ONNX file; return the files written."""
    onnx = _library()
    opset = check_opset(opset)
    _load_operators()
    g = Builder(opset)
    g.reserve([value.name for value in plan.values()])
    renamed = preprocess.nodes(g, plan) if preprocess else {}
    entries = _folded(plan)
    for entry, behind in entries:
        g.begin(entry, behind)
        if behind is not None:
            stored_norm(g, entry, behind)
        else:
            translate(entry.operation, g, entry)
    inputs = [_info(value, renamed.get(value.name, value.name)) for value in plan.inputs]
    outputs = [_info(value, value.name, _any_length(plan, value)) for value in plan.outputs]
    graph = onnx.helper.make_graph(g.nodes, net.name or "net", inputs, outputs, g.constants)
    model = onnx.helper.make_model(
        graph,
        producer_name="caffe_fillers",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", opset)],
    )
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    _check(model, g.weights)
    prototxt, weights = net.source.sha256, weights_hash(net)
    model.doc_string = f"{net.name or 'a net'} of Caffe, phase TEST, written by caffe_fillers {__version__}"
    for key, text in (("prototxt_sha256", prototxt), ("weights_sha256", weights), ("caffe_fillers", __version__)):
        if text:
            model.metadata_props.add(key=key, value=text)
    return write_model(model, g.weights, path, external)


def _load_operators() -> None:
    from . import elements, normal, sequences, shapes, windows  # noqa: F401


def _folded(plan: Plan) -> list[tuple[Entry, Entry | None]]:
    """Return the entries, each batch normalisation with the in-place Scale right after it."""
    readers: dict[int, int] = {}
    for entry in plan.entries:
        for value in entry.reads:
            readers[id(value)] = readers.get(id(value), 0) + 1
    shown = {id(value) for value in (*plan.finals.values(), *plan.outputs)}
    result: list[tuple[Entry, Entry | None]] = []
    for entry in plan.entries:
        before = result[-1] if result else None
        if (
            before is not None
            and before[1] is None
            and isinstance(entry.operation, ops.Scale)
            and folds(before[0].operation)
            and len(before[0].blobs) == 3
            and entry.x is before[0].y
            and id(entry.x) not in shown
            and readers[id(entry.x)] == 1
            and len(entry.reads) == 1
            and entry.operation.axis == 1
            and entry.blobs[0].ndim == 1
        ):
            result[-1] = (before[0], entry)
        else:
            result.append((entry, None))
    return result


def _any_length(plan: Plan, value: Value) -> bool:
    """Return whether the number of items of a value depends on other values."""
    depends: set[int] = set()
    for entry in plan.entries:
        if isinstance(entry.operation, ops.Filter) or any(id(each) in depends for each in entry.reads):
            depends.update(map(id, entry.writes))
    return id(value) in depends


def _info(value: Value, name: str, any_length: bool = False) -> onnx.ValueInfoProto:
    from onnx import TensorProto, helper

    dims: Sequence[int | str] = value.dims
    if any_length and dims:
        dims = (f"{value.name} items", *dims[1:])
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def _check(model: onnx.ModelProto, weights: Sequence[tuple[str, np.ndarray]]) -> None:
    """Let onnx check the graph and infer every shape; weights are inputs for this, so that none is copied."""
    from onnx import TensorProto, checker, helper, shape_inference

    whole = type(model)()
    whole.CopyFrom(model)
    whole.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in weights
    )
    try:
        checker.check_model(whole, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError) as error:
        raise CaffeError(f"onnx refuses the graph that was made of this net: {error}") from None


def weights_hash(net: Net) -> str:
    """Return the sha256 of all parameters in order, as little-endian float32; shared ones count once."""
    result, any_there = hashlib.sha256(), False
    for step in net.steps:
        for blob, owner in zip(step.layer.blobs, step.owners, strict=True):
            if owner is None:
                result.update(np.ascontiguousarray(blob.data, "<f4").reshape(-1).view(np.uint8).data)
                any_there = True
    return result.hexdigest() if any_there else ""
