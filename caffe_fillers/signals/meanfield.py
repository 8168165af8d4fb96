"""Distributions of values in a net before training, as small tables (mean-field theory).

Over random weights every value in front of an activation is close to normal (the sum of many terms), and splits in two:
what a unit gives on average, and how it varies from input to input. A `Values` is a table whose rows stand for units
and whose columns stand for inputs, both taken at even quantiles; element-wise functions apply to it as they are, and
what a layer of weights makes of it depends on three numbers: mean, the spread between rows, the spread inside them.
After Poole et al., "Exponential expressivity in deep neural networks through transient chaos" (2016), and, for batch
normalisation, Yang et al., "A mean field theory of batch normalization" (2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from ..arrays import Array

__all__ = ["Table", "Values"]

Table = Array
SIDE = 64


@lru_cache(maxsize=1)
def _standard() -> Table:
    """Return even quantiles of the standard normal distribution, with variance exactly 1."""
    quantile = NormalDist().inv_cdf
    values = np.array([quantile((i + 0.5) / SIDE) for i in range(SIDE)])
    scaled: Table = values / values.std()
    return scaled


class Values:
    """The distribution of a blob's values: rows are units, columns are inputs.

    Examples
    --------
    >>> noise = Values.normal(0.0, 0.0, 1.0)
    >>> rectified = noise.map(lambda x: np.maximum(x, 0))
    >>> round(rectified.square, 6), round(rectified.mean, 2)
    (0.5, 0.4)
    """

    __slots__ = ("table",)

    def __init__(self, table: Table) -> None:
        self.table = table

    @classmethod
    def normal(cls, mean: float, between: float, within: float) -> Values:
        """Normal values: the variance of what units give on average, and the variance inside a unit."""
        spread = _standard()
        with np.errstate(invalid="ignore", over="ignore"):
            return cls(mean + math.sqrt(between) * spread[:, None] + math.sqrt(within) * spread[None, :])

    @property
    def mean(self) -> float:
        return float(self.table.mean())

    @property
    def square(self) -> float:
        """The mean square."""
        with np.errstate(over="ignore"):
            return float((self.table**2).mean())

    @property
    def variance(self) -> float:
        return float(self.table.var())

    @property
    def between(self) -> float:
        """The variance of what the units give on average."""
        return float(self.table.mean(axis=1).var())

    @property
    def within(self) -> float:
        """The mean variance inside a unit, from input to input."""
        return float(self.table.var(axis=1).mean())

    def map(self, function: Callable[[Table], Table]) -> Values:
        with np.errstate(all="ignore"):
            return Values(function(self.table))

    def scaled(self, factor: float, shift: float = 0.0) -> Values:
        return self.map(lambda x: x * factor + shift)

    def with_moments(self, mean: float, between: float, within: float) -> Values:
        """Return a distribution of the same form with these moments."""
        with np.errstate(all="ignore"):
            rows = self.table.mean(axis=1, keepdims=True)
            inside = self.table - rows
            rows = rows - rows.mean()
            now_between, now_within = float((rows**2).mean()), float((inside**2).mean())
            rows = rows * math.sqrt(between / now_between) if now_between > 0 else rows
            inside = inside * math.sqrt(within / now_within) if now_within > 0 else inside
            return Values(mean + rows + inside)

    def weighed(self, fan_in: float, mean: float, variance: float) -> Values:
        """Return sums of `fan_in` of these values, each times a weight of that mean and variance."""
        common = self.between + self.mean**2
        return Values.normal(
            fan_in * mean * self.mean,
            fan_in * variance * common,
            fan_in * (variance + mean**2) * self.within,
        )

    def shifted(self, mean: float, variance: float) -> Values:
        """Return the values with a bias of that mean and variance for each unit."""
        if variance == 0:
            return self.scaled(1.0, mean) if mean else self
        return Values.normal(self.mean + mean, self.between + variance, self.within)

    def normalised(self, eps: float, divide: bool = True) -> Values:
        """Mean 0 and variance 1 in each unit, as batch normalisation has it."""
        with np.errstate(all="ignore"):
            centred = self.table - self.table.mean(axis=1, keepdims=True)
            if divide:
                centred = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
            return Values(centred)

    def largest_of(self, number: float) -> Values:
        """Return the largest of so many independent values of a unit: max pooling."""
        inside = np.sort(self.table, axis=1)
        at = ((np.arange(SIDE) + 0.5) / SIDE) ** (1 / max(number, 1.0)) * SIDE - 0.5
        low = np.clip(at.astype(int), 0, SIDE - 2)
        part = np.clip(at - low, 0, 1)
        return Values(inside[:, low] * (1 - part) + inside[:, low + 1] * part)

    def average_of(self, number: float) -> Values:
        """Return the mean of so many independent values of a unit: average pooling."""
        rows = self.table.mean(axis=1, keepdims=True)
        return Values(rows + (self.table - rows) / math.sqrt(max(number, 1.0)))

    def dropped(self, ratio: float, rng: np.random.Generator) -> Values:
        """Return the values after Dropout in training: that share becomes 0, the rest is scaled up."""
        if ratio <= 0:
            return self
        kept = rng.permuted(np.tile(np.arange(SIDE) >= round(ratio * SIDE), (SIDE, 1)), axis=1)
        grown = self.square / (1 - ratio) if ratio < 1 else 0.0
        square_of_rows = self.between + self.mean**2
        return Values(self.table * kept).with_moments(self.mean, self.between, max(grown - square_of_rows, 0.0))

    def _shuffled(self, rng: np.random.Generator) -> Table:
        shuffled: Table = self.table[rng.permutation(SIDE)][:, rng.permutation(SIDE)]
        return shuffled

    @staticmethod
    def combined(
        parts: Sequence[Values], function: Callable[[Table, Table], Table], rng: np.random.Generator
    ) -> Values:
        """An element-wise function of independent values."""
        table = parts[0].table
        with np.errstate(all="ignore"):
            for part in parts[1:]:
                table = function(table, part._shuffled(rng))
        return Values(table)

    @staticmethod
    def summed(parts: Sequence[Values], rng: np.random.Generator) -> Values:
        """Sums of independent values: variances add."""
        moments = (sum(part.mean for part in parts), sum(part.between for part in parts), sum(p.within for p in parts))
        return Values.combined(parts, np.add, rng).with_moments(*moments)

    @staticmethod
    def mixed(parts: Sequence[Values], shares: Sequence[float]) -> Values:
        """Return a mixture: units of each part in proportion to its share."""
        total = sum(shares)
        ends = np.round(np.cumsum(shares) / total * SIDE).astype(int)
        rows, start = [], 0
        for part, end in zip(parts, ends, strict=True):
            at = np.linspace(0, SIDE - 1, max(int(end) - start, 0) or 1).round().astype(int)
            rows.append(part.table[at] if end > start else part.table[:0])
            start = int(end)
        mean = sum(part.mean * share for part, share in zip(parts, shares, strict=True)) / total
        rows_square = sum((p.between + p.mean**2) * share for p, share in zip(parts, shares, strict=True)) / total
        within = sum(part.within * share for part, share in zip(parts, shares, strict=True)) / total
        return Values(np.concatenate(rows)).with_moments(mean, max(rows_square - mean**2, 0.0), within)
