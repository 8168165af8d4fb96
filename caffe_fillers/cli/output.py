"""What the commands print: tables, JSON, what goes on meanwhile."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from ..errors import printable

__all__ = ["DIFFERS", "FINE", "STOPPED", "filler_text", "print_json", "print_table", "progress", "std"]

FINE, DIFFERS, STOPPED = 0, 1, 130  # exit codes; 2, wrong usage, is click's own


def print_table(
    rows: Iterable[dict[str, Any]],
    columns: Sequence[tuple[str, str, str]],
    title: str = "",
    console: Console | None = None,
) -> None:
    """An aligned table. Columns are (key, heading, "left" or "right")."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for _, heading, justify in columns:
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key, _, _ in columns))
    if console is not None:
        console.print(table)
        return
    # names are text, whatever brackets and colons they hold
    console = Console(highlight=False, soft_wrap=False, markup=False, emoji=False)
    if not console.is_terminal:
        # a pipe has no width; nothing may be cut off or folded there
        console = Console(highlight=False, markup=False, emoji=False, width=10_000, no_color=True)
        with console.capture() as capture:
            console.print(table)
        click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
        return
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return "x".join(str(dim) for dim in value) or "()"
    return printable(str(value))


def _plain(value: Any) -> Any:
    """What JSON can hold of a value; NaN and infinities become null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def print_json(value: Any) -> None:
    click.echo(json.dumps(_plain(value), indent=1))


def filler_text(filler: Any) -> str:
    if filler is None:
        return "-"
    if not isinstance(filler, dict) or not isinstance(filler.get("type"), str):
        return str(filler)  # a file says so that we did not write
    rest = (f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in filler.items())
    next(rest)
    return " ".join((filler["type"], *rest))


def std(values: np.ndarray) -> float:
    """The standard deviation, in pieces, so that no copy of large weights is made."""
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
    """Show `text` on a terminal while something long goes on."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield
