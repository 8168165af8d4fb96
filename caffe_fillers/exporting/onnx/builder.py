"""Builds an ONNX graph: nodes, constants, and weights that are not copied."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from ... import ops
from ..plan import Entry, Value, refuse

__all__ = ["Builder", "translate"]


class Builder:
    """Collects the nodes of a graph.

    Parameters
    ----------
    opset : int
        The version of ONNX's operators to write.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    constants : list of onnx.TensorProto
        Shapes and single numbers: what shape inference wants to see.
    weights : list of (str, array)
        What is written to the file straight from the net's memory.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[object] = []
        self.constants: list[object] = []
        self.weights: list[tuple[str, np.ndarray]] = []
        self._constant_names: dict[object, str] = {}
        self._weight_names: dict[object, str] = {}
        self._values: set[str] = set()
        self._node_names: set[str] = set()
        self._layer, self._tops = "", frozenset[str]()

    def reserve(self, names: Sequence[str]) -> None:
        """Keep names of blobs from being used for helpers."""
        self._values.update(names)

    def begin(self, entry: Entry, behind: Entry | None = None) -> None:
        """Start a layer: the nodes added next belong to it, and write its tops or those of the layer `behind` it."""
        self._layer, self._tops = entry.layer, frozenset(value.name for value in (behind or entry).writes)

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: object) -> str:
        """Add a node with one output, and return the output's name."""
        return self.add_many(kind, inputs, [output], **attributes)[0]

    def add_many(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> list[str]:
        """Add a node with several outputs; those without a name get one."""
        from onnx import helper

        names = [name or self._unused(f"{self._layer}/{kind}", self._values) for name in outputs]
        own = any(name in self._tops for name in names)
        name = self._unused(self._layer if own else f"{self._layer}/{kind}", self._node_names)
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names

    def weight(self, array: np.ndarray, label: str) -> str:
        """Add an initializer in float32, one for all arrays that share its memory; return its name."""
        array = np.ascontiguousarray(array, np.float32).reshape(array.shape)
        key = array.__array_interface__["data"][0], array.shape
        if key not in self._weight_names:
            self._weight_names[key] = self._unused(f"{self._layer}/{label}", self._values)
            self.weights.append((self._weight_names[key], array))
        return self._weight_names[key]

    def parameter(self, entry: Entry, i: int, shape: Sequence[int] | None = None) -> str:
        """Add parameter `i` of a layer, in its own or another shape; return its name."""
        array = entry.blobs[i]
        return self.weight(array if shape is None else array.reshape(shape), entry.params[i])

    def whole(self, numbers: int | Sequence[int]) -> str:
        """Add a constant of whole numbers (a shape, axes, one number); return its name."""
        return self._constant(np.asarray(numbers, np.int64))

    def number(self, value: float, like: type = np.float32) -> str:
        """Add a constant of one number; return its name."""
        return self._constant(np.asarray(value, like))

    def numbers(self, values: object) -> str:
        """Add a constant array of a few numbers that are not a layer's parameters; return its name."""
        return self._constant(np.ascontiguousarray(values, np.float32))

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constant_names:
            said = "_".join(map(str, array.reshape(-1).tolist())) if array.size <= 8 else str(len(self.constants))
            name = self._constant_names[key] = self._unused(f"constant_{said}", self._values)
            self.constants.append(numpy_helper.from_array(array, name))
        return self._constant_names[key]

    def reduce(self, kind: str, x: str, axes: Sequence[int], output: str = "", keepdims: bool = True) -> str:
        """Add a sum or mean over axes, which are an attribute or an input, depending on the opset."""
        if self.opset >= (13 if kind == "ReduceSum" else 18):
            return self.add(kind, [x, self.whole(axes)], output, keepdims=int(keepdims))
        return self.add(kind, [x], output, axes=list(axes), keepdims=int(keepdims))

    def reshape(self, x: str, shape: Sequence[int], output: str = "") -> str:
        """Add a Reshape to a shape in which 0 keeps a dim and one dim may be -1."""
        return self.add("Reshape", [x, self.whole(shape)], output)

    def reshape_to(self, x: str, before: Value, after: Value, entry: Entry, output: str) -> str:
        """Add a Reshape from the shape of one value to that of another; dims may change from run to run."""
        dims: list[int] = []
        for i, dim in enumerate(after.dims):
            same = i < len(before.dims) and before.dims[i] == dim
            # ONNX reads a dim of 0 as "unchanged"
            dims.append(dim if isinstance(dim, int) and dim > 0 else 0 if same else -1)
        if dims.count(-1) > 1:
            raise refuse(
                entry.where,
                entry.layer,
                f"reshapes {before.dims} to {after.dims}, which ONNX can't express",
                "export without dynamic=True (--dynamic)",
            )
        return self.reshape(x, dims, output)

    def _unused(self, name: str, taken: set[str]) -> str:
        result, k = name, 2
        while result in taken:
            result, k = f"{name}_{k}", k + 1
        taken.add(result)
        return result


@singledispatch
def translate(operation: ops.Operation, g: Builder, e: Entry) -> None:
    """Add the nodes of a layer to the graph `g`; a function for each class of operation."""
    raise refuse(e.where, e.layer, f"ONNX has no operators for {type(operation).__name__}")
