"""caffe-fillers time."""

from __future__ import annotations

from typing import Unpack

import click

from .options import NetOptions, as_json_option, blas_option, blas_threads, build, with_net_options
from .output import print_json, print_table, progress

__all__ = ["command"]


@click.command("time", short_help="Measure the milliseconds of each layer.")
@click.argument("net", metavar="NET|SOLVER", type=click.Path())
@click.option(
    "--iterations", type=click.IntRange(1), default=50, show_default=True, help="Number of passes to average over."
)
@with_net_options
@blas_option
@as_json_option
def command(net: str, iterations: int, blas: int | None, as_json: bool, **options: Unpack[NetOptions]) -> None:
    """Measure the milliseconds of each layer, forward and backward, as `caffe time` does.

    The inputs are noise. A layer that needs no gradient takes no time backward.

    Example: caffe-fillers time deploy.prototxt --phase TEST --iterations 10
    """
    with progress(f"running {net}"), blas_threads(blas):
        built, _ = build(net, options)
        rows = built.time(iterations)
    totals = {"forward": sum(row["forward"] for row in rows), "backward": sum(row["backward"] for row in rows)}
    if as_json:
        print_json({"net": built.name, "phase": built.phase, "iterations": iterations, **totals, "layers": rows})
        return
    shown: list[dict[str, object]] = [
        {**row, "forward": f"{row['forward']:.3f}", "backward": f"{row['backward']:.3f}"} for row in rows
    ]
    print_table(
        shown,
        [
            ("layer", "layer", "left"),
            ("type", "type", "left"),
            ("forward", "forward ms", "right"),
            ("backward", "backward ms", "right"),
        ],
    )
    click.echo(
        f"\nforward {totals['forward']:.3f} ms, backward {totals['backward']:.3f} ms, "
        f"both {sum(totals.values()):.3f} ms: the mean of {iterations} passes"
    )
