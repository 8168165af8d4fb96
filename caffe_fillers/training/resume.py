"""Saves a training and resumes it."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

import numpy as np

from .. import schema
from ..checks import need
from ..errors import CaffeError, CaffeWarning
from ..files import as_path
from ..net import Net
from ..weights import save_weights
from .average import Average, AverageState
from .debug import param_name
from .log import ignored_lines
from .places import Place, go_to, places_of
from .snapshots import (
    State,
    check_history,
    checksum,
    model_of,
    read_side,
    read_state,
    side_of,
    write_side,
    write_state,
)

if TYPE_CHECKING:
    from .solver import Solver

__all__ = ["check_prefix", "restore", "snapshot"]

_Kind = TypeVar("_Kind")


def file_name(solver: Solver, extension: str) -> Path:
    return Path(f"{solver.message.snapshot_prefix}_iter_{solver.iter}{extension}")


def check_prefix(solver: Solver) -> None:
    """Refuse to train if a snapshot could not be written, as Caffe does before it begins."""
    message = solver.message
    need(
        message.HasField("snapshot_prefix") or not message.snapshot,
        "param_.has_snapshot_prefix() In solver params, snapshot is specified but snapshot_prefix is not",
        'add snapshot_prefix: "FOLDER/NAME"',
    )
    probe = file_name(solver, ".tempfile")
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        folder = "" if probe.parent.is_dir() else f": make the folder {probe.parent} first"
        raise CaffeError(
            f"Cannot write to snapshot prefix '{message.snapshot_prefix}'.  Make sure that the directory exists and is "
            f"writable.\n{error.strerror or error}{folder}"
        ) from None


def snapshot(solver: Solver) -> Path:
    """Write model, side file and state, in this order; return the path of the state."""
    message = solver.message
    hdf5 = message.snapshot_format == schema.enum("SolverParameter.SnapshotFormat")["HDF5"]
    rate, update = solver.prepare()
    suffix, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
    model = file_name(solver, ".caffemodel" + suffix)
    path = file_name(solver, ".solverstate" + suffix)
    solver.say("solver.cpp:474" if hdf5 else "solver.cpp:464", f"Snapshotting to {kind} file {model}")
    save_weights(model, solver.net.weight_set(diffs=message.snapshot_diff))
    place = "sgd_solver.cpp:296" if hdf5 else "sgd_solver.cpp:284"
    solver.say(place, f"Snapshotting solver state to {kind} file {path}")
    # a state that is there already is of an older run: it must not meet the new side file
    side = side_of(path)
    write_side(
        side,
        {
            "iteration": solver.iter,
            "type": message.type,
            "checksum": _checksum(solver),
            "stream": _stream_state(solver),
            "average": solver._average.state(),
            "places": [places_of(net) for net in (solver.net, *solver.test_nets)],
        },
    )
    write_state(path, State(solver.iter, str(model), rate.current_step, update.history))
    return path


def restore(solver: Solver, path: str | os.PathLike[str]) -> None:
    """Take over a solverstate, and its side file if there is one."""
    source = as_path(path)
    rate, update = solver.prepare()
    state = read_state(source)
    check_history(source, state, _names(solver.net), update.history, solver.message.type)
    model, content = model_of(source, state), read_side(side_of(source))
    side = None if content is None else _check_side(solver, side_of(source), content)
    if model is not None:
        report = solver.net.copy_from(model)
        for name, ignored in report.files:
            for place, text in ignored_lines(name, ignored):
                solver.say(place, text)
        if report.filled:
            names = ", ".join(report.filled)
            text = f"holds nothing for {names}: they keep their fill; the random stream and the data begin anew"
            warnings.warn(f"{model}: {text}", CaffeWarning, stacklevel=3)
            side = None
    if not source.name.endswith(".h5"):
        solver.say("sgd_solver.cpp:336", "SGDSolver: restoring history")
    for own, array in zip(update.history, state.history, strict=True):
        own[...] = array.reshape(own.shape)
    solver.iter, rate.current_step = state.iteration, state.current_step
    solver._displayed = state.iteration
    if side is not None:
        _restore_side(solver, source, side)


class _Stream(TypedDict):
    """The position of the random stream."""

    key: list[int]
    pos: int
    c_rand: int


class _Side(TypedDict):
    """The content of a side file, after its checks."""

    iteration: int
    type: str
    checksum: int
    stream: _Stream
    average: AverageState
    places: list[dict[str, Place]]


def _check_side(solver: Solver, path: Path, side: object) -> _Side:
    """Return the side file's content, or refuse what `_restore_side` can't use, before anything is changed."""
    try:
        for name, kind in (("iteration", int), ("checksum", int), ("type", str)):
            _entry(side, name, kind)
        stream = _entry(side, "stream", dict)
        key, pos = _whole_numbers(_entry(stream, "key", list), 2**32), _entry(stream, "pos", int)
        if len(key) != 624 or not 0 <= pos <= 624:
            raise ValueError("the stream has another size")
        _whole_numbers([stream.get("c_rand", 0)], 2**64)
        _check_average(solver, _entry(side, "average", dict))
        nets, places = (solver.net, *solver.test_nets), _entry(side, "places", list)
        if len(places) != len(nets):
            raise ValueError(f"it has the places of {len(places)} nets, not of {len(nets)}")
        for net, of_net in zip(nets, places, strict=True):
            _check_places(net, of_net)
    except ValueError as error:
        raise CaffeError(f"{path}: is damaged ({error}): remove it to go on as Caffe would") from None
    return cast("_Side", side)


def _check_average(solver: Solver, average: dict[str, object]) -> None:
    losses, _ = _entry(average, "losses", list), _entry(average, "n", int)
    if not all(isinstance(each, str) for each in (*losses, average.get("mean"))):
        raise ValueError("a loss is no text")
    try:
        Average(solver.message.average_loss, solver.net.dtype.type).restore(cast("AverageState", average))
    except OverflowError:
        raise ValueError("a loss is too large") from None


def _check_places(net: Net, places: object) -> None:
    if not isinstance(places, dict):
        raise ValueError("the places of a net are no object")
    for i, place in places.items():
        if not i.isdecimal() or int(i) >= len(net.tape.entries):
            raise ValueError(f"the net has no layer {i}")
        for seeds in _entry(place, "seeds", dict).values():
            _whole_numbers(seeds, 2**64)
        _whole_numbers([place.get("delivered", 0)], 2**63)
        carried = _entry(place, "carried", dict) if "carried" in place else {}
        for held in carried.values():
            if not isinstance(held, list) or len(held) != 2 or not isinstance(held[1], list):
                raise ValueError(f"the state of layer {i} is no shape and values")
            shape, values = _whole_numbers(held[0], 2**31), held[1]
            if math.prod(shape) != len(values) or not all(isinstance(value, float) for value in values):
                raise ValueError(f"the state of layer {i} does not hold {math.prod(shape)} numbers")


def _entry(record: object, name: str, kind: type[_Kind]) -> _Kind:
    """Return an entry of an object of JSON, or raise ValueError if it is missing or of another kind."""
    found = record.get(name) if isinstance(record, dict) else None
    if not isinstance(found, kind) or isinstance(found, bool):
        raise ValueError(f"{name} is no {kind.__name__}")
    return found


def _whole_numbers(values: object, end: int) -> list[int]:
    """Return a list of JSON whose elements are whole numbers from 0 to below `end`, or raise ValueError."""
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < end for value in values):
        raise ValueError(f"a number is not in 0..{end - 1}")
    return values


def _restore_side(solver: Solver, source: Path, side: _Side) -> None:
    if side["iteration"] != solver.iter or side["checksum"] != _checksum(solver):
        text = "is not of this snapshot: the random stream and the data begin anew, as in Caffe"
        warnings.warn(f"{side_of(source)}: {text}", CaffeWarning, stacklevel=4)
        return
    if side["type"] != solver.message.type:
        text = f"{source}: was written by a solver of type {side['type']}, and goes on under {solver.message.type}"
        warnings.warn(text, CaffeWarning, stacklevel=4)
    for net, places in zip((solver.net, *solver.test_nets), side["places"], strict=True):
        go_to(net, places)
    state = solver.net.rng.state
    state["state"]["key"] = np.array(side["stream"]["key"], np.uint32)
    state["state"]["pos"] = int(side["stream"]["pos"])
    solver.net.rng.state = state
    solver.net.rng.c_rand = int(side["stream"].get("c_rand", 0))
    solver._average.restore(side["average"])
    solver._resumed = True


def _checksum(solver: Solver) -> int:
    _, update = solver.prepare()
    return checksum([*(blob.data for blob in update.blobs), *update.history])


def _stream_state(solver: Solver) -> _Stream:
    state = solver.net.rng.state["state"]
    return {"key": state["key"].tolist(), "pos": int(state["pos"]), "c_rand": solver.net.rng.c_rand}


def _names(net: Net) -> list[str]:
    """Return layer and number of each learned parameter."""
    found: dict[int, str] = {}
    for entry in net.tape.entries:
        step = entry.step
        for k, (blob, owner) in enumerate(zip(step.layer.blobs, step.owners, strict=True)):
            found.setdefault(id(owner or blob), f"{step.layer.name}/{param_name(step, k)}")
    return [found[id(blob)] for blob in net.learnable]
