"""caffe.draw: draws nets with `caffe_fillers.draw`, under pycaffe's names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from ..drawing.diagram import COLORS, LAYER, Diagram, diagram, edge_label, layer_lines, lr_mults
from ..drawing.dot import dot_text
from ..drawing.rendering import render
from ..errors import CaffeError
from ..files import replacing

if TYPE_CHECKING:
    from .. import schema

__all__ = [
    "Graph",
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pydot_graph",
]


class Graph:
    """A graph that can be written as text or as a picture, in place of pydot's in pycaffe."""

    def __init__(self, drawn: Diagram) -> None:
        self.diagram = drawn

    def to_string(self) -> str:
        """The graph in graphviz's language."""
        return dot_text(self.diagram)

    def create(self, format: str = "ps") -> bytes:
        """The picture's bytes."""
        return render(self.diagram, format)

    def write(self, path: str | os.PathLike[str], format: str = "raw") -> None:
        """Write the picture, or with "raw" the text."""
        data = self.to_string().encode() if format == "raw" else self.create(format)
        with replacing(path) as temporary:
            temporary.write_bytes(data)


def get_pydot_graph(
    caffe_net: Message, rankdir: str, label_edges: bool = True, phase: int | None = None, display_lrm: bool = False
) -> Graph:
    """Return the graph of a NetParameter, of all layers or of those of one phase."""
    drawn = diagram(caffe_net, rankdir, None if phase is None else ("TRAIN", "TEST")[phase], display_lrm)
    if not label_edges:
        drawn.arrows = [(source, target, "") for source, target, _ in drawn.arrows]
    return Graph(drawn)


def draw_net(
    caffe_net: Message, rankdir: str, ext: str = "png", phase: int | None = None, display_lrm: bool = False
) -> bytes:
    """Return the bytes of a picture; all formats but "svg" and "dot" need graphviz."""
    return get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).create(ext)


def draw_net_to_file(
    caffe_net: Message,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write a picture in the format of the name's suffix; ``.raw`` and ``.dot`` are text for graphviz."""
    ext = Path(filename).suffix.removeprefix(".")
    if not ext:
        raise CaffeError(f"{filename}: the suffix says the format: .svg, .dot, .png ...")
    get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm).write(filename, ext)


def get_edge_label(layer: schema.LayerParameter) -> str:
    """Return the label of the arrows out of a layer: outputs, or the batch."""
    return edge_label(layer) or '""'


def get_layer_lr_mult(layer: schema.LayerParameter) -> tuple[float, float]:
    """Return the learning rate multipliers of the weights and the biases of a layer that has them."""
    if layer.type not in ("Convolution", "Deconvolution", "InnerProduct"):
        raise CaffeError(f"{layer.type} layers do not have a learning rate multiplier")
    return lr_mults(layer)


def get_layer_label(layer: schema.LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """Return the text in the box of a layer, in quotes."""
    between = " " if rankdir in ("TB", "BT") else r"\n"
    return f'"{between.join(layer_lines(layer, display_lrm))}"'


def choose_color_by_layertype(layertype: str) -> str:
    """Return the colour of a layer's box."""
    return COLORS.get(layertype, LAYER)
