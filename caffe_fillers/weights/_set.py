"""The format-independent form of weights: a net's layers in order, with their arrays."""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np

from ..arrays import Array
from ..encoding import as_text
from ..errors import CaffeError

if TYPE_CHECKING:
    from .. import schema

__all__ = [
    "MAX_COUNT",
    "LayerBlobs",
    "LayerEntry",
    "WeightSet",
    "Weights",
    "as_mapping",
    "as_set",
    "check_count",
    "describe",
    "from_json",
    "from_keys",
    "keyed",
    "layer_entries",
    "restore",
    "stored",
    "to_json",
    "unique_names",
]

MAX_COUNT = 2**31 - 1  # Caffe counts a blob's values, and the bytes of a message, in an int
MAX_AXES = 32
_KEY = re.compile(r"(.*)/(0|[1-9][0-9]{0,8})", re.DOTALL)


class LayerEntry(TypedDict, total=False):
    """The record of one layer."""

    name: str
    type: str
    bottom: list[str]
    top: list[str]
    transpose: bool
    legacy: list[int]


@dataclass(slots=True)
class LayerBlobs:
    """One layer's weights.

    Attributes
    ----------
    name : str
    arrays : list of ndarray
        The blobs in Caffe's order. ``None`` stands for a blob that the file leaves out because another layer owns it
        (only Caffe's HDF5 does so).
    message : LayerParameter, optional
        The layer's own parameters, without blobs: what a ``.caffemodel`` holds beside the weights.
    owned : list of bool, optional
        ``False`` for a blob that is shared from an earlier layer.
    legacy : list of bool, optional
        ``True`` for a blob whose shape was given as num, channels, height, width; such a shape is compared with ones
        padded on its left.
    diffs : list of ndarray, optional
        The blobs' gradients, which a snapshot may hold beside them.
    """

    name: str
    arrays: list[Any]
    message: schema.LayerParameter | None = None
    owned: list[bool] | None = None
    legacy: list[bool] | None = None
    diffs: list[Array] | None = None


@dataclass(slots=True)
class WeightSet:
    """A net's weights: layers in order, layers without blobs and layers of equal names included.

    Attributes
    ----------
    layers : list of LayerBlobs
    name : str
        The net's name.
    provenance : dict, optional
        Where the weights come from, as the file says: plain values that JSON can hold.
    format : str
        The format that the set was read from: "npz", "caffemodel", "hdf5", "safetensors"; else empty.
    """

    layers: list[LayerBlobs]
    name: str = ""
    provenance: dict[str, object] | None = None
    format: str = ""


class Weights(OrderedDict[str, list[Any]]):
    """The result of `load_weights`: layer name -> list of arrays, in the net's order.

    A dictionary in every respect. It also remembers in `source` what a dictionary has no place for (layer types,
    layers without blobs, provenance), so that saving it again loses nothing.
    """

    source: WeightSet

    def __init__(self, *items: object, source: WeightSet | None = None) -> None:
        super().__init__(*items)
        if source is None:
            source = items[0].source if items and isinstance(items[0], Weights) else WeightSet([])
        self.source = source

    def copy(self) -> Weights:
        return Weights(self)

    __copy__ = copy

    def __reduce__(self) -> tuple[object, ...]:
        return OrderedDict, (list(self.items()),)  # message classes outside the default pool cannot be pickled


def as_mapping(source: WeightSet) -> Weights:
    """Return a set as a dictionary; of several layers with one name the last counts, as in pycaffe."""
    return Weights(((layer.name, list(layer.arrays)) for layer in source.layers if layer.arrays), source=source)


def as_set(weights: object) -> WeightSet:
    """Return the caller's mapping of names to arrays or Blobs in the form that the formats write."""
    if isinstance(weights, WeightSet):
        return weights
    if not isinstance(weights, Mapping):
        raise CaffeError(
            f"weights must be a mapping of layer names to lists of arrays, got {type(weights).__name__}: "
            "pass net.params, or what load_weights returned"
        )
    given = {_name(name): _arrays(name, arrays) for name, arrays in weights.items()}
    if not isinstance(weights, Weights):
        return WeightSet([LayerBlobs(name, arrays) for name, arrays in given.items()])

    source = weights.source
    last = {layer.name: index for index, layer in enumerate(source.layers) if layer.arrays}
    layers = []
    for index, layer in enumerate(source.layers):
        arrays = layer.arrays
        if last.get(layer.name) == index:
            if layer.name not in given:
                continue
            arrays = given.pop(layer.name)
        unchanged = len(arrays) == len(layer.arrays) and all(
            new is old for new, old in zip(arrays, layer.arrays, strict=True)
        )
        owned, legacy = (layer.owned, layer.legacy) if unchanged else (None, None)
        layers.append(LayerBlobs(layer.name, arrays, layer.message, owned, legacy))
    layers += [LayerBlobs(name, arrays) for name, arrays in given.items()]
    return WeightSet(layers, source.name, source.provenance)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise CaffeError(f"a layer's name must be a str, got {name!r}")
    return name


def _arrays(name: str, values: object) -> list[Array | None]:
    if isinstance(values, np.ndarray) or not isinstance(values, Iterable):
        raise CaffeError(f"layer '{name}': a list of arrays is needed, got {type(values).__name__}: write [array]")
    arrays: list[Array | None] = []
    for value in values:
        # a Blob, as in net.params; an array's own `data` is its buffer
        inner = value if isinstance(value, np.ndarray) or value is None else getattr(value, "data", value)
        arrays.append(inner if isinstance(inner, np.ndarray) or inner is None else np.asarray(inner))
    return arrays


def stored(path: Path, layer: str, index: int, array: object) -> Array:
    """Return the array as files hold it: little-endian, C order, float32 or float64; copied only if needed."""
    if array is None:
        raise CaffeError(
            f"{path}: blob {layer}/{index} is missing: the file it came from leaves it to the layer that owns it; "
            "load that file into its Net (weights=) and save the Net"
        )
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        found = getattr(array, "dtype", type(array).__name__)
        raise CaffeError(
            f"{path}: blob {layer}/{index} holds {found}, but Caffe's blobs are float32 or float64: "
            "convert it with astype first"
        )
    if array.ndim > MAX_AXES or array.size > MAX_COUNT:
        raise CaffeError(f"{path}: blob {layer}/{index} of shape {array.shape} is larger than a blob of Caffe's can be")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def check_count(shape: Sequence[int]) -> int:
    """Return the number of values of a shape, or raise ValueError where Caffe would refuse it."""
    if len(shape) > MAX_AXES:
        raise ValueError(f"has {len(shape)} axes, more than the {MAX_AXES} that Caffe allows")
    if any(dim < 0 for dim in shape):
        raise ValueError(f"has a negative dimension in its shape {_dims(shape)}")
    count, held = math.prod(shape), math.prod(dim for dim in shape if dim)
    # NumPy multiplies dims although one of them is zero
    if count > MAX_COUNT or max(shape, default=0) > MAX_COUNT or held > 1 << 60:
        raise ValueError(f"of shape {_dims(shape)} would hold more than {MAX_COUNT} values")
    return count


def _dims(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "()"


def unique_names(path: Path, weights: WeightSet, holds: str) -> WeightSet:
    """Return the set for a format that keys its arrays by name, or refuse it.

    Of several layers of one name only the one with weights is kept, else the first.
    """
    holding = {layer.name for layer in weights.layers if layer.arrays}
    kept: dict[str, LayerBlobs] = {}
    for layer in weights.layers:
        if layer.arrays and layer.name in kept:
            raise CaffeError(
                f"{path}: two layers are named '{layer.name}' and hold weights, and {holds} holds a name once\n"
                "name one of them otherwise in the prototxt, or save as .caffemodel, which holds both"
            )
        if layer.arrays or layer.name not in holding:
            kept.setdefault(layer.name, layer)
        try:
            size = len(layer.name.encode())
        except UnicodeEncodeError:
            size = -1
        if size < 0 or size > 60_000 or "\0" in layer.name:
            raise CaffeError(
                f"{path}: the layer name {layer.name[:60]!a} cannot stand in {holds} "
                "(NUL, broken Unicode or over 60,000 bytes): rename the layer, or save as .caffemodel"
            )
    return WeightSet(list(kept.values()), weights.name, weights.provenance, weights.format)


def keyed(path: Path, weights: WeightSet) -> dict[str, Array]:
    """Return the arrays for a file that names each of them: ``<layer>/<index>``."""
    return {
        f"{layer.name}/{index}": stored(path, layer.name, index, array)
        for layer in weights.layers
        for index, array in enumerate(layer.arrays)
    }


def from_keys(path: Path, arrays: Mapping[str, Array], record: dict[str, object] | None) -> WeightSet:
    """Gather arrays named ``<layer>/<index>`` into layers, in the order of the record, else of the file."""
    if record and record.get("names") == "torch":
        raise CaffeError(f"{path}: its arrays have PyTorch's names: read it with names='torch'")
    found: dict[str, dict[int, Array]] = {}
    for key, array in arrays.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise CaffeError(
                f"{path}: the array {key[:80]!a} is not named <layer>/<index> (such as conv1/0), so it is no "
                "blob of a Caffe layer: rename the arrays, or start from a .caffemodel"
            )
        found.setdefault(match[1], {})[int(match[2])] = array
    for name, blobs in found.items():
        if sorted(blobs) != list(range(len(blobs))):
            raise CaffeError(f"{path}: layer '{name}' has the blobs {sorted(blobs)}: their indices must be 0, 1, ...")

    order = dict.fromkeys(entry["name"] for entry in layer_entries(record)) | dict.fromkeys(found)
    layers = []
    for name in order:
        blobs = found.get(name, {})
        layers.append(LayerBlobs(name, [blobs[index] for index in range(len(blobs))]))
    return restore(layers, record)


def layer_entries(record: Mapping[str, object] | None) -> list[LayerEntry]:
    return list(cast("list[LayerEntry]", record["layers"])) if record and "layers" in record else []


def restore(layers: list[LayerBlobs], record: dict[str, object] | None) -> WeightSet:
    """Return the set from the layers as read and the record beside them."""
    entries = {entry["name"]: entry for entry in layer_entries(record)}
    for layer in layers:
        old = entries.get(layer.name, LayerEntry()).get("legacy")
        if isinstance(old, list) and layer.arrays:
            layer.legacy = [index in old for index in range(len(layer.arrays))]
    name = record.get("name") if record else None
    return WeightSet(layers, name if isinstance(name, str) else "", record)


def describe(weights: WeightSet) -> dict[str, object]:
    """Return the record for a file: the provenance, and each layer's name, type and further data.

    Needed for what the arrays alone don't say: the order, layers without blobs, and the types for other names.
    """
    known = {entry["name"]: entry for entry in layer_entries(weights.provenance)}
    layers = []
    for layer in weights.layers:
        entry: LayerEntry = {**known.get(layer.name, LayerEntry()), "name": layer.name}
        entry.pop("legacy", None)
        message = layer.message
        if message is not None:
            entry["type"] = as_text(message.type)
            entry["bottom"] = [as_text(name) for name in message.bottom]
            entry["top"] = [as_text(name) for name in message.top]
            if message.inner_product_param.transpose:
                entry["transpose"] = True
        if layer.legacy and any(layer.legacy):
            entry["legacy"] = [index for index, old in enumerate(layer.legacy) if old]
        layers.append(entry)
    record: dict[str, object] = {**(weights.provenance or {}), "layers": layers}
    if weights.name:
        record["name"] = weights.name
    return record


def to_json(record: object) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def from_json(path: Path, data: str | bytes) -> dict[str, object]:
    """Read a record, and refuse what `describe` can't have written."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CaffeError(f"{path}: the provenance is not readable as JSON ({error})") from None
    entries = record.get("layers", []) if isinstance(record, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries
    ):
        raise CaffeError(f"{path}: the provenance is not of the form that caffe_fillers writes")
    for entry in entries:
        _drop_odd(entry, type=str, bottom=list, top=list)
    _drop_odd(record, blobs=dict)
    for key, blob in list((record.get("blobs") or {}).items()):
        if not isinstance(blob, dict):
            del record["blobs"][key]
    return dict(record)


def _drop_odd(fields: dict[str, object], **kinds: type) -> None:
    """Take out entries of the wrong kind; lists keep their text."""
    for key, kind in kinds.items():
        value = fields.get(key)
        sound = isinstance(value, kind)
        if kind is list and isinstance(value, list):
            sound = all(isinstance(each, str) for each in value)
        if value is not None and not sound:
            del fields[key]
