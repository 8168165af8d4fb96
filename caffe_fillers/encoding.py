"""Text that contains bytes that are not valid UTF-8.

Caffe keeps a name's bytes, whatever they are; Python's messages hold nothing but Unicode. So each byte that is no
UTF-8 stands for itself as a character of Unicode's last private plane, and becomes that byte again when it is written.
"""

from __future__ import annotations

import re

__all__ = ["as_bytes", "as_text", "escaped", "shown"]

_FIRST = 0x10F800  # + byte
_ESCAPES = f"[{chr(_FIRST + 0x80)}-{chr(_FIRST + 0xFF)}]"
_BYTE = re.compile(_ESCAPES)
_FOREIGN = re.compile(f"[\udc80-\udcff]|{_ESCAPES}")
_IN_UTF8 = re.compile(b"\xf4\x8f[\xa2\xa3]")  # U+10F880 to U+10F8FF


def as_text(data: bytes | str) -> str:
    """Return text for bytes of any encoding; `as_bytes` returns the same bytes."""
    if isinstance(data, str):  # protobuf returns a string field as str, or as bytes if it is not UTF-8
        return data
    text = data.decode("utf-8", "surrogateescape")
    return text if text.isascii() else _FOREIGN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return "".join(chr(_FIRST + byte) for byte in match[0].encode("utf-8", "surrogateescape"))


def as_bytes(text: str) -> bytes:
    """Return the bytes that `as_text` was given."""
    return _BYTE.sub(lambda match: chr(ord(match[0]) - _FIRST + 0xDC00), text).encode("utf-8", "surrogateescape")


def escaped(data: bytes) -> bool:
    """Return whether serialized text may hold characters that stand for bytes."""
    return _IN_UTF8.search(data) is not None


def shown(text: str) -> str:
    """Return the text for people, with each byte that is not UTF-8 as ``\xd6``."""
    return _BYTE.sub(lambda match: f"\\x{ord(match[0]) - _FIRST:02x}", text)
