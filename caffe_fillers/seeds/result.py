"""The result of a seed search."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FoundSeed", "SeedSearch"]


@dataclass(frozen=True)
class FoundSeed:
    """A seed, and which blobs hold its fill.

    Attributes
    ----------
    seed : int
    boosts : tuple of str
        The versions of Boost, of those tried, whose fills agree best.
    same : list of str
        The blobs, ``layer/index``, that hold the fill's bits, constant blobs included.
    changed : dict of str to int
        The other blobs, each with the number of values that differ.
    places : list of tuple of int
        The first thousand indices at which the searched blob differs from the fill.
    caffes : tuple of str
        The revisions of Caffe, of those tried, whose fill the weights are.
    """

    seed: int
    boosts: tuple[str, ...]
    same: list[str]
    changed: dict[str, int]
    places: list[tuple[int, ...]]
    caffes: tuple[str, ...] = ("master",)


@dataclass
class SeedSearch:
    """The result of a seed search and what it tried; `str` of it is a summary.

    Attributes
    ----------
    blob : str
        The blob, ``layer/index``, that was searched by last.
    found : list of FoundSeed
        Every seed that gives this blob, the best first. A blob of many values has at most one.
    tried : list of str
        What was tried, in order.
    fitting : list of str
        Blobs whose values have the distribution of their filler: a seed may have drawn them.
    misfits : list of str
        Blobs whose values can't come from their filler: most likely they were trained.
    shifted : dict of int to dict of str to int
        Seeds that give blobs at other places in the stream than this net, by every revision of Caffe tried. For each
        seed: the blobs, and how many draws later they were drawn.
    explained : dict of int to str
        For each of these seeds, a cause that would shift its blobs so.
    """

    blob: str = ""
    found: list[FoundSeed] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    fitting: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    shifted: dict[int, dict[str, int]] = field(default_factory=dict)
    explained: dict[int, str] = field(default_factory=dict)

    @property
    def seed(self) -> int | None:
        """The seed that was found, or None."""
        return self.found[0].seed if self.found else None

    def __str__(self) -> str:
        if not self.found:
            fitting = [f"{', '.join(self.fitting)}: values look like their filler's"] if self.fitting else []
            reasons = self._shifts() or list(_REASONS)
            return "\n".join(["no seed found", *self.tried, *fitting, *self.misfits, *reasons])
        best, blob = self.found[0], self.blob
        lines = [f"seed {best.seed}", f"found by {blob}, with Boost {' or '.join(best.boosts)}"]
        if "master" not in best.caffes:
            lines.append(
                f"filled by Caffe {' or '.join(best.caffes)}, not master: to repeat it, use --caffe {best.caffes[0]} "
                f"or caffe={best.caffes[0]!r}"
            )
        lines += [f"{blob} differs at [{', '.join(map(str, place))}]" for place in best.places[:8]]
        if len(best.places) > 8:
            lines.append(f"{blob} differs at {best.changed[blob] - 8} more places")
        if len(self.found) > 1:
            others = [str(each.seed) for each in self.found[1:9]] + ["..."] * (len(self.found) > 9)
            lines.append(f"{len(self.found) - 1} more seeds give {blob} too: {', '.join(others)}")
        lines.append(f"{len(best.same)} of {len(best.same) + len(best.changed)} blobs hold their initial bits")
        return "\n".join(lines)

    def _shifts(self) -> list[str]:
        """Return lines on the blobs that agree on a seed, but at other places."""
        lines = []
        for seed, blobs in sorted(self.shifted.items(), key=lambda item: -len(item[1])):
            by: dict[int, list[str]] = {}
            for blob, shift in blobs.items():
                by.setdefault(shift, []).append(blob)
            places = "; ".join(
                f"{', '.join(names)} {abs(shift)} draw{'s'[: abs(shift) - 1]} {'late' if shift > 0 else 'early'}"
                for shift, names in by.items()
            )
            lines.append(f"seed {seed} gives these blobs at other places in the stream than this net: {places}")
            if seed in self.explained:
                lines.append(self.explained[seed])
        return lines


_REASONS = (
    "likely reasons: the weights were trained; the prototxt, or its phase, stages or inputs, is not that of the run;",
    "another version of Boost or Caffe filled them, or a fork of Caffe that fills on the GPU",
)
