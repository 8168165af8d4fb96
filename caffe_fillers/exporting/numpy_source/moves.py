"""Writes operations that move, rank or sum values as calls."""

from __future__ import annotations

from ... import ops
from ..plan import Entry
from .calls import one, write
from .writing import Call, Items, Script

__all__: list[str] = []


@write.register
def _(operation: ops.Reshape, s: Script, e: Entry) -> None:
    s.statement(e, s.var(e.y), s.var(e.x) if e.x.dims == e.y.dims else s.reshaped(s.var(e.x), e.y))


@write.register
def _(operation: ops.Split, s: Script, e: Entry) -> None:
    s.statement(e, " = ".join(s.var(value) for value in e.writes), s.var(e.x))


@write.register
def _(operation: ops.Concat, s: Script, e: Entry) -> None:
    given = Items(s.var(value) for value in e.reads)
    s.statement(e, s.var(e.y), s.call(ops.concat, given, axis=operation.axis))


@write.register
def _(operation: ops.Slice, s: Script, e: Entry) -> None:
    call = s.call(ops.slice_axis, s.var(e.x), s.text(operation.points), axis=operation.axis)
    targets = ", ".join(s.var(value) for value in e.writes)
    s.statement(e, targets, f"(part.copy() for part in {call})")


@write.register
def _(operation: ops.Crop, s: Script, e: Entry) -> None:
    call = s.call(ops.crop, s.var(e.x), s.text(operation.offsets), s.dims(e.y, s.var(e.x)))
    s.statement(e, s.var(e.y), Call(call.function, call.arguments, ".copy()"))


@write.register
def _(operation: ops.Permute, s: Script, e: Entry) -> None:
    one(s, e, ops.permute, s.text(operation.order))


@write.register
def _(operation: ops.ShuffleChannel, s: Script, e: Entry) -> None:
    one(s, e, ops.shuffle_channels, s.text(operation.group))


@write.register
def _(operation: ops.Tile, s: Script, e: Entry) -> None:
    one(s, e, ops.tile, s.text(operation.tiles), axis=operation.axis)


@write.register
def _(operation: ops.Reduction, s: Script, e: Entry) -> None:
    options = {"method": operation.method, "coefficient": operation.coefficient}
    one(s, e, ops.reduction, axis=operation.axis, **options)


@write.register
def _(operation: ops.ArgMax, s: Script, e: Entry) -> None:
    options = {"top_k": operation.top_k, "out_max_val": operation.out_max_val}
    one(s, e, ops.argmax, axis=operation.axis, **options)


@write.register
def _(operation: ops.Parameter, s: Script, e: Entry) -> None:
    s.statement(e, s.var(e.y), f"{s.parameter(e, 0, e.y.shape)}.copy()")


@write.register
def _(operation: ops.BatchReindex, s: Script, e: Entry) -> None:
    one(s, e, ops.batch_reindex, s.var(e.reads[1]))


@write.register
def _(operation: ops.Filter, s: Script, e: Entry) -> None:
    for x, y in zip(e.reads[:-1], e.writes, strict=True):
        s.statement(e, s.var(y), s.call(ops.filter_items, s.var(x), s.var(e.reads[-1])))


@write.register
def _(operation: ops.Interp, s: Script, e: Entry) -> None:
    one(s, e, ops.interpolate, s.text(e.y.shape[2:]), crop=operation.crop)


@write.register
def _(operation: ops.Upsample, s: Script, e: Entry) -> None:
    if len(e.reads) > 1:
        one(s, e, ops.upsample, s.var(e.reads[1]), s.text(e.y.shape[2:]))
    else:
        one(s, e, ops.repeat_pixels, s.text(operation.scale))


@write.register
def _(operation: ops.Reorg, s: Script, e: Entry) -> None:
    one(s, e, ops.reorganize, s.text(operation.stride), reverse=operation.reverse)


@write.register
def _(operation: ops.PriorBox, s: Script, e: Entry) -> None:
    layer, image = (f"{s.var(value)}.shape[2:]" for value in e.reads)
    call = s.call(
        ops.prior_box,
        layer,
        s.text(operation.image) if operation.image else image,
        sizes=operation.sizes,
        ratios=operation.ratios,
        variances=operation.variances,
        step=operation.step,
        offset=operation.offset,
        clip=operation.clip,
    )
    s.statement(e, s.var(e.y), Call(call.function, call.arguments, f".astype({s.var(e.x)}.dtype)"))


@write.register
def _(operation: ops.ROIPooling, s: Script, e: Entry) -> None:
    one(s, e, ops.roi_pool, s.var(e.reads[1]), s.text(operation.size), scale=operation.scale)
