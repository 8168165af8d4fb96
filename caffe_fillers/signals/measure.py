"""Measures what the theory predicts: runs noise through as many layers of the net as can run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from .. import ops
from .._core import RNG
from ..blob import Blob
from ..errors import CaffeError
from ..net import Net
from ..planning import Step
from ..running import Tape
from .moments import histogram

__all__ = ["Measured", "measure"]

_BUDGET = 4 << 20  # values in the largest blob
_MOST_IMAGES = 32


@dataclass(slots=True)
class Measured:
    """Variances and histograms of layers' tops, by their place in the net, and where measuring stopped."""

    images: int = 0
    variances: dict[int, float] = field(default_factory=dict)
    histograms: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)


def _quick(net: Net) -> int:
    largest = max((math.prod(blob.shape[1:]) for blob in net.blobs.values() if len(blob.shape) > 1), default=1)
    return max(2, min(_MOST_IMAGES, _BUDGET // max(largest, 1)))


def _copied(steps: list[Step]) -> list[Step]:
    """Return the steps with blobs of their own; parameters are the net's, except statistics that running changes."""
    blobs: dict[int, Blob] = {}

    def own(blob: Blob) -> Blob:
        return blobs.setdefault(id(blob), Blob(blob.shape, blob.dtype))

    copies = []
    for step in steps:
        params = step.setup.params
        learned = [i >= len(params) or params[i].learned for i in range(len(step.layer.blobs))]
        kept = [
            blob if keep else Blob.from_array(blob.data.copy())
            for blob, keep in zip(step.layer.blobs, learned, strict=True)
        ]
        operation = step.setup.operation
        if isinstance(operation, (ops.BatchNorm, ops.MovingBN)):
            # as in training: at the start there are no stored statistics
            operation = replace(operation, stored=False)
        copies.append(
            replace(
                step,
                layer=replace(step.layer, blobs=kept),
                setup=replace(step.setup, operation=operation),
                bottoms=[own(blob) for blob in step.bottoms],
                tops=[own(blob) for blob in step.tops],
            )
        )
    return copies


def measure(net: Net, rows: set[int], images: int | None = None) -> Measured:
    """Push noise through `net` and measure the results of the layers at the places `rows`."""
    if images is not None and images < 1:
        raise CaffeError(f"images is a number above 0, got {images}")
    for blobs in net.params.values():
        for blob in blobs:
            try:
                _ = blob.data
            except CaffeError:
                raise CaffeError("measuring needs the weights; build the net with fill=True") from None
    results = Measured(_quick(net) if images is None else images)
    noise = np.random.default_rng(0)
    steps = _copied(net.steps)
    tape = Tape(steps, RNG(0), force_backward=False)
    last = {id(blob): i for i, step in enumerate(steps) for blob in step.bottoms}
    known: set[int] = set()
    place = -1
    for i, step in enumerate(steps):
        place += not step.node.inserted
        if not step.bottoms:
            for top in step.tops:
                top.reshape(results.images, *top.shape[1:])
                top.data[...] = noise.standard_normal(top.shape)
        elif not all(id(blob) in known for blob in step.bottoms):
            continue
        else:
            try:
                tape.forward(i, i + 1)
            except CaffeError:
                if _leads_on(steps, i, rows, place):
                    results.stopped.append(f"'{step.layer.name}' ({step.layer.type})")
                continue
        known.update(map(id, step.tops))
        if place in rows and not step.node.inserted:
            results.variances[place] = float(np.var(step.tops[0].data, dtype=np.float64))
            results.histograms[place] = histogram(step.tops[0].data)
        for blob in step.bottoms:
            if last[id(blob)] == i and all(blob is not top for top in step.tops):
                blob.release()
    return results


def _leads_on(steps: list[Step], i: int, rows: set[int], place: int) -> bool:
    """Return whether a layer that is to be measured follows step `i`."""
    reached: set[object] = set(map(id, steps[i].tops))
    for step in steps[i + 1 :]:
        place += not step.node.inserted
        if any(id(blob) in reached for blob in step.bottoms):
            if place in rows and not step.node.inserted:
                return True
            reached.update(map(id, step.tops))
    return False
