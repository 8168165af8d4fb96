"""Caffe's log of the set-up of a solver and its nets: parameters, layers, shapes, and gradients needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import text_format

from .. import graph, schema
from ..blob import describe
from ..net import Net
from .log import ignored_lines, number

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..planning import Step
    from .solver import Solver

__all__ = ["setup_lines"]

Line = tuple[str, str]


def setup_lines(solver: Solver) -> Iterator[Line]:
    """Yield place and text of each line up to the first iteration's, as `caffe train` writes them."""
    message = solver.message
    yield "caffe.cpp:197", "Use CPU."
    yield "solver.cpp:45", f"Initializing solver from parameters: \n{_text(message)}"
    train = next(name for name in ("train_net_param", "train_net", "net_param", "net") if message.HasField(name))
    if train.endswith("_param"):
        place = "solver.cpp:88" if train == "train_net_param" else "solver.cpp:97"
        yield place, f"Creating training net specified in {train}."
    else:
        place = "solver.cpp:92" if train == "train_net" else "solver.cpp:102"
        yield place, f"Creating training net from {train} file: {getattr(message, train)}"
    yield from _net_lines(solver.net)
    yield from _copied_lines(solver.net)
    sources = ["test_net_param"] * len(message.test_net_param) + [f"test_net file: {each}" for each in message.test_net]
    generic = "net_param" if message.HasField("net_param") else f"net file: {message.net}"
    for index, net in enumerate(solver.test_nets):
        source = sources[index] if index < len(sources) else generic
        yield "solver.cpp:190", f"Creating test net (#{index}) specified by {source}"
        yield from _net_lines(net)
        yield from _copied_lines(net)
    yield "solver.cpp:57", "Solver scaffolding done."


def _text(message: Message) -> str:
    text: str = text_format.MessageToString(message)
    # as C++ writes floats
    return re.sub(r"(: -?\d+)\.0$", r"\1", text.rstrip("\n"), flags=re.MULTILINE)


def _net_lines(net: Net) -> Iterator[Line]:
    message = schema.NetParameter()
    message.CopyFrom(net.source.message)
    del message.layer[:]
    message.state.CopyFrom(net.state)
    for layer in net.source.message.layer:
        yield from _rule_lines(layer, net.state)
    message.layer.extend(layer for _, layer in graph.kept(net.source.message.layer, net.state))
    yield "net.cpp:53", f"Initializing net from parameters: \n{_text(message)}"
    size, owners = 0, {}
    for entry in net.tape.entries:
        step = entry.step
        yield from _layer_lines(step)
        yield "net.cpp:124", f"Setting up {step.layer.name}"
        for i, blob in enumerate(step.tops):
            yield "net.cpp:131", f"Top shape: {describe(blob.shape)}"
            if i in entry.losses:
                yield "net.cpp:134", f"    with loss weight {number(entry.losses[i])}"
            size += blob.count() * blob.dtype.itemsize
        yield "net.cpp:139", f"Memory required for data: {size}"
        for k, (blob, owner) in enumerate(zip(step.layer.blobs, step.owners, strict=True)):
            if owner is None:
                owners[id(blob)] = step.layer.name, k
                continue
            name, place = owners[id(owner)]
            said = step.layer.message.param[k].name
            yield "net.cpp:467", f"Sharing parameters '{said}' owned by layer '{name}', param index {place}"
    for entry in reversed(net.tape.entries):
        name = entry.step.layer.name
        if entry.needs_backward:
            yield "net.cpp:200", f"{name} needs backward computation."
        else:
            yield "net.cpp:202", f"{name} does not need backward computation."
    for name in net.outputs:
        yield "net.cpp:244", f"This network produces output {name}"
    yield "net.cpp:257", "Network initialization done."


def _copied_lines(net: Net) -> Iterator[Line]:
    for path, ignored in net.report.files if net.report else ():
        yield "solver.cpp:72", f"Finetuning from {path}"
        yield from ignored_lines(path, ignored)


def _layer_lines(step: Step) -> Iterator[Line]:
    layer = step.layer
    yield "layer_factory.hpp:77", f"Creating layer {layer.name}"
    if layer.type == "Data":
        yield "db_lmdb.cpp:35", f"Opened lmdb {layer.message.data_param.source}"
    yield "net.cpp:86", f"Creating Layer {layer.name}"
    for name in step.node.wired:
        yield "net.cpp:408", f"{layer.name} <- {name}"
    for name, in_place in zip(layer.tops, layer.in_place, strict=False):
        if in_place:
            yield "net.cpp:369", f"{layer.name} -> {name} (in-place)"
        else:
            yield "net.cpp:382", f"{layer.name} -> {name}"
    if layer.type == "Data":
        yield "data_layer.cpp:45", f"output data size: {','.join(map(str, step.tops[0].shape))}"
    elif layer.type == "ImageData":
        param = layer.message.image_data_param
        yield "image_data_layer.cpp:38", f"Opening file {param.source}"
        if param.shuffle:
            yield "image_data_layer.cpp:53", "Shuffling data"
        images = sum(1 for line in _text_of(param.source).splitlines() if line.strip())
        yield "image_data_layer.cpp:63", f"A total of {images} images."
        for draw in step.drawn.get("rand_skip", ()):
            yield "image_data_layer.cpp:70", f"Skipping first {draw % param.rand_skip} data points."
        yield "image_data_layer.cpp:90", f"output data size: {','.join(map(str, step.tops[0].shape))}"
    elif layer.type == "HDF5Data":
        source = layer.message.hdf5_data_param.source
        yield "hdf5_data_layer.cpp:81", f"Loading list of HDF5 filenames from: {source}"
        yield "hdf5_data_layer.cpp:95", f"Number of HDF5 files: {len(_text_of(source).split())}"
    elif layer.type in ("SoftmaxWithLoss", "InfogainLoss") or (
        layer.type == "Scale" and layer.message.scale_param.bias_term
    ):
        # it makes a Softmax, or a Bias, of its own name
        yield "layer_factory.hpp:77", f"Creating layer {layer.name}"


def _text_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""  # a layer without a source takes what is written to its tops


def _rule_lines(layer: schema.LayerParameter, state: schema.NetState) -> Iterator[Line]:
    """Yield, for each rule that Caffe looks at, why the layer does not meet it."""
    for rule in layer.exclude:
        line = _unmet(layer, rule, state)
        if line is None:
            return
        yield line
    for rule in layer.include:
        line = _unmet(layer, rule, state)
        if line is None:
            return
        yield line


def _unmet(layer: schema.LayerParameter, rule: schema.NetStateRule, state: schema.NetState) -> Line | None:
    behind = f"specified by a rule in layer {layer.name}"
    if rule.HasField("phase") and rule.phase != state.phase:
        return "net.cpp:296", f"The NetState phase ({state.phase}) differed from the phase ({rule.phase}) {behind}"
    if rule.HasField("min_level") and state.level < rule.min_level:
        return "net.cpp:306", f"The NetState level ({state.level}) is above the min_level ({rule.min_level}) {behind}"
    if rule.HasField("max_level") and state.level > rule.max_level:
        return "net.cpp:316", f"The NetState level ({state.level}) is above the max_level ({rule.max_level}) {behind}"
    for stage in rule.stage:
        if stage not in state.stage:
            return "net.cpp:332", f"The NetState did not contain stage '{stage}' {behind}"
    for stage in rule.not_stage:
        if stage in state.stage:
            return "net.cpp:347", f"The NetState contained a not_stage '{stage}' {behind}"
    return None
