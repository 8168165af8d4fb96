"""Identifies a file that holds no weights, for the error message."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..encoding import as_text
from ..errors import CaffeError
from ..files import as_path, check_readable
from ..sources import is_net, is_solver
from ._wire import BYTES, VARINT, Wire

__all__ = ["holds", "identify", "is_state", "state_of"]

# by the file's first bytes: the kind of file, and what to do
_KINDS: list[tuple[bytes, str]] = [
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (rb"\x93NUMPY", "a single array (.npy), such as a mean image: use load_mean, or convert FILE.npy FILE.binaryproto"),
    (rb"\x80[\x02-\x05]", "a pickle, which could run code: refused"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!", "compressed: unpack it first"),
    (rb"PK\x03\x04", "a zip, but no .npz"),
    (rb"\s*<(?:[!?]|[A-Za-z])", "a web page or XML: download the file itself"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0\0\0\0|II\*\0|MM\0\*", "an image"),
    (rb"%PDF", "a PDF"),
    (rb"\x7fELF|MZ|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe", "a program or a library"),
    (rb"\0\0[\x08\x09\x0b-\x0e][\x01-\x04]", "an IDX file, such as MNIST's images and labels: see `dataset`"),
    (rb".{16}\xde\xc0\xef\xbe", "an LMDB's data.mdb: a database, which a Data layer's source names by its folder"),
    (rb"SQLite format 3\0", "an SQLite database"),
    (rb"\x08[\x01-\x0c]\x12.*(?:pytorch|onnx|tf2onnx|caffe_fillers)", "an ONNX model: Caffe's weights are not in it"),
]
_STATE = {1: VARINT, 2: BYTES, 3: BYTES, 4: VARINT}  # iter, learned_net, history, current_step
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


def holds(head: bytes) -> str:
    """Return what kind of file begins so, if it is known; else an empty text."""
    for begins, what in _KINDS:
        if re.match(begins, head, re.DOTALL):
            return what
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text and _TEXT.fullmatch(head):
        if re.match(rb"(name|layers?|input|input_dim|input_shape|state|force_backward)\s*[:{]|#", text):
            return "text (a prototxt?)"
        if re.match(rb"[\w.\-/ ]+\s*[:{]", text):
            return "text, such as a prototxt of another message"
        return "text"
    return ""


def state_of(path: Path) -> tuple[int, str] | None:
    """Return the iteration and the weights' file that a binary solver state names; None where it is none."""
    found: dict[int, int] = {}
    learned_net = b""
    try:
        with Wire(path) as wire:
            for field in wire.fields(0, wire.size):
                if _STATE.get(field.number) != field.kind:
                    return None
                found[field.number] = field.value
                if field.number == 2:
                    length = field.stop - field.start
                    learned_net = wire.bytes(field.start, length) if length < 4096 else b""
    except CaffeError:
        return None
    name = as_text(learned_net)
    # an ONNX model begins with a number and a text too
    return (found[1], name) if 1 in found and ".caffemodel" in name else None


def is_state(path: Path, iteration: int, learned_net: str) -> CaffeError:
    """Return the error for a solver's state that was given as weights; it says where the weights are."""
    where = f"they are in {learned_net}" if learned_net else "they are in the .caffemodel beside it"
    return CaffeError(
        f"{path}: is a solver's state, after iteration {iteration}, which holds no weights: {where}\n"
        "to go on training from it: caffe-fillers train SOLVER --snapshot FILE"
    )


def identify(path: str | os.PathLike[str]) -> str:
    """Return what a file is, by its content.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    str
        "net" or "solver" for a prototxt, "weights" for weights in any format, "state" for a solver's state, "mean" for
        a mean image; for any other file a description in words.

    Raises
    ------
    CaffeError
        If the file can't be read.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.identify("examples/mnist/lenet_solver.prototxt"), cf.identify("examples/mnist/lenet.prototxt")
    ('solver', 'net')
    """
    from . import read
    from .mean import load_mean

    file = as_path(path)
    if check_readable(file) == 0:
        return "an empty file"
    with open(file, "rb") as opened:
        head = opened.read(1 << 20)
    if is_solver(head):
        return "solver"
    if is_net(head):
        return "net"
    try:
        load_mean(file)
    except CaffeError:
        pass
    else:
        return "mean"
    if state_of(file) is not None:
        return "state"
    try:
        read(file)
    except CaffeError as error:
        if "a solver's state" in str(error):
            return "state"
        return holds(head[:512]) or f"no file that is known here; it begins with {head[:16].hex(' ')}"
    return "weights"
