"""Draws a diagram as SVG: boxes in ranks, ordered by a few sweeps that reduce crossings.

The way of Sugiyama, Tagawa and Toda (1981): ranks by the longest path, an empty place wherever an arrow passes a rank,
the order within ranks by the mean of the neighbours, places by pulling boxes towards theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

from ..errors import printable
from .diagram import Box, Diagram

__all__ = ["svg_text"]

_CHARACTER, _LINE, _MARGIN = 7.2, 16.0, 10.0
_APART, _BETWEEN = 18.0, 36.0
_SWEEPS = 8


@dataclass(slots=True, eq=False)
class _Place:
    """A box in its rank, or the place at which an arrow passes a rank."""

    rank: int
    box: Box | None = None
    size: float = 2.0  # the length along the rank
    depth: float = 0.0  # the length across it
    at: float = 0.0
    before: list[_Place] = field(default_factory=list)
    behind: list[_Place] = field(default_factory=list)


def svg_text(drawn: Diagram) -> str:
    """Return the diagram as a self-contained SVG document."""
    across = drawn.rankdir in ("LR", "RL")
    places = _ranked(drawn, across)
    paths = _paths(drawn, places)
    ranks = _ranks([*places.values(), *(place for path, *_ in paths for place in path)])
    _order(ranks)
    _spread(ranks)
    depths = _depths(ranks)
    width = max((place.at + place.size / 2 for rank in ranks for place in rank), default=0) + _MARGIN
    height = (depths[-1][1] if depths else 0) + _MARGIN

    def point(along: float, deep: float) -> tuple[float, float]:
        if drawn.rankdir in ("BT", "RL"):
            deep = height - deep
        return (deep, along) if across else (along, deep)

    size = (height, width) if across else (width, height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]:.0f}" height="{size[1]:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f"<title>{_escaped(drawn.name)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{size[0]:.0f}" height="{size[1]:.0f}" fill="white"/>',
    ]
    for path, label, back in paths:
        parts += _arrow(path, label, back, depths, point)
    for place in places.values():
        parts += _drawn(place, depths, point)
    return "\n".join([*parts, "</svg>", ""])


def _escaped(text: str) -> str:
    return escape(printable(text))


# --- ranks and order -------------------------------------------------------------------------------------------------


def _ranked(drawn: Diagram, across: bool) -> dict[str, _Place]:
    """Return the boxes by rank, each below all that leads to it. An in-place layer counts as a reader."""
    places: dict[str, _Place] = {}
    for name, box in drawn.boxes.items():
        wide = max(len(line) for line in box.lines) * _CHARACTER + 2 * _MARGIN
        high = len(box.lines) * _LINE + _MARGIN
        size, depth = (high, wide) if across else (wide, high)
        places[name] = _Place(0, box, size, depth)
    outputs: set[str] = set()
    for source, target, _ in drawn.arrows:
        # layers stand in the text's order, so all that leads to a box has its rank when the box is reached
        if drawn.boxes[target].blob and target in outputs:
            continue
        places[target].rank = max(places[target].rank, places[source].rank + 1)
        outputs.update((source, target))
    return places


def _paths(drawn: Diagram, places: dict[str, _Place]) -> list[tuple[list[_Place], str, bool]]:
    """Return for each arrow its places in the ranks, its label, and whether it leads back."""
    paths = []
    for source, target, label in drawn.arrows:
        back = places[source].rank >= places[target].rank
        first, last = (target, source) if back else (source, target)
        path = [places[first]]
        path += [_Place(rank) for rank in range(places[first].rank + 1, places[last].rank)]
        path.append(places[last])
        for one, other in pairwise(path):
            one.behind.append(other)
            other.before.append(one)
        paths.append((path, label, back))
    return paths


def _ranks(places: Sequence[_Place]) -> list[list[_Place]]:
    unique = list(dict.fromkeys(places))
    ranks: list[list[_Place]] = [[] for _ in range(max((place.rank for place in unique), default=-1) + 1)]
    for place in unique:
        ranks[place.rank].append(place)
    return ranks


def _order(ranks: list[list[_Place]]) -> None:
    """Sort every rank by the mean place of its neighbours, down and up again."""
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for rank in ranks:
            for i, place in enumerate(rank):
                place.at = float(i)
        for rank in ranks if down else reversed(ranks):
            rank.sort(key=lambda place: _mean(place.before if down else place.behind, place.at))
            for i, place in enumerate(rank):
                place.at = float(i)


def _mean(places: Sequence[_Place], absent: float) -> float:
    return sum(place.at for place in places) / len(places) if places else absent


def _spread(ranks: list[list[_Place]]) -> None:
    """Give every box a place along its rank: near its neighbours, and beside the next box."""
    for rank in ranks:
        at = 0.0
        for place in rank:
            place.at = at + place.size / 2
            at += place.size + _APART
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for rank in ranks if down else reversed(ranks):
            wanted = [_mean(place.before if down else place.behind, place.at) for place in rank]
            _settle(rank, wanted)
    first = min((place.at - place.size / 2 for rank in ranks for place in rank), default=0.0)
    for rank in ranks:
        for place in rank:
            place.at += _MARGIN - first


def _settle(rank: list[_Place], wanted: list[float]) -> None:
    """Put the boxes of a rank as near to their wanted places as their order and sizes allow."""
    # boxes that would overlap move as one block, to the mean of their wanted places
    blocks: list[tuple[list[int], float, float]] = []
    offsets: list[float] = []
    at = 0.0
    for i, place in enumerate(rank):
        at += place.size / 2 + (rank[i - 1].size / 2 + _APART if i else 0.0)
        offsets.append(at)
        blocks.append(([i], wanted[i] - at, 1.0))
        while len(blocks) > 1 and blocks[-2][1] > blocks[-1][1]:
            (ours, one, weight), (theirs, other, more) = blocks[-2:]
            blocks[-2:] = [(ours + theirs, (one * weight + other * more) / (weight + more), weight + more)]
    for members, shift, _ in blocks:
        for i in members:
            rank[i].at = offsets[i] + shift


# --- drawing ---------------------------------------------------------------------------------------------------------

Point = Callable[[float, float], tuple[float, float]]


def _depths(ranks: list[list[_Place]]) -> list[tuple[float, float]]:
    """Return the first and last coordinate of each rank."""
    depths = []
    at = _MARGIN
    for rank in ranks:
        end = at + max((place.depth for place in rank), default=0.0)
        depths.append((at, end))
        at = end + _BETWEEN
    return depths


def _arrow(path: list[_Place], label: str, back: bool, depths: list[tuple[float, float]], point: Point) -> list[str]:
    aside = 8.0 if back else 0.0
    points = []
    for i, place in enumerate(path):
        begin, end = depths[place.rank]
        if place.box is not None:
            middle = (begin + end) / 2
            begin, end = middle - place.depth / 2, middle + place.depth / 2
        if i:
            points.append((place.at + aside, begin))
        if i < len(path) - 1:
            points.append((place.at + aside, end))
    if back:
        points.reverse()
    x, y = point(*points[0])
    line = [f"M{x:.1f} {y:.1f}"]
    for (a, da), (b, db) in pairwise(points):
        half = (da + db) / 2
        bends = [point(a, half), point(b, half), point(b, db)]
        line.append("C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in bends))
    parts = [f'<path d="{"".join(line)}" fill="none" stroke="#555" marker-end="url(#arrow)"/>']
    if label:
        (a, da), (b, db) = points[0], points[1]
        x, y = point((a + b) / 2 + 4, (da + db) / 2)
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" fill="#555">{_escaped(label)}</text>')
    return parts


def _drawn(place: _Place, depths: list[tuple[float, float]], point: Point) -> list[str]:
    assert place.box is not None
    begin, end = depths[place.rank]
    x, y = point(place.at, (begin + end) / 2)
    wide = max(len(line) for line in place.box.lines) * _CHARACTER + 2 * _MARGIN
    high = len(place.box.lines) * _LINE + _MARGIN
    round_by = high / 2 if place.box.blob else 3
    parts = [
        f'<rect x="{x - wide / 2:.1f}" y="{y - high / 2:.1f}" width="{wide:.1f}" height="{high:.1f}" '
        f'rx="{round_by:.1f}" fill="{place.box.color}" stroke="#333"/>'
    ]
    for i, line in enumerate(place.box.lines):
        down = y - high / 2 + _MARGIN / 2 + (i + 0.78) * _LINE
        parts.append(f'<text x="{x:.1f}" y="{down:.1f}" text-anchor="middle">{_escaped(line)}</text>')
    return parts
