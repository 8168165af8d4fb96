"""caffe-fillers upgrade."""

from __future__ import annotations

import click

import caffe_fillers as cf

from .options import as_json_option, read_text
from .output import output_bytes, print_json

__all__ = ["command"]


@click.command("upgrade", short_help="Rewrite an old prototxt in the current format.")
@click.argument("old", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, help="The file to write; - is standard output.")
@click.option("--strict", is_flag=True, help="Refuse what BVLC Caffe refuses.")
@as_json_option
def command(old: str, output: str, strict: bool, as_json: bool) -> None:
    """Rewrite the V0 or V1 prototxt of a net or a solver in the current format. - is standard input.

    Example: caffe-fillers upgrade old.prototxt -o new.prototxt
    """
    # parse the text here, so that errors name the line
    text = read_text(old, strict)
    new = cf.upgrade(text)
    layers = len(new.layer) if isinstance(new, cf.schema.NetParameter) else None
    if output == "-":
        cf.write_prototxt(output_bytes(), new)
        output_bytes().flush()
        return
    cf.write_prototxt(output, new)
    if as_json:
        print_json({"old": old, "output": output, "layers": layers})
    else:
        click.echo(f"wrote {output}" + ("" if layers is None else f": {layers} layers"))
