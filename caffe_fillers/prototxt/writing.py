"""Writes a message as prototxt."""

from __future__ import annotations

import io
import re

from google.protobuf.message import Message

from ..carried import carried, repeated
from ..encoding import as_text

__all__ = ["format_text"]

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


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
                # protobuf 4 does not escape these in strings, and no reader accepts a NUL
                out.write(_CONTROL.sub(lambda control: f"\\{ord(control[0]):03o}", line.getvalue()))
                continue
            out.write(f"{' ' * indent}{entry.name} {{\n")
            _print(each, out, indent + 2)
            out.write(f"{' ' * indent}}}\n")
    for text in carried(message):
        out.write(f"{' ' * indent}{as_text(text)}\n")
