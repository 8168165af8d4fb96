"""Checks a candidate seed against more values of its blob, then against the whole net."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .. import fillers
from .._core import RNG
from ..arrays import Array
from .candidates import Candidate, SeededNet, shaped
from .clues import draws_per_value
from .result import FoundSeed, SeedSearch
from .strategies import Hit

__all__ = ["Judge"]

_ENOUGH = 6  # two seeds never agree in so many values
_PLACES = 1000  # the number of places listed


class Judge:
    """Compares seeds' fills with the blob's next values, then with the whole net; enters those that agree."""

    def __init__(
        self,
        given: dict[str, list[Array]],
        seeded: SeededNet,
        revisions: Sequence[Sequence[str]],
        candidate: Candidate,
        search: SeedSearch,
        placed: dict[int, dict[str, int]],
    ) -> None:
        self.given, self.seeded, self.candidate, self.search = given, seeded, candidate, search
        self.placed = placed  # by seed: the beginnings of blobs that the net has at other places
        self.revisions = revisions  # revisions grouped by equal fills, the candidate's own first
        self.agreeing: set[int] = set()

    @property
    def settled(self) -> bool:
        """True if no other seed can give so many values, at any place in the stream."""
        return bool(self.agreeing) and self.candidate.filled.count >= _ENOUGH

    def tried(self, what: str) -> None:
        self.search.blob = self.candidate.name
        self.search.tried.append(f"{self.candidate.name}: {what}")

    def consider(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            if hit.seed not in self.agreeing and any(self._continues(hit, boost) for boost in hit.boosts):
                self.agreeing.add(hit.seed)
                if not self._enter(hit.seed) and self.candidate.filled.count >= _ENOUGH:
                    self._enter_shifted(hit)
                    self.tried(
                        f"seed {hit.seed} gives its values from {hit.i} on, from draw {hit.draw} on, but this net has "
                        "them elsewhere: other layers draw before it"
                    )

    def _enter_shifted(self, hit: Hit) -> None:
        """Note where the blob was drawn, if that can be told."""
        filled = self.candidate.filled
        boost = next((each for each in hit.boosts if each in filled.starts), "")
        kind = next((kind for kind, boosts in filled.kinds().items() if boost in boosts), "")
        here = filled.starts.get(boost, range(0))
        if kind == "uniform" and len(here) == 1:
            place = hit.draw - draws_per_value(kind, filled.values.dtype) * hit.i
            self.placed.setdefault(hit.seed, {})[self.candidate.name] = place

    def _continues(self, hit: Hit, boost: str) -> bool:
        """Return whether the draws also give the values that follow; training may have changed some of those."""
        filled = self.candidate.filled
        shown = filled.values[hit.i : hit.i + 64]
        rng = RNG(hit.seed, boost=boost)
        rng.skip(hit.draw)
        expected = np.empty_like(shown)
        fillers.apply(filled.plan._replace(keep=None), expected, rng, 1)
        counted = np.ones(len(shown), bool) if filled.plan.keep is None else shown != 0
        equal = int(np.count_nonzero(_same(shown, expected)[counted]))
        count = int(np.count_nonzero(counted))
        return equal == count or (equal >= _ENOUGH and self._agree(equal, count))

    def _agree(self, equal: int, count: int) -> bool:
        """Return whether half of the values are equal, without those that are equal by chance."""
        chance = self.candidate.filled.commonest * count
        return (equal - chance) * 2 >= count - chance

    def _enter(self, seed: int) -> bool:
        """Fill the net from this seed, by every profile; keep the seed if that gives at least half of the blob."""
        found = [
            each
            for revisions in self.revisions
            for boost in self.candidate.filled.starts
            if (each := self._filled(seed, boost, tuple(revisions))) is not None
        ]
        if found:
            best = max(rank for rank, _ in found)
            ties = [each for rank, each in found if rank == best]
            ties = [each for each in ties if each.caffes == ties[0].caffes]
            boosts = tuple(boost for each in ties for boost in each.boosts)
            self.search.blob = self.candidate.name
            self.search.found.append(replace(ties[0], boosts=boosts))
            self.search.found.sort(key=lambda each: (len(each.places), -len(each.same), each.seed))
        return bool(found)

    def _filled(self, seed: int, boost: str, caffes: tuple[str, ...]) -> tuple[tuple[int, int], FoundSeed] | None:
        """Return the weights that this fill gives, and its rank among others; None if it does not give the blob."""
        from ..weights import compare

        layer, index = self.candidate.name.rsplit("/", 1)
        net = self.seeded(seed, boost, caffes[0], True)
        blobs = net.params.get(layer, [])
        if int(index) >= len(blobs) or blobs[int(index)].count() != self.candidate.values.size:
            return None
        expected = blobs[int(index)].data.reshape(self.candidate.values.shape)
        same = _same(self.candidate.values, expected)
        drawn = self.candidate.filled.drawn
        if not self._agree(int(np.count_nonzero(same.reshape(-1) & drawn)), int(np.count_nonzero(drawn))):
            return None
        differ = np.flatnonzero(~same)
        places = list(zip(*(at.tolist() for at in np.unravel_index(differ[:_PLACES], expected.shape)), strict=True))
        report = compare(shaped(self.given, net), net.params)
        held = [blob.name for blob in report if blob]
        changed = {blob.name: blob.count for blob in report if blob.status == "differs"}
        return (-differ.size, len(held)), FoundSeed(seed, (boost,), held, changed, places, caffes)


def _same(shown: Array, expected: Array) -> npt.NDArray[np.bool_]:
    bits = f"u{shown.itemsize}"
    same: npt.NDArray[np.bool_] = shown.view(bits) == expected.view(bits)
    return same
