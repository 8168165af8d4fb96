"""caffe-fillers show."""

from __future__ import annotations

from typing import Any

import click

import caffe_fillers as cf

from .options import as_json_option, build, with_net_options
from .output import filler_text, print_json, print_table, progress, std

__all__ = ["command"]


@click.command("show")
@click.argument("source", metavar="NET|WEIGHTS", type=click.Path())
@with_net_options
@as_json_option
def command(source: str, as_json: bool, **options: Any) -> None:
    """Show the blobs of a net's prototxt (filled with --seed, or with one from entropy), or of a file of weights.

    Example: caffe-fillers show lenet.caffemodel
    """
    if source.endswith((".prototxt", ".pbtxt", ".txt", ".pt")):
        with progress(f"filling {source}"):
            net, _ = build(source, options)
        rows = net.fills()
        arrays = {(layer.name, i): blob.data for layer in net.layers for i, blob in enumerate(layer.blobs)}
        said = {"seed": net.seed, "boost": net.boost, "caffe": net.caffe}
    else:
        weights = cf.load_weights(source)
        record = weights.source.provenance or {}
        known = record.get("blobs") or {}
        types = {entry["name"]: entry.get("type") for entry in record.get("layers", ())}
        types |= {layer.name: layer.message.type for layer in weights.source.layers if layer.message is not None}
        arrays = {(name, i): array for name, blobs in weights.items() for i, array in enumerate(blobs)}
        rows = []
        for (name, i), array in arrays.items():
            entry = known.get(f"{name}/{i}", {})
            rows.append({**entry, "layer": name, "type": types.get(name), "index": i, "shape": array.shape})
        said = {key: record[key] for key in ("seed", "boost", "caffe", "version", "prototxt_sha256") if key in record}
    for row in rows:
        array = arrays[row["layer"], row["index"]]
        row["measured"] = std(array)
        row["dtype"] = str(array.dtype)
    if as_json:
        print_json({"source": source, **said, "blobs": rows})
        return
    for row in rows:
        row["filler"] = f"= {row['shared_with']}" if row.get("shared_with") else filler_text(row.get("filler"))
    columns = [
        ("layer", "layer", "left"),
        ("type", "type", "left"),
        ("index", "blob", "right"),
        ("shape", "shape", "right"),
        ("filler", "filler", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("std", "std expected", "right"),
        ("measured", "measured", "right"),
    ]
    print_table(rows, columns)
    if said:
        click.echo("\n" + ", ".join(f"{key} {value}" for key, value in said.items()))
