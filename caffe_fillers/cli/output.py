"""Output of the commands: tables, JSON and progress."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import click
import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ..errors import CaffeError, printable

__all__ = [
    "CLOSED",
    "DIFFERS",
    "FINE",
    "STOPPED",
    "filler_text",
    "output_bytes",
    "print_json",
    "print_table",
    "progress",
    "std",
]

# exit codes; 2, wrong usage, is click's own; the last two are a shell's for SIGINT and SIGPIPE
FINE, DIFFERS, STOPPED, CLOSED = 0, 1, 130, 141


def print_table(
    rows: Iterable[Mapping[str, object]],
    columns: Sequence[tuple[str, str, str]],
    title: str = "",
    console: Console | None = None,
    wide: bool = False,
    keep: Collection[str] = (),
) -> None:
    """Print an aligned table. Columns are (key, heading, "left" or "right").

    On a terminal names are shortened in the middle, and columns that don't fit are left out from the right, unless it
    is to be `wide`; those to `keep` go last. Numbers are never cut.
    """
    cells = [{key: _cell(row.get(key)) for key, _, _ in columns} for row in rows]
    # print names as text: rich must not read brackets and colons as markup
    screen = console or Console(highlight=False, soft_wrap=False, markup=False, emoji=False)
    limited = screen.is_terminal and not wide
    shown = _fitted(cells, columns, screen.width, keep) if limited else list(columns)
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for _, heading, justify in shown:
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in cells:
        table.add_row(*(row[key] for key, _, _ in shown))
    if limited:
        screen.print(table)
    elif console is not None and not console.is_terminal:
        console.print(table)
    else:
        # a pipe has no width: cut or fold nothing there
        plain = Console(highlight=False, markup=False, emoji=False, width=10_000, no_color=True)
        with plain.capture() as capture:
            plain.print(table)
        click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
    if len(shown) < len(columns):
        left_out = ", ".join(heading for key, heading, _ in columns if key not in {each for each, _, _ in shown})
        click.echo(f"no room for {left_out} (--wide)")


_GAP, _SHORTEST = 2, 12


def _fitted(
    cells: list[dict[str, str]], columns: Sequence[tuple[str, str, str]], width: int, keep: Collection[str]
) -> list[tuple[str, str, str]]:
    """Return the columns that fit into `width`, from the left; shorten their names in `cells` for that."""
    widths = {key: max([cell_len(heading), *(cell_len(row[key]) for row in cells)]) for key, heading, _ in columns}
    named = [key for key, _, justify in columns if justify == "left"]
    shown = list(columns)
    while len(shown) > 1:
        keys = [key for key, _, _ in shown]
        spare = width - sum(widths[key] for key in keys) - _GAP * (len(keys) - 1)
        least = {key: min(widths[key], _SHORTEST) for key in named if key in keys}
        if spare + sum(widths[key] - size for key, size in least.items()) >= 0:
            break
        shown.remove(next((column for column in reversed(shown) if column[0] not in keep), shown[-1]))
    keys = [key for key, _, _ in shown]
    over = sum(widths[key] for key in keys) + _GAP * (len(keys) - 1) - width
    # shorten the longest name first
    while over > 0:
        key = max((key for key in named if key in keys), key=lambda key: widths[key], default="")
        if not key or widths[key] <= 1:
            break
        widths[key] -= 1
        over -= 1
    for row in cells:
        for key in named:
            row[key] = _shortened(row[key], widths[key])
    return shown


def _shortened(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    head = (width - 1) // 2
    tail = width - 1 - head
    return f"{text[:head]}…{text[len(text) - tail :]}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return "x".join(str(dim) for dim in value) or "()"
    return printable(str(value))


def _plain(value: object) -> object:
    """Return a value as JSON can hold it; NaN and infinities become null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def print_json(value: object) -> None:
    click.echo(json.dumps(_plain(value), indent=1))


def output_bytes() -> BinaryIO:
    """Return standard output for bytes."""
    if sys.stdout is None:  # as `>&-` starts a program
        raise CaffeError("standard output is closed\ngive -o the name of a file")
    return sys.stdout.buffer


def filler_text(filler: object) -> str:
    if filler is None:
        return "-"
    if not isinstance(filler, dict) or not isinstance(filler.get("type"), str):
        return str(filler)  # from a file of another program
    rest = (f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in filler.items())
    next(rest)
    return " ".join((filler["type"], *rest))


def std(values: np.ndarray) -> float:
    """Return the standard deviation, computed in pieces, without a copy of large weights."""
    flat = values.reshape(-1)
    if not flat.size:
        return math.nan
    pieces = [flat[i : i + (1 << 20)] for i in range(0, flat.size, 1 << 20)]
    with np.errstate(all="ignore"):  # of infinities and signalling NaNs
        mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / flat.size
        square = sum(float(np.square(np.subtract(piece, mean, dtype=np.float64)).sum()) for piece in pieces)
    return math.sqrt(square / flat.size)


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show `text` on a terminal during a long step."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield
