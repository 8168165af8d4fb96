"""caffe-fillers run."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import click
import numpy as np

import caffe_fillers as cf

from .options import NetOptions, as_json_option, blas_option, blas_threads, build, with_net_options
from .output import print_json, print_table, progress, std

__all__ = ["command"]

# array files; any other file is an image
_ARRAYS = (".npy", ".npz")
# what an .npz of weights holds beside its arrays
_WEIGHTS = "provenance.json"


class _Options(NetOptions):
    chosen: tuple[str, ...]
    mean: str | None
    scale: float
    bgr: bool
    top: int | None
    labels: str | None
    blas: int | None


_Class = TypedDict("_Class", {"class": int, "value": float, "label": str})


class _Classes(TypedDict):
    blob: str
    item: int
    classes: list[_Class]


# a trained model is run in phase TEST
@click.command(
    "run",
    short_help="Run a net forward once, over arrays or images.",
    context_settings={"default_map": {"phase": "TEST"}},
)
@click.argument("net", metavar="NET", type=click.Path())
@click.argument("given", metavar="[NAME=]INPUT...", nargs=-1)
@click.option("-o", "--output", metavar="OUT.npz", help="Write the blobs, by name, for numpy.load.")
@click.option("--blob", "chosen", multiple=True, help="A blob to print and write; may be repeated.  [default: all]")
@click.option("--mean", help="Subtract this from images: a mean file, or a value per channel such as 104,117,123.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Multiply images by this after the mean.")
@click.option("--bgr/--rgb", "bgr", default=True, help="The order of an image's channels.  [default: bgr]")
@click.option("--top", "top", type=click.IntRange(1), help="Print this many classes with the highest values.")
@click.option("--labels", type=click.Path(), help="The names of the classes for --top, one per line.")
@with_net_options
@blas_option
@as_json_option
def command(net: str, given: tuple[str, ...], output: str | None, as_json: bool, **options: Unpack[_Options]) -> None:
    """Run NET forward once, over arrays (.npy, .npz) or images, and show the values of every blob.

    Images, with pixels from 0 to 255, are read and resized as in OpenCV and form a batch. An .npz holds arrays by the
    inputs' names. NAME= gives a file to that input, otherwise to the first input without a file.

    \b
    Example:
      caffe-fillers run deploy.prototxt --weights net.caffemodel cat.jpg \\
        --mean 104,117,123 --top 5
    """
    if options["labels"] and not options["top"]:
        raise click.BadParameter("it names the classes that --top prints", param_hint="--labels")
    if output and not output.lower().endswith(".npz"):
        raise click.BadParameter(f"{output}: blobs are written to an .npz", param_hint="-o")
    labels = _labels(options["labels"]) if options["labels"] else None
    with progress(f"running {net}"), blas_threads(options["blas"]):
        built, _ = build(net, options)
        names = list(dict.fromkeys(options["chosen"])) or list(built.blobs)
        unknown = [name for name in names if name not in built.blobs]
        if unknown:
            raise cf.CaffeError(f"no blob is named {', '.join(unknown)}; there are {', '.join(built.blobs)}")
        if built.params and not options["pretrained"]:
            click.echo("note: no --weights are given, so this is the net before it is trained", err=True)
        _give(built, given, options)
        outputs = built.forward()
    rows = [_row(name, built.blobs[name].data) for name in names]
    classes = _classes(outputs, options["top"], labels) if options["top"] else []
    if output:
        cf.save_blobs(built, output, names)
    if as_json:
        print_json({"net": built.name, "phase": built.phase, "blobs": rows, "classes": classes})
        return
    columns = [("mean", "mean", "right"), ("std", "deviation", "right")]
    print_table(rows, [("blob", "blob", "left"), ("shape", "shape", "right"), *columns])
    for found in classes:
        click.echo(f"\n{found['blob']}, item {found['item']}")
        for each in found["classes"]:
            click.echo(f"{each['value']:12.6g}  {each['label']}")
    if output:
        click.echo(f"\nwrote {output}")


def _row(name: str, values: np.ndarray) -> dict[str, object]:
    with np.errstate(all="ignore"):
        mean = float(values.mean(dtype=np.float64)) if values.size else float("nan")
    return {"blob": name, "shape": values.shape, "mean": mean, "std": std(values)}


def _labels(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise cf.CaffeError(f"{path}: the labels cannot be read: {error.strerror or error}") from None


def _give(net: cf.Net, given: tuple[str, ...], options: _Options) -> None:
    """Write the files to the net's inputs, whose batches and sizes follow the files."""
    # tops of layers without bottoms: Input, or data layers without a source
    names = [name for layer in net.layers if not layer.bottoms for name in layer.tops]
    images: dict[str, list[str]] = {}
    arrays: dict[str, np.ndarray] = {}
    for argument in given:
        head, equals, path = argument.partition("=")
        wanted = head if equals and not os.path.exists(argument) else None
        path = argument if wanted is None else path
        if path.lower().endswith(_ARRAYS):
            for inside, array in _read_arrays(path).items():
                name = wanted or inside or _next(names, {*arrays, *images}, path)
                if name in arrays:
                    raise cf.CaffeError(f"{path}: input {name} is given twice")
                arrays[name] = array
        else:
            name = wanted or next((name for name in names if name in images), None) or _next(names, arrays, path)
            images.setdefault(name, []).append(path)
    for name in (*arrays, *images):
        if name not in names:
            raise cf.CaffeError(f"the net has no input {name}; it has {', '.join(names) or 'none'}")
        if name in arrays and name in images:
            raise cf.CaffeError(f"input {name} is given an array and images")
    changed = [f"--{key}" for key, given in _changes(options).items() if given]
    if changed and not images:
        raise click.UsageError(
            f"{' and '.join(changed)} change images, and no image is given; arrays are taken as they are"
        )
    missing = [name for layer in net.layers if layer.type == "Input" for name in layer.tops]
    missing = [name for name in missing if name not in arrays and name not in images]
    if missing:
        raise cf.CaffeError(
            f"the net's input {missing[0]} is not given\n"
            f"give its file, {missing[0]}=FILE: an array (.npy, .npz) or an image"
        )
    mean = _mean(options["mean"])
    for name, paths in images.items():
        shape = net.blobs[name].shape
        if len(shape) != 4:
            raise cf.CaffeError(
                f"{paths[0]}: input {name} has shape {shape}, an image needs (batch, channels, height, width)"
            )
        arrays[name] = np.stack(
            [
                cf.prepare_image(path, shape[1:], mean=mean, scale=options["scale"], rgb=not options["bgr"])
                for path in paths
            ]
        )
    for name, array in arrays.items():
        net.blobs[name].reshape(*array.shape)
        net.blobs[name].data[...] = array


def _changes(options: _Options) -> dict[str, bool]:
    """Return which options change the pixels of images."""
    return {"mean": options["mean"] is not None, "scale": options["scale"] != 1, "rgb": not options["bgr"]}


def _next(names: list[str], taken: Container[str], path: str) -> str:
    for name in names:
        if name not in taken:
            return name
    raise cf.CaffeError(f"{path}: the net has no input left for it; it has {', '.join(names) or 'none'}")


def _read_arrays(path: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name; the array of an .npy has an empty name."""
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except OSError as error:
        raise cf.CaffeError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError, SyntaxError, zipfile.BadZipFile, NotImplementedError) as error:
        raise cf.CaffeError(f"{path}: holds no arrays: {error}") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            if name == _WEIGHTS:
                raise cf.CaffeError(f"{path}: is a file of weights, not of inputs: give it as --weights {path}")
            raise cf.CaffeError(f"{path}: {name or 'the array'} holds no numbers")
    return arrays


def _mean(text: str | None) -> np.ndarray | None:
    if text is None:
        return None
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        return cf.load_mean(text)


def _classes(outputs: Mapping[str, np.ndarray], count: int, labels: list[str] | None) -> list[_Classes]:
    """Return the classes with the highest values, for each item of each output that has classes."""
    scores = {
        name: values for name, values in outputs.items() if values.ndim > 1 and values[:1].size == values.shape[1]
    }
    if not scores:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
        raise cf.CaffeError(f"--top needs an output of shape (items, classes), this net has {shapes or 'none'}")
    found: list[_Classes] = []
    for name, values in scores.items():
        if labels is not None and len(labels) != values.shape[1]:
            raise cf.CaffeError(f"there are {len(labels)} labels for the {values.shape[1]} classes of {name}")
        for item, row in enumerate(values.reshape(len(values), -1)):
            best = np.argsort(-row, kind="stable")[:count]
            classes: list[_Class] = [
                {"class": int(k), "value": float(row[k]), "label": str(k) if labels is None else labels[k]}
                for k in best
            ]
            found.append({"blob": name, "item": item, "classes": classes})
    return found
