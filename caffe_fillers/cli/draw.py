"""caffe-fillers draw."""

from __future__ import annotations

import click

import caffe_fillers as cf

from .options import as_json_option
from .output import print_json

__all__ = ["command"]


@click.command("draw", short_help="Draw a net as a picture.")
@click.argument("net", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, help="net.svg, net.dot, or net.png with graphviz.")
@click.option("--phase", type=click.Choice(["TRAIN", "TEST"]), help="Draw only the layers of this phase.")
@click.option(
    "--rankdir",
    type=click.Choice(["TB", "BT", "LR", "RL"]),
    default="TB",
    show_default=True,
    help="The direction of the data: from top to bottom, left to right ...",
)
@click.option("--lr-mult", is_flag=True, help="Show the learning rate multipliers.")
@as_json_option
def command(net: str, output: str, phase: str | None, rankdir: str, lr_mult: bool, as_json: bool) -> None:
    """Draw a prototxt: layers, the blobs between them, and what each layer does.

    Example: caffe-fillers draw train_val.prototxt -o net.svg --phase TRAIN
    """
    cf.draw(net, output, rankdir=rankdir, phase=phase, lr_mult=lr_mult)
    if as_json:
        print_json({"net": net, "output": output})
    else:
        click.echo(f"wrote {output}")
