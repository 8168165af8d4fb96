"""Replaces files atomically: a file is written in full or left unchanged."""

from __future__ import annotations

import os
import platform
import stat
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from .errors import CaffeError

__all__ = ["AnyPath", "Files", "as_path", "check_readable", "replacing"]

# Bytes that are sent to the disk at a time, while the next are written.
_PORTION = 16 << 20

# for type checkers
AnyPath: TypeAlias = str | os.PathLike[str]
Files: TypeAlias = AnyPath | Iterable[AnyPath]


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return the path, or raise CaffeError for what can't be one."""
    try:
        name = os.fspath(path)
    except TypeError:
        raise CaffeError(f"a path must be a str or PathLike, got {type(path).__name__}") from None
    if not isinstance(name, str):
        raise CaffeError(f"a path must be a str or PathLike, got {name!r}")
    if not name or "\0" in name:
        raise CaffeError(f"{name!r} is not a path")
    return Path(name)


def check_readable(path: Path) -> int:
    """Return the size of a regular file that can be opened; raise CaffeError for anything else."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
    except IsADirectoryError:
        raise CaffeError(f"{path}: is a directory, not a file of weights") from None
    except OSError as error:
        raise CaffeError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise CaffeError(f"{path}: is not a regular file: copy it to one first")
    return status.st_size


def _without_waiting(name: str, flags: int) -> int:
    # opening a FIFO without a writer would never return
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


@contextmanager
def replacing(path: str | os.PathLike[str], size: int = 0) -> Iterator[Path]:
    """Yield the name of a new file beside `path`, which replaces `path` when the block ends without an error.

    When the block raises, the new file is removed and the old one stays as it was. An existing file is replaced only
    once its successor is on the disk, so that not even a power failure takes both; a first file is left to the system
    to write out, which it does as fast as `ndarray.tofile`.

    Parameters
    ----------
    path : str or PathLike
        The file to write. A symbolic link is followed; permissions of an existing file are kept.
    size : int
        About how many bytes are to come: the system begins to write a large file to the disk while it grows.

    Raises
    ------
    CaffeError
        If the folder or the file cannot be written, the disk is full, or `path` is no regular file.
    """
    target = as_path(path)
    temporary = None
    try:
        real = Path(os.path.realpath(target))
        mode = _mode(target, real)
        _sweep(real.parent)
        # a short name of its own: the target's may already be as long as the file system allows
        temporary = real.parent / f"{_prefix()}{os.getpid()}-{os.urandom(6).hex()}.tmp"
        # a test that is removed again: ext4 delays the closing of a file that existed and was truncated
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.unlink(temporary)
        with _written_back(temporary, size if mode is not None else 0):
            yield temporary
        if mode is not None:
            _settle(temporary, mode)
        os.replace(temporary, real)
        temporary = None
    except OSError as error:
        raise CaffeError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)


def _prefix() -> str:
    # of this machine: on a shared disk the process numbers of other machines mean nothing here
    return f".caffe_fillers-{zlib.crc32(platform.node().encode()):08x}-"


def _sweep(folder: Path) -> None:
    """Remove the temporary files of killed processes of this machine."""
    if os.name != "posix":
        return  # on other systems os.kill would end the process instead of testing it
    prefix = _prefix()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            pid = entry.name.removeprefix(prefix).partition("-")[0]
            if entry.name.startswith(prefix) and entry.name.endswith(".tmp") and pid.isdigit() and not _alive(int(pid)):
                os.unlink(entry.path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _mode(target: Path, real: Path) -> int | None:
    try:
        status = os.stat(real)
    except FileNotFoundError:
        if not real.parent.is_dir():
            raise CaffeError(f"{target}: cannot be written: the folder {real.parent} does not exist") from None
        return None
    if stat.S_ISDIR(status.st_mode):
        raise CaffeError(f"{target}: cannot be written: it is a directory; give a file's name")
    if not stat.S_ISREG(status.st_mode):
        raise CaffeError(f"{target}: cannot be written: it is not a regular file")
    if not os.access(real, os.W_OK):
        # a rename does not check this
        raise CaffeError(f"{target}: cannot be written: the file there is read-only")
    return stat.S_IMODE(status.st_mode)


@contextmanager
def _written_back(temporary: Path, size: int) -> Iterator[None]:
    """Write a large file to the disk while it grows, so that the final wait for the disk is short."""
    if size < 2 * _PORTION or not hasattr(os, "posix_fadvise"):
        yield
        return
    stop = threading.Event()

    def send() -> None:
        sent = 0
        while not temporary.exists():
            if stop.wait(0.003):
                return
        handle = os.open(temporary, os.O_RDONLY)
        try:
            while not stop.wait(0.003):
                grown = os.fstat(handle).st_size
                if grown - sent >= _PORTION:
                    # Linux begins to write these bytes and does not wait; it keeps them in memory, since they are
                    # not on the disk yet. fdatasync would wait, and the disk with it until the next portion.
                    os.posix_fadvise(handle, sent, grown - sent, os.POSIX_FADV_DONTNEED)
                    sent = grown
        finally:
            os.close(handle)

    def send_if_possible() -> None:
        with suppress(OSError):  # the sync at the end decides
            send()

    thread = threading.Thread(target=send_if_possible, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _settle(temporary: Path, mode: int) -> None:
    """Wait until the bytes are on the disk, before the name points to them."""
    handle = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.chmod(temporary, mode)
