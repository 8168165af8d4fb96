"""The two shuffles of Caffe's data layers, draw by draw."""

from __future__ import annotations

from typing import TypeVar

from .._core import RNG

__all__ = ["Rand", "Turns", "random_shuffle", "shuffle"]

_BEHIND = 31


class Rand:
    """C's `rand` as glibc has it: each number is the sum of two earlier ones, 31 and 3 back.

    Parameters
    ----------
    seed : int
        1 is what a process starts with that never calls `srand`, and Caffe never does.

    Examples
    --------
    >>> rand = Rand()
    >>> rand(), rand(), rand()
    (1804289383, 846930886, 1681692777)
    """

    __slots__ = ("_i", "_last")

    def __init__(self, seed: int = 1) -> None:
        last = [seed]
        for _ in range(_BEHIND - 1):
            last.append(16807 * last[-1] % (2**31 - 1))
        self._last, self._i = last, 3
        for _ in range(10 * _BEHIND):
            self()

    def __call__(self) -> int:
        i, last = self._i, self._last
        value = last[i] = (last[i] + last[i - 3]) & 0xFFFFFFFF
        self._i = (i + 1) % _BEHIND
        return value >> 1


_Item = TypeVar("_Item")


def random_shuffle(items: list[_Item], rand: Rand) -> None:
    """Shuffle in place as libstdc++'s ``std::random_shuffle`` does: each item changes places with one up to it."""
    for i in range(1, len(items)):
        j = rand() % (i + 1)
        items[i], items[j] = items[j], items[i]


class Turns:
    """The turns of one layer at C's `rand`, which all layers of a process draw from.

    Parameters
    ----------
    stream : RNG
        Its `c_rand` counts the numbers that all of them have drawn.
    taken : list of int
        Begin and end of each turn so far. They are taken again first, for a layer that goes through its data anew;
        those beyond `c_rand` were undone. New turns are added.
    """

    def __init__(self, stream: RNG, taken: list[int]) -> None:
        while taken and taken[-1] > stream.c_rand:
            del taken[-2:]
        self._stream, self._taken, self._next = stream, taken, 0
        self._rand, self._at = Rand(), 0

    def shuffle(self, items: list[_Item]) -> None:
        """Take a turn: `random_shuffle`."""
        begin = self.take(len(items))
        while self._at < begin:
            self._rand()
            self._at += 1
        random_shuffle(items, self._rand)
        self._at += max(0, len(items) - 1)

    def take(self, count: int) -> int:
        """Take the turn that shuffles `count` items, and return where it begins."""
        if self._next == len(self._taken):
            begin = self._stream.c_rand
            self._stream.c_rand = begin + max(0, count - 1)
            self._taken += [begin, self._stream.c_rand]
        self._next += 2
        return self._taken[self._next - 2]


def shuffle(items: list[_Item], rng: RNG) -> None:
    """Shuffle in place as Caffe's util/rng.hpp does: from the last item down, each changes places with one up to it.

    A draw is cut into as many equal parts as there are places, and drawn again where it falls behind the last part.
    """
    raw = rng.random_raw
    for i in range(len(items) - 1, 0, -1):
        size, rest = divmod(2**32 - 1, i + 1)
        if rest == i:
            size += 1
        j = raw() // size
        while j > i:
            j = raw() // size
        items[i], items[j] = items[j], items[i]
