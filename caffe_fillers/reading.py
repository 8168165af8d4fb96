"""Reads and writes prototxt messages, for callers who want the message instead of a net."""

from __future__ import annotations

import os
from typing import BinaryIO

from google.protobuf.message import Message

from . import prototxt, schema
from .encoding import as_bytes
from .errors import CaffeError
from .files import replacing
from .sources import either, is_net, is_solver
from .upgrading import upgrade

__all__ = ["read_net", "read_prototxt", "read_solver", "upgrade", "write_prototxt"]


def read_prototxt(
    source: str | os.PathLike[str] | BinaryIO, strict: bool = False
) -> prototxt.Text[schema.NetParameter] | prototxt.Text[schema.SolverParameter]:
    """Read the prototxt of a net or a solver once; `Net`, `upgrade` and others take the result.

    Parameters
    ----------
    source : str, PathLike or binary file
        A path, also of a pipe, or an open file such as ``sys.stdin.buffer``.
    strict : bool, optional
        As for `read_net`.

    Returns
    -------
    Text
        Its `message` is a NetParameter or a SolverParameter; it also knows the line of each field.

    Raises
    ------
    CaffeError
        As for `read_net`.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> text = cf.read_prototxt("examples/mnist/lenet_train_test.prototxt")
    >>> text.message.DESCRIPTOR.name, text.lines["name",]
    ('NetParameter', 3)
    """
    if isinstance(source, (str, os.PathLike)):
        name, data = os.fspath(source), prototxt.read_bytes(source)
    else:
        name, data = str(getattr(source, "name", "<file>")), source.read(prototxt.MAX_BYTES + 1)
    return either(data, name, strict)


def read_net(path: str | os.PathLike[str], strict: bool = False) -> schema.NetParameter:
    """Read a net's prototxt without upgrading it (see `upgrade`).

    Parameters
    ----------
    path : str or PathLike
    strict : bool, optional
        Refuse what BVLC Caffe refuses. Otherwise the additions of forks are skipped with one warning.

    Returns
    -------
    NetParameter

    Raises
    ------
    CaffeError
        If the file can't be read; the text names line, column and what was expected.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.read_net("examples/mnist/lenet_train_test.prototxt").name
    'LeNet'
    """
    data = prototxt.read_bytes(path)
    if not strict and is_solver(data):
        raise CaffeError(f"{path}: this is a solver's prototxt, not a net's\nread it with read_solver, or as a Solver")
    return prototxt.parse(data, schema.NetParameter, name=str(path), strict=strict).message


def read_solver(path: str | os.PathLike[str], strict: bool = False) -> schema.SolverParameter:
    """Read a solver's prototxt without upgrading it.

    Parameters
    ----------
    path : str or PathLike
    strict : bool, optional
        As for `read_net`.

    Returns
    -------
    SolverParameter

    Raises
    ------
    CaffeError
        As for `read_net`.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.read_solver("examples/mnist/lenet_solver.prototxt").random_seed
    1701
    """
    data = prototxt.read_bytes(path)
    if not strict and is_net(data):
        raise CaffeError(
            f"{path}: this is a net's prototxt, not a solver's\n"
            "read it with read_net, or as a Net; a solver's prototxt names its net in net: and its rate in base_lr:"
        )
    return prototxt.parse(data, schema.SolverParameter, name=str(path), strict=strict).message


def write_prototxt(path: str | os.PathLike[str] | BinaryIO, message: Message) -> None:
    """Write a message as prototxt; the file is complete, or the older one unchanged.

    Fields that BVLC Caffe does not know, and that reading kept, are written where they stood.

    Parameters
    ----------
    path : str, PathLike or binary file
    message : NetParameter, SolverParameter or any other of Caffe's messages

    Raises
    ------
    CaffeError
        If the file can't be written.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> net = cf.read_net("examples/mnist/lenet_train_test.prototxt")
    >>> cf.write_prototxt("lenet.prototxt", cf.upgrade(net))
    """
    data = as_bytes(prototxt.format_text(message))
    if not isinstance(path, (str, os.PathLike)):
        path.write(data)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(data)
