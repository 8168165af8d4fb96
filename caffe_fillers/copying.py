"""Fine-tuning: copies weights into a net by layer name, as Caffe does from a binary or an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .blob import Blob, describe
from .errors import CaffeError

if TYPE_CHECKING:
    from .layers.rule import Layer
    from .planning import Step
    from .weights import LayerBlobs

__all__ = ["CopyReport", "copy_weights", "weight_files"]


class Target(Protocol):
    """The net that weights are copied into."""

    @property
    def layers(self) -> Sequence[Layer]: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def params(self) -> Mapping[str, object]: ...


@dataclass(slots=True)
class CopyReport:
    """The result of `Net.copy_from`.

    Attributes
    ----------
    copied : list of str
        Layers of the net whose weights a file gave.
    filled : list of str
        Layers of the net that keep their fills.
    ignored : list of str
        Layers of the files whose name the net does not have.
    files : list of (str, list of str)
        Each file, and those of its layers, also without weights, that Caffe's log names as ignored.
    """

    copied: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    files: list[tuple[str, list[str]]] = field(default_factory=list)

    def __str__(self) -> str:
        parts = ((self.copied, "copied"), (self.filled, "filled"), (self.ignored, "ignored"))
        return "; ".join(f"{what}: {', '.join(names) or 'none'}" for names, what in parts)


def weight_files(weights: object) -> list[str]:
    """Return the files that `weights` names: one, several separated by commas, or a sequence of either."""
    if isinstance(weights, os.PathLike):
        return [os.fspath(weights)]
    if isinstance(weights, str):
        return [part.strip() for part in weights.split(",") if part.strip()]
    if isinstance(weights, Iterable):
        return [path for each in weights for path in weight_files(each)]
    raise CaffeError(f"weights= takes paths, got {type(weights).__name__}")


def copy_weights(net: Target, weights: object) -> CopyReport:
    """Copy every file into `net`. All are checked before the first value is written."""
    from .weights import read

    first: dict[str, Layer] = {}
    last: dict[str, Layer] = {}
    for layer in net.layers:
        first.setdefault(layer.name, layer)
        last[layer.name] = layer
    owned = {
        id(blob)
        for step in net.steps
        for blob, owner in zip(step.layer.blobs, step.owners, strict=True)
        if owner is None
    }
    names = {step.layer.name for step in net.steps}
    report = CopyReport()
    todo: list[tuple[Blob, np.ndarray]] = []
    for path in weight_files(weights):
        source = read(path)
        # by name Caffe finds the first layer of a net in a binary file, the last in HDF5
        by_name, partial = (last, True) if source.format == "hdf5" else (first, False)
        report.files.append((path, [entry.name for entry in source.layers if entry.name not in names]))
        for entry in source.layers:
            target = by_name.get(entry.name)
            if target is None:
                if entry.arrays:
                    report.ignored.append(entry.name)
                continue
            todo += _pairs(path, entry, target, partial, owned)
            if entry.arrays:
                report.copied.append(entry.name)
    for blob, array in todo:
        blob.data[...] = array.reshape(blob.shape)
    report.copied = list(dict.fromkeys(report.copied))
    report.filled = [name for name in net.params if name not in report.copied]
    return report


def _pairs(
    path: str, entry: LayerBlobs, target: Layer, partial: bool, owned: set[int]
) -> list[tuple[Blob, np.ndarray]]:
    where = f"{path}: layer '{entry.name}'"
    have, want = len(entry.arrays), len(target.blobs)
    if have > want or (have < want and not partial):
        check = (
            f"num_source_params <= target_blobs.size() ({have} vs. {want})"
            if partial
            else f"target_blobs.size() == source_layer.blobs_size() ({want} vs. {have})"
        )
        raise CaffeError(
            f"{where}: Check failed: {check} Incompatible number of blobs for layer {entry.name}\n"
            "rename the layer in the prototxt to keep its fill"
        )
    pairs = []
    for i, blob in enumerate(target.blobs):
        array = entry.arrays[i] if i < have else None
        if array is None:
            if id(blob) in owned:
                raise CaffeError(
                    f"{where}: Incompatible number of blobs for layer {entry.name}\n"
                    f"the file holds no blob {i}, and the net shares it with no other layer"
                )
            continue
        shape: tuple[int, ...] = array.shape
        if entry.legacy and entry.legacy[i]:
            padded = (1,) * (4 - len(blob.shape)) + blob.shape
            fits = len(blob.shape) <= 4 and padded == shape
        else:
            fits = shape == blob.shape
        if not fits:
            raise CaffeError(
                f"{where}: Cannot copy param {i} weights from layer '{entry.name}'; shape mismatch.  "
                f"Source param shape is {describe(shape)}; target param shape is {describe(blob.shape)}.\n"
                "To learn this layer's parameters from scratch rather than copying from a saved net, rename the layer."
            )
        pairs.append((blob, array))
    return pairs
