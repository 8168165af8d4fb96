"""Prepares an image for a net's input, as the tutorials of Caffe's time do."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .errors import CaffeError

__all__ = ["prepare_image"]


def prepare_image(
    image: str | os.PathLike[str] | np.ndarray,
    shape: Sequence[int],
    *,
    mean: object = None,
    scale: float = 1.0,
    rgb: bool = False,
) -> np.ndarray:
    """Read an image and convert it for a net's input: ``(pixels - mean) * scale``.

    Parameters
    ----------
    image : str, PathLike or ndarray of uint8
        The path of a file, or the pixels in OpenCV's order: (height, width, 3), blue first, or (height, width).
    shape : (channels, height, width)
        The shape of the input without the batch; 1 channel for gray, 3 for colours.
    mean : array_like, optional
        The values to subtract, in the order of the result's channels: one value, one per channel, or a mean image
        (channels, height, width), which `load_mean` reads. If a mean image has another size, its mean per channel is
        subtracted, as in Caffe's classification example. None subtracts nothing.
    scale : float, optional
        The factor to multiply by after that.
    rgb : bool, optional
        Put red first. Caffe's models take blue first, unless their authors say otherwise.

    Returns
    -------
    ndarray of float32, shape `shape`

    Raises
    ------
    CaffeError
        If the file is no image, Pillow is missing (the extra `images`), the pixels are not uint8, or the mean or the
        shape is not one of those above.

    Notes
    -----
    Pixels range from 0 to 255. They are read and resized bit for bit as in OpenCV, which Caffe uses; a JPEG may differ
    by a level or two. pycaffe's ``caffe.io`` reads and resizes in another way: for its bits use
    `caffe_fillers.pycaffe`.

    Examples
    --------
    >>> import numpy as np
    >>> blue = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    >>> prepare_image(blue, (3, 2, 2), mean=(104, 117, 123))[:, 0, 0].tolist()
    [151.0, -117.0, -123.0]
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise CaffeError(f"an image needs an input of shape (1 or 3, height, width), got {tuple(shape)}")
    channels, height, width = (int(dim) for dim in shape)
    if rgb and channels == 1:
        raise CaffeError("an input of one channel is gray: it has no red to put first")
    subtracted = _mean(mean, (channels, height, width))
    pixels = _pixels(image, channels, height, width)
    values = pixels.astype(np.float32)[None] if channels == 1 else pixels.transpose(2, 0, 1).astype(np.float32)
    if rgb:
        values = values[::-1]
    values -= subtracted
    values *= np.float32(scale)
    return np.ascontiguousarray(values)


def _pixels(image: object, channels: int, height: int, width: int) -> np.ndarray:
    # import the file readers only for callers with a file
    from .records import read_image, resize

    if isinstance(image, (str, os.PathLike)):
        return read_image(os.fspath(image), height, width, color=channels == 3)
    wanted = "(height, width, 3)" if channels == 3 else "(height, width)"
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != (3 if channels == 3 else 2) or pixels.shape[2:] not in ((), (3,)):
        raise CaffeError(
            f"pixels for {channels} channel{'s' * (channels > 1)} are bytes of shape {wanted}, "
            f"got {pixels.dtype} of shape {pixels.shape}"
        )
    if not pixels.size:
        raise CaffeError("the image is empty")
    return resize(pixels, height, width)


def _mean(mean: object, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the mean as an array that broadcasts over the image."""
    if mean is None:
        return np.zeros((1, 1, 1), np.float32)
    values = np.asarray(mean)
    if values.dtype.kind not in "iuf" or values.ndim not in (0, 1, 3) or (values.ndim and len(values) != shape[0]):
        raise CaffeError(
            f"a mean is one value, one for each of {shape[0]} channels, or an image of shape {shape}; "
            f"got an array of {values.dtype} of shape {values.shape}"
        )
    if values.ndim == 3 and values.shape != shape:
        values = values.mean((1, 2), dtype=np.float64)
    if values.ndim < 3:
        values = values.reshape(-1, 1, 1)
    return values.astype(np.float32)
