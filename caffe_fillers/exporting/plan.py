"""Plans an export: the layers of the net in phase TEST, each with the values that it reads and writes.

A blob that layers overwrite in place becomes a value for each of them; the last one has the blob's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .. import ops
from ..errors import CaffeError
from ..net import Net

if TYPE_CHECKING:
    from ..planning import Step

__all__ = ["Entry", "Plan", "Value", "leaves_out", "make_plan", "refuse"]

Dims = tuple[int | str, ...]


@dataclass(eq=False, slots=True)
class Value:
    """The content of a blob from the layer that writes it to the next that overwrites it.

    `dims` is the shape; a dim that may change from run to run is a name.
    """

    blob: str
    shape: tuple[int, ...]
    name: str = ""
    dims: Dims = ()


@dataclass(eq=False, slots=True)
class Entry:
    """A layer: its operation, what it reads, what it writes, and its parameters."""

    layer: str
    operation: ops.Operation
    reads: list[Value]
    writes: list[Value]
    blobs: list[np.ndarray] = field(default_factory=list)
    params: list[str] = field(default_factory=list)
    in_place: list[bool] = field(default_factory=list)
    where: str = ""

    @property
    def x(self) -> Value:
        return self.reads[0]

    @property
    def y(self) -> Value:
        return self.writes[0]


@dataclass(eq=False, slots=True)
class Plan:
    """The entries in order.

    Attributes
    ----------
    inputs, outputs : list of Value
    finals : dict of str to Value
        For each blob what it holds in the end; where layers share memory, in another shape perhaps.
    notes : list of str
        What was left out, and why.
    places : list of int
        Which of the net's steps compute what is exported.
    """

    inputs: list[Value] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    finals: dict[str, Value] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def values(self) -> list[Value]:
        return [*self.inputs, *(value for entry in self.entries for value in entry.writes)]


def refuse(where: str, layer: str, why: str, mend: str = "") -> CaffeError:
    """Return the error for a layer that can't be exported."""
    place = where if where else f"layer '{layer}'"
    return CaffeError(f"{place}: {why}\n{mend or 'cut the net before it: end= (--end) takes the last layer to export'}")


class _Memory:
    """The value that each name stands for now: layers such as Flatten share memory, others write in place."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.root: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        self.place: dict[str, int] = {}
        self.latest: dict[int, Value] = {}
        self.version: dict[int, int] = {}
        self.seen: dict[str, int] = {}

    def alias(self, name: str, other: str) -> None:
        """Enter another name of the same blob: an inserted Split."""
        self.place[name], self.seen[name] = self.place[other], self.seen[other]
        self.values[name], self.root[name] = self.values[other], self.root[other]

    def write(self, name: str, shape: tuple[int, ...], over: str | None = None, beside: str | None = None) -> Value:
        """Return a new value for `name`: in place of the blob `over`, in the memory of `beside`, or in new memory."""
        value = Value(name, shape)
        self.root[name] = name
        if over is not None:
            place = self.place[over]
            self.version[place] += 1
        elif beside is not None:
            place = self.place[beside]
        else:
            place = len(self.version)
            self.version[place] = 0
        self.place[name], self.values[name] = place, value
        self.seen[name] = self.version[place]
        if beside is None:
            self.latest[place] = value
        return value

    def read(self, name: str, shape: tuple[int, ...]) -> Value:
        place = self.place[name]
        if self.seen[name] == self.version[place]:
            return self.values[name]
        latest = self.latest[place]
        if latest.shape != shape:
            # another layer wrote it in place: this layer sees it in its own shape
            value = Value(self.root[name], shape)
            self.plan.entries.append(Entry(f"{name} again", ops.Reshape(), [latest], [value]))
            latest = value
        self.values[name], self.seen[name] = latest, self.version[place]
        return latest

    def final(self, name: str) -> Value:
        place = self.place[name]
        return self.values[name] if self.seen[name] == self.version[place] else self.latest[place]


def leaves_out(step: Step) -> str:
    """Return why a step is not exported, or an empty text."""
    operation = step.setup.operation
    if step.is_loss:
        return "a loss"
    if isinstance(operation, ops.Accuracy):
        return "an accuracy"
    if operation is not None and not step.layer.tops and not isinstance(operation, ops.Silence):
        return "no tops"
    return ""


def _delivers(step: Step) -> bool:
    return not step.bottoms and not isinstance(step.setup.operation, ops.Parameter) and not step.layer.blobs


def make_plan(net: Net, end: str | None = None) -> Plan:
    """Plan the export of a net that is set up in phase TEST, up to the layer `end`.

    Raises
    ------
    CaffeError
        If a layer is not computed here, or reads what is left out.
    """
    if end is not None and end not in net.layer_dict:
        raise CaffeError(f"no layer is named {end!r}; there are {', '.join(net.layer_dict) or 'none'}")
    plan = Plan()
    memory = _Memory(plan)
    dropped: dict[str, str] = {}
    free: dict[str, None] = {}
    used: set[str] = set()
    for place, step in enumerate(net.steps):
        layer, wired = step.layer, step.node.wired
        if step.node.inserted:
            for top in layer.tops:
                if wired[0] in dropped:
                    dropped[top] = dropped[wired[0]]
                else:
                    memory.alias(top, wired[0])
            if wired[0] not in dropped:
                plan.places.append(place)
            continue
        if _delivers(step):
            plan.inputs += [memory.write(top, shape) for top, shape in zip(layer.tops, step.setup.tops, strict=True)]
        elif why := leaves_out(step):
            plan.notes.append(f"layer '{layer.name}' ({why}) is left out")
            dropped.update(dict.fromkeys(layer.tops, layer.name))
        else:
            for name in wired:
                if name in dropped:
                    raise refuse(
                        step.where, layer.name, f"reads '{name}' of layer '{dropped[name]}', which is left out"
                    )
            _enter(step, memory, plan)
            plan.places.append(place)
            for name in wired:
                used.add(memory.root[name])
                free.pop(memory.root[name], None)
            free.update(dict.fromkeys(layer.tops))
        if layer.name == end:
            break
    _finish(plan, memory, net, free, used)
    return plan


def _enter(step: Step, memory: _Memory, plan: Plan) -> None:
    layer, operation, wired = step.layer, step.setup.operation, step.node.wired
    if operation is None:
        raise refuse(step.where, layer.name, f"type {layer.type} is not computed here, so that it can't be exported")
    reads = [memory.read(name, shape) for name, shape in zip(wired, step.shapes, strict=True)]
    in_place = [j < len(wired) and wired[j] == name for j, name in enumerate(layer.tops)]
    if isinstance(operation, ops.Silence):
        return
    if isinstance(operation, ops.Dropout):
        if operation.training:
            raise refuse(step.where, layer.name, "drops at random: its own phase is TRAIN")
        if in_place[0]:
            return
    entry = Entry(layer.name, operation, reads, [], where=step.where, in_place=in_place)
    entry.blobs = [blob.data for blob in layer.blobs]
    names = [param.name for param in step.setup.params]
    entry.params = names if len(names) == len(entry.blobs) else [str(i) for i in range(len(entry.blobs))]
    plan.entries.append(entry)
    for name, shape, here in zip(layer.tops, step.setup.tops, in_place, strict=True):
        beside = wired[0] if operation.shares and not here else None
        entry.writes.append(memory.write(name, shape, name if here else None, beside))


def _finish(plan: Plan, memory: _Memory, net: Net, free: dict[str, None], used: set[str]) -> None:
    """Name the values, and find the inputs that are read and the outputs that no layer reads."""
    kept = [value for value in plan.inputs if value.blob in used] or plan.inputs
    for value in plan.inputs:
        if value not in kept:
            plan.notes.append(f"input '{value.blob}' is left out: no layer that is exported reads it")
    plan.inputs = kept
    there = set(map(id, plan.values()))
    finals = {name: memory.final(name) for name in net.blobs if name in memory.place}
    plan.finals = {name: value for name, value in finals.items() if id(value) in there}
    last = {id(value): name for name, value in plan.finals.items() if value.blob == name}
    taken = {value.blob for value in plan.inputs} | set(last.values())
    inputs = set(map(id, plan.inputs))
    readers = {id(value): entry.layer for entry in plan.entries for value in entry.reads}
    given = {value.blob for value in plan.inputs}
    for value in plan.values():
        if id(value) in inputs or (id(value) in last and value.blob not in given):
            value.name = value.blob
        elif value.blob in given:
            value.name = _unused(f"{value.blob}_in_place", taken)
        else:
            value.name = _unused(f"{value.blob}_before_{readers.get(id(value), 'end')}", taken)
        value.dims = value.shape
    plan.outputs = [plan.finals[name] for name in sorted(free) if name in plan.finals]
    if not plan.entries or not plan.outputs:
        raise CaffeError("there is nothing to export: no layer computes anything")


def _unused(name: str, taken: set[str]) -> str:
    result, k = name, 2
    while result in taken:
        result, k = f"{name}_{k}", k + 1
    taken.add(result)
    return result
