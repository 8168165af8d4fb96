"""IDX files, the format of MNIST: a magic number, the dims, the bytes."""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod

import numpy as np

from ..arrays import Bytes
from ..errors import CaffeError
from ..files import as_path, check_readable

__all__ = ["read_idx"]

_BYTES = b"\0\0\x08"  # the magic number's first three bytes: values are unsigned bytes
_MOST_AXES = 4
_MOST_PACKED = 1032  # deflate can't compress more than this


def read_idx(path: str | os.PathLike[str]) -> Bytes:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Parameters
    ----------
    path : str or PathLike
        ``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte.gz`` and the like; told by content.

    Returns
    -------
    ndarray of uint8
        Of the shape that the file states: (images, rows, columns) or (labels,).

    Raises
    ------
    CaffeError
        If the file cannot be read, is no IDX file of bytes, or ends early.
    """
    source = as_path(path)
    size = check_readable(source)
    try:
        with open(source, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            with gzip.open(plain) if packed else plain as file:
                magic = file.read(4)
                axes = magic[3] if len(magic) == 4 else 0
                if magic[:3] != _BYTES or not 1 <= axes <= _MOST_AXES:
                    raise CaffeError(
                        f"{source}: is no IDX file of unsigned bytes: it begins with {magic.hex(' ') or 'nothing'}, "
                        "not with 00 00 08 and the number of axes"
                    )
                dims = file.read(4 * axes)
                shape = tuple(int.from_bytes(dims[i : i + 4], "big") for i in range(0, 4 * axes, 4))
                # read no more than there can be, whatever the file declares
                values = file.read(min(prod(shape), size * (_MOST_PACKED if packed else 1)))
    except (OSError, EOFError, zlib.error) as error:
        raise CaffeError(f"{source}: cannot be read: {error}") from None
    if len(dims) < 4 * axes or len(values) < prod(shape):
        raise CaffeError(f"{source}: ends early: {len(values)} bytes of values where its header declares {shape}")
    return np.frombuffer(values, np.uint8).reshape(shape)
