"""The diagram of a net: a box for each layer and each blob, and arrows between them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

from google.protobuf.message import Message

from .. import graph, schema
from ..errors import CaffeError, CaffeWarning
from ..net import Net, NetLike
from ..sources import net_source

__all__ = ["COLORS", "LAYER", "RANKDIRS", "Box", "Diagram", "diagram", "edge_label", "layer_lines", "lr_mults"]

RANKDIRS = ("TB", "BT", "LR", "RL")

LAYER, NEURON, BLOB = "#6495ED", "#90EE90", "#E0E0E0"
COLORS = {"Convolution": "#FF5050", "Deconvolution": "#FF5050", "Pooling": "#FF9900", "InnerProduct": "#CC33FF"}


@dataclass(frozen=True, slots=True)
class Box:
    """A layer or a blob: its lines of text, its colour, and whether it is a blob."""

    lines: tuple[str, ...]
    color: str
    blob: bool = False


@dataclass(slots=True)
class Diagram:
    """Boxes by a unique name, and arrows: from, to, label."""

    name: str
    rankdir: str
    boxes: dict[str, Box] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)


def diagram(net: Net | NetLike, rankdir: str = "TB", phase: str | None = None, lr_mult: bool = False) -> Diagram:
    """Return the diagram of a net, which `draw` draws."""
    if rankdir not in RANKDIRS:
        raise CaffeError(f"rankdir is one of {', '.join(RANKDIRS)}, got {rankdir!r}")
    if phase not in (None, "TRAIN", "TEST"):
        raise CaffeError(f'phase is "TRAIN" or "TEST", or None for all layers, got {phase!r}')
    message = net.source.message if isinstance(net, Net) else net_source(net).message
    layers = list(message.layer)
    if phase is not None:
        state = graph.net_state(message.state, phase, 0, ())
        layers = [layer for _, layer in graph.kept(layers, state)]
    if not layers:
        warnings.warn("there is no layer to draw: the picture is empty", CaffeWarning, stacklevel=3)
    built = Diagram(message.name or "Net", rankdir)
    for layer in layers:
        _add(built, layer, lr_mult)
    return built


def _add(built: Diagram, layer: schema.LayerParameter, lr_mult: bool) -> None:
    name = f"{layer.name}_{layer.type}"
    while name in built.boxes:
        # the data layers of two phases often have one name
        name += "'"
    in_place = list(layer.bottom) == list(layer.top) and len(layer.top) == 1
    color = NEURON if in_place else COLORS.get(layer.type, LAYER)
    built.boxes[name] = Box(tuple(layer_lines(layer, lr_mult)), color)
    for blob in (*layer.bottom, *layer.top):
        built.boxes.setdefault(f"{blob}_blob", Box((blob,), BLOB, blob=True))
    built.arrows += [(f"{blob}_blob", name, "") for blob in layer.bottom]
    built.arrows += [(name, f"{blob}_blob", edge_label(layer)) for blob in layer.top]


def edge_label(layer: schema.LayerParameter) -> str:
    """Return the label of the arrows out of a layer: outputs, or the batch."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    return str(layer.inner_product_param.num_output) if layer.type == "InnerProduct" else ""


def layer_lines(layer: schema.LayerParameter, lr_mult: bool = False) -> list[str]:
    """Return the text in the box of a layer: name, type, windows, multipliers."""
    lines = [layer.name]
    if layer.type == "Pooling":
        methods = {number: name for name, number in schema.enum("PoolingParameter.PoolMethod").items()}
        lines.append(f"({layer.type} {methods[layer.pooling_param.pool]})")
    else:
        lines.append(f"({layer.type})")
    if layer.type in ("Convolution", "Deconvolution", "Pooling"):
        param = layer.pooling_param if layer.type == "Pooling" else layer.convolution_param
        lines += [
            f"kernel size: {_size(param, 'kernel', 'kernel_size', 1)}",
            f"stride: {_size(param, 'stride', 'stride', 1)}",
            f"pad: {_size(param, 'pad', 'pad', 0)}",
        ]
    if lr_mult and layer.type in ("Convolution", "Deconvolution", "InnerProduct"):
        first, second = lr_mults(layer)
        if first or second:
            lines.append(f"lr mult: {first:.1f}, {second:.1f}")
    return lines


def lr_mults(layer: schema.LayerParameter) -> tuple[float, float]:
    """Return the learning rate multipliers of weights and biases; 1 if the text has none."""
    first, second, *_ = [spec.lr_mult for spec in layer.param] + [1.0, 1.0]
    return first, second


def _size(param: Message, short: str, long: str, absent: int) -> str:
    """Return a window's size: one number, or height x width if they differ."""
    if param.HasField(f"{short}_h") or param.HasField(f"{short}_w"):
        sizes = [getattr(param, f"{short}_h"), getattr(param, f"{short}_w")]
    else:
        given = getattr(param, long)
        sizes = [given] if isinstance(given, int) else list(given) or [absent]
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))
