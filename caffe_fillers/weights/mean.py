"""Mean files: one blob in a ``.binaryproto``, as Caffe's compute_image_mean writes it, or a ``.npy``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from ..arrays import Array
from ..carried import varint
from ..errors import CaffeError
from ..files import as_path, check_readable, replacing
from ._set import stored
from ._wire import BYTES, VARINT, Wire, blob_parts

__all__ = ["load_mean", "save_mean"]


def load_mean(path: str | os.PathLike[str]) -> Array:
    """Read a mean image.

    Parameters
    ----------
    path : str or PathLike
        A ``.binaryproto`` of Caffe's, or a ``.npy``; the content tells which.

    Returns
    -------
    ndarray, shape (channels, height, width)
        float32 or float64, as stored. A mean of C3D's clips has one more axis after the channels, their length.

    Raises
    ------
    CaffeError
        If the file can't be read, is damaged, or does not hold one image.

    Examples
    --------
    >>> import numpy as np
    >>> from caffe_fillers.weights import load_mean, save_mean
    >>> save_mean("mean.binaryproto", np.full((3, 2, 2), 104, np.float32))
    >>> load_mean("mean.binaryproto").shape
    (3, 2, 2)
    """
    from .npz import read_npy

    source = as_path(path)
    size = check_readable(source)
    if size == 0:
        raise CaffeError(f"{source}: is empty")
    with open(source, "rb") as file:
        is_npy = file.read(6) == b"\x93NUMPY"
        file.seek(0)
        array = read_npy(f"{source}: the array", file, size) if is_npy else _read_blob(source)
    shape = array.shape[1:] if array.ndim in (4, 5) and array.shape[0] == 1 else array.shape
    clips = array.ndim == 5 and len(shape) == 4  # a mean of C3D's clips
    if len(shape) != 3 and not clips:
        raise CaffeError(f"{source}: a mean image has the shape (channels, height, width), but this has {array.shape}")
    return array.reshape(shape)


def _read_blob(path: Path) -> Array:
    with Wire(path) as wire:
        # only its fields tell a blob from other messages
        kinds = {field.number: field.kind for field in wire.fields(0, wire.size)}
        if kinds.get(1, VARINT) != VARINT or kinds.get(7, BYTES) != BYTES or not kinds.keys() & {5, 6, 8}:
            raise CaffeError(f"{path}: is no mean file (a BlobProto): weights are read with load_weights")
        array, _ = wire.blob(0, wire.size, "the blob")
    return array


def save_mean(path: str | os.PathLike[str], mean: Array) -> None:
    """Write a mean image; the file is complete or absent.

    Parameters
    ----------
    path : str or PathLike
        ``.binaryproto`` (num 1, channels, height, width, as Caffe writes it) or ``.npy``.
    mean : ndarray, shape (channels, height, width)
        float32 or float64.

    Raises
    ------
    CaffeError
        If the shape, the dtype or the suffix is another, or the file can't be written.

    Examples
    --------
    >>> import numpy as np
    >>> import caffe_fillers as cf
    >>> cf.save_mean("mean.npy", np.full((3, 2, 2), 104, np.float32))
    >>> cf.load_mean("mean.npy").shape
    (3, 2, 2)
    """
    target = as_path(path)
    if not isinstance(mean, np.ndarray) or mean.ndim != 3:
        raise CaffeError(
            f"{target}: a mean image has the shape (channels, height, width), got {getattr(mean, 'shape', mean)!r}"
        )
    array = stored(target, "mean", 0, mean)
    suffix = target.suffix.lower()
    if suffix == ".npy":
        with replacing(target) as temporary, open(temporary, "wb") as file:
            npy.write_array(file, array, allow_pickle=False)
    elif suffix == ".binaryproto":
        old = b"".join(bytes([number << 3]) + varint(dim) for number, dim in enumerate((1, *array.shape), 1))
        values, _ = blob_parts(array.reshape(-1))
        with replacing(target) as temporary, open(temporary, "wb") as file:
            file.write(old)
            for part in values[:-1] if array.itemsize == 4 else values[1:]:
                file.write(part)
    else:
        raise CaffeError(f"{target}: the suffix names no format of mean files: use .binaryproto or .npy")
