"""``.caffemodel.h5``, ``.h5``: Caffe's HDF5 layout, ``/data/<layer>/<index>``, a group for every layer.

What the record beside the arrays holds stands in attributes, which Caffe does not look at: the file's on the root, a
layer's on its group, a blob's on its dataset.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import numpy as np

from ..arrays import Array
from ..encoding import as_bytes, as_text
from ..errors import CaffeError, CaffeWarning
from ..files import check_readable, replacing
from ._set import (
    LayerBlobs,
    WeightSet,
    check_count,
    describe,
    from_json,
    layer_entries,
    restore,
    stored,
    to_json,
    unique_names,
)
from .mistaken import is_state

if TYPE_CHECKING:
    import h5py
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["open_to_read", "open_to_write", "read", "write"]

_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_SPARE = 256 << 20
_RATIO = 100
_DAMAGED = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
_DEEPEST = 256
_RESERVED = ("name", "order", "shared")


def _h5py(path: Path) -> ModuleType:
    try:
        import h5py
    except ImportError:
        raise CaffeError(f"{path}: HDF5 needs h5py: pip install 'caffe_fillers[hdf5]'") from None
    module: ModuleType = h5py
    return module


# ---------------------------------------------------------------------------------------------------------- writing


class _Outlet(io.RawIOBase):
    """A file that HDF5 writes to and that never fails: libhdf5 crashes when it can't write its buffers."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115
        self._at = 0

    def write(self, data: ReadableBuffer) -> int:
        rest = memoryview(data).cast("B")
        count = len(rest)
        try:
            self._file.seek(self._at)
            while len(rest) and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        self._at += count
        return count

    def readinto(self, into: WriteableBuffer) -> int:
        self._file.seek(self._at)
        view = memoryview(into).cast("B")
        count = self._file.readinto(view) or 0
        if self.error is not None:
            count = len(view)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._at, 2: self._file.seek(0, 2)}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        size = self._at if size is None else size
        try:
            self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def open_to_write(path: Path, size: int) -> Iterator[tuple[ModuleType, h5py.File]]:
    """Give h5py and an open file, which becomes `path` when the block ends well."""
    h5py = _h5py(path)
    with replacing(path, size) as temporary, _Outlet(temporary) as outlet:
        try:
            with h5py.File(outlet, "w", track_order=False) as file:
                yield h5py, file
        except _DAMAGED as error:
            if outlet.error is None and not isinstance(error, CaffeError):
                raise CaffeError(f"{path}: cannot be written as HDF5: {_line(error)}") from error
            if outlet.error is None:
                raise
        if outlet.error is not None:
            raise outlet.error


@contextmanager
def open_to_read(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; errors of h5py in the block become errors about damage."""
    h5py = _h5py(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except CaffeError:
        raise
    except _DAMAGED as error:
        raise CaffeError(f"{path}: is a damaged HDF5 file: {_line(error)}") from None


def write(path: Path, weights: WeightSet) -> None:
    """Write as Caffe does: float32 or float64 datasets, empty groups too, a shared blob only at its owner.

    Warns
    -----
    CaffeWarning
        For layer names with ``/``, which become nested groups: read back here, but Caffe itself cannot.
    """
    weights = unique_names(path, weights, "HDF5")
    _check_names(path, weights)
    size = sum(array.nbytes for layer in weights.layers for array in layer.arrays if array is not None)
    record = describe(weights)
    entries, blobs = layer_entries(record), cast("dict[str, object]", record.pop("blobs", {}))
    del record["layers"]
    with open_to_write(path, size) as (h5py, file):
        for key, value in sorted(record.items()):
            _attribute(file, key, value)
        data = file.create_group("data")
        homes: dict[tuple[int, int], str] = {}
        for order, (layer, entry) in enumerate(zip(weights.layers, entries, strict=True)):
            group = _group(h5py, data, layer.name)
            _attribute(group, "order", order)
            for key, value in sorted(entry.items()):
                if key not in _RESERVED:
                    _attribute(group, key, value)
            _write_layer(path, group, layer, homes, blobs)
        _write_diffs(path, file, weights)
    nested = [layer.name for layer in weights.layers if "/" in layer.name]
    if nested:
        warnings.warn(
            f"{path}: {len(nested)} layer names hold a '/' ('{nested[0]}' ...): written as nested groups, which are "
            "read back here, but which Caffe itself cannot read; a .caffemodel has no such limit",
            CaffeWarning,
            stacklevel=3,
        )


def _check_names(path: Path, weights: WeightSet) -> None:
    blobs = {f"{layer.name}/{index}" for layer in weights.layers for index in range(len(layer.arrays))}
    for layer in weights.layers:
        parts = layer.name.split("/")
        if "" in parts or "." in parts or len(parts) > _DEEPEST:
            raise CaffeError(
                f"{path}: HDF5 cannot hold a layer named '{layer.name[:80]}' (an empty or '.' part, or hundreds): "
                "save as .caffemodel or .npz"
            )
        stems = ("/".join(parts[:end]) for end in range(1, len(parts) + 1))
        taken = next((stem for stem in stems if stem in blobs), None)
        if taken:
            raise CaffeError(
                f"{path}: HDF5 cannot hold layer '{layer.name}' beside the blob {taken}: save as .caffemodel or .npz"
            )


def _write_layer(
    path: Path,
    group: h5py.Group,
    layer: LayerBlobs,
    homes: dict[tuple[int, int], str],
    blobs: Mapping[str, object],
) -> None:
    shared = {}
    for index, array in enumerate(layer.arrays):
        key = f"{layer.name}/{index}"
        if layer.owned and not layer.owned[index] and array is not None:
            home = homes.get((array.__array_interface__["data"][0], array.nbytes))
            if home is not None:
                shared[str(index)] = {"blob": home, "shape": list(array.shape)}
                continue
        values = stored(path, layer.name, index, array)
        if values.size:
            homes.setdefault((array.__array_interface__["data"][0], array.nbytes), key)
        dataset = group.create_dataset(str(index), data=values, track_times=False)
        if key in blobs:
            _attribute(dataset, "provenance", blobs[key])
    if shared:
        _attribute(group, "shared", shared)


def _write_diffs(path: Path, file: h5py.File, weights: WeightSet) -> None:
    if all(layer.diffs is None for layer in weights.layers):
        return
    diff = file.create_group("diff")
    for layer in weights.layers:
        group = diff.require_group(layer.name)
        for index, array in enumerate(layer.diffs or ()):
            group.create_dataset(str(index), data=stored(path, layer.name, index, array), track_times=False)


def _attribute(owner: h5py.HLObject, key: str, value: object) -> None:
    text = to_json(value)
    if len(text) < 60_000:  # an attribute of HDF5 has at most 64 KB; only the bottoms of a huge Concat need more
        owner.attrs[key] = np.bytes_(text)


# ---------------------------------------------------------------------------------------------------------- reading


def read(path: Path) -> WeightSet:
    """Read Caffe's layout. Links out of the file are refused, and sizes held against it before memory is taken.

    Warns
    -----
    CaffeWarning
        If Caffe left out a shared blob: ``None`` stands in its place.
    """
    h5py = _h5py(path)
    size = check_readable(path)
    try:
        with h5py.File(path, "r") as file:
            return _Reader(h5py, path, file, size).weights()
    except CaffeError:
        raise
    except _DAMAGED as error:
        raise CaffeError(f"{path}: is a damaged HDF5 file: {_line(error)}") from None


class _Reader:
    def __init__(self, h5py: ModuleType, path: Path, file: h5py.File, size: int) -> None:
        self.h5py = h5py
        self.path = path
        self.file = file
        self.size = size
        self.blobs: dict[str, object] = {}
        self.seen: set[object] = set()
        self.unpacked = 0

    def weights(self) -> WeightSet:
        data = self.child(self.file, "data") if "data" in self.file else None
        if not isinstance(data, self.h5py.Group):
            if "iter" in self.file and "history" in self.file:
                raise is_state(self.path, int(self.file["iter"][...].reshape(-1)[0]), self.learned_net())
            names = ", ".join(map(str, list(self.file)[:8])) or "nothing"
            raise CaffeError(
                f"{self.path}: is HDF5, but not Caffe's weights: there is no group /data; it holds {names}"
            )
        found = list(self.layers(data, "", 0))
        if all(isinstance(order, int) for _, order, _ in found):
            found.sort(key=lambda item: item[1] or 0)
        if self.unpacked > _RATIO * self.size + _SPARE:
            raise CaffeError(f"{self.path}: its {self.size} bytes would unpack to {self.unpacked}: refused as a bomb")
        layers, entries, arrays = [], [], {}
        shared = []
        for name, _, indices in found:
            group = self.opened(data, name)
            layer = LayerBlobs(name, self.arrays(name, group, indices))
            arrays.update({f"{name}/{index}": array for index, array in enumerate(layer.arrays)})
            if "shared" in group.attrs:
                shared.append((layer, self.attribute(group, "shared")))
            layers.append(layer)
            entries.append(
                {key: self.attribute(group, key) for key in group.attrs if key not in _RESERVED} | {"name": name}
            )
        for layer, where in shared:
            self.share(layer, where, arrays)
        self.warn_of_gaps(layers)
        record = {key: self.attribute(self.file, key) for key in self.file.attrs}
        record |= {"layers": entries} | ({"blobs": self.blobs} if self.blobs else {})
        return restore(layers, from_json(self.path, to_json(record)))

    def learned_net(self) -> str:
        value = self.file["learned_net"][()] if "learned_net" in self.file else ""
        return as_text(value) if isinstance(value, (bytes, str)) else ""

    def child(self, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
        if group.id.links.get_info(as_bytes(name)).type != self.h5py.h5l.TYPE_HARD:
            link = type(group.get(name, getlink=True)).__name__ if name.isascii() else "link"
            raise CaffeError(
                f"{self.path}: {group.name}/{name} is a {link}, which may point outside the file: it is not followed"
            )
        return self.opened(group, name)

    def opened(self, group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset:
        found = self.h5py.h5o.open(group.id, as_bytes(path))
        if isinstance(found, self.h5py.h5g.GroupID):
            return self.h5py.Group(found)
        if isinstance(found, self.h5py.h5d.DatasetID):
            return self.h5py.Dataset(found)
        raise CaffeError(f"{self.path}: {path} is neither a group nor a dataset")

    def layers(self, group: h5py.Group, prefix: str, depth: int) -> Iterator[tuple[str, int | None, list[int]]]:
        """Yield name, order and blobs of the groups that are layers: with blobs, with our mark, or without inner
        groups.

        Nothing stays open: HDF5 becomes slow when thousands of its objects are.
        """
        for name in map(as_text, group):
            child = self.child(group, name)
            full = prefix + name
            if not isinstance(child, self.h5py.Group):
                if not prefix:
                    raise CaffeError(f"{self.path}: /data/{full} should be a layer's group, but is no group")
                continue
            mark = self.h5py.h5o.get_info(child.id)
            address = getattr(mark, "token", None) or mark.addr
            if address in self.seen or depth > _DEEPEST:
                raise CaffeError(f"{self.path}: /data/{full} leads in a circle: the file is damaged")
            self.seen.add(address)
            indices = []
            groups = 0
            for key in child:
                inner = self.child(child, key)
                if isinstance(inner, self.h5py.Dataset):
                    if not (key.isascii() and key.isdigit() and str(int(key)) == key):
                        raise CaffeError(
                            f"{self.path}: /data/{full}/{key} is no blob of Caffe's: blobs are named 0, 1, ..."
                        )
                    indices.append(int(key))
                    if inner.chunks:
                        self.unpacked += math.prod(inner.shape) * inner.dtype.itemsize
                else:
                    groups += 1
            marked = "order" in child.attrs
            if indices or marked or not groups:
                order = self.attribute(child, "order") if marked else None
                yield full, order if isinstance(order, int) else None, indices
            if groups:
                yield from self.layers(child, full + "/", depth + 1)

    def arrays(self, name: str, group: h5py.Group, indices: list[int]) -> list[Array | None]:
        most = max(indices, default=-1)
        if most >= 1000:
            raise CaffeError(f"{self.path}: layer '{name}' has a blob {most}: no layer of Caffe's has so many")
        arrays: list[Array | None] = [None] * (most + 1)
        for index in indices:
            key, dataset = f"{name}/{index}", group[str(index)]
            arrays[index] = self.array(key, dataset)
            if "provenance" in dataset.attrs:
                self.blobs[key] = self.attribute(dataset, "provenance")
        return arrays

    def array(self, key: str, dataset: h5py.Dataset) -> Array:
        what = f"{self.path}: the dataset /data/{key}"
        if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (4, 8) or dataset.shape is None:
            raise CaffeError(f"{what} holds {dataset.dtype}, but blobs are float32 or float64")
        if dataset.external or dataset.is_virtual:
            raise CaffeError(f"{what} keeps its values in another file, which is not followed")
        properties = dataset.id.get_create_plist()
        filters = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
        if filters - {_DEFLATE, _SHUFFLE, _FLETCHER32}:
            raise CaffeError(f"{what} needs a plug-in to be read (filter {max(filters)}), which is not loaded")
        try:
            count = check_count(dataset.shape)
        except ValueError as error:
            raise CaffeError(f"{what} {error}") from None
        held = dataset.id.get_storage_size()
        nbytes = count * dataset.dtype.itemsize
        packed = _DEFLATE in filters
        if held > self.size or (held < nbytes if not packed else nbytes and not held):
            raise CaffeError(f"{what} declares {count} values, but {held} bytes of them are there: the file is damaged")
        array = np.empty(dataset.shape, dataset.dtype)
        if count:
            dataset.read_direct(array)
        return array.astype(dataset.dtype.newbyteorder("="), copy=False)

    def attribute(self, owner: h5py.HLObject, key: str) -> object:
        handle = owner.attrs.get_id(key)
        # only strings of fixed length, as we write them: HDF5 trusts the stored length of others
        if handle.shape != () or handle.dtype.kind != "S":
            return None
        try:
            return json.loads(owner.attrs[key])
        except (ValueError, RecursionError):
            return None

    def share(self, layer: LayerBlobs, where: object, arrays: dict[str, Array | None]) -> None:
        """Put back the blobs that another layer owns."""
        items = where.items() if isinstance(where, dict) else []
        for index, place in items:
            owner = arrays.get(place["blob"])
            if owner is None or not index.isdigit() or int(index) >= 1000:
                raise CaffeError(f"{self.path}: layer '{layer.name}' shares a blob that the file lacks: it is damaged")
            layer.arrays += [None] * (int(index) + 1 - len(layer.arrays))
            layer.arrays[int(index)] = owner.reshape(place["shape"])
        shared = {int(index) for index, _ in items}
        layer.owned = [index not in shared for index in range(len(layer.arrays))]

    def warn_of_gaps(self, layers: list[LayerBlobs]) -> None:
        gaps = [
            f"{layer.name}/{index}" for layer in layers for index, array in enumerate(layer.arrays) if array is None
        ]
        for layer in layers:
            if any(array is None for array in layer.arrays):
                layer.owned = [array is not None for array in layer.arrays]
        if gaps:
            warnings.warn(
                f"{self.path}: the file leaves out {', '.join(gaps)}, which another layer shares: None in their place",
                CaffeWarning,
                stacklevel=6,
            )


def _group(h5py: ModuleType, data: h5py.Group, name: str) -> h5py.Group:
    raw = as_bytes(name)
    try:
        return data.require_group(raw.decode())
    except UnicodeDecodeError:  # h5py itself refuses these
        nested = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        nested.set_create_intermediate_group(True)
        return h5py.Group(
            h5py.h5g.open(data.id, raw) if data.id.links.exists(raw) else h5py.h5g.create(data.id, raw, nested)
        )


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
