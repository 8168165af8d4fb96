"""Fills a planned net: draws, fills and shares parameters, layer by layer, from one stream."""

from __future__ import annotations

from collections.abc import Mapping

from . import fillers
from ._core import RNG
from .blob import Blob
from .layers.rule import Draw, Param
from .planning import Step

__all__ = ["carry_out", "purpose"]

_UNFILLED = "this net was built with fill=False and holds no values"


def carry_out(step: Step, tops: Mapping[str, Blob], stream: RNG, fill: bool, threads: int | None) -> None:
    """Make the planned draws and fills of a layer, and record them in its ledger.

    Without `fill` the stream advances all the same, but no value is kept.
    """
    layer, setup = step.layer, step.setup

    def note(start: int, what: str) -> None:
        drawn = stream.position - start
        if drawn:
            layer.draws.append(Draw(start, drawn, what))

    for what in setup.draws:
        start = stream.position
        step.drawn.setdefault(what, []).append(stream.random_raw())
        note(start, what)
    if setup.turns is not None:
        step.drawn["shuffles"] = setup.turns(stream)
    for name, plan in zip(layer.tops, step.top_plans, strict=False):
        if plan is not None and fill:
            fillers.apply(plan, tops[name].data, stream)
        elif plan is not None:
            tops[name].without_data(_UNFILLED)
    for blob, owner, param, plan in zip(layer.blobs, step.owners, setup.params, step.plans, strict=False):
        if plan is not None:
            start = stream.position
            if fill and owner is None:
                fillers.apply(plan, blob.allocate(), stream, threads)
            else:
                fillers.consume(plan, blob.count(), blob.dtype, stream)
            note(start, purpose(param))
        if not fill:
            blob.without_data(_UNFILLED)
    if setup.again:
        start = stream.position
        for _ in range(setup.times):
            for i in setup.again:
                plan = step.plans[i]
                if plan is not None:
                    fillers.consume(plan, layer.blobs[i].count(), layer.blobs[i].dtype, stream)
        note(start, f"{setup.times} more time steps")
    for blob, owner in zip(layer.blobs, step.owners, strict=True):
        if owner is not None:
            blob.share_data(owner)


def purpose(param: Param) -> str:
    return f"{param.name} {param.filler.type}" if param.filler else ""
