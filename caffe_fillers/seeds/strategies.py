"""Strategies that derive candidate seeds from the values of a blob."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import Seekers, cores
from ..arrays import Array
from ..fillers import Plan
from . import recurrence
from .clues import Clue, clues, draws_of_uniform, draws_per_value, kind_of
from .recurrence import Words

__all__ = ["Filled", "Hit", "by_pairs", "by_stream", "one_by_one"]

_ANCHORS = 4  # values to begin a search at, so that some may have been changed
_MOST_PAIRS = 2**24
_MOST_WORDS = 2**26  # more would take longer than trying seeds one by one
# successive values: a few mostly suffice, and training may have changed some of many
_STRETCHES = (slice(0, 2560), *(slice(begin, begin + 16384) for begin in range(0, 5 * 16384, 16384)))
_CLEAR = 4096  # the most draws that may give one value


class Hit(NamedTuple):
    """For this seed the draws from `draw` on begin with those of value `i`, with one of these versions of Boost."""

    seed: int
    boosts: Sequence[str]
    i: int
    draw: int


@dataclass(frozen=True)
class Filled:
    """A blob's values in order, the plan of its filler, and by profile where in the stream its draws may begin."""

    values: Array
    plan: Plan
    starts: dict[str, range]

    @cached_property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """True for each value that still shows a draw: a sparse fill hides some."""
        return self._shown(self.values)

    @cached_property
    def count(self) -> int:
        """The number of values that still show a draw."""
        return int(np.count_nonzero(self.drawn))

    @cached_property
    def anchors(self) -> list[int]:
        """The first values that still show a draw."""
        first: list[int] = np.flatnonzero(self.drawn)[: 4 * _ANCHORS].tolist()
        return first

    @cached_property
    def commonest(self) -> float:
        """The share of the most frequent value; 0 if all values differ."""
        _, counts = np.unique(self.values[self.drawn][:_CLEAR], return_counts=True)
        return (int(counts.max()) - 1) / int(counts.sum()) if len(counts) else 0.0

    def _shown(self, values: Array) -> npt.NDArray[np.bool_]:
        finite = np.isfinite(values)
        return finite & (values != 0) if self.plan.keep is not None else finite

    def kinds(self) -> dict[str, list[str]]:
        """Return the profiles, by the distribution that they draw from."""
        kinds: dict[str, list[str]] = {}
        for boost in self.starts:
            kinds.setdefault(kind_of(self.plan, boost), []).append(boost)
        return kinds

    @cached_property
    def _known(self) -> dict[tuple[str, int], list[Clue]]:
        return {}

    def clues(self, kind: str, i: int) -> list[Clue]:
        """Return the clues of value i, computed once although many searches begin near it."""
        if (kind, i) not in self._known:
            needed = self.values[i : i + (2 if kind == "Box-Muller" else 1)]
            shown = len(needed) and self._shown(needed).all()
            self._known[kind, i] = clues(self.plan, kind, self.values, i) if shown else []
        return self._known[kind, i]

    def places(self, kind: str, boosts: Sequence[str], i: int) -> range:
        """Return the draws at which value i may begin."""
        starts, step = [self.starts[boost] for boost in boosts], draws_per_value(kind, self.values.dtype)
        first, last = min(start.start for start in starts), max(start.stop for start in starts)
        return range(first + step * i, last + step * i + _late(kind, i))


def _late(kind: str, i: int) -> int:
    """Return how many draws the first i values may take besides their own; one blob in a million takes more."""
    # the rejected draws of a ziggurat have a mean of about 0.04 per value and a variance of 0.07
    return math.ceil(0.04 * i + 6 * math.sqrt(0.07 * i)) + 4 if kind == "ziggurat" else 0


def by_pairs(blob: Filled, kind: str, boosts: Sequence[str]) -> Iterator[list[Hit]]:
    """Search all seeds at once, by values whose draws are 227 apart: once for each value to begin at."""
    step = draws_per_value(kind, blob.values.dtype)
    starts = []
    for i in blob.anchors:
        places = blob.places(kind, boosts, i)
        for clue in blob.clues(kind, i):
            if places.stop - 1 + clue.draw + recurrence.APART > recurrence.LAST:
                continue
            later = [
                other
                for j in range(i, i + recurrence.APART // step + 2)
                if recurrence.APART - step * (j - i) - 1 <= _late(kind, j - i)
                for other in blob.clues(kind, j)
                if 0 <= recurrence.APART - (step * (j - i) + other.draw - clue.draw) <= _late(kind, j - i)
            ]
            # a clue may allow most words: too many to list
            pairs = clue.size * sum(other.size for other in later)
            if 0 < pairs <= _MOST_PAIRS:
                starts.append((pairs * len(places), i, clue, later))
    left = _MOST_WORDS
    for _, i, clue, later in sorted(starts, key=itemgetter(0))[: 2 * _ANCHORS]:
        places = blob.places(kind, boosts, i)
        words = recurrence.words_between(clue.words(), np.concatenate([other.words() for other in later]))
        left -= len(words) * len(places)
        if left < 0:
            return
        hits = []
        for place in places:
            draw = place + clue.draw
            right, _ = Seekers([[(draw, clue.rotation, clue.ranges)]]).among(recurrence.seeds_between(words, draw))
            hits += [Hit(seed, boosts, i, place) for seed in right.tolist()]
        yield hits


def by_stream(blob: Filled) -> Iterator[list[Hit]]:
    """Search all seeds at once, by many successive uniform values: once for each stretch that determines the state."""
    boosts, count = list(blob.starts), len(blob.values)
    most = 2 * (max(start.stop for start in blob.starts.values()) + count) + 10**6
    for stretch in _STRETCHES:
        values = blob.values[stretch]
        if len(values) < recurrence.ENOUGH:
            continue
        first, last = draws_of_uniform(blob.plan, values)
        if np.median(last - first) > _CLEAR:
            continue
        hits = []
        for offset, state in recurrence.complete(*recurrence.words_behind(first, last)):
            behind = recurrence.seed_behind(state, most)
            if behind is not None:
                seed, draw = behind
                hits.append(Hit(seed, boosts, stretch.start + offset, draw))
        yield hits


def one_by_one(blob: Filled, seeds: range, threads: int | None) -> tuple[list[str], Iterator[tuple[int, list[Hit]]]]:
    """Search seed by seed; return the distributions that the values show, and for each part its end and hits."""
    possible, belongs = _possibilities(blob)
    kinds = [kind for kind, boosts in blob.kinds().items() if any(boosts == each for each, _, _ in belongs)]
    parts = (
        (end, [Hit(seed, *belongs[k]) for seed, k in zip(right.tolist(), which.tolist(), strict=True)])
        for end, right, which in _right(possible, seeds, threads)
    )
    return kinds, parts


_Known = list[tuple[int, int, Words]]


def _possibilities(blob: Filled) -> tuple[list[_Known], list[tuple[Sequence[str], int, int]]]:
    """Return the possible draws of the first values, and the profiles, value and draw of each possibility."""
    possible: list[_Known] = []
    belongs: list[tuple[Sequence[str], int, int]] = []
    for kind, boosts in blob.kinds().items():
        step, anchors = draws_per_value(kind, blob.values.dtype), 0
        for i in blob.anchors:
            known = list(blob.clues(kind, i))
            # values with few digits show little, so several are needed; between a ziggurat's draws others may lie
            for j in range(i + 1, i + 8):
                if not known or kind == "ziggurat" or _bits(known) > 24:
                    break
                known += [clue._replace(draw=clue.draw + step * (j - i)) for clue in blob.clues(kind, j)]
            if _bits(known) < 12:
                continue
            places = blob.places(kind, boosts, i)
            for place in places:
                possible.append([(place + clue.draw, clue.rotation, clue.ranges) for clue in known])
                belongs.append((boosts, i, place))
            anchors += 1
            # a second one, in case the first was changed, if it costs little
            if anchors == 2 or len(places) > 32:
                break
    return possible, belongs


def _bits(known: list[Clue]) -> float:
    """Return the number of bits that are known."""
    return sum(32 - math.log2(clue.size) for clue in known)


def _right(possible: list[_Known], seeds: range, threads: int | None) -> Iterator[tuple[int, Words, Words]]:
    blocks = max(draw for known in possible for draw, _, _ in known) // recurrence.N
    chunk = max(2048, 2**18 // (1 + 4 * blocks))
    workers = cores(threads)
    idle = [Seekers(possible) for _ in range(workers)]

    def look(begin: int) -> tuple[int, Words, Words]:
        end = min(begin + chunk, seeds.stop)
        seekers = idle.pop()
        try:
            return end, *seekers.among(np.arange(begin, end, dtype=np.uint32))
        finally:
            idle.append(seekers)

    begins = iter(range(seeds.start, seeds.stop, chunk))
    waiting: deque[Future[tuple[int, Words, Words]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            waiting.extend(pool.submit(look, begin) for begin in islice(begins, 2 * workers))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(look, begin) for begin in islice(begins, 1))
        finally:
            for future in waiting:
                future.cancel()
