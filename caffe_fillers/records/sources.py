"""Finds the files that a layer names, and reads the lines of its lists."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import CaffeError

__all__ = ["ASK", "beside", "check_regular", "existing", "lines"]

ASK = "give its shape instead: inputs={NAME: (C, H, W)} or --input NAME=CxHxW"
_LINE = 64 << 10  # no path is longer


def existing(source: str) -> Path | None:
    if not source or "\0" in source:
        return None
    try:
        os.stat(source)
    except OSError:
        return None
    return Path(source)


def beside(source: Path, name: str) -> Path:
    """Find a listed file from the working directory, as Caffe does, else from the list's own folder."""
    if "\0" in name:
        raise CaffeError(f"{source}: the path {name!a} holds a NUL")
    here = Path(name)
    return here if os.path.exists(here) or here.is_absolute() else max(here, source.parent / name, key=os.path.exists)


def lines(path: Path) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CaffeError(f"{path}: is not a regular file")
            while line := file.readline(_LINE):
                if len(line) == _LINE:
                    raise CaffeError(f"{path}: is no list: a line is longer than {_LINE} bytes")
                yield os.fsdecode(line).rstrip("\r\n")
    except OSError as error:
        raise CaffeError(f"{path}: cannot be read: {error.strerror or error}") from None


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse files that exist but are not regular: opening a pipe without a writer would never return."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return  # open() will raise the error
    if not regular:
        raise CaffeError(f"{os.fspath(path)}: is not a regular file")
