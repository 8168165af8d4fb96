"""Steps through the tokens of a text and reports the position of errors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf.message import Message

from ..errors import CaffeError
from .text import Path, Text
from .tokens import BAD, END, TOKEN, lexical_error

__all__ = ["BOM", "Cursor"]

BOM = b"\xef\xbb\xbf"


class Cursor:
    """A pass over a text. The current token is the first not yet consumed; errors show it, as in C++."""

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

    # ---- errors

    def shown(self) -> str:
        return self.text.decode("utf-8", "backslashreplace")

    def no_field_mend(self, path: Path) -> str:
        if self.kind == END:
            opened = f", opened in line {self.lines[path]}," if path else ""
            return f"the text ends but a message{opened} does not: a }} is missing"
        if self.text in (b"}", b">"):
            return "nothing is open here: one closing brace too many"
        return "the name of a field is needed here"

    def error(self, what: str, mend: str, start: int | None = None) -> CaffeError:
        data = self.data
        start = self.match.start(self.kind) if start is None else start
        begin = data.rfind(b"\n", 0, start) + 1
        # Python's tab stops start again after a carriage return, C++'s do not
        column = len(data[begin:start].replace(b"\r", b" ").expandtabs(8)) + 1
        line = data.count(b"\n", 0, start) + 1
        here = data[begin : begin + 8]
        if data.startswith(BOM) and not start:
            mend = "the file begins with a byte order mark: save it as UTF-8 without BOM"
        elif b"\0" in data[:4096]:
            mend = "this is a binary file or UTF-16, no prototxt: show and convert read weights; save text as UTF-8"
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
