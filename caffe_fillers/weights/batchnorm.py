"""Converts BatchNorm between BVLC Caffe's form (a Scale after it) and the forks' (own scale and bias).

NVIDIA/caffe, caffe-jacinto and, with its own engines, intel/caffe keep five blobs in the one layer: mean, variance and
factor, then scale and bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from google.protobuf.message import Message

from .. import prototxt, schema
from ..carried import carry
from ..errors import CaffeError
from ..upgrading import upgrade_net
from ._set import LayerBlobs, LayerEntry, Weights, WeightSet, as_mapping, as_set, describe, layer_entries

__all__ = ["convert_batchnorm"]

_FIVE = 5


def convert_batchnorm(
    weights: WeightSet | Mapping[str, Sequence[np.ndarray]],
    how: str,
    net: Message | prototxt.Text[Message] | None = None,
) -> tuple[Weights, schema.NetParameter | None]:
    """Convert BatchNorm between the forks' five blobs, and three blobs with a Scale layer.

    Parameters
    ----------
    weights : mapping of str to list of ndarray
        The weights, as `load_weights` returns them.
    how : {"split", "merge"}
        "split" turns each BatchNorm of five blobs into one of three and a Scale, as in BVLC Caffe; "merge" is the
        inverse.
    net : NetParameter, optional
        The net that they belong to, to convert it too.

    Returns
    -------
    weights : Weights
        The converted weights. Unchanged arrays are not copied.
    net : NetParameter or None
        The net in the other form, upgraded; None if you gave none.

    Raises
    ------
    CaffeError
        If no layer can be converted, or a Scale can't be merged into its BatchNorm.

    Examples
    --------
    >>> import numpy as np
    >>> import caffe_fillers as cf
    >>> five = [np.full(4, value, np.float32) for value in (1, 2)] + [np.ones(1, np.float32)]
    >>> five += [np.full(4, value, np.float32) for value in (3, 4)]
    >>> split, _ = cf.convert_batchnorm({"bn": five}, "split")
    >>> {name: len(blobs) for name, blobs in split.items()}
    {'bn': 3, 'bn_scale': 2}
    """
    source = as_set(weights.source if isinstance(weights, Weights) else weights)
    if how not in ("split", "merge"):
        raise CaffeError(f'batchnorm is "split" or "merge", got {how!r}')
    new_net = None if net is None else upgrade_net(net).message
    if how == "split":
        pairs = _to_split(source, new_net)
        converted = _split(source, pairs)
    else:
        pairs = _to_merge(source)
        converted = _merge(source, pairs)
    if not pairs:
        what = "BatchNorm of five blobs" if how == "split" else "BatchNorm with a Scale right behind it"
        raise CaffeError(f"there is no {what} in these weights\n--batchnorm {how} has nothing to do")
    if new_net is not None:
        _split_net(new_net, pairs) if how == "split" else _merge_net(new_net, pairs)
    return as_mapping(converted), new_net


# --- weights ---------------------------------------------------------------------------------------------------------


def _entries(source: WeightSet) -> list[LayerEntry]:
    return layer_entries(describe(source))


def _to_split(source: WeightSet, net: schema.NetParameter | None) -> dict[str, str]:
    """Return the BatchNorms of five blobs, each with its Scale's new name."""
    types = {} if net is None else {layer.name: layer.type for layer in net.layer}
    taken = {layer.name for layer in source.layers} | types.keys()
    pairs = {}
    for layer, entry in zip(source.layers, _entries(source), strict=True):
        kind = entry.get("type") or types.get(layer.name, "")
        if len(layer.arrays) == _FIVE and kind in ("BatchNorm", "") and layer.arrays[2].size == 1:
            name = f"{layer.name}_scale"
            while name in taken:
                name += "_"
            taken.add(name)
            pairs[layer.name] = name
    return pairs


def _split(source: WeightSet, pairs: Mapping[str, str]) -> WeightSet:
    layers = []
    for layer in source.layers:
        if layer.name not in pairs:
            layers.append(layer)
            continue
        mean, variance, factor, scale, bias = layer.arrays
        statistics, behind = layer.message, None
        if layer.message is not None:
            statistics = schema.LayerParameter()
            statistics.CopyFrom(layer.message)
            statistics.batch_norm_param.DiscardUnknownFields()
            behind = _scale_of(statistics, pairs[layer.name])
        layers.append(LayerBlobs(layer.name, [mean, variance, factor], statistics))
        layers.append(LayerBlobs(pairs[layer.name], [scale.reshape(-1), bias.reshape(-1)], behind))
    scales = {
        name: {"name": name, "type": "Scale", "bottom": entry.get("top", []), "top": entry.get("top", [])}
        for entry in _entries(source)
        for name in [pairs.get(entry["name"], "")]
        if name
    }
    return WeightSet(layers, source.name, {"layers": [*_entries(source), *scales.values()]})


def _to_merge(source: WeightSet) -> dict[str, str]:
    """Return each BatchNorm that a Scale follows, with the Scale's name."""
    pairs = {}
    last = ""
    for layer, entry in zip(source.layers, _entries(source), strict=True):
        kind = entry.get("type")
        if kind == "Scale" and last and 0 < len(layer.arrays) < 3:
            pairs[last] = layer.name
        if kind != "Split":
            last = layer.name if kind == "BatchNorm" and len(layer.arrays) == 3 else ""
    return pairs


def _merge(source: WeightSet, pairs: Mapping[str, str]) -> WeightSet:
    found = {layer.name: layer for layer in source.layers}
    layers = []
    for layer in source.layers:
        if layer.name in pairs.values():
            continue
        if layer.name not in pairs:
            layers.append(layer)
            continue
        scale, *bias = found[pairs[layer.name]].arrays
        bias = bias or [np.zeros_like(scale)]
        message = None
        if layer.message is not None:
            message = schema.LayerParameter()
            message.CopyFrom(layer.message)
            behind = found[pairs[layer.name]].message
            if behind is not None:
                message.top[:] = list(behind.top)
        layers.append(LayerBlobs(layer.name, [*layer.arrays, scale, *bias], message))
    kept = [entry for entry in _entries(source) if entry["name"] not in pairs.values()]
    return WeightSet(layers, source.name, {"layers": kept})


# --- nets ------------------------------------------------------------------------------------------------------------


def _scale_of(layer: schema.LayerParameter, name: str) -> schema.LayerParameter:
    """Return the Scale after a BatchNorm layer, which works in place on its top."""
    scale = schema.LayerParameter(name=name, type="Scale")
    scale.bottom.extend(layer.top[:1])
    scale.top.extend(layer.top[:1])
    for field in ("include", "exclude"):
        getattr(scale, field).extend(getattr(layer, field))
    if layer.HasField("phase"):
        scale.phase = layer.phase
    scale.scale_param.bias_term = True
    return scale


def _split_net(net: schema.NetParameter, pairs: Mapping[str, str]) -> None:
    layers: list[schema.LayerParameter] = []
    for layer in net.layer:
        layers.append(layer)
        if layer.type != "BatchNorm" or layer.name not in pairs:
            continue
        scale = _scale_of(layer, pairs[layer.name])
        said = prototxt.unknown(layer).get("batch_norm_param", [{}])[-1]
        assert isinstance(said, dict)  # a message of the schema
        for name, field in (("scale_filler", "filler"), ("bias_filler", "bias_filler")):
            if name in said:
                filler = said[name][-1]
                if not isinstance(filler, dict):
                    raise CaffeError(f"layer '{layer.name}': {name} is a message, {name} {{ ... }}; got {filler!r}")
                text = " ".join(_written(key, values[-1]) for key, values in filler.items())
                getattr(scale.scale_param, field).CopyFrom(prototxt.parse(text, schema.FillerParameter).message)
        scale.param.extend(layer.param[3:])
        del layer.param[3:]
        layer.batch_norm_param.DiscardUnknownFields()
        layers.append(scale)
    _replace(net, layers)


def _written(name: str, value: object) -> str:
    return f'{name}: "{value}"' if name == "type" else f"{name}: {value}"


def _merge_net(net: schema.NetParameter, pairs: Mapping[str, str]) -> None:
    scales = {layer.name: layer for layer in net.layer if layer.type == "Scale"}
    readers: dict[str, int] = {}
    for layer in net.layer:
        for name in layer.bottom:
            readers[name] = readers.get(name, 0) + 1
    layers: list[schema.LayerParameter] = []
    for layer in net.layer:
        if layer.type == "Scale" and layer.name in pairs.values():
            continue
        layers.append(layer)
        scale = scales.get(pairs.get(layer.name, ""))
        if layer.type != "BatchNorm" or scale is None:
            continue
        in_place = list(scale.bottom) == list(scale.top)
        if list(scale.bottom) != list(layer.top) or (not in_place and readers.get(layer.top[0], 0) > 1):
            raise CaffeError(
                f"layer '{scale.name}' is not the only one that reads '{layer.top[0]}' of layer '{layer.name}', so it "
                "can't be part of it"
            )
        layer.top[:] = list(scale.top)
        while len(layer.param) < 3 and scale.param:
            layer.param.add().lr_mult = 0
        layer.param.extend(scale.param)
        carry(layer.batch_norm_param, b"scale_bias: true")
        for field, name in (("filler", "scale_filler"), ("bias_filler", "bias_filler")):
            if scale.scale_param.HasField(field):
                inner = prototxt.format_text(getattr(scale.scale_param, field)).replace("\n", " ").strip()
                carry(layer.batch_norm_param, f"{name} {{ {inner} }}".encode())
    _replace(net, layers)


def _replace(net: schema.NetParameter, layers: Iterable[schema.LayerParameter]) -> None:
    kept = list(layers)
    copies = [schema.LayerParameter() for _ in kept]
    for copy, layer in zip(copies, kept, strict=True):
        copy.CopyFrom(layer)
    net.ClearField("layer")
    net.layer.extend(copies)
