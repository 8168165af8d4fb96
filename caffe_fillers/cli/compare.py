"""caffe-fillers compare."""

from __future__ import annotations

import dataclasses
import sys
from typing import Unpack

import click

import caffe_fillers as cf

from .options import NetOptions, as_json_option, build, with_net_options
from .output import DIFFERS, FINE, filler_text, print_json, print_table, progress

__all__ = ["command"]


@click.command("compare", short_help="Compare weights bit for bit, then by distance.")
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@with_net_options
@as_json_option
def command(a: str, b: str, as_json: bool, **options: Unpack[NetOptions]) -> None:
    """Compare weights bit for bit, then by distance. B may be a prototxt, which is filled with --seed.

    With a prototxt it lists for each blob whether it still holds its initial bits or was trained.

    \b
    Example:
      caffe-fillers compare snapshot.caffemodel lenet_solver.prototxt \\
        --input data=1x28x28
    """
    sides: list[object] = []
    net = None
    for path in (a, b):
        if path.endswith((".prototxt", ".pbtxt")) or path == "-":
            with progress(f"filling {path}"):
                net = build(path, options, chance=False)[0]
                sides.append(net.weight_set())
        else:
            sides.append(path)
    report = cf.compare(*sides)
    if as_json:
        print_json(
            {"equal": bool(report), "close": report.close, "blobs": [dataclasses.asdict(blob) for blob in report]}
        )
    elif net is None or report:
        click.echo(str(report))
    else:
        _initial(net, report)
    sys.exit(FINE if report else DIFFERS)


def _initial(net: cf.Net, report: cf.Comparison) -> None:
    """Print which blobs of a net still hold the values of its fills."""
    same = len(report) - len(report.differences)
    click.echo(f"{same} of {len(report)} blobs are equal bit for bit to the fills of seed {net.seed}\n")
    fillers = {f"{row['layer']}/{row['index']}": filler_text(row["filler"]) for row in net.fills()}
    rows = []
    for blob in report:
        holds = {"equal": "its initial bits", "differs": f"{blob.count:,} others"}.get(blob.status, blob.status)
        apart = blob.max_abs if blob.status in ("differs", "dtype") else None
        rows.append({"blob": blob.name, "filler": fillers.get(blob.name), "holds": holds, "apart": apart})
    columns = [
        ("blob", "blob", "left"),
        ("filler", "filler", "left"),
        ("holds", "holds", "right"),
        ("apart", "apart by at most", "right"),
    ]
    print_table(rows, columns)
