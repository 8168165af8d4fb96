"""caffe-fillers signal."""

from __future__ import annotations

import dataclasses
from typing import Unpack

import click

import caffe_fillers as cf

from .options import NetOptions, as_json_option, build, wide_option, with_net_options
from .output import filler_text, print_json, print_table, progress

__all__ = ["command"]

# the most important columns; a narrow terminal drops the others first
_ANSWERS = ("layer", "forward_gain", "backward_gain", "forward", "backward", "variance", "measured")


class _Options(NetOptions):
    wide: bool


@click.command("signal", short_help="Predict where the signal vanishes or explodes.")
@click.argument("net", type=click.Path())
@with_net_options
@click.option("--measure", is_flag=True, help="Pass noise through the net and add the measured variances.")
@click.option("--plot", type=click.Path(), help="Draw a .png (needs matplotlib) or a single .html file.")
@wide_option
@as_json_option
def command(net: str, measure: bool, plot: str | None, as_json: bool, **options: Unpack[_Options]) -> None:
    """Predict how the signal of NET grows or shrinks before training: gains by depth, and fillers with gain 1.

    \b
    Example:
      caffe-fillers signal train_val.prototxt --input data=3x224x224 \\
        --measure --plot signal.html
    """
    with progress(f"filling {net}"):
        built, _ = build(net, options)
    with progress(f"measuring {net}" if measure else f"computing {net}"):
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
        ("weight_variance_measured", "actual", "right"),
        ("activation", "activation", "left"),
        ("factor", "factor", "right"),
        ("forward_gain", "gain", "right"),
        ("backward_gain", "gain back", "right"),
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
    title = f"{title}, {report.images} images of noise" if measure else title
    print_table(rows, columns, title, wide=options["wide"], keep=_ANSWERS)
    click.echo()
    for finding in report.findings or ["the signal and the gradient keep within a factor of 1000 all the way"]:
        click.echo(finding)
    for note in report.notes:
        click.echo(f"note: {note}")
    if plot is not None:
        click.echo(f"wrote {plot}")
