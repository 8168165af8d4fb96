"""caffe-fillers seed."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import nullcontext
from time import perf_counter
from typing import TypedDict, Unpack

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

import caffe_fillers as cf

from .options import (
    Shapes,
    as_json_option,
    boosts,
    inputs_option,
    level_option,
    phase_option,
    revisions,
    shapes,
    stages_option,
)
from .output import DIFFERS, FINE, STOPPED, print_json

__all__ = ["command"]


class _Options(TypedDict):
    layer: str | None
    phase: str
    level: int
    stages: tuple[str, ...]
    boost: str | None
    caffe: str | None
    threads: int | None


_MARK = 2**28  # without a terminal, print a line for this many seeds instead of a bar


@click.command("seed", short_help="Find the lost seed of a file of weights.")
@click.argument("weights", type=click.Path())
@click.argument("net", type=click.Path())
@click.option("--layer", help="The layer to search by, or one of its blobs as NAME/INDEX.  [default: all]")
@inputs_option
@phase_option
@level_option
@stages_option
@click.option(
    "--boost",
    shell_complete=boosts,
    help="The version of Boost that Caffe was built with.  [default: one of each kind]",
)
@click.option(
    "--caffe",
    shell_complete=revisions,
    help="The version of Caffe: v0.9999, rc, rc2, rc3, 1.0 or master.  [default: all]",
)
@click.option("--from", "first", type=click.IntRange(0, 2**32 - 1), default=0, help="The first seed to try.")
@click.option("--to", "last", type=click.IntRange(0, 2**32 - 1), default=2**32 - 1, help="The last seed to try.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads.  [default: one for each core]")
@as_json_option
def command(
    weights: str, net: str, inputs: Shapes, first: int, last: int, as_json: bool, **options: Unpack[_Options]
) -> None:
    """Find the seed from which Caffe filled WEIGHTS. NET is the prototxt of their net or solver.

    One blob that training has not changed is enough. Ctrl-C stops the search and prints how to continue it.

    \b
    Example:
      caffe-fillers seed lenet_iter_0.caffemodel lenet_train_test.prototxt \\
        --input data=1x28x28
    """
    if first > last:
        raise click.BadParameter(f"{first} is above {last}, where --to ends the search", param_hint="--from")
    reached, began = first, 0.0
    console = Console(stderr=True)
    columns = (TextColumn("trying seeds"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar = progress.add_task("", total=None)

    def show(done: int, stop: int) -> None:
        nonlocal reached, began
        if not began:
            began = perf_counter()
            click.echo("no blob shows its seed at once: trying one seed after another", err=True)
        elif not console.is_terminal and done // _MARK > reached // _MARK:
            left = (perf_counter() - began) / (done - first) * (stop - done)
            click.echo(f"below {done}: none; some {left:.0f} s left", err=True)
        reached = done
        progress.update(bar, completed=done - first, total=stop - first)

    try:
        # without a terminal, old versions of rich print an empty line at the end of a bar
        with progress if console.is_terminal else nullcontext():
            found = cf.search_seed(
                weights, net, inputs=shapes(inputs), seeds=range(first, last + 1), progress=show, **options
            )
    except KeyboardInterrupt:
        click.echo(f"stopped: all seeds below {reached} are tried; continue with --from {reached}", err=True)
        sys.exit(STOPPED)
    if as_json:
        print_json({"weights": weights, "net": net, "seed": found.seed, **dataclasses.asdict(found)})
    else:
        click.echo(str(found), err=not found.found)
    sys.exit(FINE if found.found else DIFFERS)
