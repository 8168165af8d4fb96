"""``.caffemodel``: Caffe's binary NetParameter of any age, written exactly as Caffe writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from .. import schema
from ..arrays import Array
from ..carried import serialized, varint
from ..encoding import as_bytes, as_text
from ..errors import CaffeError
from ..files import replacing
from ._set import MAX_COUNT, LayerBlobs, WeightSet, layer_entries, stored
from ._wire import BYTES, Wire, blob_parts

if TYPE_CHECKING:
    from .. import prototxt

__all__ = ["read", "write"]

_LAYER, _V1_LAYERS, _V0_LAYER = 100, 2, 1
_BLOBS = 7  # of today's layers
_Blobs = list[tuple[Array, bool]]


def read(path: Path) -> WeightSet:
    """Read a model of any age (V0, V1, today's); its layers are those of its net in today's form.

    Raises
    ------
    CaffeError
        If the file is truncated, damaged, no NetParameter, or mixes ages. Sizes are checked against what the file
        holds before memory is taken for them.
    """
    blobs: dict[prototxt.Path, _Blobs] = {}
    with Wire(path) as wire:
        header = _walk(wire, blobs)
    net = schema.NetParameter()
    try:
        net.ParseFromString(header)
    except DecodeError as error:
        raise CaffeError(f"{path}: is no NetParameter, or is damaged ({error})") from None
    del header
    if not net.layer and not net.layers and not net.name:
        raise CaffeError(f"{path}: holds no layers and no net's name, so it is no .caffemodel (a mean file? load_mean)")
    net, origins = _in_todays_form(path, net, blobs)

    layers = []
    for message, origin in zip(net.layer, origins, strict=True):
        found = blobs.pop(origin, []) if origin else []
        layers.append(
            LayerBlobs(as_text(message.name), [array for array, _ in found], message, legacy=[old for _, old in found])
        )
    return WeightSet(layers, as_text(net.name))


def _walk(wire: Wire, blobs: dict[prototxt.Path, _Blobs]) -> bytes:
    """Read all blobs into arrays; return the message that is left without them."""
    header = bytearray()
    counts = {_LAYER: 0, _V1_LAYERS: 0}
    for field in wire.fields(0, wire.size):
        if field.kind != BYTES or field.number not in counts:
            header += wire.bytes(field.tag, field.stop - field.tag)
            continue
        index = counts[field.number]
        counts[field.number] += 1
        if field.number == _LAYER:
            rest, found = _layer(wire, field.start, field.stop, _BLOBS, f"layer {index}")
            blobs["layer", index] = found
        else:
            rest, found = _v1_layer(wire, field.start, field.stop, f"layer {index}")
            blobs["layers", index] = found
        header += varint(field.number << 3 | BYTES) + varint(len(rest)) + rest
    return bytes(header)


def _layer(wire: Wire, at: int, end: int, number: int, where: str) -> tuple[bytes, _Blobs]:
    rest = bytearray()
    found: _Blobs = []
    kept = at  # the bytes between two blobs are copied in one piece
    for field in wire.fields(at, end):
        if field.number == number and field.kind == BYTES:
            rest += wire.bytes(kept, field.tag - kept)
            kept = field.stop
            found.append(wire.blob(field.start, field.stop, f"blob {len(found)} of {where}"))
    rest += wire.bytes(kept, end - kept)
    return bytes(rest), found


def _v1_layer(wire: Wire, at: int, end: int, where: str) -> tuple[bytes, _Blobs]:
    v0 = [field for field in wire.fields(at, end) if field.number == _V0_LAYER and field.kind == BYTES]
    if not v0:
        return _layer(wire, at, end, 6, where)
    # a V0 connection's own blobs have no effect: Caffe takes those of the inner record
    rest = bytearray()
    found: _Blobs = []
    kept = at
    for field in v0:
        rest += _layer(wire, kept, field.tag, 6, where)[0]
        inner, more = _layer(wire, field.start, field.stop, 50, where)
        rest += varint(_V0_LAYER << 3 | BYTES) + varint(len(inner)) + inner
        found += more
        kept = field.stop
    rest += _layer(wire, kept, end, 6, where)[0]
    return bytes(rest), found


def _in_todays_form(
    path: Path, net: schema.NetParameter, blobs: dict[prototxt.Path, _Blobs]
) -> tuple[schema.NetParameter, list[prototxt.Path | None]]:
    from ..upgrading import upgrade_net

    if not net.layers:
        # an upgrade would change no weights, and an unchanged header is written again bit for bit
        return net, [("layer", index) for index in range(len(net.layer))]
    if any(layer.HasField("layer") for layer in net.layers):
        for index, layer in enumerate(net.layers):
            if not layer.HasField("layer"):
                blobs.pop(("layers", index))  # in a V0 net only the blobs of the records count
    try:
        upgraded = upgrade_net(net)
    except CaffeError as error:
        raise CaffeError(f"{path}: {error}") from None
    return upgraded.message, upgraded.origin


def write(path: Path, weights: WeightSet) -> None:
    """Write what Caffe would write: every layer, its blobs among its fields by number, shapes in `shape`.

    float32 arrays become `data`, float64 ones `double_data`.

    Raises
    ------
    CaffeError
        Before anything is written, if the file would pass protobuf's limit of 2^31 - 1 bytes.
    """
    types = {entry["name"]: entry.get("type") for entry in layer_entries(weights.provenance)}
    name = as_bytes(weights.name)
    parts: list[bytes | memoryview] = [b"\x0a" + varint(len(name)) + name]
    total = len(parts[0])
    for layer in weights.layers:
        before, after = _around_blobs(_message(path, layer, types.get(layer.name)))
        blobs = []
        for index, array in enumerate(layer.arrays):
            diff = None if layer.diffs is None else stored(path, layer.name, index, layer.diffs[index])
            pieces, length = blob_parts(stored(path, layer.name, index, array), diff)
            blobs += [varint(_BLOBS << 3 | BYTES) + varint(length), *pieces]
        length = len(before) + sum(map(len, blobs)) + len(after)
        head = varint(_LAYER << 3 | BYTES) + varint(length) + before
        parts += [head, *blobs, after]
        total += len(head) + length - len(before)
    if total > MAX_COUNT:
        raise CaffeError(
            f"{path}: the weights need {total} bytes, but a .caffemodel ends at protobuf's limit of {MAX_COUNT}: "
            "save as .npz, .h5 or .safetensors"
        )
    with replacing(path, total) as temporary, open(temporary, "wb") as file:
        for part in parts:
            file.write(part)


def _message(path: Path, layer: LayerBlobs, kind: object) -> schema.LayerParameter:
    """Return the layer's header: its own message, else a new one of name and type."""
    message = layer.message
    if message is not None and as_text(message.name) == layer.name:
        return message
    fresh = schema.LayerParameter()
    if message is not None:
        fresh.CopyFrom(message)
    elif isinstance(kind, str):
        fresh.type = kind
    try:
        fresh.name = layer.name
    except ValueError:
        raise CaffeError(f"{path}: the layer name {layer.name[:60]!a} is no Unicode text: rename it") from None
    return fresh


def _around_blobs(message: schema.LayerParameter) -> tuple[bytes, bytes]:
    """Serialize a header in two halves: the fields whose numbers are below the blobs', and those above."""
    low, high = type(message)(), type(message)()
    low.CopyFrom(message)
    high.CopyFrom(message)
    for field, _ in message.ListFields():
        if field.number >= _BLOBS:
            low.ClearField(field.name)
        if field.number <= _BLOBS:
            high.ClearField(field.name)
    low.DiscardUnknownFields()  # those come last
    return serialized(low), serialized(high)
