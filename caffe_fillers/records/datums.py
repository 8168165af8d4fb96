"""Datum messages, the records of databases. Reading can start at any record and wraps around at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from .. import schema
from ..checks import need
from ..errors import CaffeError
from .databases import open_database, undamaged
from .images import decode, encoded_shape
from .sources import ASK, existing

__all__ = ["Datums", "datum_shape", "is_leveldb", "is_lmdb"]

_PLAIN = {"channels", "height", "width", "data", "label", "encoded"}
_LONGEST_TAIL = 13  # a label below zero, and that the datum is not encoded


class Datums:
    """The images and labels of an LMDB.

    Parameters
    ----------
    path : Path
    kind : {"color", "gray", "native", "both"}
        What encoded images are decoded to; both colour and gray is refused.
    skip : int
        How many records the first place stands behind the first.

    Raises
    ------
    CaffeError
        If it is no LMDB, is truncated or empty, or the package lmdb is missing.
    """

    def __init__(self, path: Path, kind: str = "native", skip: int = 0) -> None:
        self._path, self._kind, self._skip = path, kind, skip
        self._database = open_database(path)
        if not self._database.entries:
            raise CaffeError(f"{path}: the LMDB is empty")
        self._cursor = self._database.transaction.cursor()
        self._values: Iterator[memoryview] = iter(())
        self._at = -1
        # the first bytes of a record like the one before, the place of its label, and the labels met so far
        self._head, self._tail = b"", 0
        self._shape: tuple[int, ...] = ()
        self._labels: dict[bytes, int] = {}

    def read(self, place: int, count: int) -> tuple[Sequence[np.ndarray] | np.ndarray, list[int]]:
        """Return images, each (channels, height, width), and labels of `count` records from the `place`-th on.

        After the last the first comes again. Images are bytes, or float32 where a datum holds floats; those of one
        shape that are not encoded come as one array.

        Raises
        ------
        CaffeError
            If a record is no Datum, holds too few values or an image that can't be decoded.
        """
        with undamaged(self._path):
            values = self._next(place, count)
        images, labels = self._alike(values) or self._each(values)
        self._at = place + count
        return images, labels

    def _next(self, place: int, count: int) -> list[memoryview]:
        if place != self._at:
            self._seek((place + self._skip) % self._database.entries)
        self._at = -1
        values = list(islice(self._values, count))
        while len(values) < count:
            self._seek(0)
            more = list(islice(self._values, count - len(values)))
            if not more:
                raise CaffeError(f"{self._path}: the LMDB is damaged: it declares more records than it holds")
            values += more
        return values

    def _alike(self, values: list[memoryview]) -> tuple[np.ndarray, list[int]] | None:
        """Read records that all have the form of an earlier one."""
        head, tail, known = self._head, self._tail, self._labels
        begin = len(head)
        labels = [known.get(bytes(value[tail:])) if bytes(value[:begin]) == head else None for value in values]
        whole = [label for label in labels if label is not None]
        if len(whole) < len(values):
            return None
        pixels = np.frombuffer(b"".join([value[begin:tail] for value in values]), np.uint8)
        return pixels.reshape(len(values), *self._shape), whole

    def _each(self, values: list[memoryview]) -> tuple[list[np.ndarray], list[int]]:
        images, labels = zip(*map(self._one, values), strict=True) if values else ((), ())
        return list(images), list(labels)

    def _seek(self, place: int) -> None:
        self._cursor.first()
        self._values = self._cursor.iternext(keys=False, values=True)
        next(islice(self._values, place, place), None)

    def _one(self, record: memoryview) -> tuple[np.ndarray, int]:
        value = bytes(record)
        datum = _parse(self._path, value, "a record")
        if datum.encoded:
            need(self._kind != "both", "!(param_.force_color() && param_.force_gray()) cannot set both")
            image = decode(self._path, datum.data, self._kind)
            return (image[None] if image.ndim == 2 else image.transpose(2, 0, 1)), datum.label
        shape = datum.channels, datum.height, datum.width
        values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
        size = prod(shape)
        if values.size < size or min(shape) < 1:
            raise CaffeError(f"{self._path}: a datum of shape {shape} holds {values.size} values")
        if values.size == size:
            self._learn(value, datum, shape)
        return values[:size].reshape(shape), datum.label

    def _learn(self, value: bytes, datum: schema.Datum, shape: tuple[int, ...]) -> None:
        """Record how records like this plain one begin and end: shape and bytes, then the label."""
        alike = schema.Datum(channels=shape[0], height=shape[1], width=shape[2], data=datum.data)
        written = alike.SerializeToString()
        rest = value[len(written) :]
        if not value.startswith(written) or len(rest) > _LONGEST_TAIL:
            return
        alike.MergeFromString(rest)
        if _PLAIN.issuperset(field.name for field, _ in alike.ListFields()):
            head = written[: len(written) - len(datum.data)]
            if head != self._head:
                self._head, self._tail, self._shape, self._labels = head, len(written), shape, {}
            self._labels[rest] = datum.label


def is_lmdb(path: Path) -> bool:
    return (path / "data.mdb").is_file()


def is_leveldb(path: Path) -> bool:
    return (path / "CURRENT").exists()


def datum_shape(
    source: str, *, lmdb: bool = True, force_color: bool = False, force_gray: bool = False
) -> tuple[int, int, int] | None:
    """Return (channels, height, width) of a database's first datum.

    Parameters
    ----------
    source : str
        The database's folder (or an LMDB in a single file), relative to the working directory.
    lmdb : bool
        What the prototxt says the backend is; LevelDB, the default of Caffe's, is not read here.
    force_color, force_gray : bool
        Of transform_param; they change the channels of an encoded image.

    Raises
    ------
    CaffeError
        If the database is a LevelDB, damaged or empty, or a package for reading it is missing.
    """
    path = existing(source)
    if path is None:
        return None
    if not lmdb and not is_lmdb(path):
        if is_leveldb(path):
            raise CaffeError(f"{path}: is a LevelDB, which is not read here; {ASK}")
        return None
    value = open_database(path, f", or {ASK}").first()
    if value is None:
        raise CaffeError(f"{path}: the LMDB is empty; {ASK}")
    datum = _parse(path, value, "the first record", f"; {ASK}")
    if not datum.encoded:
        return datum.channels, datum.height, datum.width
    return encoded_shape(path, datum.data, force_color, force_gray)


def _parse(path: Path, value: bytes, what: str, advice: str = "") -> schema.Datum:
    datum = schema.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError as error:
        raise CaffeError(f"{path}: {what} is no Datum ({error}){advice}") from None
    return datum
