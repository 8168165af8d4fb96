"""caffe-fillers signal."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

import caffe_fillers as cf

from .options import as_json_option, build, wide_option, with_net_options
from .output import filler_text, print_json, print_table, progress

__all__ = ["command"]


@click.command("signal", short_help="Say where the signal vanishes or explodes before training.")
@click.argument("net", type=click.Path())
@with_net_options
@click.option("--measure", is_flag=True, help="Push noise through the net and lay the measured variances beside.")
@click.option("--plot", type=click.Path(), help="Draw it: .png (needs matplotlib), or one .html, complete in itself.")
@wide_option
@as_json_option
def command(net: str, measure: bool, plot: str | None, as_json: bool, **options: Any) -> None:
    """What theory says about NET before it is trained: gains by depth, where the signal vanishes, what keeps the gain at 1.

    \b
    Example:
      caffe-fillers signal train_val.prototxt --input data=3x224x224 \\
        --measure --plot signal.html
    """
    with progress(f"filling {net}"):
        built, _ = build(net, options)
    with progress(f"measuring {net}" if measure else f"reckoning {net}"):
        report = cf.signal(built, measure)
        if plot is not None:
            report.plot(plot)
    if as_json:
        print_json({"seed": built.seed, "boost": built.boost, "caffe": built.caffe, **report.to_dict()})
        return
    columns = [
        ("layer", "layer", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("caffe_fans", "Caffe's", "right"),
        ("filler", "filler", "left"),
        ("weight_variance", "Var(W)", "right"),
        ("weight_variance_measured", "held", "right"),
        ("activation", "then", "left"),
        ("factor", "factor", "right"),
        ("forward_gain", "gain", "right"),
        ("backward_gain", "back", "right"),
        ("forward", "forward", "right"),
        ("backward", "backward", "right"),
        ("variance", "variance", "right"),
    ]
    if measure:
        columns.append(("measured", "measured", "right"))
    rows = []
    for row in report.layers:
        cells = dataclasses.asdict(row)
        for key, value in cells.items():
            if isinstance(value, float):
                cells[key] = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"
        cells["caffe_fans"] = None if row.caffe_fan_in is None else f"{row.caffe_fan_in}/{row.caffe_fan_out}"
        rows.append({**cells, "filler": filler_text(row.filler), "activation": row.activation or None})
    title = f"{report.name or net} {report.phase}"
    print_table(rows, columns, f"{title}, {report.images} images of noise" if measure else title, wide=options["wide"])
    click.echo()
    for finding in report.findings or ["the signal and the gradient keep within a factor of 1000 all the way"]:
        click.echo(finding)
    for note in report.notes:
        click.echo(f"note: {note}")
    if plot is not None:
        click.echo(f"wrote {plot}")
