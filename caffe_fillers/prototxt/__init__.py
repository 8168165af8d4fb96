"""Reads prototxt into a message. Keeps the line of every field and lists what it skipped.

``strict=True`` accepts what the C++ text reader under BVLC Caffe (protobuf 3.21) accepts, and refuses the rest at the
same line and column (a tab moves to the next multiple of eight) and with the same first line. Otherwise fields, enum
values and extensions that BVLC Caffe does not know are skipped with one warning.

The way of a text: `tokens.py` has its tokens, `cursor.py` goes through them, `values.py` and `grammar.py` make values
and messages of them, `parsing.py` is the door, and `text.py` has what comes of it. `writing.py` is the way back.
"""

from .cursor import BOM
from .parsing import MAX_BYTES, parse, read, read_bytes, unknown
from .text import Extras, Path, Plain, Text, warn_of
from .writing import format_text

__all__ = [
    "BOM",
    "MAX_BYTES",
    "Extras",
    "Path",
    "Plain",
    "Text",
    "format_text",
    "parse",
    "read",
    "read_bytes",
    "unknown",
    "warn_of",
]
