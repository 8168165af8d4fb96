"""Names and shapes of PyTorch's ``state_dict`` for layer types that both have. PyTorch is not needed."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from ._set import LayerBlobs, LayerEntry, WeightSet, describe, layer_entries, stored

__all__ = ["to_torch"]

_PLAIN = {"Convolution": 2, "Deconvolution": 2, "InnerProduct": 2, "Embed": 2, "PReLU": 1}


def to_torch(path: Path, weights: WeightSet) -> OrderedDict[str, Array]:
    """Return the arrays under PyTorch's names; refuse layers without such names."""
    entries = layer_entries(describe(weights))
    named: OrderedDict[str, Array] = OrderedDict()
    open_norms: dict[str, str] = {}  # top of a BatchNorm -> the BatchNorm's name, until something else follows
    last_norm = None
    for layer, entry in zip(weights.layers, entries, strict=True):
        kind = entry.get("type")
        if not kind and layer.arrays:
            raise CaffeError(
                f"{path}: the type of layer '{layer.name}' is not known, so it has no names in PyTorch: "
                "start from a .caffemodel, or from a file that a Net saved"
            )
        for index, array in enumerate(layer.arrays):
            stored(path, layer.name, index, array)  # refuse a blob that the file left out
        tops, bottoms = entry.get("top"), entry.get("bottom")
        norm = open_norms.get(bottoms[0]) if bottoms else last_norm
        if kind == "Scale" and layer.arrays:
            arrays = _scale(path, layer, norm)
        elif kind == "BatchNorm" and layer.arrays:
            arrays = _batch_norm(path, layer)
        elif layer.arrays:
            arrays = _plain(path, layer, entry)
        else:
            arrays = {}
        for name, array in arrays.items():
            if name in named:
                raise CaffeError(f"{path}: two layers would both be called {name} in PyTorch: rename one")
            named[name] = stored(path, layer.name, 0, array)
        if kind != "Split":
            last_norm = layer.name if kind == "BatchNorm" else None
        for top in tops or []:
            open_norms.pop(top, None)
        if kind == "BatchNorm" and tops:
            open_norms[tops[0]] = layer.name
        elif kind == "Split" and norm and tops:
            open_norms.update(dict.fromkeys(tops, norm))
    return named


def _plain(path: Path, layer: LayerBlobs, entry: LayerEntry) -> dict[str, Array]:
    kind = entry["type"]
    most = _PLAIN.get(kind)
    if most is None:
        raise CaffeError(
            f"{path}: layer '{layer.name}' is of type {kind}, which has no counterpart among PyTorch's names: "
            f"only {', '.join(_PLAIN)} and BatchNorm with its Scale have"
        )
    if len(layer.arrays) > most:
        raise CaffeError(f"{path}: layer '{layer.name}' ({kind}) has {len(layer.arrays)} blobs: not Caffe's own {kind}")
    if kind == "Embed" and len(layer.arrays) == 2:
        raise CaffeError(
            f"{path}: layer '{layer.name}' is an Embed with a bias, which PyTorch's Embedding has not: "
            "add it to each row of the weights first"
        )
    weight = layer.arrays[0]
    if kind in ("InnerProduct", "Embed"):
        weight = _tail(path, layer, 0, weight, 2)
        if entry.get("transpose"):
            weight = weight.T
    elif kind == "PReLU":
        weight = weight.reshape(-1)
    arrays = {f"{layer.name}.weight": weight}
    if len(layer.arrays) == 2:
        arrays[f"{layer.name}.bias"] = _tail(path, layer, 1, layer.arrays[1], 1)
    return arrays


def _batch_norm(path: Path, layer: LayerBlobs) -> dict[str, Array]:
    if len(layer.arrays) not in (3, 4, 5) or layer.arrays[2].size != 1:
        raise CaffeError(
            f"{path}: layer '{layer.name}' is a BatchNorm with {len(layer.arrays)} blobs instead of mean, variance "
            "and factor (and, in forks, scale and bias)"
        )
    mean, variance = (_tail(path, layer, index, layer.arrays[index], 1) for index in (0, 1))
    factor = layer.arrays[2].reshape(-1)[0]
    if factor == 0:  # no batch was seen yet; Caffe then multiplies by 0
        mean, variance = np.zeros_like(mean), np.zeros_like(variance)
    elif factor != 1:
        with np.errstate(all="ignore"):
            mean, variance = mean / factor, variance / factor
    # of NVIDIA/caffe and intel/caffe: a scale and a bias of its own
    own = zip(("weight", "bias"), layer.arrays[3:], strict=False)
    named = {f"{layer.name}.{part}": array.reshape(-1) for part, array in own}
    return {f"{layer.name}.running_mean": mean, f"{layer.name}.running_var": variance} | named


def _scale(path: Path, layer: LayerBlobs, norm: str | None) -> dict[str, Array]:
    if norm is None:
        raise CaffeError(
            f"{path}: layer '{layer.name}' is a Scale that does not follow a BatchNorm: PyTorch has no such layer"
        )
    if len(layer.arrays) > 2 or any(array.ndim != 1 for array in layer.arrays):
        raise CaffeError(f"{path}: layer '{layer.name}' is a Scale that is not one value per channel: not PyTorch's")
    return {f"{norm}.{part}": array for part, array in zip(("weight", "bias"), layer.arrays, strict=False)}


def _tail(path: Path, layer: LayerBlobs, index: int, array: Array, axes: int) -> Array:
    # until 2015 shapes had four numbers, with ones on the left
    if array.ndim < axes or any(dim != 1 for dim in array.shape[: array.ndim - axes]):
        raise CaffeError(f"{path}: blob {layer.name}/{index} has the shape {array.shape}, but {axes} axes are needed")
    return array.reshape(array.shape[array.ndim - axes :])
