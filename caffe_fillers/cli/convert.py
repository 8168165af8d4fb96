"""caffe-fillers convert."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

import caffe_fillers as cf

from .options import as_json_option
from .output import print_json, progress

__all__ = ["command"]


class _Forms(TypedDict):
    batchnorm: str | None
    net: str | None
    net_output: str | None


@click.command("convert", short_help="Convert weights to another format.")
@click.argument("weights", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--names", type=click.Choice(["torch"]), help="Write PyTorch's names and layouts.")
@click.option(
    "--batchnorm",
    type=click.Choice(["split", "merge"]),
    help="Split the forks' BatchNorms of five blobs into BatchNorm and Scale, or merge these.",
)
@click.option("-n", "--net", "net", type=click.Path(), help="With --batchnorm: the net's prototxt.")
@click.option("-o", "--net-output", "net_output", type=click.Path(), help="With --net: the file for the changed net.")
@as_json_option
def command(weights: str, out: str, names: str | None, as_json: bool, **forms: Unpack[_Forms]) -> None:
    """Convert WEIGHTS, of any format and age, to the format of OUT's suffix.

    It also converts mean files between .npy and .binaryproto.

    Example: caffe-fillers convert old.caffemodel new.safetensors
    """
    if out.lower().endswith((".npy", ".binaryproto")):
        _mean(weights, out, as_json)
        return
    with progress(f"converting {weights}"):
        loaded = cf.load_weights(weights)
        if forms["batchnorm"]:
            loaded = _converted(loaded, forms["batchnorm"], forms["net"], forms["net_output"])
        elif forms["net"] or forms["net_output"]:
            raise click.UsageError("--net and --net-output are for --batchnorm")
        cf.save_weights(out, loaded.source, names=names)
    blobs = sum(len(layer.arrays) for layer in loaded.source.layers)
    if as_json:
        print_json({"weights": weights, "output": out, "layers": len(loaded), "blobs": blobs})
    else:
        click.echo(f"wrote {out}: {blobs} blobs of {len(loaded)} layers")


def _converted(
    loaded: cf.weights.Weights, batchnorm: str, net: str | None, net_output: str | None
) -> cf.weights.Weights:
    if (net is None) != (net_output is None):
        raise click.UsageError("--net says what to read, --net-output where to write it: give both, or none")
    message = None if net is None else cf.read_net(net)
    converted, changed = cf.convert_batchnorm(loaded, batchnorm, message)
    if net_output is not None and changed is not None:
        cf.write_prototxt(net_output, changed)
    return converted


def _mean(source: str, out: str, as_json: bool) -> None:
    mean = cf.load_mean(source)
    cf.save_mean(out, mean)
    if as_json:
        print_json({"mean": source, "output": out, "shape": mean.shape})
    else:
        click.echo(f"wrote {out}: a mean of {'x'.join(map(str, mean.shape))}")
