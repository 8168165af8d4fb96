"""LMDBs of Datum messages: opened once per process, read in key order, written in full or not at all."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CaffeError
from ..files import as_path
from .sources import check_regular

if TYPE_CHECKING:
    import lmdb

__all__ = ["Database", "open_database", "undamaged", "write_database"]

_TOGETHER = 1000  # records per transaction, as in Caffe's converters
_FIRST_MAP = 64 << 20


class Database:
    """An LMDB open for reading. Its values are memory of the file itself and last as long as this object."""

    __slots__ = ("__weakref__", "_environment", "entries", "path", "transaction")

    def __init__(self, path: Path, environment: lmdb.Environment) -> None:
        self.path = path
        self._environment = environment
        self.entries: int = environment.stat()["entries"]
        self.transaction = environment.begin(buffers=True)

    def __del__(self) -> None:
        with suppress(Exception):  # when the process ends, parts of the library may be gone
            self.transaction.abort()
            self._environment.close()

    def first(self) -> bytes | None:
        """Return the value of the first key, as bytes that outlast this object; None in an empty database."""
        with undamaged(self.path), self.transaction.cursor() as cursor:
            return bytes(cursor.value()) if cursor.first() else None


# lmdb refuses to open an environment twice in one process, and two nets may read the same one
_OPEN: weakref.WeakValueDictionary[tuple[str, int, int], Database] = weakref.WeakValueDictionary()


def open_database(path: Path, advice: str = "") -> Database:
    """Open the LMDB in a folder, or in a single file, for reading.

    Raises
    ------
    CaffeError
        If it is none, is truncated, or the package lmdb is missing.
    """
    try:
        import lmdb
    except ImportError:
        raise CaffeError(f"{path}: to read an LMDB: pip install 'caffe_fillers[lmdb]'{advice}") from None
    try:
        file = path / "data.mdb" if path.is_dir() else path
        check_regular(file)
        status = os.stat(file)
        key = os.path.realpath(path), status.st_dev, status.st_ino
        found = _OPEN.get(key)
        if found is not None:
            return found
        environment = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, create=False, readahead=False
        )
        try:
            # reading a mapped file past its end, as in a truncated one, is not an error but a crash
            pages = environment.info()["last_pgno"] + 1
            if status.st_size < pages * environment.stat()["psize"]:
                raise CaffeError(f"{path}: the LMDB is truncated{advice}")
            _OPEN[key] = database = Database(path, environment)
        except BaseException:
            environment.close()
            raise
        return database
    except (lmdb.Error, OSError) as error:
        raise CaffeError(f"{path}: cannot be read as an LMDB: {error}") from None


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Raise CaffeError if a page of an open LMDB can't be read within the block."""
    import lmdb

    try:
        yield
    except lmdb.Error as error:
        raise CaffeError(f"{path}: the LMDB is damaged: {error}") from None


def write_database(path: str | os.PathLike[str], records: Iterable[tuple[bytes, bytes]]) -> int:
    """Make an LMDB of (key, value) pairs and return their number.

    The folder comes to be when all are in it; where one is already, it stays and this is an error.

    Raises
    ------
    CaffeError
        If `path` exists, its folder doesn't, the disk is full, a key is empty or too long, or the package lmdb is
        missing; and whatever `records` raises.
    """
    target = as_path(path)
    try:
        import lmdb
    except ImportError:
        raise CaffeError(f"{target}: to write an LMDB: pip install 'caffe_fillers[lmdb]'") from None
    try:
        with (
            _new_folder(target) as temporary,
            lmdb.open(str(temporary), map_size=_FIRST_MAP, sync=False) as environment,
        ):
            count = 0
            rest = iter(records)
            while portion := list(islice(rest, _TOGETHER)):
                _put(environment, portion)
                count += len(portion)
            environment.sync(True)
    except (lmdb.Error, OSError) as error:
        raise CaffeError(f"{target}: cannot be written: {error}") from None
    return count


def _put(environment: lmdb.Environment, portion: list[tuple[bytes, bytes]]) -> None:
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in portion:
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    if os.path.lexists(target):
        raise CaffeError(f"{target}: exists already: remove it, or give another name")
    if not target.parent.is_dir():
        raise CaffeError(f"{target}: cannot be written: the folder {target.parent} does not exist")
    temporary = target.parent / f".caffe_fillers-{os.getpid()}-{os.urandom(6).hex()}.tmp"
    try:
        os.mkdir(temporary)
        yield temporary
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
