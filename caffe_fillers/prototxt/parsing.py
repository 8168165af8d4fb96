"""Reads prototxt from a file or a string and reports missing fields."""

from __future__ import annotations

import hashlib
import re
from os import PathLike
from typing import TypeVar

from google.protobuf.message import Message

from ..carried import carried, repeated
from ..errors import CaffeError
from .cursor import BOM
from .grammar import Reader
from .text import Extras, Text, warn_of
from .values import Values, fields_of

__all__ = ["MAX_BYTES", "parse", "read", "read_bytes", "unknown"]

M = TypeVar("M", bound=Message)

# the largest net of the zoo has 0.3 MB; with weights written as text some reach tens
MAX_BYTES = 64 << 20


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
    reader = Reader(data, result, strict)
    reader.message(result.message, fields_of(message_class.DESCRIPTOR), (), b"")
    if not result.message.IsInitialized():
        missing = list(result.message.FindInitializationErrors())  # type: ignore[attr-defined]
        parts = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", missing[0])[:-1]]
        line = result.lines.get(tuple(parts), 1)
        what = f"Message missing required fields: {', '.join(missing)}"
        raise CaffeError(f"{name}:{line}: {what}\nadd {missing[0].rpartition('.')[2]} there")
    if warn:
        warn_of(name, result.skipped, stacklevel=3)
    return result


def unknown(message: Message) -> Extras:
    """Return the values of the fields that BVLC Caffe does not know and the message carries, as plain Python values.

    Those inside its messages stand under the names of these.
    """
    found: Extras = {}
    for each, value in message.ListFields():
        if each.message_type is not None and each.message_type.name != "BlobProto":
            inner: Extras = {}
            for inside in value if repeated(each) else [value]:
                inner |= unknown(inside)
            if inner:
                found[each.name] = [inner]
    texts = carried(message)
    if texts:
        text = b"{\n" + b"\n".join(texts) + b"\n}"
        plain = Values(text, Text(message), strict=False).plain_value(0)
        assert isinstance(plain, dict)  # the content of braces
        found |= plain
    return found


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Read a prototxt's bytes: once, since it may be a pipe; at most one more than a prototxt may have."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(path, str) and re.search(r"[{\n]", path):
            raise CaffeError(
                f"a path is needed, got prototxt text: {path[:60]!r}{'...' if len(path) > 60 else ''}\n"
                "write it to a file, or read it with read_prototxt(io.BytesIO(text.encode())) and give the result"
            ) from None
        raise CaffeError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from None
