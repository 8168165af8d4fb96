"""caffe-fillers upgrade."""

from __future__ import annotations

import click

import caffe_fillers as cf

from .. import prototxt, schema
from .options import as_json_option
from .output import print_json

__all__ = ["command"]


@click.command("upgrade")
@click.argument("old", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, help="Where to write today's form.")
@click.option("--strict", is_flag=True, help="Refuse what BVLC Caffe refuses.")
@as_json_option
def command(old: str, output: str, strict: bool, as_json: bool) -> None:
    """Write a V0 or V1 prototxt, of a net or a solver, in today's form.

    Example: caffe-fillers upgrade old.prototxt -o new.prototxt
    """
    solver = prototxt.is_solver(old)
    # the text, for it knows the types of forks' layers, which the message can't hold
    new = cf.upgrade(prototxt.read(old, schema.SolverParameter if solver else schema.NetParameter, strict=strict))
    cf.write_prototxt(output, new)
    layers = None if solver else len(new.layer)
    if as_json:
        print_json({"old": old, "output": output, "layers": layers})
    else:
        click.echo(f"wrote {output}" + ("" if solver else f": {layers} layers"))
