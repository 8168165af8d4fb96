"""Reads field values by their type, and fields unknown to BVLC Caffe as plain Python values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from ..carried import repeated
from ..encoding import as_text
from ..errors import CaffeError
from .cursor import Cursor
from .text import Extras, Path, Plain
from .tokens import FLOAT, IDENTIFIER, INTEGER, STRING, integer, unquoted

__all__ = ["LIST_MEND", "Field", "Values", "fields_of"]

LIST_MEND = "the elements of a list stand between commas, and ] ends it"
_MAX_DEPTH = 100  # known messages nest seven deep, so this only bounds what is skipped
_BOOLS = {b"true": True, b"True": True, b"t": True, b"false": False, b"False": False, b"f": False}
_FLOAT_MAX, _ROUNDS_TO_FLOAT_MAX = 3.4028234663852886e38, 3.4028235677973366e38
_NON_FINITE = {b"inf": float("inf"), b"infinity": float("inf"), b"nan": float("nan")}


@dataclass(slots=True)
class Field:
    name: str
    repeated: bool
    value: Callable[[Values, Field, Path], object]
    limit: int  # largest integer
    message: Descriptor | None
    inner: dict[bytes, Field] | None  # the fields of that message, once one was read
    enum: dict[bytes, int]
    every_line: bool


@functools.cache
def fields_of(descriptor: Descriptor | None) -> dict[bytes, Field]:
    """Return the reader's data on each field, by name; asking descriptors each time is slow."""
    fields: dict[bytes, Field] = {}
    if descriptor is None:
        return fields
    for each in descriptor.fields:
        value, limit = _VALUES[each.cpp_type]
        if each.type == FieldDescriptor.TYPE_BYTES:
            value = Values.string
        enum: EnumDescriptor | None = each.enum_type
        fields[each.name.encode()] = Field(
            name=each.name,
            repeated=repeated(each),
            value=value,
            limit=limit,
            message=each.message_type,
            inner=None,
            enum={v.name.encode(): v.number for v in enum.values} if enum else {},
            every_line=descriptor.name != "BlobProto",
        )
    return fields


class Values(Cursor):
    """The values of a text."""

    __slots__ = ()

    def open(self) -> bytes:
        if self.take(b"<"):
            return b">"
        self.expect(b"{", "a message stands in braces: NAME { ... }")
        return b"}"

    def close(self, close: bytes) -> None:
        if self.text != close:
            self.expect(close, f"the message was opened with {'{' if close == b'}' else '<'}")
        self.advance()

    # ---- of fields

    def signed(self, entry: Field, path: Path) -> int:
        negative = self.take(b"-")
        value = self.integer(entry.limit + negative)
        return -value if negative else value

    def unsigned(self, entry: Field, path: Path) -> int:
        return self.integer(entry.limit)

    def integer(self, limit: int) -> int:
        if self.kind != INTEGER:
            raise self.error(f"Expected integer, got: {self.shown()}", "a whole number is needed here")
        value = integer(self.text)
        if value > limit:
            raise self.error(f"Integer out of range ({self.shown()})", f"{limit} is the largest that fits")
        self.advance()
        return value

    def single(self, entry: Field, path: Path) -> float:
        value = self.double(entry, path)
        # C++ rounds the tie above the largest float32 down, a plain conversion up
        if _FLOAT_MAX < abs(value) <= _ROUNDS_TO_FLOAT_MAX:
            return _FLOAT_MAX if value > 0 else -_FLOAT_MAX
        return value

    def double(self, entry: Field, path: Path) -> float:
        negative = self.take(b"-")
        kind, text = self.kind, self.text
        if kind == FLOAT:
            value = float(text.rstrip(b"fF"))
        elif kind == INTEGER:
            if len(text) > 1 and text[0] == 48:
                raise self.error(f"Expect a decimal number, got: {self.shown()}", "no leading zero and no 0x here")
            value = float(text)
        else:
            named = _NON_FINITE.get(text.lower()) if kind == IDENTIFIER else None
            if named is None:
                shown = self.shown().lower() if kind == IDENTIFIER else self.shown()
                raise self.error(f"Expected double, got: {shown}", "a number is needed here")
            value = named
        self.advance()
        return -value if negative else value

    def boolean(self, entry: Field, path: Path) -> bool:
        if self.kind == INTEGER:
            return bool(self.integer(1))
        text = self.text
        if self.kind != IDENTIFIER:
            raise self.error(f"Expected identifier, got: {self.shown()}", "true or false is needed here")
        self.advance()
        if text not in _BOOLS:
            what = f'Invalid value for boolean field "{entry.name}". Value: "{text.decode()}".'
            raise self.error(what, "write true or false")
        return _BOOLS[text]

    def string(self, entry: Field, path: Path) -> bytes:
        if self.kind != STRING:
            raise self.no_string(entry)
        return self.strings()

    def unicode(self, entry: Field, path: Path) -> str:
        if self.kind != STRING:
            raise self.no_string(entry)
        return as_text(self.strings())

    def no_string(self, entry: Field) -> CaffeError:
        text = self.shown() if self.kind in (IDENTIFIER, INTEGER, FLOAT) else "TEXT"
        return self.error(f"Expected string, got: {self.shown()}", f'text stands in quotes: {entry.name}: "{text}"')

    def strings(self) -> bytes:
        value = unquoted(self.text)
        self.advance()
        # strings side by side are one, as in C++
        while self.kind == STRING:
            value += unquoted(self.text)
            self.advance()
        return value

    def enumerated(self, entry: Field, path: Path) -> int | None:
        line, number = self.line, None
        text, at = self.text, self.match.start(self.kind)
        if self.kind == IDENTIFIER:
            self.advance()
            number = entry.enum.get(text)
            if number is not None:
                return number
            written: str | int = text.decode()
        elif text == b"-" or self.kind == INTEGER:
            written = self.signed(entry, path)
            if written in entry.enum.values():
                return written
        else:
            mend = f"one of {_listed(entry.enum)} is needed here, without quotes"
            if entry.name == "type":
                mend = "the type of layers { } is a name without quotes; with a type in quotes write layer { }"
            raise self.error(f"Expected integer or identifier, got: {self.shown()}", mend)
        what = f'Unknown enumeration value of "{written}" for field "{entry.name}".'
        meant = {known.lower(): known for known in entry.enum}.get(text.lower()) if isinstance(written, str) else None
        if meant is not None:
            mend = f"did you mean {meant.decode()}? values are matched to the letter"
            raise self.error(what, mend, None if self.strict else at)  # C++ names the place after it
        if self.strict:
            raise self.error(what, f"BVLC Caffe knows {_listed(entry.enum)}")
        self.skip(path, entry.name, written, f"value {written} of {entry.name}", line)
        return None

    # ---- of what BVLC Caffe does not know

    def skip(self, path: Path, name: str, value: Plain, what: str, line: int) -> None:
        values = self.result.extras.setdefault(path, {}).setdefault(name, [])
        values.extend(value if isinstance(value, list) else [value])
        self.result.skipped.append((line, what))
        self.result.places.append((*path, name))

    def bracketed(self) -> str:
        """Read the ``[a.b]`` that stands for a name."""
        self.advance()
        parts = b""
        while True:
            if self.kind != IDENTIFIER:
                raise self.error(f"Expected identifier, got: {self.shown()}", "the name of an extension: [a.b]")
            parts += self.text
            self.advance()
            if not self.take(b"."):
                break
            parts += b"."
        self.expect(b"]", "] ends the name of an extension")
        return parts.decode()

    def any_value(self, depth: int) -> Plain:
        """Read and return the value after an unknown name, colon included."""
        if self.text not in (b"{", b"<"):
            self.expect(b":", "a value stands after a colon, a message in braces")
        value = self.plain_value(depth)
        if self.text in (b";", b","):
            self.advance()
        return value

    def plain_value(self, depth: int) -> Plain:
        if depth > _MAX_DEPTH:
            raise self.error("Message is too deep", f"nothing that Caffe reads nests more than {_MAX_DEPTH} deep")
        if self.text in (b"{", b"<"):
            close = self.open()
            values: Extras = {}
            while self.text not in (b"}", b">"):
                if self.text == b"[":
                    name = f"[{self.bracketed()}]"
                elif self.kind == IDENTIFIER:
                    name = self.text.decode()
                    self.advance()
                else:
                    raise self.error(f"Expected identifier, got: {self.shown()}", self.no_field_mend(()))
                value = self.any_value(depth + 1)
                values.setdefault(name, []).extend(value if isinstance(value, list) else [value])
            self.close(close)
            return values
        if self.take(b"["):
            elements: list[Plain] = []
            while not self.take(b"]"):
                if elements:
                    self.expect(b",", LIST_MEND)
                elements.append(self.plain_value(depth + 1))
            return elements
        if self.kind == STRING:
            return as_text(self.strings())
        negative = self.take(b"-")
        text = self.text
        if self.kind == IDENTIFIER and not (negative and text.lower() not in _NON_FINITE):
            self.advance()
            return -_NON_FINITE[text.lower()] if negative else text.decode()
        if self.kind == INTEGER:
            number: float = integer(text)
        elif self.kind == FLOAT:
            number = float(text.rstrip(b"fF"))
        else:
            raise self.error(f"Cannot skip field value, unexpected token: {self.shown()}", "a value is needed here")
        self.advance()
        return -number if negative else number


def _listed(enum: dict[bytes, int]) -> str:
    names = [name.decode() for name in enum]
    return ", ".join(names if len(names) < 10 else [*names[:5], "...", names[-1]])


_VALUES: dict[int, tuple[Callable[[Values, Field, Path], object], int]] = {
    FieldDescriptor.CPPTYPE_INT32: (Values.signed, 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (Values.signed, 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (Values.unsigned, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (Values.unsigned, 2**64 - 1),
    FieldDescriptor.CPPTYPE_FLOAT: (Values.single, 0),
    FieldDescriptor.CPPTYPE_DOUBLE: (Values.double, 0),
    FieldDescriptor.CPPTYPE_BOOL: (Values.boolean, 0),
    FieldDescriptor.CPPTYPE_STRING: (Values.unicode, 0),
    FieldDescriptor.CPPTYPE_ENUM: (Values.enumerated, 2**31 - 1),
    FieldDescriptor.CPPTYPE_MESSAGE: (Values.string, 0),  # never used: a message is no value
}
