"""The search for a lost seed, from weights that training has not changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, Unpack

import numpy as np

from ..errors import CaffeError
from ..revisions import REVISIONS
from . import strategies
from .candidates import SeededNet, candidates, read
from .judge import Judge
from .result import SeedSearch
from .shifts import shifts

__all__ = ["find_seed", "search_seed"]

PROFILES = ("1.74", "1.58", "1.54")  # one of each kind of Boost
_TURN = 2**25  # seeds tried by one blob before it is the next blob's turn
_MANY = 1000  # this many agreeing seeds show that a blob says too little


class SearchOptions(TypedDict, total=False):
    """The options of `search_seed`."""

    layer: str | None
    phase: str
    level: int
    stages: Sequence[str]
    inputs: Mapping[str, object] | None
    boost: str | None
    caffe: str | None
    seeds: range
    threads: int | None
    progress: Callable[[int, int], None] | None


def search_seed(
    weights: object,
    net: object,
    *,
    layer: str | None = None,
    phase: str = "TRAIN",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, object] | None = None,
    boost: str | None = None,
    caffe: str | None = None,
    seeds: range = range(2**32),
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SeedSearch:
    """Search for the seed with which Caffe filled these weights.

    Parameters
    ----------
    weights : str, PathLike or mapping of str to list of ndarray
        A file of any format, or what `load_weights` returns. One blob that training has not changed is enough.
    net : str, PathLike, NetParameter or SolverParameter
        The net that they belong to, or its solver.
    layer : str, optional
        The layer to search by, or one of its blobs as ``layer/index``. None is every layer that draws.
    phase, level, stages, inputs : optional
        As for `Net`.
    boost : str, optional
        The version of Boost of that Caffe. None tries one of each kind.
    caffe : str, optional
        The revision of Caffe. None tries all.
    seeds : range, optional
        The seeds to search; by default all.
    threads : int, optional
        Number of threads for trying seeds one by one. None is one for each core.
    progress : callable, optional
        Called from time to time while seeds are tried one by one, with two numbers: the seeds below the first number
        are done, and the search ends at the second.

    Returns
    -------
    SeedSearch

    Raises
    ------
    CaffeError
        If the net draws nothing, the weights lack the blobs that it draws, or their values have too few digits.

    Notes
    -----
    The generator's recurrence gives the seed at once, from two draws 227 apart among the first 624, or from 2,500 to
    5,000 successive uniform draws anywhere. If a blob has neither, the seeds are tried one by one: some 30 million a
    second on each core for a blob that begins within the first 624 draws, fewer for each further 624 draws.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> path, inputs = "examples/mnist/lenet_train_test.prototxt", {"data": (1, 28, 28)}
    >>> lenet = cf.Net(path, rng=1701, inputs=inputs)
    >>> lenet.params["conv1"][0].data[...] += 1
    >>> print(cf.search_seed(lenet.params, path, inputs=inputs))
    seed 1701
    found by conv2/0, with Boost 1.74 or 1.58 or 1.54
    7 of 8 blobs hold their initial bits
    """
    if not isinstance(seeds, range) or seeds.step != 1 or seeds.start < 0 or seeds.stop > 2**32:
        raise CaffeError(f"seeds is a range of step 1 within 0..2**32, got {seeds!r}")
    given = read(weights)
    double = any(array.dtype == np.float64 for arrays in given.values() for array in arrays)
    seeded = SeededNet(net, np.float64 if double else np.float32, phase, level, stages, inputs)
    profiles = (boost,) if boost else PROFILES
    groups = seeded.revisions((caffe,) if caffe else REVISIONS[::-1], profiles[0])
    search = SeedSearch()
    left: list[Judge] = []
    seen: set[object] = set()
    placed: dict[int, dict[str, int]] = {}
    for own in groups:
        revisions = [own, *(group for group in groups if group is not own)]
        waiting = []
        for candidate in candidates(given, seeded, layer, profiles, own[0]):
            if candidate.mark in seen:
                continue  # another revision fills it alike
            seen.add(candidate.mark)
            misfit = candidate.misfit()
            if misfit:
                search.misfits.append(misfit)
                continue
            search.fitting.append(candidate.name)
            judge = Judge(given, seeded, revisions, candidate, search, placed)
            if not _search_at_once(candidate.filled, seeds, judge):
                waiting.append(judge)
            if search.found:
                return search
        if waiting:
            left.append(min(waiting, key=lambda judge: judge.candidate.latest))
    search.misfits, search.fitting = list(dict.fromkeys(search.misfits)), list(dict.fromkeys(search.fitting))
    if placed:
        # the values determine these seeds, so trying others one by one would find none
        others = [name for name in REVISIONS[::-1] if not any(name in group for group in groups)]
        search.shifted, search.explained = shifts(placed, seeded, profiles[0], groups[0][0], others)
    elif left:
        _search_one_by_one(left, seeds, threads, progress)
    return search


def find_seed(weights: object, net: object, **options: Unpack[SearchOptions]) -> int | None:
    """Return the seed with which Caffe filled these weights, or None.

    Parameters
    ----------
    weights, net, **options
        As for `search_seed`, whose result also says what was tried and which weights are not the seed's.

    Returns
    -------
    int or None

    Raises
    ------
    CaffeError
        As `search_seed`.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> path, inputs = "examples/mnist/lenet_train_test.prototxt", {"data": (1, 28, 28)}
    >>> lenet = cf.Net(path, rng=1701, inputs=inputs)
    >>> cf.find_seed(lenet.params, path, inputs=inputs)
    1701
    """
    return search_seed(weights, net, **options).seed


def _search_at_once(filled: strategies.Filled, seeds: range, judge: Judge) -> bool:
    """Search without trying seeds one by one; False if that leaves some out."""
    complete = True
    for kind, boosts in filled.kinds().items():
        tries = {"values 227 draws apart": strategies.by_pairs(filled, kind, boosts)}
        if kind == "uniform":
            tries["its values in a row"] = strategies.by_stream(filled)
        searched = []
        for strategy, stretches in tries.items():
            for hits in stretches:
                judge.consider(hit for hit in hits if hit.seed in seeds)
                if judge.settled:
                    return True
                searched.append(strategy)
        for strategy in dict.fromkeys(searched):
            judge.tried(f"{_described(seeds)} at once, by {strategy} ({kind})")
        complete &= bool(searched)
    return complete


def _search_one_by_one(
    judges: list[Judge], seeds: range, threads: int | None, progress: Callable[[int, int], None] | None
) -> None:
    """Try every seed, by one blob of each group of revisions that fill the net alike."""
    # several take turns, so that each has tried all seeds below some number
    step = len(seeds) if len(judges) == 1 else _TURN
    kinds: dict[Judge, list[str]] = {}
    done = seeds.start
    for begin in range(seeds.start, seeds.stop, max(step, 1)):
        part = range(begin, min(begin + step, seeds.stop))
        for judge in judges:
            kinds[judge], hits_of = strategies.one_by_one(judge.candidate.filled, part, threads)
            if not kinds[judge]:
                raise CaffeError(
                    f"{judge.candidate.name} shows too little of its draws: its values have too few digits"
                )
            for done, hits in hits_of:
                judge.consider(hits)
                if judge.settled or len(judge.search.found) > _MANY:
                    judge.tried(f"{_described(range(seeds.start, done))} one by one ({', '.join(kinds[judge])})")
                    return
                if progress is not None and judge is judges[-1]:
                    progress(done, seeds.stop)
    for judge in judges:
        judge.tried(f"{_described(range(seeds.start, done))} one by one ({', '.join(kinds.get(judge, ()))})")


def _described(seeds: range) -> str:
    if seeds == range(2**32):
        return "all seeds"
    return f"seeds {seeds.start} to {seeds.stop - 1}" if seeds else "no seeds"
