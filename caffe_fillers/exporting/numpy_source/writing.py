"""Writes a script's statements: names its variables and wraps its calls."""

from __future__ import annotations

import builtins
import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...arrays import Dtype
from ...ops import Window
from ..plan import Entry, Value
from .gathering import Sources

__all__ = ["Call", "Items", "Script", "quoted"]

WIDTH = 120
_INDENT = "    "


def quoted(text: str) -> str:
    """Return a string as Python writes it, in double quotes unless that needs more escapes."""
    result = ascii(text)
    return f'"{result[1:-1]}"' if result[0] == "'" and '"' not in result and "\\'" not in result else result


class Items(list[str]):
    """The texts of a list's items."""

    def __str__(self) -> str:
        return f"[{', '.join(self)}]"


@dataclass(frozen=True, slots=True)
class Call:
    """A call, on one line or broken as formatters break it."""

    function: str
    arguments: tuple[str | Items, ...]
    behind: str = ""

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.arguments))}){self.behind}"

    def assigned(self, targets: str) -> list[str]:
        """Return ``targets = call`` within a function, as lines."""
        line = f"{_INDENT}{targets} = {self}"
        if len(line) <= WIDTH:
            return [line]
        start, end = f"{_INDENT}{targets} = {self.function}(", f"{_INDENT}){self.behind}"
        together = f"{_INDENT * 2}{', '.join(map(str, self.arguments))}"
        if len(together) <= WIDTH:
            return [start, together, end]
        return [start, *(line for each in self.arguments for line in _broken(each)), end]


def _broken(argument: str | Items) -> list[str]:
    """Return an argument on lines of its own."""
    line = f"{_INDENT * 2}{argument},"
    if len(line) <= WIDTH or isinstance(argument, str):
        return [line]
    return [f"{_INDENT * 2}[", *(f"{_INDENT * 3}{each}," for each in argument), f"{_INDENT * 2}],"]


class Script:
    """The state of a script while its statements are written.

    Attributes
    ----------
    lines : list of str
        The body of `forward`.
    parameters : dict of str to array
    """

    def __init__(self, dtype: Dtype) -> None:
        self.sources = Sources()
        self.lines: list[str] = []
        self.parameters: dict[str, np.ndarray] = {}
        self.dtype = dtype
        self._keys: dict[object, str] = {}
        self._variables: dict[str, str] = {}

    def name(self, blob: str) -> str:
        """Return the name of a blob's variable."""
        return self._variables[blob]

    def name_blobs(self, blobs: Iterable[str], taken: Iterable[str]) -> None:
        """Choose identifiers for blobs, none of which is `taken` or a keyword of Python."""
        used = {*taken, *_BUILTINS}
        for blob in blobs:
            name = re.sub(r"\W+", "_", blob, flags=re.ASCII).strip("_") or "blob"
            if name[0].isdigit():
                name = f"blob_{name}"
            if keyword.iskeyword(name) or name in used:
                name += "_"
            result, k = name, 2
            while result in used:
                result, k = f"{name}{k}" if name.endswith("_") else f"{name}_{k}", k + 1
            used.add(result)
            self._variables[blob] = result

    def var(self, value: Value) -> str:
        return self._variables[value.blob]

    def call(self, function: Callable[..., object], *given: str | Items, behind: str = "", **options: object) -> Call:
        """Return a call of a function that the script holds; arguments equal to defaults are left out.

        `given` are texts. `options` are values, a `str` being text as well unless the default is one.
        """
        written = self.sources.add(function)
        parameters = inspect.signature(inspect.unwrap(function)).parameters
        more = [
            f"{key}={self.text(value, isinstance(parameters[key].default, str))}"
            for key, value in options.items()
            if value is not None and not _same(value, parameters[key].default)
        ]
        return Call(written, (*given, *more), behind)

    def text(self, value: object, is_string: bool = False) -> str:
        """Return a value as Python writes it."""
        if isinstance(value, str):
            return quoted(value) if is_string else value
        if isinstance(value, Window):
            return self._window(value)
        if isinstance(value, tuple):
            return f"({', '.join(map(self.text, value))}{',' * (len(value) == 1)})"
        if isinstance(value, list):
            return f"[{', '.join(map(self.text, value))}]"
        if isinstance(value, float) and not np.isfinite(value):
            return f'float("{value}")'
        return repr(value)

    def _window(self, window: Window) -> str:
        written = self.sources.add(Window)
        fields = (window.kernel, window.stride, window.pad, window.dilation)
        if window.behind is not None or any(len(set(each)) != 1 for each in fields):
            every = [*fields, *([] if window.behind is None else [window.behind])]
            return f"{written}({', '.join(map(self.text, every))})"
        kernel, stride, pad, dilation = (each[0] for each in fields)
        defaults = {"stride": 1, "pad": 0, "dilation": 1, "axes": 2}
        chosen = {"stride": stride, "pad": pad, "dilation": dilation, "axes": len(window.kernel)}
        more = [f"{key}={value}" for key, value in chosen.items() if value != defaults[key]]
        return f"{written}.square({', '.join([str(kernel), *more])})"

    def parameter(self, entry: Entry, i: int, shape: Sequence[int] | None = None) -> str:
        """Return parameter `i` of a layer, reshaped if it is stored in another shape."""
        array = entry.blobs[i] if shape is None else entry.blobs[i].reshape(shape)
        key = array.__array_interface__["data"][0], array.shape
        if key not in self._keys:
            result, k = f"{entry.layer}/{entry.params[i]}", 2
            while result in self.parameters:
                result, k = f"{entry.layer}/{entry.params[i]}_{k}", k + 1
            self._keys[key] = result
            self.parameters[result] = array
        return f"p[{quoted(self._keys[key])}]"

    def statement(self, entry: Entry, targets: str, call: Call | str) -> None:
        """Write a statement of a layer, with the layer's name and the shapes of its tops."""
        shapes = ", ".join("x".join(map(str, value.shape)) or "1" for value in entry.writes)
        said = f"# {quoted(entry.layer)[1:-1]}: {shapes}"
        lines = call.assigned(targets) if isinstance(call, Call) else [f"{_INDENT}{targets} = {call}"]
        if len(lines) == 1 and len(lines[0]) + 2 + len(said) <= WIDTH:
            self.lines.append(f"{lines[0]}  {said}")
        else:
            self.lines += [_INDENT + said[: WIDTH - 4], *lines]

    def more(self, line: str) -> None:
        """Write a further statement of the same layer, or one before it."""
        self.lines.append(_INDENT + line)

    def dims(self, value: Value, like: str) -> str:
        """Return the shape of a value as a tuple; the dim that follows the batch is that of the array `like`."""
        dims = [f"len({like})" if isinstance(dim, str) else str(dim) for dim in value.dims]
        return f"({', '.join(dims)}{',' * (len(dims) == 1)})"

    def reshaped(self, text: str, value: Value) -> str:
        """Return an array in the shape of a value, whose batch may have any size."""
        dims = ["-1" if isinstance(dim, str) else str(dim) for dim in value.dims]
        return f"{text}.reshape({', '.join(dims) or '()'})"


def _same(value: object, default: object) -> bool:
    return type(value) is type(default) and value == default


_BUILTINS = {name for name in dir(builtins) if name.islower()}
