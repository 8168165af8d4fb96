"""The search for a lost seed: from weights that training has not touched back to the seed that filled them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import fillers
from .._core import RNG
from ..errors import CaffeError
from ..net import Net
from . import ways

__all__ = ["FoundSeed", "SeedSearch", "find_seed", "search_seed"]

PROFILES = ("1.74", "1.58", "1.54")  # one of each kind of Boost
_ENOUGH = 6  # no two seeds give so many values
_PLACES = 1000  # so many are named
_MANY = 1000  # so many seeds say that a blob tells little

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FoundSeed:
    """A seed, and what of the weights is its fill.

    Attributes
    ----------
    seed : int
    boosts : tuple of str
        Of the versions of Boost that were tried, those whose fills agree best.
    same : list of str
        The blobs, ``layer/index``, that hold the fill's bits, constant ones included.
    changed : dict of str to int
        The others: how many of their values differ.
    places : list of tuple of int
        Where the blob that was searched by differs from the fill: the first thousand places; empty if it does not.
    """

    seed: int
    boosts: tuple[str, ...]
    same: list[str]
    changed: dict[str, int]
    places: list[tuple[int, ...]]


@dataclass
class SeedSearch:
    """What a search found, and what it tried. Its text says so.

    Attributes
    ----------
    blob : str
        The blob, ``layer/index``, that was searched by last.
    found : list of FoundSeed
        Every seed that gives this blob, the best first. To a blob of many values belongs one at most.
    tried : list of str
        What was tried, in order.
    fitting : list of str
        Blobs whose values look like their filler's, so that one of its seeds may have made them.
    misfits : list of str
        Blobs whose values can't have come of their filler: trained ones, most likely.
    """

    blob: str = ""
    found: list[FoundSeed] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    fitting: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        """The seed that was found, or None."""
        return self.found[0].seed if self.found else None

    def __str__(self) -> str:
        if not self.found:
            fitting = [f"{', '.join(self.fitting)}: values look like their filler's"] if self.fitting else []
            return "\n".join(["no seed found", *self.tried, *fitting, *self.misfits, *_REASONS])
        best, blob = self.found[0], self.blob
        lines = [f"seed {best.seed}", f"found by {blob}, with Boost {' or '.join(best.boosts)}"]
        lines += [f"{blob} differs at [{', '.join(map(str, place))}]" for place in best.places[:8]]
        if len(best.places) > 8:
            lines.append(f"{blob} differs at {best.changed[blob] - 8} places more")
        if len(self.found) > 1:
            others = [str(each.seed) for each in self.found[1:9]] + ["..."] * (len(self.found) > 9)
            lines.append(f"{len(self.found) - 1} more seeds give {blob} too: {', '.join(others)}")
        lines.append(f"{len(best.same)} of {len(best.same) + len(best.changed)} blobs hold their initial bits")
        return "\n".join(lines)


_REASONS = (
    "likely reasons: the weights were trained; the prototxt, or its phase, stages or inputs, is not that of the run;",
    "another Boost or revision of Caffe filled them, or a fork of Caffe that fills on the GPU",
)


def search_seed(
    weights: Any,
    net: Any,
    *,
    layer: str | None = None,
    phase: str = "TRAIN",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Any] | None = None,
    boost: str | None = None,
    caffe: str = "master",
    seeds: range = range(2**32),
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SeedSearch:
    """Search for the seed with which Caffe filled these weights.

    Parameters
    ----------
    weights : str, PathLike or mapping of str to list of ndarray
        A file of any format, or what `load_weights` returns. One blob that training has not touched suffices.
    net : str, PathLike, NetParameter or SolverParameter
        The net that they belong to, or its solver.
    layer : str, optional
        The layer to search by, or one blob of it as ``layer/index``; else all that draw are looked at.
    phase, level, stages, inputs, caffe : optional
        As for `Net`.
    boost : str, optional
        The Boost of that Caffe; else one of each kind is tried.
    seeds : range, optional
        Where to search; by default everywhere.
    threads : int, optional
        Threads for trying seeds one by one; by default one for each core.
    progress : callable, optional
        Called now and then while seeds are tried one by one, with two numbers: below which all are done, and where
        the search ends.

    Returns
    -------
    SeedSearch

    Raises
    ------
    CaffeError
        If the net draws nothing, the weights lack what it draws, or nothing can be told from that.

    Notes
    -----
    From two draws that stand 227 apart within the first 624, or from 2,500 to 5,000 uniform ones in a row anywhere, the
    generator's recurrence leads back to the seed at once. Where a blob has neither, the seeds are tried one by one:
    some 30 million a second on each core for a blob that begins within the first 624 draws, and fewer for each 624
    draws more.

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
    given = _given(weights)
    double = any(array.dtype == np.float64 for arrays in given.values() for array in arrays)
    nets = _Nets(net, np.float64 if double else np.float32, phase, level, stages, inputs, caffe)
    search = SeedSearch()
    left = []
    for blob in _blobs(given, nets, layer, (boost,) if boost else PROFILES):
        if not blob.looks_filled(search):
            continue
        judge = _Judge(given, nets, blob, search)
        if not _search_at_once(blob.filled, seeds, judge):
            left.append(judge)
        if search.found:
            return search
    if left:
        _search_one_by_one(min(left, key=lambda judge: judge.blob.latest), seeds, threads, progress)
    return search


def _search_at_once(filled: ways.Filled, seeds: range, judge: _Judge) -> bool:
    """Search without trying seeds; False if that leaves some out."""
    complete = True
    for kind, boosts in filled.kinds().items():
        tries = {"values 227 draws apart": ways.by_pairs(filled, kind, boosts)}
        if kind == "uniform":
            tries["its values in a row"] = ways.by_stream(filled)
        searched = []
        for way, stretches in tries.items():
            for hits in stretches:
                judge.hear(hit for hit in hits if hit.seed in seeds)
                if judge.settled:
                    return True
                searched.append(way)
        for way in dict.fromkeys(searched):
            judge.tried(f"{_told(seeds)} at once, by {way} ({kind})")
        complete &= bool(searched)
    return complete


def _search_one_by_one(
    judge: _Judge, seeds: range, threads: int | None, progress: Callable[[int, int], None] | None
) -> None:
    kinds, parts = ways.one_by_one(judge.blob.filled, seeds, threads)
    if not kinds:
        raise CaffeError(
            f"{judge.blob.name} tells too little of the draws that made it: its values keep too few digits"
        )
    done = seeds.start
    for done, hits in parts:
        judge.hear(hits)
        if judge.settled or len(judge.search.found) > _MANY:
            break
        if progress is not None:
            progress(done, seeds.stop)
    judge.tried(f"{_told(range(seeds.start, done))} one by one ({', '.join(kinds)})")


def _told(seeds: range) -> str:
    if seeds == range(2**32):
        return "all seeds"
    return f"seeds {seeds.start} to {seeds.stop - 1}" if seeds else "no seeds"


def find_seed(
    weights: Any,
    net: Any,
    *,
    layer: str | None = None,
    phase: str = "TRAIN",
    level: int = 0,
    stages: Sequence[str] = (),
    inputs: Mapping[str, Any] | None = None,
    boost: str | None = None,
    caffe: str = "master",
    seeds: range = range(2**32),
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int | None:
    """Return the seed with which Caffe filled these weights, or None.

    Parameters
    ----------
    weights, net, layer, phase, level, stages, inputs, boost, caffe, seeds, threads, progress
        As for `search_seed`, which also tells what was tried and which weights are not the seed's.

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
    return search_seed(
        weights,
        net,
        layer=layer,
        phase=phase,
        level=level,
        stages=stages,
        inputs=inputs,
        boost=boost,
        caffe=caffe,
        seeds=seeds,
        threads=threads,
        progress=progress,
    ).seed


# --- what is given ----------------------------------------------------------------------------------------------------


def _given(weights: Any) -> dict[str, list[_Array]]:
    from ..weights import load_weights

    if not isinstance(weights, Mapping):
        weights = getattr(weights, "params", None) or load_weights(weights)
    given = {name: [np.asarray(getattr(blob, "data", blob)) for blob in blobs] for name, blobs in weights.items()}
    # Caffe fills all blobs in one type, but float32 values are often kept as float64
    narrow = all(_in_float32(array) for arrays in given.values() for array in arrays)
    real = np.float32 if narrow else np.float64
    return {name: [_of_type(array, real) for array in arrays] for name, arrays in given.items()}


def _in_float32(array: _Array) -> bool:
    if array.dtype != np.float64:
        return True
    with np.errstate(over="ignore"):
        return np.array_equal(array, array.astype(np.float32), equal_nan=True)


def _of_type(array: _Array, real: type[np.floating[Any]]) -> _Array:
    """In this type, the machine's order of bytes and C's order of values, if it is of floats."""
    if array.dtype.newbyteorder("=") not in (np.float32, np.float64):
        return array
    return np.asarray(array, real, order="C")


class _Nets:
    """The net that the weights belong to, from one seed or another."""

    def __init__(
        self, source: Any, dtype: Any, phase: str, level: int, stages: Sequence[str], inputs: Any, caffe: str
    ) -> None:
        from .. import prototxt, schema
        from ..reading import read_solver

        self.source, self.caffe = source, caffe
        self.common: dict[str, Any] = {"inputs": inputs, "caffe": caffe, "dtype": dtype}
        self.state: dict[str, Any] = {"phase": phase, "level": level, "stages": stages}
        self.path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
        if self.path is not None and prototxt.is_solver(self.path):
            source = read_solver(self.path)
        self.solver = None
        if getattr(getattr(source, "DESCRIPTOR", None), "name", None) == "SolverParameter":
            self.solver = schema.SolverParameter()
            self.solver.MergeFromString(source.SerializePartialToString())
            self.solver.train_state.level = level
            self.solver.train_state.stage.extend(stages)

    def __call__(self, seed: int, boost: str, fill: bool) -> Net:
        if self.solver is None:
            return Net(self.source, rng=seed, boost=boost, fill=fill, **self.common, **self.state)
        from ..training import Solver

        return Solver(self.solver, beside=self.path, rng=seed, boost=boost, fill=fill, **self.common).net


@dataclass(frozen=True)
class _Blob:
    """A blob of the net that draws, and the values that the weights hold for it."""

    name: str
    filler: str
    values: _Array
    filled: ways.Filled

    @property
    def latest(self) -> int:
        return max(start.stop for start in self.filled.starts.values())

    def looks_filled(self, search: SeedSearch) -> bool:
        """The test of Kolmogorov and Smirnov against the filler's distribution."""
        plan, values = self.filled.plan, self.filled.values[self.filled.drawn]
        if not values.size:
            search.misfits.append(f"{self.name} holds no value that was drawn")
            return False
        sample = np.sort(values[:: values.size // 4096 + 1].astype(float))
        width = plan.b - plan.a if plan.draw == "uniform" else plan.b
        if plan.draw == "uniform":
            expected = np.clip((sample - plan.a) / width, 0, 1) if width else (sample >= plan.a).astype(float)
            said = f"from {plan.a:.6g} to {plan.b:.6g}"
        else:
            expected = np.array([math.erfc((plan.a - x) / plan.b / math.sqrt(2)) / 2 for x in sample.tolist()])
            said = f"about {plan.a:.6g} with a deviation of {plan.b:.6g}"
        ranks = np.arange(len(sample) + 1) / len(sample)
        # rounding moves a value by a grain at most
        grain = float(np.spacing(values.dtype.type(max(abs(plan.a), abs(plan.b))))) / width if width else math.inf
        apart = float(max(np.max(ranks[1:] - expected), np.max(expected - ranks[:-1])) - grain)
        if apart <= 0 or 2 * math.exp(-2 * len(sample) * apart**2) > 1e-6:
            search.fitting.append(self.name)
            return True
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = values.std(dtype=float)
        search.misfits.append(
            f"{self.name} does not look like its filler, {self.filler}: values {said} are expected, these go from "
            f"{values.min():.6g} to {values.max():.6g} with a deviation of {deviation:.6g}"
        )
        return False


def _blobs(given: dict[str, list[_Array]], nets: _Nets, layer: str | None, profiles: Sequence[str]) -> list[_Blob]:
    """The blobs to search by, in the order in which they are drawn."""
    # behind a gaussian a blob begins where the seed decides, so three seeds are asked
    rows = {boost: [nets(seed, boost, False).fills() for seed in range(3)] for boost in profiles}
    first = rows[profiles[0]][0]
    drawing = [i for i, row in enumerate(first) if row["draws"] and not row["shared_with"]]
    if layer is not None:
        drawing = _of_layer(layer, first, drawing)
    elif not drawing:
        raise CaffeError("this net draws nothing for its parameters, so no seed shows in its weights")
    blobs, lacking = [], []
    for i in drawing:
        row = first[i]
        name, shape = f"{row['layer']}/{row['index']}", row["shape"]
        held = given.get(row["layer"], [])
        array = held[row["index"]] if row["index"] < len(held) else None
        if array is None or array.dtype not in (np.float32, np.float64):
            lacking.append(f"the weights hold no {name}" + ("" if array is None else " in float32 or float64"))
            continue
        if _bare(array.shape) != _bare(shape):
            lacking.append(f"{name} has shape {array.shape} in the weights, {shape} in the net")
            continue
        values = array.reshape(shape)
        plan = fillers.plan(row["filler"], shape, values.dtype, nets.caffe)
        if plan.finish is not None:
            lacking.append(f"the draws of {name} can't be told from what {row['filler']['type']} makes of them")
            continue
        starts = {boost: _start([each[i]["start"] for each in rows[boost]]) for boost in profiles}
        filled = ways.Filled(values.reshape(-1), plan, starts)
        blobs.append(_Blob(name, row["filler"]["type"], values, filled))
    if not blobs:
        raise CaffeError("nothing to search a seed by: " + "; ".join(lacking))
    return blobs


def _of_layer(layer: str, rows: list[dict[str, Any]], drawing: list[int]) -> list[int]:
    # a layer's name may end as a blob's does
    named = [i for i, row in enumerate(rows) if layer == row["layer"]] or [
        i for i, row in enumerate(rows) if layer == f"{row['layer']}/{row['index']}"
    ]
    if not named:
        names = ", ".join(dict.fromkeys(rows[i]["layer"] for i in drawing))
        raise CaffeError(f"no layer {layer!r} has parameters in this net; those that draw are {names or 'none'}")
    chosen = [i for i in named if i in drawing]
    if not chosen:
        row = rows[named[0]]
        filler = row["filler"]["type"] if row["filler"] else "nothing"
        how = f"shared with {row['shared_with']}" if row["shared_with"] else f"filled by {filler}"
        raise CaffeError(f"layer {layer!r} draws nothing: {row['layer']}/{row['index']} is {how}")
    return chosen


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the ones on the left that old files add."""
    return shape[next((i for i, dim in enumerate(shape) if dim != 1), len(shape)) :]


def _shaped(given: dict[str, list[_Array]], net: Net) -> dict[str, list[_Array]]:
    """The weights in the shapes that the net has them in."""
    shaped = {}
    for name, arrays in given.items():
        shapes = [blob.data.shape for blob in net.params.get(name, [])]
        shapes += [array.shape for array in arrays[len(shapes) :]]
        pairs = zip(arrays, shapes, strict=False)
        shaped[name] = [array.reshape(shape) if _bare(array.shape) == _bare(shape) else array for array, shape in pairs]
    return shaped


def _start(seen: list[int]) -> range:
    if len(set(seen)) == 1:
        return range(seen[0], seen[0] + 1)
    # the draws that a ziggurat takes beside its values have a variance of some 0.07 a value
    wide = 4 + math.ceil(6 * math.sqrt(0.07 * max(seen)))
    return range(max(0, min(seen) - wide), max(seen) + wide + 1)


# --- is it the seed? --------------------------------------------------------------------------------------------------


class _Judge:
    """Holds seeds to the blob's next values, then to the whole net; enters those that stand in the search."""

    def __init__(self, given: dict[str, list[_Array]], nets: _Nets, blob: _Blob, search: SeedSearch) -> None:
        self.given, self.nets, self.blob, self.search = given, nets, blob, search
        self.seen: set[int] = set()

    @property
    def settled(self) -> bool:
        """Whether no other seed can give so many values, even where these stand elsewhere in the stream."""
        return bool(self.seen) and self.blob.filled.count >= _ENOUGH

    def tried(self, what: str) -> None:
        self.search.blob = self.blob.name
        self.search.tried.append(f"{self.blob.name}: {what}")

    def hear(self, hits: Iterable[ways.Hit]) -> None:
        for hit in hits:
            if hit.seed not in self.seen and any(self._gives(hit, boost) for boost in hit.boosts):
                self.seen.add(hit.seed)
                if not self._take(hit.seed) and self.blob.filled.count >= _ENOUGH:
                    self.tried(
                        f"seed {hit.seed} gives its values {hit.i} on from draw {hit.draw} on, but this net has them "
                        "elsewhere: what is drawn before is another"
                    )

    def _gives(self, hit: ways.Hit, boost: str) -> bool:
        """Whether the draws give the values too that follow; some may have been changed."""
        filled = self.blob.filled
        shown = filled.values[hit.i : hit.i + 64]
        rng = RNG(hit.seed, boost=boost)
        rng.skip(hit.draw)
        made = np.empty_like(shown)
        fillers.apply(filled.plan._replace(keep=None), made, rng, 1)
        counted = np.ones(len(shown), bool) if filled.plan.keep is None else shown != 0
        equal = int(np.count_nonzero(_same(shown, made)[counted]))
        count = int(np.count_nonzero(counted))
        return equal == count or (equal >= _ENOUGH and self._agree(equal, count))

    def _agree(self, equal: int, count: int) -> bool:
        """Whether half of the values are equal that would not be so by chance."""
        chance = self.blob.filled.commonest * count
        return (equal - chance) * 2 >= count - chance

    def _take(self, seed: int) -> bool:
        """Fill the net from this seed, by every profile; keep the seed if that gives at least half of the blob."""
        found = [each for boost in self.blob.filled.starts if (each := self._filled(seed, boost)) is not None]
        if found:
            best = max(rank for rank, _ in found)
            ties = [each for rank, each in found if rank == best]
            boosts = tuple(boost for each in ties for boost in each.boosts)
            self.search.blob = self.blob.name
            self.search.found.append(replace(ties[0], boosts=boosts))
            self.search.found.sort(key=lambda each: (len(each.places), -len(each.same), each.seed))
        return bool(found)

    def _filled(self, seed: int, boost: str) -> tuple[tuple[int, int], FoundSeed] | None:
        """What of the weights is this fill, and its rank among others; None if the blob is another's."""
        from ..weights import compare

        layer, index = self.blob.name.rsplit("/", 1)
        net = self.nets(seed, boost, True)
        made = net.params[layer][int(index)].data
        same = _same(self.blob.values, made)
        drawn = self.blob.filled.drawn
        if not self._agree(int(np.count_nonzero(same.reshape(-1) & drawn)), int(np.count_nonzero(drawn))):
            return None
        differ = np.flatnonzero(~same)
        places = list(zip(*(at.tolist() for at in np.unravel_index(differ[:_PLACES], made.shape)), strict=True))
        report = compare(_shaped(self.given, net), net.params)
        held = [blob.name for blob in report if blob]
        changed = {blob.name: blob.count for blob in report if blob.status == "differs"}
        return (-differ.size, len(held)), FoundSeed(seed, (boost,), held, changed, places)


def _same(shown: _Array, made: _Array) -> npt.NDArray[np.bool_]:
    bits = f"u{shown.itemsize}"
    same: npt.NDArray[np.bool_] = shown.view(bits) == made.view(bits)
    return same
