"""Images in the form that pycaffe's scripts use: float32 in [0, 1], height x width x channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

import numpy as np

from ..errors import CaffeError

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["load_image", "oversample", "resize_image"]

Array = np.ndarray

# scikit-image's weights of red, green and blue
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])


def load_image(filename: str | os.PathLike[str] | IO[bytes], color: bool = True) -> Array:
    """Read an image through Pillow.

    Parameters
    ----------
    filename : str, PathLike or binary file
    color : bool, optional
        With False the luminance, 0.2125 R + 0.7154 G + 0.0721 B.

    Returns
    -------
    ndarray of float32, shape (height, width, 3), or (height, width, 1) without `color`
        RGB in [0, 1]; transparency is dropped.

    Raises
    ------
    CaffeError
        If Pillow is missing (the extra `images`), or the file is no image.

    Notes
    -----
    pycaffe reads through scikit-image, which for PNG and JPEG uses Pillow itself: the values are the same bits.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 2), (255, 0, 51)).save(file, "PNG")
    >>> load_image(file)[0, 0].tolist()
    [1.0, 0.0, 0.20000000298023224]
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise CaffeError("to read images: pip install 'caffe_fillers[images]'") from None
    try:
        with Image.open(filename) as image:
            values = _unit(_pixels(image))
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise CaffeError(f"can't read the image {filename}: {getattr(error, 'strerror', None) or error}") from None
    if values.ndim == 3 and not color:
        values = values @ _LUMINANCE
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3 if color else 1, axis=2)
    return np.ascontiguousarray(values, np.float32)


def _pixels(image: PIL.Image.Image) -> Array:
    """Return the image as (height, width) or (height, width, 3), in its own range."""
    mode = image.mode
    if mode in ("LA", "La"):
        image = image.convert("L")
    elif mode not in ("1", "L", "F", "RGB") and not mode.startswith("I"):
        image = image.convert("RGB")
    return np.asarray(image)


def _unit(pixels: Array) -> Array:
    """Return the values as doubles in [0, 1]."""
    if pixels.dtype.kind in "bf":
        return pixels.astype(np.float64)
    # images of 32-bit integers hold 16 bits
    return pixels * (1.0 / (255 if pixels.dtype == np.uint8 else 65535))


def resize_image(im: Array, new_dims: Sequence[int] | Array, interp_order: int = 1) -> Array:
    """Resize an image as pycaffe did: each new pixel is interpolated from the four around it.

    Parameters
    ----------
    im : ndarray, shape (height, width, channels)
    new_dims : (height, width)
    interp_order : {1, 0}, optional
        Linear, or the nearest pixel.

    Returns
    -------
    ndarray of float32, shape (*new_dims, channels)

    Raises
    ------
    CaffeError
        For another order, or an array that is no image.

    Notes
    -----
    Pixels lie in the middles of their squares, and beyond the border lies the image's smallest value, for one and
    three channels; any other number of channels goes from corner to corner. So scikit-image (`resize` with
    ``mode="constant"``, without anti-aliasing, its default up to 0.14) and SciPy (`zoom`) do for pycaffe. scikit-image
    of today blurs an image first when it shrinks it; pycaffe's models never saw that.

    Examples
    --------
    >>> import numpy as np
    >>> resize_image(np.arange(4.0).reshape(1, 4, 1), (1, 2)).ravel().tolist()
    [0.5, 2.5]
    """
    im = np.asarray(im)
    if im.ndim != 3:
        raise CaffeError(f"an image has the shape (height, width, channels), got {im.shape}")
    if interp_order not in (0, 1):
        raise CaffeError(f"interp_order is 1, linear, or 0, the nearest pixel, got {interp_order!r}")
    height, width = (int(dim) for dim in new_dims)
    if im.shape[-1] not in (1, 3):
        return np.asarray(_interpolated(im, height, width, interp_order, corners=True), np.float32)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((height, width, im.shape[-1]), low, np.float32)
    unit = _interpolated((im - low) / (high - low), height, width, interp_order, corners=False)
    return np.asarray(unit * (high - low) + low, np.float32)


def _interpolated(im: Array, height: int, width: int, order: int, corners: bool) -> Array:
    (left, right, x), (above, below, y) = (
        _taps(new, old, order, corners) for new, old in ((width, im.shape[1]), (height, im.shape[0]))
    )
    rows = x[0][:, None] * im[:, left] + x[1][:, None] * im[:, right]
    result: Array = y[0][:, None, None] * rows[above] + y[1][:, None, None] * rows[below]
    return result


def _taps(new: int, old: int, order: int, corners: bool) -> tuple[Array, Array, tuple[Array, Array]]:
    """Return for each new pixel of an axis the old ones before and after it, and their weights."""
    index = np.arange(new)
    at = index * ((old - 1) / (new - 1) if new > 1 else 0.0) if corners else (index + 0.5) * (old / new) - 0.5
    if order == 0:
        at = np.floor(at + 0.5)
    first = np.floor(at).astype(np.intp)
    part = at - first
    before = (1 - part) * ((first >= 0) & (first < old))
    behind = part * ((first + 1 >= 0) & (first + 1 < old))
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), (before, behind)


def oversample(images: Sequence[Array] | Array, crop_dims: Sequence[int] | Array) -> Array:
    """Cut ten crops out of each image: the corners, the middle, and their mirror images.

    Parameters
    ----------
    images : sequence of ndarray, each (height, width, channels)
        All of one shape.
    crop_dims : (height, width)

    Returns
    -------
    ndarray of float32, shape (10 * images, *crop_dims, channels)
        Image after image; above left, above right, below left, below right, middle, then these five mirrored.

    Raises
    ------
    CaffeError
        If the crop is larger than the images.

    Examples
    --------
    >>> import numpy as np
    >>> oversample([np.arange(9.0).reshape(1, 9, 1)], (1, 3))[[0, 1, 4, 5], 0, :, 0].tolist()
    [[0.0, 1.0, 2.0], [6.0, 7.0, 8.0], [3.0, 4.0, 5.0], [2.0, 1.0, 0.0]]
    """
    high, wide = (int(dim) for dim in crop_dims)
    height, width, channels = images[0].shape
    if high > height or wide > width:
        raise CaffeError(f"a crop of {high} x {wide} can't be cut out of an image of {height} x {width}")
    down, right = height - high, width - wide
    places = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    crops = np.empty((len(images), 2, 5, high, wide, channels), np.float32)
    for each, image in zip(crops, images, strict=True):
        for i, (y, x) in enumerate(places):
            each[0, i] = image[y : y + high, x : x + wide]
        each[1] = each[0, :, :, ::-1]
    return crops.reshape(-1, high, wide, channels)
