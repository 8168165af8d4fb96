"""Records which filler filled each parameter of a net, and at which position in the random stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypedDict

from .errors import CaffeError
from .fillers import fans
from .filling import purpose
from .planning import Step

__all__ = ["FillRow", "fills", "plain"]


class FillRow(TypedDict):
    """The fill of one parameter blob: a row of `Net.fills`."""

    layer: str
    type: str
    index: int
    name: str
    shape: tuple[int, ...]
    filler: dict[str, str | float] | None
    fan_in: int | None
    fan_out: int | None
    std: float | None
    start: int | None
    draws: int
    shared_with: str | None


def fills(steps: Sequence[Step], caffe: str) -> list[FillRow]:
    """Return one row per parameter blob, for `Net.fills`."""
    rows: list[FillRow] = []
    places: dict[int, str] = {}
    for step in steps:
        layer = step.layer
        draws_by_purpose = {draw.what: draw for draw in layer.draws}
        for i, (blob, owner) in enumerate(zip(layer.blobs, step.owners, strict=True)):
            place = places.setdefault(id(blob if owner is None else owner), f"{layer.name}/{i}")
            filled = i < len(step.plans)
            param = step.setup.params[i] if filled else None
            plan = step.plans[i] if filled else None
            draw = draws_by_purpose.get(purpose(param)) if param else None
            fan_in: int | None
            fan_out: int | None
            try:
                fan_in, fan_out = fans(blob.shape, caffe=caffe)
            except CaffeError:
                fan_in = fan_out = None
            rows.append(
                {
                    "layer": layer.name,
                    "type": layer.type,
                    "index": i,
                    "name": param.name if param else "from the text",
                    "shape": blob.shape,
                    "filler": None if param is None or param.filler is None else param.filler.fields(),
                    "fan_in": fan_in,
                    "fan_out": fan_out,
                    "std": None if plan is None else plan.std,
                    "start": draw.start if draw else None,
                    "draws": draw.count if draw else 0,
                    "shared_with": None if owner is None else place,
                }
            )
    return rows


def plain(rows: Iterable[FillRow]) -> dict[str, dict[str, object]]:
    """Return the rows by the blob's place, ``layer/index``, in types that JSON can hold."""
    blobs: dict[str, dict[str, object]] = {}
    for row in rows:
        std, filler = row["std"], row["filler"]
        if filler:
            # JSON can't write NaN and infinity
            filler = {
                name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in filler.items()
            }
        blobs[f"{row['layer']}/{row['index']}"] = {
            "filler": filler,
            "fan_in": row["fan_in"],
            "fan_out": row["fan_out"],
            "std": None if std is not None and not math.isfinite(std) else std,
            "start": row["start"],
            "draws": row["draws"],
            "shared_with": row["shared_with"],
        }
    return blobs
