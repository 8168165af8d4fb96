"""caffe-fillers export."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, Unpack

import click

import caffe_fillers as cf

from .options import Shapes, as_json_option, inputs_option, level_option, shapes, stages_option
from .output import DIFFERS, print_json, print_table, progress

__all__ = ["command"]


class _Options(TypedDict):
    inputs: Shapes
    end: str | None
    opset: int | None
    dynamic: bool
    prepared: tuple[str, ...]
    external: bool | None
    level: int
    stages: tuple[str, ...]


def _preprocess(given: tuple[str, ...]) -> dict[str, object] | None:
    """KEY=VALUE as `cf.export` takes them."""
    exported: dict[str, object] = {}
    for each in given:
        key, equals, value = each.partition("=")
        if key not in ("mean", "scale", "order") or not equals:
            raise click.BadParameter(
                f"{each!r}: write mean=104,117,123 or mean=FILE, scale=0.017, order=RGB", param_hint="--preprocess"
            )
        try:
            if key == "scale":
                exported[key] = float(value)
            elif key == "mean" and not Path(value).exists():
                exported[key] = [float(number) for number in value.split(",")]
            else:
                exported[key] = value
        except ValueError:
            raise click.BadParameter(f"{each!r}: neither a file nor numbers", param_hint="--preprocess") from None
    return exported or None


@click.command("export", short_help="Write a net as an ONNX file or a NumPy script.")
@click.argument("net", type=click.Path())
@click.option("--weights", multiple=True, required=True, type=click.Path(), help="Weights to copy by layer name.")
@click.option("-o", "--output", required=True, type=click.Path(), help="model.onnx, or model.py for a NumPy script.")
@inputs_option
@click.option("--end", metavar="LAYER", help="The last layer to export.")
@click.option("--opset", type=int, help="The version of ONNX's operators, 13 or later.  [default: 17]")
@click.option("--dynamic", is_flag=True, help="Take batches of any size, and images if the net allows it.")
@click.option("--preprocess", "prepared", multiple=True, metavar="KEY=VALUE", help="mean=, scale= or order= of images.")
@click.option(
    "--external", is_flag=True, default=None, help="Write the weights to a file of their own, model.onnx.data."
)
@click.option("--check/--no-check", default=True, show_default=True, help="Compare the file's outputs with the net's.")
@level_option
@stages_option
@as_json_option
def command(
    net: str, weights: tuple[str, ...], output: str, check: bool, as_json: bool, **options: Unpack[_Options]
) -> None:
    """Write a net with its weights as an ONNX file, or as a script that needs only NumPy.

    The file and the net run on the same random input. The exit code is 1 if a blob differs by more than 1e-4 of its
    largest value, or in a script by one bit. With --preprocess the file takes images of 0..255, in RGB unless
    order=BGR.

    \b
    Example:
      caffe-fillers export deploy.prototxt --weights googlenet.caffemodel \\
        -o googlenet.onnx --dynamic
    """
    prepared = _preprocess(options["prepared"])
    with progress(f"exporting {net}"):
        built = cf.Net(
            net,
            "TEST",
            level=options["level"],
            stages=options["stages"],
            weights=list(weights),
            inputs=shapes(options["inputs"]),
            rng=0,
        )
        exported = cf.export(
            built,
            output,
            end=options["end"],
            opset=options["opset"],
            dynamic=options["dynamic"],
            preprocess=prepared,
            external=options["external"],
            check=check,
        )
    if as_json:
        _print_json(exported)
    else:
        _report(exported)
    if exported.check is not None and not exported.check:
        raise SystemExit(DIFFERS)


def _print_json(exported: cf.Exported) -> None:
    found: dict[str, object] = {
        "files": [str(file) for file in exported.files],
        "inputs": exported.inputs,
        "outputs": exported.outputs,
        "values": exported.values,
        "notes": exported.notes,
        "check": None,
    }
    if exported.check is not None:
        rows = [
            {"blob": row.name, "largest": row.largest, "relative": row.relative, "same": row.same}
            for row in exported.check.rows
        ]
        found["check"] = {"agrees": bool(exported.check), "blobs": rows}
    print_json(found)


def _report(exported: cf.Exported) -> None:
    for note in exported.notes:
        click.echo(f"note: {note}")
    for kind, values in (("input", exported.inputs), ("output", exported.outputs)):
        for name, dims in values.items():
            click.echo(f"{kind} {name} {'x'.join(map(str, dims))}")
    if exported.check is not None:
        rows = [
            {
                "blob": row.name if row.same else f"{row.name} (differs)",
                "largest": row.largest,
                "relative": row.relative,
            }
            for row in exported.check.rows
        ]
        columns = [("blob", "blob", "left"), ("largest", "largest difference", "right")]
        print_table(rows, [*columns, ("relative", "of its largest value", "right")])
        click.echo(f"{exported.check}")
    click.echo(f"wrote {', '.join(map(str, exported.files))}")
