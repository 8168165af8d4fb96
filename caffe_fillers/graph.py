"""Turns a net's message into layers in set-up order: filters by state, connects blobs, inserts Splits.

Names are strings here and nothing has a shape yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import schema
from .errors import CaffeError

__all__ = ["Misplaced", "Node", "connect", "kept", "net_state"]


class Misplaced(CaffeError):
    """A layer that can't be placed, by its position among the layers of the file."""

    def __init__(self, origin: int, text: str) -> None:
        super().__init__(text)
        self.origin = origin


@dataclass(slots=True)
class Node:
    """A layer with its place in the net.

    Attributes
    ----------
    message : LayerParameter
    origin : int
        Its position among the layers of the file; of the layer it splits, for an inserted Split.
    bottoms, tops : list of str
        Names, as the file has them.
    wired : list of str
        The names of its bottoms once Splits are in.
    inserted : bool
        Whether it is such a Split.
    loss_moved : bool
        Whether its loss_weight went to an inserted Split.
    """

    message: schema.LayerParameter
    origin: int
    bottoms: list[str]
    tops: list[str]
    wired: list[str] = field(default_factory=list)
    inserted: bool = False
    loss_moved: bool = False


def net_state(own: schema.NetState, phase: str, level: int, stages: Iterable[str]) -> schema.NetState:
    """The state of a net built from a file: phase and level of the caller, stages of both."""
    state = schema.NetState()
    state.CopyFrom(own)
    state.phase = schema.enum("Phase")[phase]
    state.level = level
    state.stage.extend(stages)
    return state


def _matches(rule: schema.NetStateRule, state: schema.NetState) -> bool:
    stages = set(state.stage)
    return (
        (not rule.HasField("phase") or rule.phase == state.phase)
        and (not rule.HasField("min_level") or state.level >= rule.min_level)
        and (not rule.HasField("max_level") or state.level <= rule.max_level)
        and all(stage in stages for stage in rule.stage)
        and not any(stage in stages for stage in rule.not_stage)
    )


def kept(layers: Iterable[schema.LayerParameter], state: schema.NetState) -> list[tuple[int, schema.LayerParameter]]:
    """Return the layers, with their positions, that the include and exclude rules keep in this state."""
    return [(origin, layer) for origin, layer in enumerate(layers) if _is_kept(origin, layer, state)]


def _is_kept(origin: int, layer: schema.LayerParameter, state: schema.NetState) -> bool:
    include, exclude = layer.include, layer.exclude
    if include and exclude:
        raise Misplaced(
            origin,
            "Check failed: layer_param.include_size() == 0 || layer_param.exclude_size() == 0 "
            "Specify either include rules or exclude rules; not both.",
        )
    if include:
        return any(_matches(rule, state) for rule in include)
    return not any(_matches(rule, state) for rule in exclude)


def _split_name(layer: str, blob: str, top: int) -> str:
    return f"{blob}_{layer}_{top}_split"


def _without_top(
    name: str, layers: list[tuple[int, schema.LayerParameter]], every: Sequence[schema.LayerParameter]
) -> str:
    """Return what to do about a bottom that none of the kept layers makes before it is read."""
    here = {origin for origin, _ in layers}
    others = [layer for origin, layer in enumerate(every) if origin not in here and name in layer.top]
    if not others:
        return (
            "no layer before it, kept in this phase, level and stage, has a top of this name; if it is an "
            f"input of this part of a net, give its shape: --input {name}=DIMS or inputs={{{name!r}: (...)}}"
        )
    rules = [(kind, rule) for layer in others for kind in ("include", "exclude") for rule in getattr(layer, kind)]
    texts = dict.fromkeys(f"{kind} {{ {' '.join(str(rule).split())} }}" for kind, rule in rules)
    return (
        f"layer {others[0].name!r} has a top of this name, but in this phase, level and stage it is left out by its "
        f"rules, {', '.join(texts)}: choose another phase, level or stage"
    )


def connect(layers: list[tuple[int, schema.LayerParameter]], every: Sequence[schema.LayerParameter] = ()) -> list[Node]:
    """Find what each bottom reads, and put a Split behind each top that is read more than once.

    A loss_weight other than 0 on a top counts as a reader of it. `every` holds the layers of all phases and stages, of
    which an error tells.
    """
    nodes = [Node(message, origin, list(message.bottom), list(message.top)) for origin, message in layers]
    source: dict[str, tuple[int, int]] = {}
    reads: list[list[tuple[int, int]]] = []
    readers: dict[tuple[int, int], int] = {}
    losses: dict[tuple[int, int], float] = {}
    for i, node in enumerate(nodes):
        reads.append([])
        for j, name in enumerate(node.bottoms):
            if name not in source:
                raise Misplaced(
                    node.origin,
                    f"Unknown bottom blob '{name}' (layer '{node.message.name}', bottom index {j})\n"
                    + _without_top(name, layers, every),
                )
            reads[i].append(source[name])
            readers[source[name]] = readers.get(source[name], 0) + 1
        for j, name in enumerate(node.tops):
            source[name] = (i, j)
        for name, weight in zip(node.tops, node.message.loss_weight, strict=False):
            losses[source[name]] = weight
            if weight:
                readers[source[name]] = readers.get(source[name], 0) + 1

    wired: list[Node] = []
    used: dict[tuple[int, int], int] = {}
    for i, node in enumerate(nodes):
        wired.append(node)
        for name, top in zip(node.bottoms, reads[i], strict=True):
            if readers[top] > 1:
                layer = nodes[top[0]].message.name
                name = f"{_split_name(layer, name, top[1])}_{used.get(top, 0)}"
                used[top] = used.get(top, 0) + 1
            node.wired.append(name)
        for j, name in enumerate(node.tops):
            top = (i, j)
            if readers.get(top, 0) < 2:
                continue
            split_name = _split_name(node.message.name, name, j)
            tops = [f"{split_name}_{k}" for k in range(readers[top])]
            split = schema.LayerParameter(name=split_name, type="Split", bottom=[name], top=tops)
            if losses.get(top):
                split.loss_weight.extend([losses[top]] + [0.0] * (readers[top] - 1))
                node.loss_moved = True
                used[top] = used.get(top, 0) + 1
            wired.append(Node(split, node.origin, [name], tops, [name], inserted=True))
    return wired
