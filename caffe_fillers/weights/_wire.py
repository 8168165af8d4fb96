"""Parses protobuf's wire format in the file itself: blobs go from the disk straight into arrays.

protobuf's own message class takes several times as long for a large blob, and several times its memory. Every length
is held against what encloses it before it is believed, and a shape against the number of values that are there before
an array is made of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from ..arrays import Array
from ..carried import varint
from ..errors import CaffeError
from ..files import check_readable
from ._set import check_count

__all__ = ["BIT32", "BIT64", "BYTES", "VARINT", "Field", "Wire", "blob_parts"]

VARINT, BIT64, BYTES, GROUP, GROUP_END, BIT32 = range(6)
_WINDOW = 16 << 10
_OLD_DIMS = (1, 2, 3, 4)  # num, channels, height, width
_SHAPE, _DATA, _DIFF, _DOUBLE_DATA, _DOUBLE_DIFF = 7, 5, 6, 8, 9
_WIDTHS = {_DATA: 4, _DOUBLE_DATA: 8}
# C3D put `length` third among the dims, so the numbers of all fields after it grew by one
_C3D_WIDTH, _C3D_WIDTHS = 5, {6: 4}


class Field(NamedTuple):
    """One field: its number and wire type, where its tag, its content and the next field begin."""

    number: int
    kind: int
    tag: int
    start: int
    stop: int
    value: int  # of a varint; else 0


class Wire:
    """A file of protobuf's wire format; use it in a ``with`` statement."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = check_readable(path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self._window = b""
        self._at = 0

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def fail(self, offset: int, what: str) -> NoReturn:
        raise CaffeError(f"{self.path}: at byte {offset}: {what}")

    def bytes(self, at: int, count: int) -> bytes:
        """Return `count` bytes from `at` on; the caller has checked that the file is long enough."""
        local = at - self._at
        if local < 0 or local + count > len(self._window):
            if count > _WINDOW:
                data = bytearray(count)
                self.read_into(at, memoryview(data))
                return bytes(data)
            self._load(at)
            local = 0
            if count > len(self._window):
                self.fail(at, "the file became shorter while it was read")
        return self._window[local : local + count]

    def _load(self, at: int) -> None:
        try:
            self._file.seek(at)
            self._window = self._file.read(_WINDOW) or b""
        except OSError as error:
            self.fail(at, f"cannot be read: {error.strerror or error}")
        self._at = at

    def read_into(self, at: int, into: memoryview) -> None:
        """Fill the buffer with the bytes from `at` on."""
        local = at - self._at
        if local >= 0 and local + len(into) <= len(self._window):
            into[:] = self._window[local : local + len(into)]
            return
        try:
            self._file.seek(at)
            while len(into):
                count = self._file.readinto(into)
                if not count:
                    self.fail(at, "the file became shorter while it was read")
                into = into[count:]
        except OSError as error:
            self.fail(at, f"cannot be read: {error.strerror or error}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return a varint and the place after it."""
        local = at - self._at
        if not (local >= 0 and (local + 10 <= len(self._window) or self._at + len(self._window) >= self.size)):
            self._load(at)
            local = 0
        window = self._window
        value = shift = 0
        for byte in window[local : local + min(10, end - at)]:
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
        self.fail(at, "a number does not end: the file is truncated or damaged")

    def field(self, at: int, end: int) -> Field:
        """Return the field whose tag stands at `at` in a message that reaches to `end`."""
        tag, start = self.varint(at, end)
        number, kind = tag >> 3, tag & 7
        value, stop = 0, start
        if number == 0 or number > 0x1FFFFFFF:
            self.fail(at, f"no field can have the tag {tag}: this is no binary protobuf, or it is damaged")
        if kind == VARINT:
            value, stop = self.varint(start, end)
        elif kind == BYTES:
            length, start = self.varint(start, end)
            stop = start + length
        elif kind == BIT32:
            stop = start + 4
        elif kind == BIT64:
            stop = start + 8
        elif kind == GROUP:
            stop = self._group(number, at, start, end)
        else:
            self.fail(at, f"no field can have the tag {tag}: this is no binary protobuf, or it is damaged")
        if stop > end:
            self.fail(
                at, f"field {number} needs {stop - start} bytes, but {end - start} are left: truncated or damaged"
            )
        return Field(number, kind, at, start, stop, value)

    def _group(self, number: int, tag: int, at: int, end: int) -> int:
        # Caffe has no groups, but an unknown field may be one; a stack, since groups may nest deeply
        open_groups = [number]
        while open_groups:
            key, after = self.varint(at, end)
            if key & 7 == GROUP:
                open_groups.append(key >> 3)
            elif key & 7 == GROUP_END:
                if open_groups.pop() != key >> 3:
                    self.fail(at, "a group ends that did not begin: the file is damaged")
            else:
                after = self.field(at, end).stop
            if len(open_groups) > 100:
                self.fail(tag, "groups nest more than 100 deep: the file is damaged")
            at = after
        return at

    def fields(self, at: int, end: int) -> Iterator[Field]:
        while at < end:
            field = self.field(at, end)
            yield field
            at = field.stop

    def blob(self, at: int, end: int, what: str, *, flat: bool = False) -> tuple[Array, bool]:
        """Read the BlobProto in [at, end): its array, and whether its shape is the old num, channels, height, width.

        With `flat` the values of one without a shape are taken in a row.
        """
        old, dims = {}, []
        counts: dict[int, int] = {}
        widths, names = _WIDTHS, tuple(_OLD_DIMS)
        for field in self.fields(at, end):
            if field.number in _OLD_DIMS and field.kind == VARINT:
                old[field.number] = _signed(field.value, 32)
            elif field.number == _C3D_WIDTH and field.kind == VARINT:
                old[field.number] = _signed(field.value, 32)
                widths, names = _C3D_WIDTHS, (*_OLD_DIMS, _C3D_WIDTH)
            elif field.number == _SHAPE and field.kind == BYTES and widths is _WIDTHS:
                dims += self._dims(field, what)
        for _, _, width, count in self._runs(at, end, what, widths):
            counts[width] = counts.get(width, 0) + count

        shape = tuple(old.get(number, 0) for number in names) if old else tuple(dims)
        # as in Caffe, double_data comes before data; an empty one gives the type of a blob without values
        width = 8 if counts.get(8) or (8 in counts and not counts.get(4)) else 4
        if flat and not shape:
            shape = (counts.get(width, 0),)
        try:
            count = check_count(shape)
        except ValueError as error:
            self.fail(at, f"{what} {error}")
        if count != counts.get(width, 0):
            declared = "x".join(map(str, shape)) if shape else "no shape, so one value"
            self.fail(
                at, f"{what} declares {declared}, but {counts.get(width, 0)} values are there: the file is damaged"
            )

        array = np.empty(count, np.dtype(f"<f{width}"))
        into = array.view(np.uint8).data
        for start, step, each, values in self._runs(at, end, what, widths):
            if each != width or not values:
                continue
            part, into = into[: values * width], into[values * width :]
            if step == width:
                self.read_into(start, part)
            else:
                self._gather(start, step, width, part)
        if sys.byteorder == "big":
            array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
        return array.reshape(shape), bool(old) and widths is _WIDTHS

    def _dims(self, shape: Field, what: str) -> list[int]:
        dims = []
        for field in self.fields(shape.start, shape.stop):
            if field.number != 1:
                continue
            if field.kind == VARINT:
                dims.append(_signed(field.value, 64))
            elif field.kind == BYTES:
                at = field.start
                while at < field.stop and len(dims) <= 32:
                    value, at = self.varint(at, field.stop)
                    dims.append(_signed(value, 64))
            if len(dims) > 32:
                self.fail(shape.tag, f"{what} has more than the 32 axes that Caffe allows")
        return dims

    def _runs(self, at: int, end: int, what: str, widths: dict[int, int]) -> Iterator[tuple[int, int, int, int]]:
        """Yield (place, step, width, count) of the values: a packed chunk, or single fields that follow one another."""
        while at < end:
            field = self.field(at, end)
            at = field.stop
            width = widths.get(field.number)
            if width is None:
                continue
            if field.kind == BYTES:
                if (field.stop - field.start) % width:
                    self.fail(field.tag, f"{what} has values cut in two: the file is damaged")
                yield field.start, width, width, (field.stop - field.start) // width
            elif field.kind == (BIT32 if width == 4 else BIT64):
                tag = field.number << 3 | field.kind
                more = self._single(at, end, tag, width) if field.start - field.tag == 1 else 0
                at += more * (width + 1)
                yield field.start, width + 1, width, 1 + more

    def _single(self, at: int, end: int, tag: int, width: int) -> int:
        """Count successive single values, by blocks that grow: most runs have one value or many."""
        step, pairs, total = width + 1, 64, 0
        while at + step <= end:
            block = np.frombuffer(self.bytes(at, min(pairs, (end - at) // step) * step), np.uint8)
            others = np.flatnonzero(block[::step] != tag)
            good = int(others[0]) if others.size else block.size // step
            total += good
            if others.size:
                break
            at += good * step
            pairs = min(2 * pairs, 1 << 16)
        return total

    def _gather(self, start: int, step: int, width: int, into: memoryview) -> None:
        out = np.frombuffer(into, np.uint8).reshape(-1, width)
        start -= step - width
        for first in range(0, len(out), 1 << 16):
            part = out[first : first + (1 << 16)]
            data = self.bytes(start + first * step, len(part) * step)
            part[:] = np.frombuffer(data, np.uint8).reshape(-1, step)[:, step - width :]


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def blob_parts(array: Array, diff: Array | None = None) -> tuple[list[bytes | memoryview], int]:
    """Return the pieces of a BlobProto as Caffe writes it (bytes, and the array's own memory), and their length."""
    shape = b"".join(varint(dim) for dim in array.shape)
    dims = b"\x0a" + varint(len(shape)) + shape
    declared = b"\x3a" + varint(len(dims)) + dims if array.shape else b""
    single = array.itemsize == 4
    values = _packed(_DATA if single else _DOUBLE_DATA, array)
    if diff is not None:
        values += _packed(_DIFF if single else _DOUBLE_DIFF, diff)
    # in the order of the field numbers: data 5, diff 6, shape 7, double_data 8, double_diff 9
    parts = [*values, declared] if single else [declared, *values]
    return parts, sum(map(len, parts))


def _packed(number: int, array: Array) -> list[bytes | memoryview]:
    if not array.size and array.itemsize == 4:
        return []
    head = varint(number << 3 | BYTES) + varint(array.nbytes)
    return [head, array.reshape(-1).view(np.uint8).data]
