"""Messages from prototxt and back, for callers who want the message rather than a net."""

from __future__ import annotations

import os
from typing import Any

from . import prototxt, schema
from .encoding import as_bytes
from .upgrading import upgrade

__all__ = ["read_net", "read_solver", "upgrade", "write_prototxt"]


def read_net(path: str | os.PathLike[str], strict: bool = False) -> Any:
    """Read a net's prototxt, as it is written: `upgrade` brings it into today's form.

    Parameters
    ----------
    path : str or PathLike
    strict : bool, optional
        Refuse what BVLC Caffe refuses; otherwise what forks added is skipped with one warning.

    Returns
    -------
    NetParameter

    Raises
    ------
    CaffeError
        If the file can't be read; the text says line, column and what was expected.

    Examples
    --------
    >>> import caffe_fillers as cf
    >>> cf.read_net("examples/mnist/lenet_train_test.prototxt").name
    'LeNet'
    """
    return prototxt.read(path, schema.NetParameter, strict=strict).message


def read_solver(path: str | os.PathLike[str], strict: bool = False) -> Any:
    """Read a solver's prototxt, as it is written.

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
    return prototxt.read(path, schema.SolverParameter, strict=strict).message


def write_prototxt(path: str | os.PathLike[str], message: Any) -> None:
    """Write a message as prototxt; an older file is replaced whole or not at all.

    Parameters
    ----------
    path : str or PathLike
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
    from .files import replacing

    text = prototxt.format_text(message)
    with replacing(path) as made:
        made.write_bytes(as_bytes(text))
