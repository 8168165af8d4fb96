"""Explains blobs that a seed gives at another position in the stream than the net expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import CaffeError
from ..net import Net
from .candidates import SeededNet

__all__ = ["shifts"]

_DATA = 3  # the most draws of a data layer, which has no parameters


def shifts(
    placed: Mapping[int, Mapping[str, int]], seeded: SeededNet, boost: str, tried: str, others: Sequence[str]
) -> tuple[dict[int, dict[str, int]], dict[int, str]]:
    """Return by seed how far its blobs are from their places by the revision `tried`, and what would shift them so.

    That may be one of the `others`, revisions that were not tried, or a layer's draws.
    """
    net = seeded(0, boost, tried, False)
    here = _places(net)
    shifted = {
        seed: {blob: place - here[blob] for blob, place in blobs.items() if here.get(blob) is not None}
        for seed, blobs in placed.items()
    }
    shifted = {seed: blobs for seed, blobs in shifted.items() if any(blobs.values())}
    found: dict[int, str] = {}
    for caffe in others:
        try:
            there = _places(seeded(0, boost, caffe, False))
        except CaffeError:
            continue
        for seed, blobs in shifted.items():
            if all(there.get(blob, -1) == here[blob] + shift for blob, shift in blobs.items()):
                again = f"search again with --caffe {caffe} or caffe={caffe!r}"
                found.setdefault(seed, f"Caffe {caffe} has these places: {again}")
    return shifted, {seed: found.get(seed) or _explained(blobs, net, here) for seed, blobs in shifted.items()}


def _places(net: Net) -> dict[str, int]:
    return {f"{row['layer']}/{row['index']}": row["start"] for row in net.fills() if row["start"] is not None}


def _explained(blobs: Mapping[str, int], net: Net, here: Mapping[str, int]) -> str:
    first = min(blobs, key=lambda blob: here[blob])
    shift = blobs[first]
    explanation = f"before {first} Caffe drew {abs(shift)} {'more' if shift > 0 else 'less'} than this net does: "
    if abs(shift) <= _DATA:
        return (
            f"{explanation}so few are draws of a data layer (for mirror, crop_size, shuffle and its threads), whose "
            "number differs in a fork of Caffe or with other settings"
        )
    for layer in net.layers:
        for draw in layer.draws:
            if draw.start < here[first] and draw.count == abs(shift):
                how = "was drawn twice, or by one more layer like it" if shift > 0 else "was not drawn"
                return f"{explanation}as many as layer {layer.name!r} takes for {draw.what}, so this {how}"
    if shift > 0:
        return f"{explanation}there was a layer that draws, or another net, which this prototxt lacks"
    return f"{explanation}other layers were there, or layers without a filler that draws"
