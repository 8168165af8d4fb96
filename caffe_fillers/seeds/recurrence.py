"""Recovers the seed from partly known draws by MT19937's recurrence, without trying seeds.

Word n of the stream is x[n], the seeding being x[0] .. x[623]; draw n is x[n + 624], tempered. The twist makes
x[n + 624] = x[n + 397] ^ M(upper bit of x[n], lower bits of x[n + 1]), and M can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from .._core import seeds_of

__all__ = [
    "APART",
    "ENOUGH",
    "LAST",
    "N",
    "Words",
    "complete",
    "seed_behind",
    "seeds_between",
    "untemper",
    "words_behind",
    "words_between",
]

N, _FAR, _MATRIX, _MULTIPLIER = 624, 397, np.uint32(0x9908B0DF), np.uint32(1812433253)
APART = N - _FAR  # draws n and n + APART determine the seed
LAST = N - 2  # if the later of them is not behind this one
ENOUGH = 2 * N + 2  # this many draws determine the state, wherever they are

Words = npt.NDArray[np.uint32]
_Bits = npt.NDArray[np.uint64]


def _temper(word: Words) -> Words:
    word = word ^ word >> np.uint32(11)
    word = word ^ word << np.uint32(7) & np.uint32(0x9D2C5680)
    word = word ^ word << np.uint32(15) & np.uint32(0xEFC60000)
    return word ^ word >> np.uint32(18)


def untemper(draw: Words) -> Words:
    word = draw ^ draw >> np.uint32(18)
    word = word ^ word << np.uint32(15) & np.uint32(0xEFC60000)
    seven: Words = word
    for _ in range(4):
        seven = word ^ seven << np.uint32(7) & np.uint32(0x9D2C5680)
    eleven: Words = seven
    for _ in range(2):
        eleven = seven ^ eleven >> np.uint32(11)
    return eleven


def _twisted(word: Words) -> Words:
    """Return M times each word."""
    return word >> np.uint32(1) ^ (word & np.uint32(1)) * _MATRIX


def _untwisted(word: Words) -> Words:
    odd = word >> np.uint32(31)
    return (word ^ odd * _MATRIX) << np.uint32(1) | odd


def _seeded(word: Words) -> Words:
    return (word ^ word >> np.uint32(30)) * _MULTIPLIER


def words_between(earlier: Words, later: Words) -> Words:
    """Return the possible words n + 228 of the seeding if draws n and n + 227 are among these words.

    x[n + 227 + 624] = x[n + 624] ^ M(...): the difference of the two draws is M of two words of the seeding.
    """
    differences = np.sort(np.bitwise_xor.outer(earlier, later), axis=None)
    # np.unique takes ten to thirty times as long from NumPy 2.3 on, where it hashes
    mixed = _untwisted(untemper(differences[np.diff(differences, prepend=~differences[:1]) != 0]))
    lower = mixed & np.uint32(0x7FFFFFFF)
    return np.concatenate([lower, lower | np.uint32(0x80000000)])


def seeds_between(words: Words, n: int) -> Words:
    """Return the seeds that have these words as word n + 228."""
    seeds = words.copy()
    seeds_of(seeds, n + APART + 1)
    return seeds


# --- from many draws in a row to the state ---------------------------------------------------------------------------

_ROWS = np.arange(32, dtype=np.uint32)
_ONE = np.uint64(1)


def _masks(function: Callable[[Words], Words]) -> _Bits:
    """Return, for each bit of a linear function of a word, the mask of the bits of the word that it is the xor of."""
    columns = function(np.uint32(1) << _ROWS)
    bits = (columns[None, :] >> _ROWS[:, None]) & np.uint32(1)
    masks: _Bits = (bits.astype(np.uint64) << _ROWS.astype(np.uint64)[None, :]).sum(1, dtype=np.uint64)
    return masks


def words_behind(first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> tuple[Words, npt.NDArray[np.bool_]]:
    """Return the words of successive draws between bounds, and which are certain: all but the last 623.

    The leading bits of its own draw determine a word, and so do those of the draws that the recurrence makes of it. So
    each is the solution of a linear system over GF(2) with 33 unknowns: its 32 bits, and the upper bit of the word
    before.
    """
    differ = (first ^ last).astype(np.uint32)
    for shift in (1, 2, 4, 8, 16):
        differ |= differ >> np.uint32(shift)
    # a value that no draw gives says nothing
    known: Words = np.where(first <= last, ~differ, np.uint32(0)).astype(np.uint32)
    draw = first.astype(np.uint32)
    count = len(draw) - (N - 1)
    tempered = _masks(_temper)
    # of the word's lower bits in place, and of the upper bit of the word before as bit 32
    through = _masks(lambda word: _temper(_twisted(word)))
    top = np.uint64(1) << np.uint64(31)
    mixed = (through & (top - _ONE)) | (through & top) << _ONE

    def rows(masks: _Bits, values: Words, trusted: Words) -> _Bits:
        bits = (values[:, None] >> _ROWS & np.uint32(1)).astype(np.uint64) << np.uint64(33)
        return np.where((trusted[:, None] >> _ROWS & np.uint32(1)) > 0, masks[None, :] | bits, np.uint64(0))

    upper, far = slice(N - 1, N - 1 + count), slice(_FAR - 1, _FAR - 1 + count)
    mixed_rows = rows(mixed, draw[upper] ^ draw[far], known[upper] & known[far])
    return _solved(np.concatenate([rows(tempered, draw[:count], known[:count]), mixed_rows], 1))


def _solved(system: _Bits) -> tuple[Words, npt.NDArray[np.bool_]]:
    """A system for each row: the first 32 of 33 unknowns, and whether all are determined and no equation is broken."""
    each = np.arange(len(system))
    full = np.ones(len(system), bool)
    for column in range(33):
        bit = np.uint64(column)
        has = (system[:, column:] >> bit & _ONE) > 0
        pivot = has.argmax(1) + column
        there = has[each, pivot - column]
        full &= there
        chosen = system[each, pivot].copy()
        system[each, pivot] = system[:, column]
        system[:, column] = np.where(there, chosen, system[:, column])
        # nothing to xor where the unknown is not determined
        others = (system >> bit & _ONE) * there[:, None].astype(np.uint64)
        others[:, column] = 0
        system ^= others * chosen[:, None]
    value = np.uint64(33)
    broken = (system == _ONE << value).any(1)
    bits = (system[:, :32] >> value & _ONE).astype(np.uint32)
    return (bits << _ROWS).sum(1, dtype=np.uint32), full & ~broken


def complete(words: Words, certain: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Words]]:
    """Runs of 624 known words, and where they begin; fills in the words that the recurrence gives."""
    count, top = len(words), np.uint32(0x80000000)
    while True:
        before = int(certain.sum())
        for n in np.flatnonzero(~certain).tolist():
            if n >= N and certain[[n - N, n - N + 1, n - APART]].all():
                words[n] = words[n - APART] ^ _twisted(words[n - N] & top | words[n - N + 1] & ~top)
                certain[n] = True
            elif 0 < n < count - N and certain[[n + N - 1, n + _FAR - 1, n + N, n + _FAR]].all():
                upper = _untwisted(words[n + N] ^ words[n + _FAR])
                words[n] = upper & top | _untwisted(words[n + N - 1] ^ words[n + _FAR - 1]) & ~top
                certain[n] = True
        if int(certain.sum()) == before:
            break
    breaks = np.flatnonzero(np.diff(np.concatenate([[False], certain, [False]])))
    for begin, end in breaks.reshape(-1, 2):
        if end - begin >= N:
            yield int(begin), words[begin : begin + N]


def seed_behind(state: Words, most: int) -> tuple[int, int] | None:
    """Return the seed of a stream, and the draw at which these 624 words begin, if it is not after `most`.

    Goes back by the recurrence until the words are those of a seeding: each made of the one before it.
    """
    step = _FAR - 1
    for back in range(step, most + N + step, step):
        mixed = _untwisted(state[APART:] ^ state[:_FAR])
        earlier = mixed[1:] & np.uint32(0x80000000) | mixed[:-1] & np.uint32(0x7FFFFFFF)
        state = np.concatenate([earlier, state[: N - step]])
        added = state[1 : step + 3] - _seeded(state[: step + 2])
        for at in np.flatnonzero(added[:step] == 2).tolist():
            if added[at + 1] == 3 and added[at + 2] == 4:
                seed = state[at : at + 1].copy()
                seeds_of(seed, 1)
                return int(seed[0]), back - at + 1 - N
    return None
