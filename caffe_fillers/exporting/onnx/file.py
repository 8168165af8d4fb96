"""Writes an ONNX model's weights from the net's memory to the disk without a copy in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ...carried import varint
from ...errors import CaffeError
from ...files import replacing

if TYPE_CHECKING:
    import onnx

__all__ = ["write_model"]

# protobuf allows 2 GiB per message; the rest of the graph needs a part of it
_LARGEST = 2**31 - (64 << 20)
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # fields of ModelProto, GraphProto, TensorProto
_ALIGNED = 64


def _head(field: int, size: int) -> bytes:
    """Return the bytes before a field of `size` bytes: its tag and its length."""
    return varint(field << 3 | 2) + varint(size)


def write_model(
    model: onnx.ModelProto,
    weights: Sequence[tuple[str, np.ndarray]],
    path: Path,
    external: bool | None,
    largest: int = _LARGEST,
) -> list[Path]:
    """Write `model`, which has no weights yet, and `weights` as its initializers; return the files written.

    Parameters
    ----------
    external : bool or None
        Whether weights stand in a file of their own, ``NAME.data``; None: where they are too large for one message.
    largest : int
        How many bytes one message may have.
    """
    total = sum(array.nbytes for _, array in weights)
    if external is None:
        external = total + model.ByteSize() > largest
    elif not external and total + model.ByteSize() > largest:
        raise CaffeError(
            f"the weights have {total:,} bytes, more than a file of ONNX can hold\nleave external out (or True): they "
            "then stand in a file beside it"
        )
    beside = path.with_name(path.name + ".data")
    heads = list(_headers(weights, beside.name if external else ""))
    with ExitStack() as stack:
        if external:
            with open(stack.enter_context(replacing(beside, total)), "wb") as file:
                for _, array in weights:
                    file.write(b"\0" * (-file.tell() % _ALIGNED))
                    _write(file, array)
        with open(stack.enter_context(replacing(path, 0 if external else total)), "wb") as file:
            _write_message(file, model, heads, [] if external else [array for _, array in weights])
    return [path, beside] if external else [path]


def _headers(weights: Sequence[tuple[str, np.ndarray]], location: str) -> Iterator[bytes]:
    """Yield each initializer without its values."""
    from onnx import TensorProto

    offset = 0
    for name, array in weights:
        tensor = TensorProto(name=name, dims=array.shape, data_type=TensorProto.FLOAT)
        if location:
            offset += -offset % _ALIGNED
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", location), ("offset", offset), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            offset += array.nbytes
        yield tensor.SerializeToString(deterministic=True)


def _write_message(
    file: BinaryIO, model: onnx.ModelProto, heads: Sequence[bytes], arrays: Sequence[np.ndarray]
) -> None:
    graph = model.graph.SerializeToString(deterministic=True)
    rest = type(model)()
    rest.CopyFrom(model)
    rest.ClearField("graph")
    sizes = [len(head) for head in heads]
    for i, array in enumerate(arrays):
        sizes[i] += len(_head(_RAW_DATA, array.nbytes)) + array.nbytes
    size = len(graph) + sum(len(_head(_INITIALIZER, each)) + each for each in sizes)
    file.write(rest.SerializeToString(deterministic=True))
    file.write(_head(_GRAPH, size))
    file.write(graph)
    for i, head in enumerate(heads):
        file.write(_head(_INITIALIZER, sizes[i]))
        file.write(head)
        if arrays:
            file.write(_head(_RAW_DATA, arrays[i].nbytes))
            _write(file, arrays[i])


def _write(file: BinaryIO, array: np.ndarray) -> None:
    file.write(np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data)
