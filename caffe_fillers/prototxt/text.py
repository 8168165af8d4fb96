"""The result of reading a text: the message, the position of each field, and what was skipped."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from ..errors import CaffeWarning

__all__ = ["Extras", "M_co", "Path", "Plain", "Text", "warn_of"]

Path = tuple[str | int, ...]
Plain: TypeAlias = "str | float | list[Plain] | dict[str, list[Plain]]"
Extras: TypeAlias = dict[str, list[Plain]]
M_co = TypeVar("M_co", bound=Message, covariant=True)


@dataclass(slots=True)
class Text(Generic[M_co]):
    """A message, with the position of its fields in the text.

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
    extras: dict[Path, Extras] = field(default_factory=dict)
    sha256: str = ""


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
