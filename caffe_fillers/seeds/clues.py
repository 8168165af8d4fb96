"""Inverts the distributions: from the value of a weight to its draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._core import ziggurat_edges
from ..arrays import Array, Dtype
from ..fillers import Plan

__all__ = ["Clue", "clues", "draws_of_uniform", "draws_per_value", "kind_of"]

Words = npt.NDArray[np.uint32]
Places = npt.NDArray[np.int64]


class Clue(NamedTuple):
    """A draw lies in one of some ranges.

    `draw` counts from the first draw of the value (of the pair of values for Box-Muller). The ranges, an array of
    n x 2, first and last, are those of the draw's word rotated right by `rotation` bits.
    """

    draw: int
    rotation: int
    ranges: Words

    @property
    def size(self) -> int:
        return int((self.ranges[:, 1].astype(np.int64) - self.ranges[:, 0] + 1).sum())

    def words(self) -> Words:
        """Return every word that the draw may have been."""
        first, last = self.ranges.astype(np.int64).T
        sizes = last - first + 1
        rotated = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        words = rotated.astype(np.uint32)
        return words << np.uint32(self.rotation) | words >> np.uint32(31 - self.rotation) >> np.uint32(1)


def kind_of(plan: Plan, boost: str) -> str:
    """Return the distribution of a fill: uniform, Box-Muller (up to Boost 1.55) or ziggurat."""
    if plan.draw == "uniform":
        return "uniform"
    return "Box-Muller" if int(boost.split(".")[1]) < 56 else "ziggurat"


def draws_per_value(kind: str, dtype: Dtype) -> int:
    """Return the number of draws for a value if none is rejected."""
    return 2 if kind == "ziggurat" and dtype == np.float64 else 1


def clues(plan: Plan, kind: str, values: Array, i: int) -> list[Clue]:
    """Return the clues of value i of a blob; none if no fill gives it, or if too few of its digits are left."""
    if kind == "uniform":
        found = _uniform(plan, values[i])
    elif kind == "ziggurat":
        found = _ziggurat(plan, values[i])
    else:
        found = _box_muller(plan, values[i : i + 2]) if i % 2 == 0 and i + 1 < len(values) else []
    return found if all(len(clue.ranges) for clue in found) else []


def _ranks(f: Callable[[Places], Array], bits: int, value: Array) -> tuple[Places, Places]:
    """Return the first and last of 2**bits whole numbers that f maps to a value; last < first if there is none.

    f must never fall.
    """

    def count(below: Callable[[Array, Array], npt.NDArray[np.bool_]]) -> Places:
        at: Places = np.zeros(value.shape, np.int64)
        for bit in range(bits, -1, -1):
            further = at + (1 << bit)
            fits = further <= 1 << bits
            at = np.where(fits & below(f(np.where(fits, further, 1) - 1), value), further, at)
        return at

    return count(np.less), count(np.less_equal) - 1


def draws_of_uniform(plan: Plan, values: Array) -> tuple[Places, Places]:
    """Return the first and last draw from which each value of a uniform fill may come."""
    real = values.dtype.type
    low, high = real(plan.a), np.nextafter(real(plan.b), real(np.inf))
    with np.errstate(over="ignore"):
        width = high - low
    if not np.isfinite(width):
        return np.ones(values.shape, np.int64), np.zeros(values.shape, np.int64)
    return _ranks(lambda draw: draw.astype(real) * real(2.0**-32) * width + low, 32, values)


def _uniform(plan: Plan, value: np.floating) -> list[Clue]:
    first, last = draws_of_uniform(plan, np.array([value]))
    return [Clue(0, 0, _ranges(first, last))]


def _ranges(first: Places, last: Places) -> Words:
    """Return the ranges that are not empty, in order, and joined where they overlap."""
    kept = np.argsort(first)
    kept = kept[first[kept] <= last[kept]]
    first, last = first[kept], np.maximum.accumulate(last[kept]) if len(kept) else last[kept]
    begins = np.ones(len(first), bool)
    begins[1:] = first[1:] > last[:-1]
    ends = np.roll(begins, -1)
    return np.ascontiguousarray(np.stack([first[begins], last[ends]], 1).astype(np.uint32))


def _ziggurat(plan: Plan, value: np.floating) -> list[Clue]:
    real = type(value)
    bits = 53 if real is np.float64 else 24
    bucket = np.arange(256)
    edge = ziggurat_edges[bucket >> 1].astype(real)
    sign = ((bucket & 1) * 2 - 1).astype(real)
    mean, sigma = real(plan.a), real(plan.b)

    def rising(fraction: Places) -> Array:
        # a value falls as the fraction rises where its sign is negative
        value: Array = ((fraction.astype(real) * real(2.0**-bits) * edge) * sign * sigma + mean) * sign
        return value

    first, last = _ranks(rising, bits, value * sign)
    high = bucket.astype(np.int64) << 24
    if bits == 24:
        return [Clue(0, 8, _ranges(high | first, np.where(first <= last, high | last, -1)))]
    # the upper 29 bits are a second draw's
    none = first > last
    coarse = Clue(1, 29, _ranges((first >> 24) << 3, np.where(none, -1, (last >> 24) << 3 | 7)))
    whole = (first >> 24) != (last >> 24)
    fine_first, fine_last = np.where(whole, 0, first & 0xFFFFFF), np.where(whole, 0xFFFFFF, last & 0xFFFFFF)
    return [Clue(0, 8, _ranges(high | fine_first, np.where(none, -1, high | fine_last))), coarse]


def _box_muller(plan: Plan, pair: Array) -> list[Clue]:
    """Return clues that, unlike the others, are not exact: the ranges include every rounding."""
    eps = float(np.finfo(pair.dtype).eps) / 2
    tiny = float(np.finfo(pair.dtype).smallest_subnormal)
    a, b = (float(each) for each in pair)
    x, y = (a - plan.a) / plan.b, (b - plan.a) / plan.b
    radius = math.hypot(x, y)
    if radius == 0 or not math.isfinite(radius):
        return []
    error = eps * ((2 * max(abs(a), abs(b)) + abs(plan.a)) / plan.b + 4 * radius) + tiny / plan.b
    angle = math.atan2(y, x) % (2 * math.pi)
    first = (angle / (2 * math.pi)) * 2**32
    first_error = (1.5 * error / radius + 3 * eps * angle) / (2 * math.pi) * 2**32 + 2
    second = -math.expm1(-radius * radius / 2) * 2**32
    second_error = (1.5 * error * radius * math.exp(-radius * radius / 2) + 2 * eps) * 2**32 + 2
    return [Clue(0, 0, _around(first, first_error, True)), Clue(1, 0, _around(second, second_error, False))]


def _around(at: float, error: float, circular: bool) -> Words:
    size = 2**32
    first, last = math.floor(at - error), math.ceil(at + error)
    firsts, lasts = [max(first, 0)], [min(last, size - 1)]
    if circular and first < 0:
        firsts, lasts = [*firsts, size + first], [*lasts, size - 1]
    if circular and last >= size:
        firsts, lasts = [*firsts, 0], [*lasts, last - size]
    return _ranges(np.array(firsts), np.array(lasts))
