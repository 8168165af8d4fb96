"""The weights to search a seed for, and the net that the seed may have filled."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import numpy as np
import numpy.typing as npt

from .. import fillers
from ..arrays import Array
from ..errors import CaffeError, CaffeWarning
from ..ledger import FillRow
from ..net import Net
from ..sources import either
from .strategies import Filled

__all__ = ["Candidate", "SeededNet", "candidates", "read", "shaped"]


def read(weights: object) -> dict[str, list[Array]]:
    """Read weights from a file, a net or a mapping, all in the type that Caffe filled them in."""
    from ..weights import load_weights

    held: Mapping[str, Iterable[object]]
    if isinstance(weights, Mapping):
        held = weights
    else:
        held = getattr(weights, "params", None) or load_weights(cast("str | os.PathLike[str]", weights))
    given = {name: [np.asarray(getattr(blob, "data", blob)) for blob in blobs] for name, blobs in held.items()}
    # Caffe fills all blobs in one type, but files often keep float32 values as float64
    narrow = all(_in_float32(array) for arrays in given.values() for array in arrays)
    real = np.float32 if narrow else np.float64
    return {name: [_of_type(array, real) for array in arrays] for name, arrays in given.items()}


def _in_float32(array: Array) -> bool:
    if array.dtype != np.float64:
        return True
    with np.errstate(over="ignore"):
        return np.array_equal(array, array.astype(np.float32), equal_nan=True)


def _of_type(array: Array, real: type[np.floating]) -> Array:
    """Convert floats to this type, native byte order and C order; leave the rest."""
    if array.dtype.newbyteorder("=") not in (np.float32, np.float64):
        return array
    return np.asarray(array, real, order="C")


class _Common(TypedDict):
    """The arguments that a net and a solver share."""

    inputs: Mapping[str, object] | None
    dtype: npt.DTypeLike


class _State(TypedDict):
    """The state of a net built without a solver."""

    phase: str
    level: int
    stages: Sequence[str]


class SeededNet:
    """The net of the weights, which can be filled from any seed as by any revision of Caffe."""

    def __init__(
        self,
        source: Any,
        dtype: npt.DTypeLike,
        phase: str,
        level: int,
        stages: Sequence[str],
        inputs: Mapping[str, object] | None,
    ) -> None:
        from .. import prototxt, schema

        self.source = source
        self.common: _Common = {"inputs": inputs, "dtype": dtype}
        self._warned = False
        self.state: _State = {"phase": phase, "level": level, "stages": stages}
        self.path = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
        if isinstance(source, prototxt.Text) and source.message.DESCRIPTOR.name == "SolverParameter":
            source = source.message
        if self.path is not None:
            text = either(prototxt.read_bytes(self.path), self.path)
            source = text.message if isinstance(text.message, schema.SolverParameter) else text
            self.source = source
        self.solver = None
        if schema.is_message(source, "SolverParameter"):
            self.solver = schema.SolverParameter()
            self.solver.MergeFromString(source.SerializePartialToString())
            self.solver.train_state.level = level
            self.solver.train_state.stage.extend(stages)

    def __call__(self, seed: int, boost: str, caffe: str, fill: bool) -> Net:
        with warnings.catch_warnings():
            if self._warned:  # the first net has warned already
                warnings.simplefilter("ignore", CaffeWarning)
            net = self._built(seed, boost, caffe, fill)
            self._warned = True
        return net

    def _built(self, seed: int, boost: str, caffe: str, fill: bool) -> Net:
        if self.solver is None:
            return Net(self.source, rng=seed, boost=boost, caffe=caffe, fill=fill, **self.common, **self.state)
        from ..training import Solver

        solver = Solver(self.solver, beside=self.path, rng=seed, boost=boost, caffe=caffe, fill=fill, **self.common)
        return solver.net

    def revisions(self, names: Sequence[str], boost: str) -> list[list[str]]:
        """Return the revisions that can set up this net, grouped by equal fills.

        Raises
        ------
        CaffeError
            If none of them can: what the first says.
        """
        groups: dict[tuple[object, ...], list[str]] = {}
        refused: list[CaffeError] = []
        for caffe in names:
            try:
                net = self(0, boost, caffe, False)
            except CaffeError as error:
                refused.append(error)
                continue
            rows = [
                (row["layer"], row["index"], _bare(row["shape"]), str(row["filler"]), row["start"], row["std"])
                for row in net.fills()
            ]
            groups.setdefault(tuple(rows), []).append(caffe)
        if not groups:
            raise refused[0]
        return list(groups.values())


@dataclass(frozen=True)
class Candidate:
    """A blob of the net that draws, and its values in the weights."""

    name: str
    filler: str
    values: Array
    filled: Filled

    @property
    def mark(self) -> tuple[object, ...]:
        """The same for two candidates that one search serves: equal values by an equal filler from equal places."""
        plan = self.filled.plan
        return (self.name, plan.draw, plan.a, plan.b, plan.keep, tuple(self.filled.starts.items()))

    @property
    def latest(self) -> int:
        return max(start.stop for start in self.filled.starts.values())

    def misfit(self) -> str:
        """Return why the filler can't have drawn the values, by the test of Kolmogorov and Smirnov; empty if it can."""
        plan, values = self.filled.plan, self.filled.values[self.filled.drawn]
        if not values.size:
            return f"{self.name} holds no value that was drawn"
        sample = np.sort(values[:: values.size // 4096 + 1].astype(float))
        width = plan.b - plan.a if plan.draw == "uniform" else plan.b
        if plan.draw == "uniform":
            expected = np.clip((sample - plan.a) / width, 0, 1) if width else (sample >= plan.a).astype(float)
            described = f"from {plan.a:.6g} to {plan.b:.6g}"
        else:
            expected = np.array([math.erfc((plan.a - x) / plan.b / math.sqrt(2)) / 2 for x in sample.tolist()])
            described = f"about {plan.a:.6g} with a deviation of {plan.b:.6g}"
        ranks = np.arange(len(sample) + 1) / len(sample)
        # rounding moves a value by a unit in the last place at most
        ulp = float(np.spacing(values.dtype.type(max(abs(plan.a), abs(plan.b))))) / width if width else math.inf
        distance = float(max(np.max(ranks[1:] - expected), np.max(expected - ranks[:-1])) - ulp)
        if distance <= 0 or 2 * math.exp(-2 * len(sample) * distance**2) > 1e-6:
            return ""
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = values.std(dtype=float)
        return (
            f"{self.name} does not look like its filler, {self.filler}: values {described} are expected, these go from "
            f"{values.min():.6g} to {values.max():.6g} with a deviation of {deviation:.6g}"
        )


def candidates(
    given: dict[str, list[Array]], seeded: SeededNet, layer: str | None, profiles: Sequence[str], caffe: str
) -> list[Candidate]:
    """Return the blobs to search by, in the order in which they are drawn."""
    # after a gaussian the beginning of a blob's draws depends on the seed, so three seeds are tried
    rows = {boost: [seeded(seed, boost, caffe, False).fills() for seed in range(3)] for boost in profiles}
    first = rows[profiles[0]][0]
    drawing = [i for i, row in enumerate(first) if row["draws"] and not row["shared_with"]]
    if layer is not None:
        drawing = _of_layer(layer, first, drawing)
    elif not drawing:
        raise CaffeError("this net draws nothing for its parameters, so its weights don't depend on a seed")
    found, lacking = [], []
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
        filler = row["filler"]
        assert filler is not None  # the blob draws
        plan = fillers.plan(filler, shape, values.dtype, caffe)
        if plan.finish is not None:
            lacking.append(f"{filler['type']} changes what it draws, so the values of {name} do not show the draws")
            continue
        starts = {boost: _start([each[i]["start"] or 0 for each in rows[boost]]) for boost in profiles}
        filled = Filled(values.reshape(-1), plan, starts)
        found.append(Candidate(name, str(filler["type"]), values, filled))
    if not found:
        raise CaffeError("no blob to search a seed by: " + "; ".join(lacking))
    return found


def _of_layer(layer: str, rows: Sequence[FillRow], drawing: list[int]) -> list[int]:
    # a layer's name may end like a blob's
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
    """Return the shape without the leading ones that old files add."""
    return shape[next((i for i, dim in enumerate(shape) if dim != 1), len(shape)) :]


def shaped(given: dict[str, list[Array]], net: Net) -> dict[str, list[Array]]:
    """Return the weights in the net's shapes."""
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
    # the draws of a ziggurat besides those of its values have a variance of about 0.07 per value
    margin = 4 + math.ceil(6 * math.sqrt(0.07 * max(seen)))
    return range(max(0, min(seen) - margin), max(seen) + margin + 1)
