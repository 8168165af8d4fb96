"""caffe-fillers show."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Unpack, cast

import click
import numpy as np

import caffe_fillers as cf

from ..errors import printable
from .options import NetOptions, as_json_option, build, wide_option, with_net_options
from .output import filler_text, print_json, print_table, progress, std

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["command"]


class _Options(NetOptions):
    wide: bool


@click.command("show", short_help="Show the blobs of a net or of a file of weights.")
@click.argument("source", metavar="NET|WEIGHTS", type=click.Path())
@with_net_options
@wide_option
@as_json_option
def command(source: str, as_json: bool, **options: Unpack[_Options]) -> None:
    """Show the blobs of a file of weights, or of a net's prototxt, filled with --seed or a seed from entropy.

    It also shows the content of a solver's state or of a mean file.

    Example: caffe-fillers show lenet.caffemodel
    """
    kind = cf.identify(source) if os.path.isfile(source) else "net"
    if kind in _OTHERS:
        _OTHERS[kind](source, as_json)
        return
    if kind in ("net", "solver") or source.endswith((".prototxt", ".pbtxt", ".pt")):
        with progress(f"filling {source}"):
            net, _ = build(source, options)
        rows: list[dict[str, object]] = [{**row} for row in net.fills()]
        arrays: dict[tuple[object, object], np.ndarray] = {
            (layer.name, i): blob.data for layer in net.layers for i, blob in enumerate(layer.blobs)
        }
        said: dict[str, object] = {"seed": net.seed, "boost": net.boost, "caffe": net.caffe}
    else:
        weights = cf.load_weights(source)
        record = weights.source.provenance or {}
        known = cast("Mapping[str, Mapping[str, object]]", record.get("blobs") or {})
        layers = cast("Iterable[Mapping[str, str]]", record.get("layers", ()))
        types = {entry["name"]: entry.get("type") for entry in layers}
        types |= {layer.name: layer.message.type for layer in weights.source.layers if layer.message is not None}
        arrays = {(name, i): array for name, blobs in weights.items() for i, array in enumerate(blobs)}
        rows = []
        for name, blobs in weights.items():
            for i, array in enumerate(blobs):
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
    # the type comes last: a narrow screen can do without it
    columns = [
        ("layer", "layer", "left"),
        ("index", "blob", "right"),
        ("shape", "shape", "right"),
        ("filler", "filler", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("std", "std", "right"),
        ("measured", "measured", "right"),
        ("type", "type", "left"),
    ]
    known_of_all = {"layer", "index", "shape", "measured"}
    filled = [c for c in columns if c[0] in known_of_all or any(row.get(c[0]) not in (None, "-") for row in rows)]
    print_table(rows, filled, wide=options["wide"])
    if said:
        words = {"boost": "Boost", "caffe": "Caffe"}
        click.echo("\n" + ", ".join(f"{words.get(key, key)} {value}" for key, value in said.items()))


def _state(source: str, as_json: bool) -> None:
    state = cf.load_state(source)
    rows = [{"blob": i, "shape": array.shape, "measured": std(array)} for i, array in enumerate(state.history)]
    if as_json:
        said = {"iteration": state.iteration, "learned_net": state.learned_net, "current_step": state.current_step}
        print_json({"source": source, **said, "history": rows})
        return
    click.echo(
        f"a solver's state after iteration {state.iteration}, step {state.current_step} of its rate\n"
        f"its weights are in {printable(state.learned_net or 'no file that it names')}"
    )
    if rows:
        click.echo("its history:")
        print_table(rows, [("blob", "blob", "right"), ("shape", "shape", "right"), ("measured", "std", "right")])


def _mean(source: str, as_json: bool) -> None:
    mean = cf.load_mean(source)
    channels = [float(channel.mean(dtype=np.float64)) for channel in mean]
    if as_json:
        print_json({"source": source, "shape": mean.shape, "dtype": str(mean.dtype), "means": channels})
        return
    shown = ", ".join(f"{value:.6g}" for value in channels[:8])
    click.echo(f"a mean of {'x'.join(map(str, mean.shape))}, {mean.dtype}; by channel {shown}")


_OTHERS = {"state": _state, "mean": _mean}
