"""Solver states on the disk: Caffe's ``.solverstate`` and ``.solverstate.h5``, and a file for what they omit.

A snapshot is three files. Two are Caffe's: the model, ``PREFIX_iter_N.caffemodel``, and the state,
``PREFIX_iter_N.solverstate``, with the iteration, the step of the rate, the model's name and the solver's history. The
third is ours, the state's name with ``.json`` behind it: the random stream, where each data layer stood, and the losses
that the average is made of. The state is written last, so that a state that is there is complete.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..arrays import Array
from ..carried import varint
from ..errors import CaffeError
from ..files import as_path, check_readable, replacing
from ..weights._wire import BYTES, VARINT, Wire, blob_parts

__all__ = [
    "State",
    "check_history",
    "checksum",
    "load_state",
    "model_of",
    "read_side",
    "read_state",
    "side_of",
    "write_side",
    "write_state",
]

_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4
_NO_STATE = "is no solver state (what Caffe writes beside a .caffemodel, PREFIX_iter_N.solverstate)"
_VERSION = 1


@dataclass(slots=True)
class State:
    """The contents of a solverstate."""

    iteration: int = 0
    learned_net: str | None = None
    current_step: int = 0
    history: list[Array] = field(default_factory=list)


def write_state(path: Path, state: State) -> None:
    """Write a solverstate completely or not at all: HDF5 if the name ends in ``.h5``, else binary."""
    if path.name.endswith(".h5"):
        _write_hdf5(path, state)
        return
    name = (state.learned_net or "").encode("utf-8", "surrogateescape")
    parts: list[bytes | memoryview] = [_number(_ITER, state.iteration)]
    parts += [varint(_LEARNED_NET << 3 | BYTES), varint(len(name)), name]
    for array in state.history:
        pieces, length = blob_parts(array)
        parts += [varint(_HISTORY << 3 | BYTES), varint(length), *pieces]
    parts.append(_number(_CURRENT_STEP, state.current_step))
    with replacing(path, sum(map(len, parts))) as temporary, open(temporary, "wb") as file:
        for part in parts:
            file.write(part)


def _number(number: int, value: int) -> bytes:
    return varint(number << 3 | VARINT) + varint(value)


def _write_hdf5(path: Path, state: State) -> None:
    from ..weights.hdf5 import open_to_write

    with open_to_write(path, sum(array.nbytes for array in state.history)) as (h5py, file):
        for name, value in (("iter", state.iteration), ("current_step", state.current_step)):
            file.create_dataset(name, data=np.array([value], np.int32), track_times=False)
        text = (state.learned_net or "").encode("utf-8", "surrogateescape") + b"\0"
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(text))
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5d.create(file.id, b"learned_net", kind, space).write(space, space, np.array(text, f"S{len(text)}"), kind)
        group = file.create_group("history")
        for i, array in enumerate(state.history):
            group.create_dataset(str(i), data=array, track_times=False)


def load_state(path: str | os.PathLike[str]) -> State:
    """Read a solver's state, from which `Solver.restore` continues.

    Parameters
    ----------
    path : str or PathLike
        Caffe's ``.solverstate`` or ``.solverstate.h5``; the content tells which.

    Returns
    -------
    State
        `iteration`, `learned_net` (the file of the weights), `current_step` and `history`, a list of arrays.

    Raises
    ------
    CaffeError
        If the file can't be read, is damaged, or is no solver state.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> solver = cf.Solver("examples/mnist/lenet_solver.prototxt", inputs={"data": (1, 28, 28)})
    >>> cf.load_state(solver.snapshot()).learned_net
    'examples/mnist/lenet_iter_0.caffemodel'
    """
    return read_state(as_path(path))


def read_state(path: Path) -> State:
    """Read a solverstate of either format; the content tells which.

    Raises
    ------
    CaffeError
        If the file is truncated, damaged, or no solver state.
    """
    size = check_readable(path)
    if size == 0:
        raise CaffeError(f"{path}: is empty")
    with open(path, "rb") as file:
        head = file.read(8)
    if head == b"\x89HDF\r\n\x1a\n":
        return _read_hdf5(path)
    state, seen = State(), set()
    with Wire(path) as wire:
        try:
            for each in wire.fields(0, wire.size):
                expected = BYTES if each.number in (_LEARNED_NET, _HISTORY) else VARINT
                if each.number not in (_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP) or each.kind != expected:
                    raise CaffeError(f"{path}: {_NO_STATE}")
                seen.add(each.number)
                if each.number == _ITER:
                    state.iteration = _int32(each.value)
                elif each.number == _LEARNED_NET:
                    text = wire.bytes(each.start, each.stop - each.start)
                    state.learned_net = text.decode("utf-8", "surrogateescape")
                elif each.number == _HISTORY:
                    what = f"blob {len(state.history)} of the history"
                    state.history.append(wire.blob(each.start, each.stop, what, flat=True)[0])
                else:
                    state.current_step = _int32(each.value)
        except CaffeError:
            if not seen:
                raise CaffeError(f"{path}: {_NO_STATE}") from None
            raise
    if _ITER not in seen:
        raise CaffeError(f"{path}: {_NO_STATE}")
    return state


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value


def _read_hdf5(path: Path) -> State:
    from ..weights.hdf5 import open_to_read

    with open_to_read(path) as file:
        missing = [name for name in ("iter", "history") if name not in file]
        if missing:
            raise CaffeError(f"{path}: {_NO_STATE}: it has no {' and no '.join(missing)}")
        state = State(iteration=int(file["iter"][...].reshape(-1)[0]))
        if "current_step" in file:
            state.current_step = int(file["current_step"][...].reshape(-1)[0])
        if "learned_net" in file:
            text = file["learned_net"][()]
            state.learned_net = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else str(text)
        group = file["history"]
        for i in range(len(group)):
            dataset = group[str(i)]
            if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (4, 8):
                raise CaffeError(f"{path}: /history/{i} holds {dataset.dtype}, not float32 or float64")
            state.history.append(dataset[...])
    return state


def check_history(path: Path, state: State, names: Sequence[str], expected: Sequence[Array], kind: str) -> None:
    """Refuse a state whose history does not fit this net and kind of solver; `names` are the blobs'."""
    have, want = len(state.history), len(expected)
    if have != want:
        advice = f"the file holds {have} blobs, a solver of type {kind} keeps {want} for this net"
        if have in (2 * len(names), len(names)):
            other = "Adam or AdaDelta" if have > want else "SGD, Nesterov, AdaGrad or RMSProp"
            advice += f": it was written under another type, such as {other}"
        else:
            advice += ": it was written for another net"
        raise CaffeError(
            f"{path}: Check failed: state.history_size() == history_.size() ({have} vs. {want}) "
            f"Incorrect length of history blobs.\n{advice}"
        )
    for i, (array, own) in enumerate(zip(state.history, expected, strict=True)):
        # old files pad shapes with ones
        if array.size != own.size or _core(array.shape) != _core(own.shape):
            raise CaffeError(
                f"{path}: the history of blob {names[i % len(names)]} has shape {array.shape} in the file, "
                f"{own.shape} in this net: the snapshot is of another net"
            )


def _core(shape: Iterable[int]) -> list[int]:
    return [dim for dim in shape if dim != 1]


def model_of(path: Path, state: State) -> Path | None:
    """Return the path of the model that a state names: where it says, else beside the state."""
    if not state.learned_net:
        return None
    said = as_path(state.learned_net)
    beside = path.parent / os.path.basename(state.learned_net.replace("\\", "/"))
    for place in (said, beside):
        if place.is_file():
            return place
    raise CaffeError(
        f"{path}: names the weights {said}, which are found neither there nor beside the state, as {beside}"
    )


# --- the side file ---------------------------------------------------------------------------------------------------


def side_of(path: Path) -> Path:
    """Return the path of the file that holds, beside a solverstate, what Caffe's lacks."""
    return path.with_name(path.name + ".json")


def checksum(arrays: Iterable[Array]) -> int:
    """Of the weights and the history, so that a side file is never taken for that of another snapshot."""
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return total


def write_side(path: Path, content: dict[str, object]) -> None:
    data = json.dumps({"caffe_fillers_resume": _VERSION, **content}, separators=(",", ":"))
    with replacing(path, len(data)) as temporary:
        temporary.write_text(data, encoding="utf-8")


def read_side(path: Path) -> dict[str, object] | None:
    """Return the content of a side file; None if there is none.

    Raises
    ------
    CaffeError
        If the file is not what `write_side` wrote.
    """
    if not path.exists():
        return None
    check_readable(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CaffeError(f"{path}: is not readable as JSON ({error}): remove it to go on as Caffe would") from None
    if not isinstance(content, dict) or content.get("caffe_fillers_resume") != _VERSION:
        raise CaffeError(f"{path}: was not written by this version: remove it to go on as Caffe would")
    return content
