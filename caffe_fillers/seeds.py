"""Finding the seed whose fills some weights are.

The first random values of a net depend on a few words of the generator's state right after seeding. For a whole range
of seeds at once these words are made, and all but a handful of the seeds are ruled out by one value; the rest are
filled and compared bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import fillers
from ._core import RNG
from .errors import CaffeError
from .net import Net

__all__ = ["find_seed"]

_N, _M = 624, 397
_CHUNK = 1 << 15
_Words = dict[int, np.ndarray]
_Test = Callable[[_Words, int], np.ndarray]


def _state_needed(word: int) -> set[int]:
    """Which words of the seeded state the draw at position `word` of the first block is made of."""
    own = {word, word + 1}
    return own | ({word + _M} if word < _N - _M else _state_needed(word - _N + _M))


def _draws(seeds: np.ndarray, positions: Sequence[int]) -> _Words:
    """The draws at these positions of the first block, for every seed."""
    needed = set().union(*(_state_needed(position) for position in positions))
    state: _Words = {}
    word = seeds.astype(np.uint32)
    shifted = np.empty_like(word)
    for i in range(max(needed) + 1):
        if i:
            np.right_shift(word, 30, out=shifted)
            word ^= shifted
            word *= np.uint32(1812433253)
            word += np.uint32(i)
        if i in needed:
            state[i] = word.copy()

    def twisted(i: int) -> np.ndarray:
        mixed = (state[i] & np.uint32(0x80000000)) | (state[i + 1] & np.uint32(0x7FFFFFFF))
        other = state[i + _M] if i < _N - _M else twisted(i - _N + _M)
        made: np.ndarray = other ^ (mixed >> 1) ^ ((mixed & 1) * np.uint32(0x9908B0DF))
        return made

    words = {}
    for position in positions:
        y = twisted(position)
        y ^= y >> 11
        y ^= (y << 7) & np.uint32(0x9D2C5680)
        y ^= (y << 15) & np.uint32(0xEFC60000)
        y ^= y >> 18
        words[position] = y
    return words


def _ziggurat_edges() -> np.ndarray:
    """The right edges of the 128 layers, near enough to rule seeds out."""
    edges = [3.7130862467403632609, 3.4426198558966521214]
    while len(edges) < 128:
        last = edges[-1]
        edges.append(math.sqrt(-2 * math.log(math.exp(-last * last / 2) + 0.0099125630353364610791 / last)))
    return np.array(edges)


def _between(at: np.ndarray | float, slack: np.ndarray | float, top: float) -> tuple[Any, Any]:
    low, high = np.floor(at - slack), np.ceil(at + slack)
    return np.clip(low, 0, top).astype(np.uint32), np.clip(high, 0, top).astype(np.uint32)


def _test_of(plan: fillers.Plan, value: float, boost: str, double: bool) -> tuple[_Test, int, int]:
    """A test that the draws at a position can have made `value`; draws per value, and words that the test looks at."""
    eps = 2.0**-22
    if plan.draw == "uniform":
        span = plan.b - plan.a
        slack = 1024 + 2**32 * eps * max(abs(plan.a), abs(plan.b)) / span
        low, high = _between((value - plan.a) / span * 2**32, slack, 2**32 - 1)
        return lambda words, at: (words[at] >= low) & (words[at] <= high), 1, 1
    z = (value - plan.a) / plan.b
    noise = eps * (abs(plan.a) / plan.b + abs(z) + 1)
    if tuple(int(part) for part in boost.split(".")[:2]) < (1, 56):

        def box_muller(words: _Words, at: int) -> np.ndarray:
            radius: np.ndarray = np.sqrt(-2 * np.log1p(words[at + 1] * -(2.0**-32)))
            near: np.ndarray = np.abs(radius * np.cos(words[at] * (2 * math.pi * 2.0**-32)) - z) < noise + 1e-5
            return near

        return box_muller, 1, 2
    bits = 29 if double else 24
    edges = np.repeat(_ziggurat_edges(), 2)
    low, high = _between(abs(z) / edges * 2.0**bits, 4 + noise / edges * 2.0**bits, 2.0**bits - 1)
    # an odd bucket is positive; a layer too narrow for the value gives nothing
    wrong = (edges < abs(z) * (1 - eps)) | ((np.arange(256) % 2 == 1) != (z > 0))
    low[wrong], high[wrong] = 1, 0

    def ziggurat(words: _Words, at: int) -> np.ndarray:
        bucket = words[at] & 0xFF
        fraction = words[at + 1] & 0x1FFFFFFF if double else words[at] >> 8
        result: np.ndarray = (fraction >= low[bucket]) & (fraction <= high[bucket])
        return result

    return ziggurat, 2 if double else 1, 2 if double else 1


def _candidates(seeds: range, tests: list[tuple[_Test, int]], words: int) -> Iterator[int]:
    positions = sorted({at + i for _, at in tests for i in range(words)})
    if positions[-1] > _N - 2:
        raise CaffeError(
            f"the first random values of this net come at draw {positions[-1]}, too late for a search by seed"
        )
    for start in range(seeds.start, seeds.stop, _CHUNK):
        some = np.arange(start, min(start + _CHUNK, seeds.stop), dtype=np.int64)
        draws = _draws(some, positions)
        passed = np.zeros(len(some), bool)
        for test, at in tests:
            passed |= test(draws, at)
        yield from some[passed].tolist()


def find_seed(
    weights: Any,
    net: Any,
    *,
    phase: str = "TRAIN",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Any] | None = None,
    boost: str = "1.74",
    caffe: str = "master",
    seeds: range = range(2**32),
) -> int | None:
    """Return the seed with which Caffe filled these weights, or None.

    Parameters
    ----------
    weights : str, PathLike or mapping of str to list of ndarray
        Untrained weights: a file of any format, or what `load_weights` returns.
    net : str, PathLike or NetParameter
        The net that they belong to.
    phase, level, stages, inputs, boost, caffe : optional
        As for `Net`.
    seeds : range, optional
        Where to search, from the smallest on; a million take a quarter of a second, all 2**32 a quarter of an hour.

    Returns
    -------
    int or None
        The seed for which the net's first random parameter is equal bit for bit.

    Raises
    ------
    CaffeError
        If the net draws nothing, or the weights lack the parameter that it draws first.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> path, inputs = "examples/mnist/lenet_train_test.prototxt", {"data": (1, 28, 28)}
    >>> lenet = cf.Net(path, rng=1701, inputs=inputs)
    >>> cf.find_seed(lenet.params, path, inputs=inputs)
    1701
    """
    from .weights import load_weights

    if seeds.step != 1 or seeds.start < 0 or seeds.stop > 2**32:
        raise CaffeError(f"seeds is a range of step 1 within 0..2**32, got {seeds}")
    given = weights if isinstance(weights, Mapping) else load_weights(weights)
    planned = Net(net, phase, level=level, stages=stages, inputs=inputs, rng=0, boost=boost, caffe=caffe, fill=False)
    first = next((row for row in planned.fills() if row["draws"]), None)
    if first is None:
        raise CaffeError("this net draws nothing for its parameters, so no seed shows in its weights")
    name, index = first["layer"], first["index"]
    if name not in given or len(given[name]) <= index:
        raise CaffeError(f"the weights hold no {name}/{index}, which this net draws first")
    blob = given[name][index]
    array = np.asarray(getattr(blob, "data", blob) if not isinstance(blob, np.ndarray) else blob)
    if array.shape != first["shape"]:
        raise CaffeError(f"{name}/{index} has shape {array.shape} in the weights, {first['shape']} in the net")
    plan = fillers.plan(first["filler"], array.shape, array.dtype, caffe)
    if plan.finish is not None:
        raise CaffeError(f"{name}/{index} is filled by {first['filler']['type']}, whose draws can't be told from it")
    bits = np.ascontiguousarray(array).tobytes()

    def fits(seed: int) -> bool:
        rng = RNG(seed, boost=boost)
        rng.skip(first["start"])
        filled: np.ndarray = fillers.fill(array.shape, first["filler"], rng=rng, dtype=array.dtype, caffe=caffe)
        return filled.tobytes() == bits

    flat = array.reshape(-1)
    drawn = np.flatnonzero(np.isfinite(flat) & (flat != 0))[:2]
    # a ziggurat may spend more draws on a value than one; so a later place is tried, and then a later value
    for value in drawn.tolist():
        test, step, words = _test_of(plan, float(flat[value]), boost, array.dtype == np.float64)
        late = range(1) if plan.draw == "uniform" else range(0, 3 + value // 8)
        if words == 2 and step == 1:  # Box-Muller makes two values of two draws
            if value % 2:
                continue
            late = range(1)
        at = first["start"] + value * step
        for candidate in _candidates(seeds, [(test, at + extra) for extra in late], words):
            if fits(candidate):
                return candidate
    return None
