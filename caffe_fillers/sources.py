"""Accepts a net or a solver as a path, a message or a parsed text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from google.protobuf.message import Message

from . import prototxt, schema
from .carried import carries
from .errors import CaffeError
from .prototxt.tokens import BAD, TOKEN

__all__ = [
    "NetOrSolver",
    "Skipped",
    "Source",
    "either",
    "is_net",
    "is_solver",
    "net_source",
    "solver_source",
]


NetOrSolver: TypeAlias = "prototxt.Text[schema.NetParameter] | prototxt.Text[schema.SolverParameter]"


@dataclass(slots=True)
class Source:
    """A net's message in today's form, and what is known of the text it came from."""

    message: schema.NetParameter
    name: str = ""
    lines: list[int | None] = field(default_factory=list)
    sha256: str = ""
    skipped: list[Skipped] = field(default_factory=list)

    def extras(self) -> list[prototxt.Extras]:
        """The fields of each layer that BVLC Caffe does not know."""
        if not carries(self.message):
            return [{}] * len(self.message.layer)
        return [prototxt.unknown(layer) for layer in self.message.layer]

    def warn(self, skipped: Sequence[Skipped]) -> None:
        """Warn once of those that are given, of all that was skipped."""
        prototxt.warn_of(self.name, [(each.line, each.what) for each in skipped], stacklevel=5)


@dataclass(slots=True, frozen=True)
class Skipped:
    """A part of a text that BVLC Caffe does not know: the layer's position, its name there, its line, its kind."""

    layer: int | None
    name: str
    line: int
    what: str


def net_source(source: object, strict: bool = False) -> Source:
    """Read a net from a prototxt, or take it from a NetParameter, and bring it into today's form."""
    from .upgrading import upgrade_net

    if isinstance(source, (str, os.PathLike)):
        data = prototxt.read_bytes(source)
        if not strict and is_solver(data):
            raise CaffeError(
                f"{source}: this is a solver's prototxt, not a net's\n"
                f"read it with Solver({os.fspath(source)!r}), or pass the net that it names"
            )
        source = prototxt.parse(data, schema.NetParameter, name=os.fspath(source), strict=strict, warn=False)
    if isinstance(source, prototxt.Text) and schema.is_message(source.message, "NetParameter"):
        text, new = source, upgrade_net(source)
        return Source(
            new.message,
            text.name,
            [None if path is None else text.lines.get(path) for path in new.origin],
            text.sha256,
            _skipped(text, new.origin),
        )
    if not schema.is_message(source, "NetParameter"):
        kind = type(getattr(source, "message", source)).__name__
        mend = "\na solver's message goes to Solver" if kind == "SolverParameter" else ""
        raise CaffeError(f"a net is the path of a prototxt or a NetParameter, got {kind}{mend}")
    return Source(upgrade_net(source).message)


def _skipped(text: prototxt.Text[Message], origin: Iterable[prototxt.Path | None]) -> list[Skipped]:
    """Return the parts of a text that BVLC Caffe does not know, each with its layer."""
    layers = {path: index for index, path in enumerate(origin) if path is not None}
    found = []
    for (line, what), path in zip(text.skipped, text.places, strict=True):
        name = ".".join(part for part in path[2:] if isinstance(part, str))
        found.append(Skipped(layers.get(path[:2]), name.removeprefix("layer."), line, what))
    return found


def solver_source(
    source: object, strict: bool, beside: str | os.PathLike[str] | None = None
) -> tuple[schema.SolverParameter, str | None]:
    """Take a solver's message in today's form, and the path of its file, or `beside`."""
    from .upgrading import upgrade_solver

    if isinstance(source, (str, os.PathLike)):
        data = prototxt.read_bytes(source)
        if not strict and is_net(data):
            raise CaffeError(
                f"{source}: this is a net's prototxt, not a solver's\n"
                f"read it with Net({os.fspath(source)!r}), or pass a solver that names it"
            )
        text = prototxt.parse(data, schema.SolverParameter, name=os.fspath(source), strict=strict)
        return upgrade_solver(text, source), os.fspath(source)
    if not schema.is_message(source, "SolverParameter"):
        kind = type(source).__name__
        mend = "\na net's message goes to Net" if kind == "NetParameter" else ""
        raise CaffeError(f"a solver is the path of a prototxt or a SolverParameter, got {kind}{mend}")
    return upgrade_solver(source, beside), None if beside is None else os.fspath(beside)


def either(data: bytes, name: str, strict: bool = False) -> NetOrSolver:
    """Read the text of a net or of a solver."""
    if is_solver(data):
        return prototxt.parse(data, schema.SolverParameter, name=name, strict=strict)
    # the rules decide which of the skipped fields they use, so a warning waits for the set-up
    return prototxt.parse(data, schema.NetParameter, name=name, strict=strict, warn=False)


def is_solver(source: str | os.PathLike[str] | bytes) -> bool:
    """Return whether a prototxt, even a broken one, is a solver's: the first field that only one kind has decides.

    `source` is a path, or the text as bytes.

    Raises
    ------
    CaffeError
        If the file can't be opened.
    """
    return _kind(source) == "SolverParameter"


def is_net(source: str | os.PathLike[str] | bytes) -> bool:
    """Return whether a prototxt is a net's, in the same way; False if no field decides.

    Raises
    ------
    CaffeError
        If the file can't be opened.
    """
    return _kind(source) == "NetParameter"


def _kind(source: str | os.PathLike[str] | bytes) -> str:
    of_net, of_solver = (
        {field.name.encode() for field in getattr(schema, name).DESCRIPTOR.fields}
        for name in ("NetParameter", "SolverParameter")
    )
    depth, before = 0, b""
    data = source if isinstance(source, bytes) else prototxt.read_bytes(source)
    # one of the first fields decides; a text without any of them for so long is no solver
    for match in TOKEN.finditer(data.removeprefix(prototxt.BOM)[: 1 << 20]):
        text = match[match.lastindex or BAD]
        if match.lastindex == BAD:
            break
        if text in (b"{", b"<"):
            depth += 1
        elif text in (b"}", b">"):
            depth -= 1
        elif not depth and before != b":" and (text in of_net) != (text in of_solver):
            return "SolverParameter" if text in of_solver else "NetParameter"
        before = text
    return ""
