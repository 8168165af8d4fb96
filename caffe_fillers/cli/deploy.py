"""caffe-fillers deploy."""

from __future__ import annotations

import click

import caffe_fillers as cf

from .options import Shapes, as_json_option, inputs_option, read_text, shapes
from .output import output_bytes, print_json

__all__ = ["command"]


@click.command("deploy", short_help="Make a deploy net from a training net.")
@click.argument("net", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, help="The file to write; - is standard output.")
@inputs_option
@click.option("--classes", type=click.IntRange(1), help="The num_output that a DIGITS network lacks.")
@click.option("--train-val", is_flag=True, help="Write the training net of a DIGITS all-in-one network instead.")
@as_json_option
def command(net: str, output: str, inputs: Shapes, classes: int | None, train_val: bool, as_json: bool) -> None:
    """Make the deploy net of NET, a training net or an all-in-one network of DIGITS.

    Data layers become inputs, SoftmaxWithLoss becomes Softmax, other losses and accuracies are removed.

    \b
    Example:
      caffe-fillers deploy train_val.prototxt --input data=3x227x227 \\
        -o deploy.prototxt
    """
    text = read_text(net)
    if isinstance(text.message, cf.schema.SolverParameter):
        raise cf.CaffeError(f"{net}: this is a solver's prototxt, not a net's\ngive the net that it names")
    result = cf.train_val(text, classes) if train_val else cf.deploy(text, shapes(inputs), classes)
    if output == "-":
        cf.write_prototxt(output_bytes(), result)
        output_bytes().flush()
        return
    cf.write_prototxt(output, result)
    heads = [layer for layer in result.layer if layer.type == "Input"]
    dims = {layer.top[0]: list(layer.input_param.shape[0].dim) for layer in heads if layer.input_param.shape}
    if as_json:
        print_json({"net": net, "output": output, "layers": len(result.layer), "inputs": dims})
        return
    said = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in dims.items())
    click.echo(f"wrote {output}: {len(result.layer)} layers" + (f", from {said}" if said else ""))
