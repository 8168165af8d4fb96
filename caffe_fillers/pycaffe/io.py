"""caffe.io: converts between arrays and Caffe's messages, loads images, and has the Transformer."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import schema
from ..errors import CaffeError
from .images import load_image, oversample, resize_image
from .proto import caffe_pb2
from .transformer import Transformer

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

Array = np.ndarray


def blobproto_to_array(blob: schema.BlobProto, return_diff: bool = False) -> Array:
    """Return the data of a BlobProto, or its diff, as an array of doubles.

    Parameters
    ----------
    blob : BlobProto
        Of the old form (num, channels, height, width) or the new one (shape).
    return_diff : bool, optional

    Raises
    ------
    CaffeError
        If it does not hold as many values as its shape says.

    Examples
    --------
    >>> from caffe_fillers.pycaffe.proto import caffe_pb2
    >>> blobproto_to_array(caffe_pb2.BlobProto(num=1, channels=1, height=1, width=2, data=[3, 4])).tolist()
    [[[[3.0, 4.0]]]]
    """
    part = "diff" if return_diff else "data"
    data = np.array(getattr(blob, part) or getattr(blob, f"double_{part}"), np.float64)
    legacy = ("num", "channels", "height", "width")
    old = any(blob.HasField(name) for name in legacy)
    shape = tuple(getattr(blob, name) for name in legacy) if old else tuple(blob.shape.dim)
    try:
        return data.reshape(shape)
    except ValueError:
        raise CaffeError(f"a BlobProto of shape {shape} holds {data.size} values of {part}") from None


def array_to_blobproto(arr: Array, diff: Array | None = None) -> schema.BlobProto:
    """Return a BlobProto that holds `arr` and, where given, `diff` of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> blobproto_to_array(array_to_blobproto(np.eye(2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    blob = schema.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).ravel().tolist())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """Return the bytes of a BlobProtoVector that holds the arrays."""
    data: bytes = schema.BlobProtoVector(blobs=map(array_to_blobproto, arraylist)).SerializeToString()
    return data


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:
    """Return the arrays that the bytes of a BlobProtoVector hold."""
    return [blobproto_to_array(blob) for blob in schema.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: Array, label: int | None = None) -> schema.Datum:
    """Return a Datum that holds an array: bytes where it is of uint8, floats otherwise.

    Parameters
    ----------
    arr : ndarray, shape (channels, height, width)
    label : int, optional

    Raises
    ------
    CaffeError
        If the array has not three axes.

    Examples
    --------
    >>> import numpy as np
    >>> datum = array_to_datum(np.zeros((3, 2, 2), np.uint8), label=7)
    >>> datum.channels, len(datum.data), datum.label
    (3, 12, 7)
    """
    if arr.ndim != 3:
        raise CaffeError(f"Incorrect array shape.\na Datum holds (channels, height, width), got {arr.shape}")
    datum = schema.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel().tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: schema.Datum) -> Array:
    """Return the values of a Datum as (channels, height, width), of uint8 or of doubles.

    Raises
    ------
    CaffeError
        If the Datum holds an encoded image, or not as many values as its shape says.
    """
    if datum.encoded:
        raise CaffeError("this Datum holds an encoded image: read it with load_image(io.BytesIO(datum.data))")
    values = np.frombuffer(datum.data, np.uint8).copy() if datum.data else np.array(datum.float_data, float)
    shape = (datum.channels, datum.height, datum.width)
    if values.size != np.prod(shape):
        raise CaffeError(f"a Datum of shape {shape} holds {values.size} values")
    return values.reshape(shape)


def __getattr__(name: str) -> object:
    if name in ("resize", "skimage", "zoom"):
        raise CaffeError(f"caffe.io.{name}, of scikit-image or SciPy, is not supported: import it from there")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
