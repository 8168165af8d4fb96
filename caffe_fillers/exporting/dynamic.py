"""Finds the dims of a net that may change from run to run, by planning the net again with larger inputs."""

from __future__ import annotations

from collections.abc import Mapping

from .. import ops
from ..errors import CaffeError
from ..net import Net
from .plan import Plan, make_plan
from .testing import twin

__all__ = ["make_dynamic", "mark_batch"]

# the sizes grow by a multiple of every common product of strides
_LARGER = 64


def make_dynamic(net: Net, plan: Plan, end: str | None) -> None:
    """Name the dims that follow the batch and, if possible, those that follow height and width.

    Raises
    ------
    CaffeError
        If not even the batch may change.
    """
    try:
        mark_batch(net, plan, end)
    except CaffeError as error:
        raise CaffeError(f"dynamic: the net takes batches of one size only: {error}") from None
    shapes = {value.blob: value.shape for value in plan.inputs}
    images = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    if not images:
        return
    why = ""
    try:
        larger = {
            axis: _planned(net, {n: (*s[:axis], s[axis] + _LARGER, *s[axis + 1 :]) for n, s in images.items()}, end)
            for axis in (2, 3)
        }
        why = next(filter(None, (_keeps(plan, other) for other in larger.values())), "")
    except CaffeError as error:
        why = str(error).splitlines()[0]
    if why:
        plan.notes.append(f"height and width are not dynamic: {why}")
        return
    for axis, name in ((2, "height"), (3, "width")):
        _mark(plan, larger[axis], {axis: name})


def mark_batch(net: Net, plan: Plan, end: str | None) -> None:
    """Name the dims that follow the batch."""
    shapes = {value.blob: (value.shape[0] + 1, *value.shape[1:]) for value in plan.inputs if value.shape}
    _mark(plan, _planned(net, shapes, end), {0: "batch"})


def _planned(net: Net, shapes: Mapping[str, tuple[int, ...]], end: str | None) -> Plan:
    return make_plan(twin(net, end, shapes), end)


def _mark(plan: Plan, other: Plan, names: Mapping[int, str]) -> None:
    """Name the dims that differ in the other plan: an input's by its axis, others by the dim that they follow."""
    (word,) = names.values()
    inputs = {id(value) for value in plan.inputs}
    sizes = (value.shape[axis] for value in plan.inputs for axis in names if len(value.shape) > axis)
    size = next(sizes, None)
    for mine, theirs in zip(plan.values(), other.values(), strict=True):
        dims = list(mine.dims)
        for axis, (a, b) in enumerate(zip(mine.shape, theirs.shape, strict=True)):
            if a != b:
                plain = id(mine) in inputs or (word == "batch" and a == size)
                dims[axis] = word if plain else f"{mine.name} {word} {axis}"
        mine.dims = tuple(dims)


def _keeps(plan: Plan, other: Plan) -> str:
    """Return why a graph for images of one size is wrong for others, or an empty text."""
    for mine, theirs in zip(plan.entries, other.entries, strict=True):
        operation = mine.operation
        pairs = zip(mine.reads + mine.writes, theirs.reads + theirs.writes, strict=True)
        if all(a.shape == b.shape for a, b in pairs):
            continue
        if isinstance(operation, ops.Pooling) and mine.y.shape[2:] == theirs.y.shape[2:] == (1, 1):
            continue  # global, in every size
        if operation != theirs.operation:
            return f"layer '{mine.layer}' follows the size of images"
        if isinstance(operation, _FIXED) or (isinstance(operation, ops.Pooling) and not _rounds_alike(operation)):
            return f"layer '{mine.layer}' needs them as numbers"
        if isinstance(operation, ops.Reshape) and sum(
            a != b for a, b in zip(mine.y.shape, theirs.y.shape, strict=True)
        ):
            return f"layer '{mine.layer}' reshapes what follows them"
    return ""


_FIXED = (
    *(ops.Crop, ops.Interp, ops.PriorBox, ops.Reorg, ops.SPP, ops.ArgMax, ops.Slice, ops.Im2col, ops.Upsample),
    *(ops.InnerProduct, ops.MVN, ops.LSTM, ops.RNN, ops.Normalize),
)


def _rounds_alike(operation: ops.Pooling) -> bool:
    window = operation.window
    plain = not any(window.padding) and all(s <= k for s, k in zip(window.stride, window.kernel, strict=True))
    return operation.method == "MAX" and (plain or not operation.ceil)
