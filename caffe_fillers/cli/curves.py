"""caffe-fillers curves."""

from __future__ import annotations

from pathlib import Path

import click

import caffe_fillers as cf

from .output import print_json, print_table

__all__ = ["command"]


@click.command("curves", short_help="Read and draw the losses in logs of trainings.")
@click.argument("logs", nargs=-1, required=True, type=click.Path())
@click.option("--plot", type=click.Path(), help="Draw all logs in one picture: .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(logs: tuple[str, ...], plot: str | None, as_json: bool) -> None:
    """Read the losses, rates and test outputs in LOGS, written by Caffe or by `train --log`.

    Example: caffe-fillers curves caffe.log lenet.log --plot both.png
    """
    draw = cf.training.drawing(plot) if plot else None
    runs = {path: cf.training.read_log(path) for path in logs}
    if draw is not None:
        draw({Path(path).stem if len(logs) > 1 else path: curves for path, curves in runs.items()})
    if as_json:
        print_json({path: curves.to_dict() for path, curves in runs.items()})
        return
    rows = [
        {"log": path, "iteration": iteration, "net": net, "output": name, "mean": value}
        for path, curves in runs.items()
        for iteration, nets in sorted(curves.test.items())
        for net, outputs in nets.items()
        for name, value in outputs.items()
    ]
    columns = [
        *(("log", "log", "left"), ("iteration", "iteration", "right"), ("net", "test net", "right")),
        *(("output", "output", "left"), ("mean", "mean", "right")),
    ]
    print_table(rows, columns)
    for path, curves in runs.items():
        if curves.loss:
            last = max(curves.loss)
            count = f"{len(curves.loss)} loss{'es' if len(curves.loss) > 1 else ''}"
            click.echo(f"{path}: loss {curves.loss[last]:g} at iteration {last}, {count}")
    if plot:
        click.echo(f"wrote {plot}")
