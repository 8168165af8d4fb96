"""Reads the fields of a text into a protobuf message."""

from __future__ import annotations

import functools

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ..carried import carry
from ..errors import CaffeError
from .text import Path
from .tokens import END, IDENTIFIER
from .values import LIST_MEND, Field, Values, fields_of

__all__ = ["Reader"]


class Reader(Values):
    """One pass over a text."""

    __slots__ = ()

    def message(self, message: Message, fields: dict[bytes, Field], path: Path, close: bytes) -> None:
        seen: set[bytes] = set()
        counts: dict[bytes, int] = {}
        while True:
            text, kind = self.text, self.kind
            if close and (text == b"}" or text == b">"):
                return self.close(close)
            if kind == END and not close:
                return None
            line = self.line_here()
            start = self.at
            if kind != IDENTIFIER:
                if text != b"[":
                    raise self.error(f"Expected identifier, got: {self.shown()}", self.no_field_mend(path))
                self.extension(message, path, line)
                carry(message, self.taken(start))
                continue
            self.advance()
            entry = fields.get(text)
            if entry is None:
                self.unknown_field(text.decode(), message, path, line)
                carry(message, self.taken(start))
                continue
            name = entry.name
            if entry.repeated:
                index = counts.get(text, 0)
                self.colon(entry)
                if self.text == b"[":
                    index += self.listed(message, entry, path, index, line)
                else:
                    index += self.element(message, entry, path, index, line)
                counts[text] = index
            else:
                here = (*path, name)
                if text in seen:
                    raise self.twice(name, self.lines[here], line)
                self.lines[here] = line
                self.colon(entry)
                if entry.message is not None:
                    inner = getattr(message, name)
                    inner.SetInParent()
                    self.body(inner, entry, here)
                    seen.add(text)
                else:
                    value = entry.value(self, entry, path)
                    if value is None:
                        carry(message, self.taken(start))
                    else:
                        setattr(message, name, value)
                        seen.add(text)
            text = self.text
            if text == b";" or text == b",":
                self.advance()

    def colon(self, entry: Field) -> None:
        """Pass over the colon behind a name, which only a message can do without."""
        if self.text == b":":
            self.advance()
        elif entry.message is None:
            self.expect(b":", f"write {entry.name}: VALUE")

    def twice(self, name: str, first: int, line: int) -> CaffeError:
        what = f'Non-repeated field "{name}" is specified multiple times.'
        return self.error(what, f"line {first} and line {line} both give it: keep one")

    def listed(self, message: Message, entry: Field, path: Path, index: int, line: int) -> int:
        """Read the elements between brackets and return how many they gave."""
        self.advance()
        given = 0
        more = not self.take(b"]")
        while more:
            given += self.element(message, entry, path, index + given, line)
            more = not self.take(b"]")
            if more:
                self.expect(b",", LIST_MEND)
        return given

    def element(self, message: Message, entry: Field, path: Path, index: int, line: int) -> int:
        """Read one element of a repeated field and return how many it gave: none if its value was skipped."""
        container = getattr(message, entry.name)
        here = (*path, entry.name, index)
        if entry.every_line or not index:
            self.lines[here] = line
        if entry.message is not None:
            self.body(container.add(), entry, here)
            return 1
        start = self.match.start()
        value = entry.value(self, entry, path)
        if value is None:
            self.lines.pop(here, None)
            carry(message, entry.name.encode() + b": " + self.taken(start))
            return 0
        container.append(value)
        return 1

    def body(self, message: Message, entry: Field, path: Path) -> None:
        close = self.open()
        if entry.inner is None:
            entry.inner = fields_of(entry.message)
        self.message(message, entry.inner, path, close)

    def extension(self, message: Message, path: Path, line: int) -> None:
        name = self.bracketed()
        full_name = message.DESCRIPTOR.full_name
        if self.strict:
            what = f'Extension "{name}" is not defined or is not an extension of "{full_name}".'
            raise self.error(what, "BVLC Caffe has no extensions: read with strict=False to skip it")
        self.skip(path, f"[{name}]", self.any_value(0), f"extension [{name}] of {message.DESCRIPTOR.name}", line)

    def unknown_field(self, name: str, message: Message, path: Path, line: int) -> None:
        descriptor = message.DESCRIPTOR
        hint = _suggestion(name, descriptor)
        if self.strict or self.text not in (b":", b"{", b"<"):
            what = f'Message type "{descriptor.full_name}" has no field named "{name}".'
            raise self.error(what, hint or "if a fork of Caffe added it, read with strict=False to skip it")
        what = f"field {name} of {descriptor.name}" + (f", {hint}" if hint else "")
        self.skip(path, name, self.any_value(0), what, line)


@functools.lru_cache(maxsize=256)
def _suggestion(word: str, descriptor: Descriptor) -> str:
    import difflib

    # nearly all names of messages end so, which makes them too similar for a suggestion
    names = {field.name.removesuffix("_param"): field.name for field in descriptor.fields}
    close = difflib.get_close_matches(word[:64].removesuffix("_param"), names, 1, 0.8)
    return f"did you mean {names[close[0]]}?" if close else ""
