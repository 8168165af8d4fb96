"""The shapes that data layers read off their first record, as far as the data lie on this machine.

Each function returns ``None`` where there is no source, so that the caller can ask for the shape; a source that is
there but cannot be read is an error.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from .. import schema
from ..errors import CaffeError
from .databases import Database, open_database, write_database
from .idx import read_idx

__all__ = [
    "Database",
    "datum_shape",
    "hdf5_shapes",
    "image_shape",
    "open_database",
    "read_idx",
    "window_shape",
    "write_database",
]

_LINE = 64 << 10  # no path is longer
_ORIENTATION = 0x0112
_ASK = "give its shape instead: inputs={NAME: (C, H, W)} or --input NAME=CxHxW"


def datum_shape(
    source: str, *, lmdb: bool = True, force_color: bool = False, force_gray: bool = False
) -> tuple[int, int, int] | None:
    """Return (channels, height, width) of a database's first datum.

    Parameters
    ----------
    source : str
        The database's folder (or an LMDB in a single file), relative to the working directory.
    lmdb : bool
        What the prototxt says the backend is; LevelDB, the default of Caffe's, is not read here.
    force_color, force_gray : bool
        Of transform_param; they change the channels of an encoded image.

    Raises
    ------
    CaffeError
        If the database is a LevelDB, damaged or empty, or a package for reading it is missing.
    """
    path = _existing(source)
    if path is None:
        return None
    if not lmdb and not (path / "data.mdb").is_file():
        if (path / "CURRENT").exists():
            raise CaffeError(f"{path}: is a LevelDB, which is not read here; {_ASK}")
        return None
    value = open_database(path, f", or {_ASK}").first()
    if value is None:
        raise CaffeError(f"{path}: the LMDB is empty; {_ASK}")
    datum: Any = schema.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError as error:
        raise CaffeError(f"{path}: the first record is no Datum ({error}); {_ASK}") from None
    if not datum.encoded:
        return datum.channels, datum.height, datum.width
    return _encoded(path, datum.data, force_color, force_gray)


def _encoded(path: Path, data: bytes, color: bool, gray: bool) -> tuple[int, int, int]:
    with _opened(path, io.BytesIO(data)) as image:
        width, height = _upright(image) if color or gray else image.size
        channels = len(image.getbands()) if image.mode != "P" else 3
        # OpenCV keeps an image as it is, but for palettes, and two bands become four
        channels = {2: 4}.get(channels, channels)
    return (3 if color else 1 if gray else channels), height, width


def image_shape(source: str, root_folder: str = "") -> tuple[int, int, int] | None:
    """Return (3, height, width) of the first image in an ImageData layer's list, ``path label`` in each line.

    Raises
    ------
    CaffeError
        If the list has no images, the image is missing or damaged, or Pillow is missing.
    """
    path = _existing(source)
    if path is None:
        return None
    for line in _lines(path):
        # as Caffe: the label stands behind the last blank
        name = line.rpartition(" ")[0] or line
        if not name:
            continue
        file = _beside(path, root_folder + name)
        with _opened(file, file) as image:
            width, height = _upright(image)
        return 3, height, width
    raise CaffeError(f"{path}: the list names no image: lines of 'path label' are needed")


def window_shape(source: str) -> tuple[int, int, int] | None:
    """Return (channels, height, width) as the last image in a window file states them.

    A window file is a sequence of ``# index``, path, channels, height, width, number of windows, and as many lines of
    six numbers.

    Raises
    ------
    CaffeError
        If the file is not of that form.
    """
    path = _existing(source)
    if path is None:
        return None
    shape = None
    words = (word for line in _lines(path) for word in line.split())
    for mark in words:
        if mark != "#":
            raise CaffeError(f"{path}: is no window file: an image begins with '# index', not with {mark[:40]!r}")
        try:
            next(words), next(words)
            channels, height, width, windows = (int(next(words)) for _ in range(4))
            for _ in range(6 * windows):
                float(next(words))
        except (StopIteration, RuntimeError, ValueError):
            raise CaffeError(f"{path}: is no window file: the image after '#' is incomplete") from None
        shape = channels, height, width
    if shape is None:
        raise CaffeError(f"{path}: the window file names no image")
    return shape


def hdf5_shapes(source: str, tops: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the whole shapes of the datasets named as `tops` in the first file of an HDF5Data layer's list.

    Empty where there is no list.

    Raises
    ------
    CaffeError
        If the list is empty, the file is missing or no HDF5, or a dataset is missing from it.
    """
    path = _existing(source)
    if path is None:
        return {}
    first = next((word for line in _lines(path) for word in line.split()), None)
    if first is None:
        raise CaffeError(f"{path}: the list names no HDF5 file")
    try:
        import h5py
    except ImportError:
        raise CaffeError(
            f"{path}: to read HDF5: pip install 'caffe_fillers[hdf5]', or give each dataset's shape: --input TOP=DIMS"
        ) from None
    name = _beside(path, first)
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with h5py.File(name, "r") as file:
            for top in tops:
                if isinstance(file.get(top, getlink=True), h5py.ExternalLink):
                    raise CaffeError(f"{name}: the dataset '{top}' is a link to another file, which is not followed")
                dataset = file.get(top)
                if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
                    raise CaffeError(f"{name}: holds no dataset '{top}', which {path} needs for that top")
                if dataset.dtype.kind not in "iuf" or h5py.check_enum_dtype(dataset.dtype):
                    raise CaffeError(f"{name}: dataset '{top}' holds {dataset.dtype}; Caffe reads numbers only")
                shapes[top] = tuple(int(dim) for dim in dataset.shape)
    except CaffeError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise CaffeError(f"{name}: (named in {path}) cannot be read as HDF5: {error}") from None
    return shapes


def _existing(source: str) -> Path | None:
    if not source or "\0" in source:
        return None
    try:
        os.stat(source)
    except OSError:
        return None
    return Path(source)


def _beside(source: Path, name: str) -> Path:
    """Find a listed file from the working directory, as Caffe does, else from the list's own folder."""
    if "\0" in name:
        raise CaffeError(f"{source}: the path {name!a} holds a NUL")
    here = Path(name)
    return here if here.exists() or here.is_absolute() else max(here, source.parent / name, key=os.path.exists)


def _lines(path: Path) -> Iterator[str]:
    try:
        with open(path, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CaffeError(f"{path}: is not a regular file")
            while line := file.readline(_LINE):
                if len(line) == _LINE:
                    raise CaffeError(f"{path}: is no list: a line is longer than {_LINE} bytes")
                yield os.fsdecode(line).rstrip("\r\n")
    except OSError as error:
        raise CaffeError(f"{path}: cannot be read: {error.strerror or error}") from None


def _upright(image: Any) -> tuple[int, int]:
    # OpenCV turns a photograph as its camera says, but for an encoded datum that is taken as it is
    width, height = image.size
    turned = image.format == "JPEG" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


@contextmanager
def _opened(where: Path, image: Any) -> Iterator[Any]:
    """Open an image, of which only the header is read."""
    try:
        from PIL import Image
    except ImportError:
        raise CaffeError(f"{where}: to read images: pip install 'caffe_fillers[images]', or {_ASK}") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a large image is no danger while it is not decoded
            opened = Image.open(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CaffeError(f"{where}: cannot be read as an image: {error}") from None
    with opened:
        yield opened
