"""Reads prototxt: text to message, with the line of everything, and what was skipped is known.

``strict=True`` accepts what the C++ text reader under BVLC Caffe (protobuf 3.21) accepts, and refuses the rest at the
same line and column (a tab moves to the next multiple of eight) and with the same first line. Otherwise fields, enum
values and extensions that BVLC Caffe does not know are skipped with one warning.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from .carried import carried, carry, repeated
from .encoding import as_text
from .errors import CaffeError, CaffeWarning
from .tokens import BAD, END, FLOAT, IDENTIFIER, INTEGER, STRING, TOKEN, integer, lexical_error, unquoted

__all__ = [
    "BOM",
    "MAX_BYTES",
    "Path",
    "Text",
    "format_text",
    "parse",
    "read",
    "read_bytes",
    "unknown",
    "warn_of",
]

Path = tuple[str | int, ...]
M_co = TypeVar("M_co", bound=Message, covariant=True)
M = TypeVar("M", bound=Message)

# the largest net of the zoo has 0.3 MB; with weights written as text some reach tens
MAX_BYTES = 64 << 20
BOM = b"\xef\xbb\xbf"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_MAX_DEPTH = 100  # known messages nest seven deep, so this only bounds what is skipped

_LIST_MEND = "the elements of a list stand between commas, and ] ends it"
_BOOLS = {b"true": True, b"True": True, b"t": True, b"false": False, b"False": False, b"f": False}
_FLOAT_MAX, _ROUNDS_TO_FLOAT_MAX = 3.4028234663852886e38, 3.4028235677973366e38
_NON_FINITE = {b"inf": float("inf"), b"infinity": float("inf"), b"nan": float("nan")}


@dataclass(slots=True)
class Text(Generic[M_co]):
    """A message and where in the text it came from.

    Attributes
    ----------
    message : Message
    name : str
        The file, as errors show it.
    lines : dict
        From a path like ``("layer", 3, "bottom", 0)`` to the line of the field's name, from 1. Repeated fields carry
        their index, singular ones only the name. Of weights written as text only the first number is listed.
    skipped : list of (int, str)
        The line and the name of what lenient reading skipped.
    places : list of tuple
        The path of each of these: of the message that encloses it, and its own name.
    extras : dict
        From the path of the enclosing message to the values of its skipped fields, as plain Python values.
    sha256 : str
        Of the text's bytes.
    """

    message: M_co
    name: str = "<text>"
    lines: dict[Path, int] = field(default_factory=dict)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    places: list[Path] = field(default_factory=list)
    extras: dict[Path, dict[str, list[Any]]] = field(default_factory=dict)
    sha256: str = ""


def read(path: str | PathLike[str], message_class: type[M], *, strict: bool = False, warn: bool = True) -> Text[M]:
    """Read a message from a prototxt file; see `parse`.

    Raises
    ------
    CaffeError
        If the file can't be opened, is larger than 64 MB or does not read as `message_class`.
    """
    return parse(read_bytes(path), message_class, name=str(path), strict=strict, warn=warn)


def parse(
    text: str | bytes,
    message_class: type[M],
    *,
    name: str = "<text>",
    strict: bool = False,
    warn: bool = True,
) -> Text[M]:
    """Read a message from prototxt text.

    Parameters
    ----------
    text : str or bytes
    message_class : type
        What the text describes, e.g. ``schema.NetParameter``.
    name : str
        What errors call the text.
    strict : bool
        Refuse what BVLC Caffe refuses. Otherwise fields, enum values and extensions that it does not know are skipped
        with one warning.
    warn : bool
        With False that warning is left to the caller.

    Returns
    -------
    Text

    Raises
    ------
    CaffeError
        If the text does not read as `message_class`. The error says ``NAME:LINE:COLUMN``, what was expected, and
        the mend.

    Examples
    --------
    >>> from caffe_fillers import prototxt, schema
    >>> text = prototxt.parse('type: "gaussian"  # as in AlexNet\\n std: 0.01', schema.FillerParameter)
    >>> text.message.type, text.lines["std",]
    ('gaussian', 2)
    """
    if not isinstance(text, (str, bytes)):
        raise CaffeError(f"prototxt text is str or bytes, got {type(text).__name__}")
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise CaffeError(f"{name}: larger than {MAX_BYTES >> 20} MB: not a prototxt\nwas a weights file meant?")
    if not strict:
        data = data.removeprefix(BOM)
    result = Text(message_class(), name, sha256=hashlib.sha256(data).hexdigest())
    reader = _Reader(data, result, strict)
    reader.message(result.message, _fields(message_class.DESCRIPTOR), (), b"")
    if not result.message.IsInitialized():
        missing = list(result.message.FindInitializationErrors())  # type: ignore[attr-defined]
        parts = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", missing[0])[:-1]]
        line = result.lines.get(tuple(parts), 1)
        what = f"Message missing required fields: {', '.join(missing)}"
        raise CaffeError(f"{name}:{line}: {what}\nadd {missing[0].rpartition('.')[2]} there")
    if warn:
        warn_of(name, result.skipped, stacklevel=3)
    return result


def unknown(message: Message) -> dict[str, list[Any]]:
    """Return the values of the fields that BVLC Caffe does not know and the message carries, as plain Python values.

    Those inside its messages stand under the names of these.
    """
    found: dict[str, list[Any]] = {}
    for each, value in message.ListFields():
        if each.message_type is not None and each.message_type.name != "BlobProto":
            inner: dict[str, list[Any]] = {}
            for inside in value if repeated(each) else [value]:
                inner |= unknown(inside)
            if inner:
                found[each.name] = [inner]
    texts = carried(message)
    if texts:
        text = b"{\n" + b"\n".join(texts) + b"\n}"
        found |= _Reader(text, Text(message), strict=False).plain_value(0)
    return found


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Read a prototxt's bytes: once, since it may be a pipe; at most one more than a prototxt may have."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:
        raise CaffeError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from None


def format_text(message: Message) -> str:
    """Return a message as prototxt text, which reads back to an equal message.

    What the schema lacks and reading kept is written again where it stood. Encode the text with `encoding.as_bytes`.

    Examples
    --------
    >>> from caffe_fillers import prototxt, schema
    >>> prototxt.format_text(schema.FillerParameter(type="xavier"))
    'type: "xavier"\\n'
    """
    out = io.StringIO()
    _print(message, out, 0)
    return out.getvalue()


def _print(message: Message, out: io.StringIO, indent: int) -> None:
    from google.protobuf import text_format

    for entry, value in message.ListFields():
        for each in value if repeated(entry) else [value]:
            if entry.message_type is None:
                line = io.StringIO()
                text_format.PrintField(entry, each, line, indent, as_utf8=True)
                # protobuf 4 leaves them as they are inside strings, where no reader takes a NUL
                out.write(_CONTROL.sub(lambda control: f"\\{ord(control[0]):03o}", line.getvalue()))
                continue
            out.write(f"{' ' * indent}{entry.name} {{\n")
            _print(each, out, indent + 2)
            out.write(f"{' ' * indent}}}\n")
    for text in carried(message):
        out.write(f"{' ' * indent}{as_text(text)}\n")


def warn_of(name: str, skipped: Sequence[tuple[int, str]], stacklevel: int = 2) -> None:
    """Warn once of all that was skipped in a text."""
    if skipped:
        warnings.warn(f"{name}: {_summary(skipped)}", CaffeWarning, stacklevel=stacklevel)


def _summary(skipped: Sequence[tuple[int, str]]) -> str:
    lines: dict[str, list[int]] = {}
    for line, what in skipped:
        lines.setdefault(what, []).append(line)
    parts = []
    for what, where in lines.items():
        shown = ", ".join(map(str, where[:3])) + (", ..." if len(where) > 3 else "")
        parts.append(f"{what} (line {shown})" if len(where) == 1 else f"{what} ({len(where)} times: lines {shown})")
    return "skipped what BVLC Caffe does not know: " + "; ".join(parts)


@functools.lru_cache(maxsize=256)
def _suggestion(word: str, descriptor: Descriptor) -> str:
    import difflib

    # nearly all names of messages end so, which makes them look alike
    names = {field.name.removesuffix("_param"): field.name for field in descriptor.fields}
    close = difflib.get_close_matches(word[:64].removesuffix("_param"), names, 1, 0.8)
    return f"did you mean {names[close[0]]}?" if close else ""


@dataclass(slots=True)
class _Field:
    name: str
    repeated: bool
    value: Callable[[_Reader, _Field, Path], Any]
    limit: int  # largest integer
    message: Descriptor | None
    inner: dict[bytes, _Field] | None  # the fields of that message, once one was read
    enum: dict[bytes, int]
    every_line: bool


@functools.cache
def _fields(descriptor: Descriptor | None) -> dict[bytes, _Field]:
    """Return what the reader needs of each field, by name; asking descriptors each time is slow."""
    fields: dict[bytes, _Field] = {}
    if descriptor is None:
        return fields
    for each in descriptor.fields:
        value, limit = _VALUES[each.cpp_type]
        if each.type == FieldDescriptor.TYPE_BYTES:
            value = _Reader.string
        enum: EnumDescriptor | None = each.enum_type
        fields[each.name.encode()] = _Field(
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


class _Reader:
    """One pass over a text. The current token is the first that is not yet consumed, as in C++: errors show it."""

    __slots__ = ("at", "data", "kind", "line", "lines", "match", "result", "strict", "text", "tokens")

    def __init__(self, data: bytes, result: Text[Message], strict: bool) -> None:
        self.data = data
        self.result = result
        self.lines = result.lines
        self.strict = strict
        self.at, self.line = 0, 1  # where lines were last counted
        self.tokens: Iterator[re.Match[bytes]] = TOKEN.finditer(data)
        self.advance()

    def advance(self) -> None:
        match = self.match = next(self.tokens)
        kind = self.kind = match.lastindex or BAD
        self.text = match[kind]
        if kind == BAD:
            raise self.error(*lexical_error(self.data, match.start(kind)))

    def take(self, text: bytes) -> bool:
        if self.text == text:
            self.advance()
            return True
        return False

    def expect(self, text: bytes, mend: str) -> None:
        if self.text != text:
            raise self.error(f'Expected "{text.decode()}", found "{self.shown()}".', mend)
        self.advance()

    def taken(self, start: int) -> bytes:
        """Return the text from `start` to the end of the last token that was consumed."""
        return self.data[start : self.match.start()].strip(b" \t\r\n,;")

    def line_here(self) -> int:
        start = self.match.start(self.kind)
        self.line += self.data.count(b"\n", self.at, start)
        self.at = start
        return self.line

    # ---- the grammar

    def message(self, message: Any, fields: dict[bytes, _Field], path: Path, close: bytes) -> None:
        seen: set[bytes] = set()
        counts: dict[bytes, int] = {}
        while True:
            text = self.text
            if text == b"}" or text == b">":
                if close:
                    return self.expect(close, f"the message was opened with {'{' if close == b'}' else '<'}")
            elif self.kind == END and not close:
                return None
            line = self.line_here()
            start = self.at
            if self.kind != IDENTIFIER:
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
                if entry.message is not None:
                    self.take(b":")
                else:
                    self.expect(b":", f"write {name}: VALUE")
                if self.text == b"[":
                    self.advance()
                    more = not self.take(b"]")
                    while more:
                        index += self.element(message, entry, path, index, line)
                        more = not self.take(b"]")
                        if more:
                            self.expect(b",", _LIST_MEND)
                else:
                    index += self.element(message, entry, path, index, line)
                counts[text] = index
            else:
                here = (*path, name)
                if text in seen:
                    first = self.lines[here]
                    raise self.error(
                        f'Non-repeated field "{name}" is specified multiple times.',
                        f"line {first} and line {line} both give it: keep one",
                    )
                self.lines[here] = line
                if entry.message is not None:
                    self.take(b":")
                    inner = getattr(message, name)
                    inner.SetInParent()
                    self.body(inner, entry, here)
                    seen.add(text)
                else:
                    self.expect(b":", f"write {name}: VALUE")
                    value = entry.value(self, entry, path)
                    if value is None:
                        carry(message, self.taken(start))
                    else:
                        setattr(message, name, value)
                        seen.add(text)
            text = self.text
            if text == b";" or text == b",":
                self.advance()

    def element(self, message: Any, entry: _Field, path: Path, index: int, line: int) -> int:
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

    def body(self, message: Any, entry: _Field, path: Path) -> None:
        close = self.open()
        if entry.inner is None:
            entry.inner = _fields(entry.message)
        self.message(message, entry.inner, path, close)

    def open(self) -> bytes:
        if self.take(b"<"):
            return b">"
        self.expect(b"{", "a message stands in braces: NAME { ... }")
        return b"}"

    # ---- values

    def signed(self, entry: _Field, path: Path) -> int:
        negative = self.take(b"-")
        value = self.integer(entry.limit + negative)
        return -value if negative else value

    def unsigned(self, entry: _Field, path: Path) -> int:
        return self.integer(entry.limit)

    def integer(self, limit: int) -> int:
        if self.kind != INTEGER:
            raise self.error(f"Expected integer, got: {self.shown()}", "a whole number belongs here")
        value = integer(self.text)
        if value > limit:
            raise self.error(f"Integer out of range ({self.shown()})", f"{limit} is the largest that fits")
        self.advance()
        return value

    def single(self, entry: _Field, path: Path) -> float:
        value = self.double(entry, path)
        # C++ rounds the tie above the largest float32 down, a plain conversion up
        if _FLOAT_MAX < abs(value) <= _ROUNDS_TO_FLOAT_MAX:
            return _FLOAT_MAX if value > 0 else -_FLOAT_MAX
        return value

    def double(self, entry: _Field, path: Path) -> float:
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
                raise self.error(f"Expected double, got: {shown}", "a number belongs here")
            value = named
        self.advance()
        return -value if negative else value

    def boolean(self, entry: _Field, path: Path) -> bool:
        if self.kind == INTEGER:
            return bool(self.integer(1))
        text = self.text
        if self.kind != IDENTIFIER:
            raise self.error(f"Expected identifier, got: {self.shown()}", "true or false belongs here")
        self.advance()
        if text not in _BOOLS:
            what = f'Invalid value for boolean field "{entry.name}". Value: "{text.decode()}".'
            raise self.error(what, "write true or false")
        return _BOOLS[text]

    def string(self, entry: _Field, path: Path) -> bytes:
        if self.kind != STRING:
            text = self.shown() if self.kind in (IDENTIFIER, INTEGER, FLOAT) else "TEXT"
            raise self.error(f"Expected string, got: {self.shown()}", f'text stands in quotes: {entry.name}: "{text}"')
        return self.strings()

    def unicode(self, entry: _Field, path: Path) -> str:
        return as_text(self.string(entry, path))

    def strings(self) -> bytes:
        parts = []
        while self.kind == STRING:
            parts.append(unquoted(self.text))
            self.advance()
        return b"".join(parts)

    def enumerated(self, entry: _Field, path: Path) -> int | None:
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
            mend = f"one of {_listed(entry.enum)} belongs here, without quotes"
            if entry.name == "type":
                mend = "the type of layers { } is a name without quotes; with a type in quotes write layer { }"
            raise self.error(f"Expected integer or identifier, got: {self.shown()}", mend)
        what = f'Unknown enumeration value of "{written}" for field "{entry.name}".'
        meant = {known.lower(): known for known in entry.enum}.get(text.lower()) if isinstance(written, str) else None
        if meant is not None:
            mend = f"did you mean {meant.decode()}? values are matched to the letter"
            raise self.error(what, mend, None if self.strict else at)  # C++ names the place behind it
        if self.strict:
            raise self.error(what, f"BVLC Caffe knows {_listed(entry.enum)}")
        self.skip(path, entry.name, written, f"value {written} of {entry.name}", line)
        return None

    # ---- what BVLC Caffe does not know

    def skip(self, path: Path, name: str, value: Any, what: str, line: int) -> None:
        values = self.result.extras.setdefault(path, {}).setdefault(name, [])
        values.extend(value if isinstance(value, list) else [value])
        self.result.skipped.append((line, what))
        self.result.places.append((*path, name))

    def extension(self, message: Any, path: Path, line: int) -> None:
        name = self.bracketed()
        full_name = message.DESCRIPTOR.full_name
        if self.strict:
            what = f'Extension "{name}" is not defined or is not an extension of "{full_name}".'
            raise self.error(what, "BVLC Caffe has no extensions: read with strict=False to skip it")
        self.skip(path, f"[{name}]", self.any_value(0), f"extension [{name}] of {message.DESCRIPTOR.name}", line)

    def unknown_field(self, name: str, message: Any, path: Path, line: int) -> None:
        descriptor = message.DESCRIPTOR
        hint = _suggestion(name, descriptor)
        if self.strict or self.text not in (b":", b"{", b"<"):
            what = f'Message type "{descriptor.full_name}" has no field named "{name}".'
            raise self.error(what, hint or "if a fork of Caffe added it, read with strict=False to skip it")
        what = f"field {name} of {descriptor.name}" + (f", {hint}" if hint else "")
        self.skip(path, name, self.any_value(0), what, line)

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

    def any_value(self, depth: int) -> Any:
        """Read and return the value after an unknown name, colon included."""
        if self.text not in (b"{", b"<"):
            self.expect(b":", "a value stands after a colon, a message in braces")
        value = self.plain_value(depth)
        if self.text in (b";", b","):
            self.advance()
        return value

    def plain_value(self, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise self.error("Message is too deep", f"nothing that Caffe reads nests more than {_MAX_DEPTH} deep")
        if self.text in (b"{", b"<"):
            close = self.open()
            values: dict[str, list[Any]] = {}
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
            self.expect(close, f"the message was opened with {'{' if close == b'}' else '<'}")
            return values
        if self.take(b"["):
            elements: list[Any] = []
            while not self.take(b"]"):
                if elements:
                    self.expect(b",", _LIST_MEND)
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
            raise self.error(f"Cannot skip field value, unexpected token: {self.shown()}", "a value belongs here")
        self.advance()
        return -number if negative else number

    # ---- errors

    def shown(self) -> str:
        return self.text.decode("utf-8", "backslashreplace")

    def no_field_mend(self, path: Path) -> str:
        if self.kind == END:
            opened = f", opened in line {self.lines[path]}," if path else ""
            return f"the text ends but a message{opened} does not: a }} is missing"
        if self.text in (b"}", b">"):
            return "nothing is open here: one closing brace too many"
        return "the name of a field belongs here"

    def error(self, what: str, mend: str, start: int | None = None) -> CaffeError:
        data = self.data
        start = self.match.start(self.kind) if start is None else start
        begin = data.rfind(b"\n", 0, start) + 1
        # Python's tab stops count anew after a carriage return, C++'s do not
        column = len(data[begin:start].replace(b"\r", b" ").expandtabs(8)) + 1
        line = data.count(b"\n", 0, start) + 1
        here = data[begin : begin + 8]
        if data.startswith(BOM) and not start:
            mend = "the file begins with a byte order mark: save it as UTF-8 without BOM"
        elif b"\0" in data[:4096]:
            mend = (
                "this is a binary file or UTF-16, no prototxt: weights are read as .caffemodel, text is saved as UTF-8"
            )
        elif re.match(rb"\s*<(?:!|\?|[A-Za-z])", data):
            mend = "this is a web page or XML, not a prototxt: download the file itself"
        elif data[start : start + 2] in (b"//", b"/*"):
            mend = "comments begin with #"
        elif here.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
            mend = "a merge conflict was left in the file: keep one of the two sides"
        elif len(data) < 1000 and re.fullmatch(rb"[\w./-]+\.prototxt\s*", data):
            mend = f"the file holds only a path, which is how git writes a symbolic link: read {data.decode().strip()}"
        what, mend = (text if len(text) < 500 else f"{text[:500]}..." for text in (what, mend))
        return CaffeError(f"{self.result.name}:{line}:{column}: {what}\n{mend}")


def _listed(enum: dict[bytes, int]) -> str:
    names = [name.decode() for name in enum]
    return ", ".join(names if len(names) < 10 else [*names[:5], "...", names[-1]])


_VALUES: dict[int, tuple[Callable[[_Reader, _Field, Path], Any], int]] = {
    FieldDescriptor.CPPTYPE_INT32: (_Reader.signed, 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (_Reader.signed, 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (_Reader.unsigned, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (_Reader.unsigned, 2**64 - 1),
    FieldDescriptor.CPPTYPE_FLOAT: (_Reader.single, 0),
    FieldDescriptor.CPPTYPE_DOUBLE: (_Reader.double, 0),
    FieldDescriptor.CPPTYPE_BOOL: (_Reader.boolean, 0),
    FieldDescriptor.CPPTYPE_STRING: (_Reader.unicode, 0),
    FieldDescriptor.CPPTYPE_ENUM: (_Reader.enumerated, 2**31 - 1),
    FieldDescriptor.CPPTYPE_MESSAGE: (_Reader.string, 0),  # never used: a message is no value
}
