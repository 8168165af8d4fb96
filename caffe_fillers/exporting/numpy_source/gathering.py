"""Collects the source of functions, and of everything that they use, for a script."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

__all__ = ["Sources"]

# the sections of a docstring after its summary
_SECTION = re.compile(r"^ *(Parameters|Returns|Raises|Attributes|Notes|References|Examples)$")
# decorators that call C: the decorated functions give the same bits
_DECORATORS = {"in_c"}
_Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True, slots=True)
class _Module:
    lines: list[str]
    defined: dict[str, _Definition]
    imported: dict[str, tuple[str, str]]


@dataclass(slots=True)
class _Piece:
    """One definition, and its name in the script."""

    module: str
    name: str
    node: _Definition
    written: str


@lru_cache
def _read(name: str) -> _Module:
    module = importlib.import_module(name)
    source = inspect.getsource(module)
    defined: dict[str, _Definition] = {}
    imported: dict[str, tuple[str, str]] = {}
    package = name.rpartition(".")[0]
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defined[node.targets[0].id] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined[node.target.id] = node
        elif isinstance(node, ast.Import):
            imported.update({alias.asname or alias.name: (alias.name, "") for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            imported.update({alias.asname or alias.name: (base, alias.name) for alias in node.names})
    return _Module(source.splitlines(), defined, imported)


class Sources:
    """Gathers functions; `text` returns their source and that of all they need."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, str], _Piece] = {}
        self._taken: set[str] = set()
        self._imports: set[tuple[str, str, str]] = set()
        self._refuses = False

    def add(self, function: Callable[..., object]) -> str:
        """Gather a function or a class; return its name in the script."""
        original = inspect.unwrap(function)
        return self._add(original.__module__, original.__name__)

    def taken(self) -> set[str]:
        """Names that variables must not have."""
        return self._taken | {local for _, _, local in self._imports}

    def need(self, module: str, name: str = "", local: str = "") -> None:
        """Add an import that the script itself needs."""
        self._imports.add((module, name, local or name or module))

    def _add(self, module: str, name: str) -> str:
        key = module, name
        if key in self._pieces:
            return self._pieces[key].written
        node = _read(module).defined[name]
        written = name
        if written in self._taken:
            written = f"{name}_of_{module.rpartition('.')[2]}"
        self._taken.add(written)
        piece = _Piece(module, name, node, written)
        # entered before its helpers, so that functions may call each other; moved behind them later
        self._pieces[key] = piece
        for used in _used(node):
            self._resolve(module, used)
        self._pieces[key] = self._pieces.pop(key)
        return written

    def _resolve(self, module: str, name: str) -> None:
        known = _read(module)
        if name in known.defined:
            self._add(module, name)
        elif name in known.imported:
            base, original = known.imported[name]
            if base == "caffe_fillers.errors":
                self._refuses = True
                self._taken.add(name)
            elif base.startswith("caffe_fillers"):
                self._add(base, original)
            else:
                self._imports.add((base, original, name))

    def text(self) -> tuple[str, str]:
        """Return the imports, then the definitions: constants, classes, functions, helpers first."""
        self.need("__future__", "annotations")
        order = [
            [piece for piece in self._pieces.values() if isinstance(piece.node, kind)]
            for kind in ((ast.Assign, ast.AnnAssign), (ast.ClassDef,), (ast.FunctionDef,))
        ]
        constants = ["CaffeError = ValueError"] * self._refuses + [self._written(piece) for piece in order[0]]
        parts = ["\n".join(constants)] if constants else []
        parts += [self._written(piece) for pieces in order[1:] for piece in pieces]
        return _import_lines(self._imports), "\n\n\n".join(parts)

    def _written(self, piece: _Piece) -> str:
        text = _text(piece.module, piece.node)
        for other in self._pieces.values():
            if other.written != other.name and self._sees(piece, other):
                text = re.sub(rf"(?<![\w.]){other.name}(?!\w)", other.written, text)
        return text

    def _sees(self, piece: _Piece, other: _Piece) -> bool:
        """Return whether `piece` means `other` by that name."""
        return piece.module == other.module or _read(piece.module).imported.get(other.name) == (
            other.module,
            other.name,
        )


@cache
def _used(node: ast.AST) -> tuple[str, ...]:
    """Return the global names that a definition mentions, in order, without those of decorators that only add speed."""
    own: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.arg):
            own.add(each.arg)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            own.add(each.id)
    if not isinstance(node, ast.FunctionDef):
        own = set()
    found = [each.id for part in _parts(node) for each in ast.walk(part) if isinstance(each, ast.Name)]
    return tuple(name for name in dict.fromkeys(found) if name not in own)


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in _DECORATORS):
            yield child


@cache
def _text(module: str, node: _Definition) -> str:
    """Return the lines of a definition, with docstrings cut to their summary."""
    lines = _read(module).lines
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    assert node.end_lineno is not None
    kept = {i: lines[i - 1] for i in range(first, node.end_lineno + 1)}
    for each in decorators:
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in _DECORATORS:
            for i in range(each.lineno, (each.end_lineno or each.lineno) + 1):
                del kept[i]
    for each in ast.walk(node):
        if isinstance(each, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(each) is not None:
            _cut(each.body[0], kept)
    return "\n".join(kept.values())


def _cut(docstring: ast.stmt, kept: dict[int, str]) -> None:
    assert docstring.end_lineno is not None
    numbers = list(range(docstring.lineno, docstring.end_lineno + 1))
    for i in numbers:
        if _SECTION.match(kept[i]):
            break
    else:
        return
    summary = [n for n in numbers if n < i]
    while not kept[summary[-1]].strip():
        summary.pop()
    if len(summary) == 1:
        kept[summary[0]] += '"""'
        end = summary[0]
    else:
        end = summary[-1] + 1
        kept[end] = " " * (len(kept[i]) - len(kept[i].lstrip())) + '"""'
    for n in numbers:
        if n > end:
            del kept[n]


def _import_lines(imports: set[tuple[str, str, str]]) -> str:
    """Return import statements in isort's order."""
    groups: list[list[str]] = [[], [], []]
    plain = sorted({(base, local) for base, name, local in imports if not name})
    names: dict[str, set[str]] = {}
    for base, name, local in imports:
        if name:
            names.setdefault(base, set()).add(name if name == local else f"{name} as {local}")
    for base, local in plain:
        groups[_group(base)].append(f"import {base}" if base == local else f"import {base} as {local}")
    for base in sorted(names):
        said = ", ".join(sorted(names[base], key=lambda n: (n.lower() != n and not n.isupper(), n)))
        groups[_group(base)].append(f"from {base} import {said}")
    return "\n\n".join("\n".join(group) for group in groups if group)


def _group(base: str) -> int:
    return 0 if base == "__future__" else 1 if base.partition(".")[0] in sys.stdlib_module_names else 2
