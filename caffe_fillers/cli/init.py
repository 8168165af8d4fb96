"""caffe-fillers init."""

from __future__ import annotations

import math
from typing import Unpack

import click

import caffe_fillers as cf

from ..errors import printable
from .options import NetOptions, as_json_option, build, wide_option, with_net_options
from .output import filler_text, print_json, print_table, progress

__all__ = ["command"]


class _Options(NetOptions):
    allow_empty: bool
    wide: bool


@click.command("init", short_help="Fill the weights of a net as Caffe would.")
@click.argument("net", type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(), help=".npz, .caffemodel, .h5 or .safetensors; of a solver the train net."
)
@with_net_options
@click.option("--draws", is_flag=True, help="Show the draws of each layer and their places in the stream.")
@click.option("--allow-empty", is_flag=True, help="Accept a net without parameters.")
@wide_option
@as_json_option
def command(net: str, output: str | None, draws: bool, as_json: bool, **options: Unpack[_Options]) -> None:
    """Fill the weights of NET, the prototxt of a net or a solver; - is standard input.

    \b
    Example:
      caffe-fillers init lenet_solver.prototxt --input data=1x28x28 \\
        -o lenet.npz
    """
    with progress(f"filling {net}"):
        built, tests = build(net, options)
        rows = built.fills()
        if not rows and not options["allow_empty"]:
            raise cf.CaffeError(
                f"{net}: the net has no parameters, so there is nothing to fill\n"
                "if that is right, give --allow-empty; for the net of another phase or stage, --phase and --stage"
            )
        if output is not None:
            built.save(output)
    if as_json:
        print_json(
            {
                "net": built.name,
                "phase": built.phase,
                "seed": built.seed,
                "boost": built.boost,
                "caffe": built.caffe,
                "blobs": rows,
                "draws": _ledger(built),
                "test_nets": [{"net": test.name, "draws": _ledger(test)} for test in tests],
                "output": output,
            }
        )
        return
    shown: list[dict[str, object]] = []
    for row in rows:
        filler = f"= {row['shared_with']}" if row["shared_with"] else filler_text(row["filler"])
        shown.append({**row, "filler": filler, "blob": f"{row['index']} {row['name']}"})
    columns = [
        ("layer", "layer", "left"),
        ("blob", "blob", "left"),
        ("shape", "shape", "right"),
        ("filler", "filler", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("std", "std", "right"),
    ]
    print_table(shown, columns, wide=options["wide"])
    if draws:
        click.echo()
        for each in (built, *tests):
            print_table(
                _ledger(each),
                [
                    ("layer", "layer", "left"),
                    ("start", "first draw", "right"),
                    ("count", "draws", "right"),
                    ("what", "for", "left"),
                ],
                f"{each.name or net} {each.phase}",
                wide=options["wide"],
            )
    values = sum(math.prod(row["shape"]) for row in rows if not row["shared_with"])
    click.echo(f"\nseed {built.seed}, Boost {built.boost}, Caffe {built.caffe}: {values:,} values in {len(rows)} blobs")
    if built.report is not None:
        click.echo(printable(str(built.report)))
    if output is not None:
        click.echo(f"wrote {output}")


def _ledger(net: cf.Net) -> list[dict[str, object]]:
    return [
        {"layer": layer.name, "start": draw.start, "count": draw.count, "what": draw.what}
        for layer in net.layers
        for draw in layer.draws
    ]
