"""Resizes 8-bit images as OpenCV does: bilinear, in integer arithmetic."""

from __future__ import annotations

import numpy as np

from ..arrays import Bytes

__all__ = ["resize"]

_BITS = 11  # of a weight's fraction
_ONE = 1 << _BITS


def resize(image: Bytes, height: int, width: int) -> Bytes:
    """Resize an image by bilinear interpolation, bit for bit as OpenCV's ``resize`` with ``INTER_LINEAR``.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width) or (height, width, 1, 3 or 4)
        Not empty.
    height, width : int
        Of the result, above zero.

    Returns
    -------
    ndarray of uint8, shape (height, width) or (height, width, channels)

    Notes
    -----
    A pixel's centre lies at its index plus one half. Weights are rounded to 11 bits, sums are cut to 16 bits on their
    way and rounded once at the end. Other libraries round elsewhere, or smooth first where they make an image smaller
    (Pillow does).

    Examples
    --------
    >>> resize(np.array([[0, 100]], np.uint8), 1, 4)
    array([[  0,  25,  75, 100]], dtype=uint8)
    """
    rows, columns = image.shape[:2]
    if (height, width) == (rows, columns):
        return image.copy()
    left, right, part = _places(columns, width)
    part = part.reshape(1, -1, *[1] * (image.ndim - 2))
    across = image[:, left] * (_ONE - part) + image[:, right] * part
    above, below, part = _places(rows, height)
    part = part.reshape(-1, *[1] * (image.ndim - 1))
    sums = ((across[above] >> 4) * (_ONE - part) >> 16) + ((across[below] >> 4) * part >> 16)
    resized: Bytes = ((sums + 2) >> 2).astype(np.uint8)
    return resized


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two pixels between which each new one lies, and the second one's share in 2048ths."""
    scale = 1.0 / (new / old)
    exact = ((np.arange(new) + 0.5) * scale - 0.5).astype(np.float32)
    first = np.floor(exact).astype(np.intp)
    share = exact - first.astype(np.float32)
    part = np.rint(share * np.float32(_ONE)).astype(np.int32)
    return np.clip(first, 0, old - 1), np.clip(first + 1, 0, old - 1), part
