"""Weights in every format: read by content, written by suffix, compared bit for bit."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import overload

import numpy as np

from ..arrays import Array
from ..errors import CaffeError, CaffeWarning
from ..files import as_path, check_readable
from ._set import LayerBlobs, Weights, WeightSet, as_mapping, as_set, describe, from_keys, stored
from .comparing import Comparison, Difference, compare
from .mean import load_mean, save_mean
from .mistaken import holds, is_state, state_of

__all__ = [
    "Comparison",
    "Difference",
    "LayerBlobs",
    "WeightSet",
    "Weights",
    "compare",
    "load_mean",
    "load_weights",
    "read",
    "save_mean",
    "save_weights",
]

_SUFFIXES = {
    ".npz": "npz",
    ".caffemodel": "caffemodel",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".safetensors": "safetensors",
}
_KEYED = ("npz", "safetensors")  # formats that name each array
_HDF5 = b"\x89HDF\r\n\x1a\n"


@overload
def load_weights(path: str | os.PathLike[str], names: None = None) -> Weights: ...
@overload
def load_weights(path: str | os.PathLike[str], names: str) -> OrderedDict[str, Array]: ...
def load_weights(path: str | os.PathLike[str], names: str | None = None) -> Weights | OrderedDict[str, Array]:
    """Read a net's weights from a file of any format.

    The content tells the format, not the suffix: ``.caffemodel`` of every age, ``.npz``, Caffe's HDF5,
    ``.safetensors``. A file can't run code, and sizes are checked before memory is allocated.

    Parameters
    ----------
    path : str or PathLike
    names : {None, "torch"}, optional
        ``"torch"`` gives the arrays the names and shapes of PyTorch's ``state_dict``; see Notes. None keeps Caffe's.

    Returns
    -------
    OrderedDict of str to list of ndarray
        Layer name -> its blobs, float32 or float64 as stored, for every layer that has blobs, in the net's order.
        With ``names="torch"``: OrderedDict of str to ndarray.

    Raises
    ------
    CaffeError
        If the file can't be read, is damaged, is of no known format, or (``names="torch"``) a layer has no counterpart
        in PyTorch.

    Warns
    -----
    CaffeWarning
        If two layers have the same name: the last one counts, as in pycaffe.

    Notes
    -----
    ``names="torch"`` maps, for a layer called ``NAME``:

    ============================ =============================================================================
    Convolution, Deconvolution   ``NAME.weight``, ``NAME.bias`` of ConvNd, ConvTransposeNd
    InnerProduct                 ``NAME.weight`` (out, in), ``NAME.bias`` of Linear
    Embed                        ``NAME.weight`` of Embedding (no bias)
    PReLU                        ``NAME.weight`` of PReLU
    BatchNorm                    ``NAME.running_mean``, ``NAME.running_var``: both divided by the stored factor,
                                 0 where that is 0
    BatchNorm of five blobs      also ``NAME.weight``, ``NAME.bias``: NVIDIA/caffe, intel/caffe
    Scale right after BatchNorm  ``NAME.weight``, ``NAME.bias``, ``NAME`` the BatchNorm's
    ============================ =============================================================================

    Everything else with weights is refused by name.

    Examples
    --------
    >>> import numpy as np
    >>> import caffe_fillers as cf
    >>> cf.save_weights("w.npz", {"ip": [np.zeros((2, 3), np.float32), np.ones(2, np.float32)]})
    >>> weights = cf.load_weights("w.npz")
    >>> [array.shape for array in weights["ip"]]
    [(2, 3), (2,)]
    """
    _check_names(names)
    if names == "torch":
        return _load_torch(as_path(path))
    source = read(path)
    weights = as_mapping(source)
    seen = [layer.name for layer in source.layers if layer.arrays]
    if len(seen) > len(weights):
        twice = ", ".join(f"'{name}'" for name in weights if seen.count(name) > 1)
        warnings.warn(f"{path}: several layers are named {twice}: the last counts", CaffeWarning, stacklevel=2)
    return weights


def save_weights(
    path: str | os.PathLike[str], weights: WeightSet | Mapping[str, Sequence[object]], names: str | None = None
) -> None:
    """Write a net's weights in the format of the suffix; the file is complete or absent.

    The same weights give the same file, byte for byte. Every bit is kept, NaN payloads and -0.0 included.

    Parameters
    ----------
    path : str or PathLike
        ``.npz``, ``.caffemodel``, ``.h5``, ``.hdf5`` or ``.safetensors``. An existing file is replaced only once
        the new one is complete.
    weights : mapping of str to sequence of ndarray or Blob
        Layer name -> its blobs, float32 or float64. The result of `load_weights` keeps its layers' types, its layers
        without blobs and its provenance.
    names : {None, "torch"}, optional
        ``"torch"`` writes the arrays under the names and in the shapes of PyTorch's ``state_dict``, as in
        `load_weights`; only to ``.npz`` and ``.safetensors``. It needs the layers' types, which weights from a
        ``.caffemodel`` or from a Net have. The result of ``load_weights(..., names="torch")`` is written unchanged.
        None keeps Caffe's names.

    Raises
    ------
    CaffeError
        If the suffix is unknown, the format can't hold the weights (a ``.caffemodel`` over 2 GB, two layers of one
        name in ``.npz``, ...) or the file can't be written. An older file stays unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> import caffe_fillers as cf
    >>> cf.save_weights("w.caffemodel", {"ip": [np.zeros((2, 3), np.float32)]})
    >>> cf.save_weights("w.txt", {})
    Traceback (most recent call last):
        ...
    caffe_fillers.errors.CaffeError: w.txt: the suffix names no format: use .npz, .caffemodel, .h5, .hdf5, .safetensors
    """
    _check_names(names)
    target = as_path(path)
    kind = _SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise CaffeError(f"{target}: the suffix names no format: use {', '.join(_SUFFIXES)}")
    if names == "torch":
        _save_torch(target, kind, weights)
    else:
        _module(kind).write(target, as_set(weights))


def read(path: str | os.PathLike[str]) -> WeightSet:
    """Read a file of any format with all it holds: layers without blobs, equal names, headers, provenance.

    Raises
    ------
    CaffeError
        As `load_weights`.
    """
    source = as_path(path)
    kind, head = _kind(source)
    try:
        result: WeightSet = _module(kind).read(source)
    except CaffeError:
        if kind == "caffemodel":
            if state := state_of(source):
                raise is_state(source, *state) from None
            if what := holds(head):
                raise CaffeError(f"{source}: is {what}, not a net's weights") from None
        raise
    result.format = kind
    return result


def _kind(source: Path) -> tuple[str, bytes]:
    """Tell the format by the content; return the file's first bytes too."""
    size = check_readable(source)
    if size == 0:
        raise CaffeError(f"{source}: is empty")
    with open(source, "rb") as file:
        head = file.read(512)
        # an HDF5 file may begin with a user block of 512 bytes, or twice, four times ... as many
        offsets = [0] + [512 << n for n in range(16) if 512 << n < size]
        is_hdf5 = any(file.seek(offset) == offset and file.read(8) == _HDF5 for offset in offsets)
    if is_hdf5:
        return "hdf5", head
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz", head
    if size > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8:
        return "safetensors", head
    return "caffemodel", head


def _load_torch(path: Path) -> OrderedDict[str, Array]:
    from .torch import to_torch

    kind, _ = _kind(path)
    if kind not in _KEYED:
        return to_torch(path, read(path))
    arrays, record = _module(kind).read_arrays(path)
    if record and record.get("names") == "torch":
        return OrderedDict(arrays)
    return to_torch(path, from_keys(path, arrays, record))


def _save_torch(path: Path, kind: str, weights: object) -> None:
    from .torch import to_torch

    if kind not in _KEYED:
        raise CaffeError(f"{path}: names='torch' is for .npz and .safetensors: this format names layers, not arrays")
    if isinstance(weights, Mapping) and weights and all(isinstance(array, np.ndarray) for array in weights.values()):
        # the result of load_weights(..., names="torch")
        arrays, record = {name: stored(path, name, 0, array) for name, array in weights.items()}, {}
    else:
        source = as_set(weights)
        arrays, record = dict(to_torch(path, source)), describe(source)
    _module(kind).write_arrays(path, arrays, record | {"names": "torch"})


def _check_names(names: str | None) -> None:
    if names not in (None, "torch"):
        raise CaffeError(f"names must be None or 'torch', got {names!r}")


def _module(kind: str) -> ModuleType:
    # a format's libraries are imported only for a file of that format
    from importlib import import_module

    return import_module(f".{kind}", __name__)
