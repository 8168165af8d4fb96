"""What filled each parameter of a net, from where on in the stream: row by row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .errors import CaffeError
from .fillers import fans
from .filling import purpose
from .planning import Step

__all__ = ["fills", "plain"]


def fills(steps: Sequence[Step], caffe: str) -> list[dict[str, Any]]:
    """One row per parameter blob, as `Net.fills` gives them."""
    rows = []
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


def plain(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows by the blob's place, ``layer/index``, as JSON can hold them."""
    blobs = {}
    for row in rows:
        entry = {key: row[key] for key in ("filler", "fan_in", "fan_out", "std", "start", "draws", "shared_with")}
        if entry["std"] is not None and not math.isfinite(entry["std"]):
            entry["std"] = None
        if entry["filler"]:
            # JSON has no word for them
            entry["filler"] = {
                name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in entry["filler"].items()
            }
        blobs[f"{row['layer']}/{row['index']}"] = entry
    return blobs
