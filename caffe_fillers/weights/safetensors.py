"""``.safetensors``: arrays named ``<layer>/<index>``, the record as one entry of the metadata."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from ..files import check_readable, replacing
from ._set import WeightSet, check_count, describe, from_json, from_keys, keyed, to_json, unique_names

if TYPE_CHECKING:
    import safetensors

__all__ = ["read", "write"]

_RECORD = "caffe_fillers"  # a single entry: the library writes several in no certain order


def _library(path: Path) -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError:
        raise CaffeError(
            f"{path}: safetensors files need a library: pip install 'caffe_fillers[safetensors]'"
        ) from None
    return safetensors


def write(path: Path, weights: WeightSet) -> None:
    """Write the arrays, and the provenance as the metadata ``caffe_fillers``, in JSON."""
    weights = unique_names(path, weights, ".safetensors")
    write_arrays(path, keyed(path, weights), describe(weights))


def write_arrays(path: Path, arrays: Mapping[str, Array], record: dict[str, object]) -> None:
    """Write named arrays and a record, byte for byte as the library does.

    By hand, since the library writes to a temporary file of its own, which stays when the process is killed.
    """
    # float64 before float32, so that every array is aligned
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header: dict[str, object] = {"__metadata__": {_RECORD: to_json(record)}}
    end = 0
    for name, array in ordered:
        start, end = end, end + array.nbytes
        kind = f"F{8 * array.itemsize}"
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path, end) as temporary, open(temporary, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, array in ordered:
            file.write(array.reshape(-1).view(np.uint8).data)


def read(path: Path) -> WeightSet:
    """Read arrays that are float32 or float64; the library checks that the header and the data agree."""
    arrays, record = read_arrays(path)
    return from_keys(path, arrays, record)


def _open(library: ModuleType, path: Path) -> safetensors.safe_open:
    # a mapped file counts as memory, and kills the process if the file is truncated meanwhile; older versions only map
    try:
        file: safetensors.safe_open = library.safe_open(path, framework="np", backend="pread")
    except TypeError:
        file = library.safe_open(path, framework="np")
    return file


def read_arrays(path: Path) -> tuple[dict[str, Array], dict[str, object] | None]:
    """Return the named arrays and the record, if there is one."""
    library = _library(path)
    check_readable(path)
    arrays = {}
    try:
        with _open(library, path) as file:
            metadata = file.metadata() or {}
            for key in file.keys():  # noqa: SIM118
                part = file.get_slice(key)
                if part.get_dtype() not in ("F32", "F64"):
                    raise CaffeError(
                        f"{path}: the array {key[:80]!a} holds {part.get_dtype()}, but blobs are float32 or float64"
                    )
                try:
                    check_count(part.get_shape())
                except ValueError as error:
                    raise CaffeError(f"{path}: the array {key[:80]!a} {error}") from None
                arrays[key] = file.get_tensor(key)
    except CaffeError:
        raise
    except (library.SafetensorError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise CaffeError(f"{path}: is a damaged .safetensors file: {error}") from None
    return arrays, from_json(path, metadata[_RECORD]) if _RECORD in metadata else None
