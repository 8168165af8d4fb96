"""``.npz``: NumPy's archive with arrays named ``<layer>/<index>``, uncompressed, and one JSON entry.

The same weights and provenance give the same bytes. Nothing in a file read here can run code: pickles are refused.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from ..arrays import Array, Dtype
from ..errors import CaffeError
from ..files import check_readable, replacing
from ._set import WeightSet, check_count, describe, from_json, from_keys, keyed, to_json, unique_names

__all__ = ["read", "read_arrays", "read_npy", "write", "write_arrays"]

RECORD = "provenance.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold
_SPARE = 256 << 20  # the size to which a small file may unpack: weights that are mostly zero shrink a thousandfold
_RATIO = 100
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


def write(path: Path, weights: WeightSet) -> None:
    """Write the arrays, and the provenance as the entry ``provenance.json``."""
    weights = unique_names(path, weights, "an .npz")
    write_arrays(path, keyed(path, weights), describe(weights))


def write_arrays(path: Path, arrays: Mapping[str, Array], record: dict[str, object]) -> None:
    """Write named arrays and a record, which is an array of text, so that NumPy can read all."""
    held = np.array(to_json(record))
    size = sum(array.nbytes for array in arrays.values())
    with replacing(path, size) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(_entry(f"{name}.npy", array.nbytes), "w", force_zip64=True) as file:
                npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(array))
                if array.size:
                    file.write(array.reshape(-1).view(np.uint8).data)
        with archive.open(_entry(f"{RECORD}.npy", held.nbytes), "w", force_zip64=True) as file:
            npy.write_array(file, held, allow_pickle=False)


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3  # the same bytes on every system
    info.external_attr = 0o644 << 16
    info.file_size = size
    return info


def read(path: Path) -> WeightSet:
    """Read an archive of arrays; its sizes are checked before anything is allocated."""
    arrays, record = read_arrays(path)
    return from_keys(path, arrays, record)


def read_arrays(path: Path) -> tuple[dict[str, Array], dict[str, object] | None]:
    """Return the named arrays and the record, if there is one."""
    size = check_readable(path)
    arrays: dict[str, Array] = {}
    record: dict[str, object] | None = None
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive, size)
            for info in archive.infolist():
                if info.filename == RECORD:  # an early form of the record
                    record = from_json(path, archive.read(info))
                    continue
                if info.filename == f"{RECORD}.npy":
                    record = from_json(path, _text(path, archive.read(info)))
                    continue
                if not info.filename.endswith(".npy"):
                    raise CaffeError(f"{path}: {_foreign(info.filename)}")
                key = info.filename.removesuffix(".npy")
                if key in arrays:
                    raise CaffeError(f"{path}: holds the array {key[:80]!a} twice")
                with archive.open(info) as file:
                    arrays[key] = read_npy(f"{path}: the array {key[:80]!a}", file, info.file_size)
    except CaffeError:
        raise
    except _DAMAGED as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]  # zipfile quotes whole names
        raise CaffeError(f"{path}: is a damaged .npz: {what[:200]}") from None
    return arrays, record


def _text(path: Path, data: bytes) -> str:
    """Return the text in an array of one element."""
    held = npy.read_array(io.BytesIO(data), allow_pickle=False)
    if held.shape != () or held.dtype.kind != "U":
        raise CaffeError(f"{path}: its {RECORD} is no text")
    return str(held)


def _foreign(name: str) -> str:
    if name.endswith(("data.pkl", ".pkl", ".pickle")):
        return (
            f"holds pickled objects ({name[:80]!a}), which could run code and are never read; "
            "a PyTorch checkpoint: save its tensors with safetensors"
        )
    return f"holds {name[:80]!a}, which is no array: not an .npz of weights"


def _check_sizes(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    members = archive.infolist()
    flat = sum(info.file_size for info in members if info.compress_type == zipfile.ZIP_STORED)
    whole = sum(info.file_size for info in members)
    if flat > size or whole > _RATIO * size + _SPARE:
        raise CaffeError(f"{path}: its {size} bytes claim to hold {whole} bytes of arrays: refused as a zip bomb")


def read_npy(what: str, file: IO[bytes], size: int) -> Array:
    """Read the .npy in a stream of `size` bytes, after a check that they are as many as its header says."""
    # headers of arrays are short; the bound keeps a hostile one from a long parse
    head = file.read(min(size, 2048))
    stream = io.BytesIO(head)
    try:
        shape, fortran, dtype = _header(stream)
    except ValueError as error:
        raise CaffeError(f"{what} has no readable header ({error})") from None
    if dtype.hasobject:
        raise CaffeError(f"{what} holds pickled objects, which could run code: refused")
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise CaffeError(f"{what} holds {dtype}, but blobs are float32 or float64")
    try:
        count = check_count(shape)
    except ValueError as error:
        raise CaffeError(f"{what} {error}") from None
    if count * dtype.itemsize != size - stream.tell():
        raise CaffeError(
            f"{what} declares {math.prod(shape)} values of {dtype}, "
            f"but {size - stream.tell()} bytes follow: the file is damaged"
        )
    values = np.empty(count, dtype)
    into = values.view(np.uint8).data
    rest = head[stream.tell() :]
    into[: len(rest)] = rest
    into = into[len(rest) :]
    while len(into):
        block = file.read(min(len(into), 1 << 20))
        if not block:
            raise CaffeError(f"{what} is cut off: the file is damaged")
        into[: len(block)] = block
        into = into[len(block) :]
    if file.read(1):
        raise CaffeError(f"{what} is longer than declared: the file is damaged")
    shaped = values.reshape(shape, order="F" if fortran else "C")
    return shaped.astype(dtype.newbyteorder("="), order="C", copy=False)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, Dtype]:
    """Read shape, order and dtype from the header of an array; raise ValueError for a bad one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            version = npy.read_magic(stream)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read_header(stream)
    except Exception as error:  # a header is parsed as Python, and a damaged one can fail in any way
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0][:200]) from None
    return shape, fortran, dtype
