"""Layers of Caffe's forks that enlarge or shrink images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from .operation import Operation, Work
from .pool import Mask

__all__ = ["Interp", "Reorg", "Upsample", "interpolate", "reorganize", "repeat_pixels", "upsample"]


def _line(size: int, to: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each of `to` places on a line of `size` the pixels before and after it, and the latter's weight."""
    step = np.float32(size - 1) / np.float32(to - 1) if to > 1 else np.float32(0)
    at = step * np.arange(to, dtype=np.float32)
    before = at.astype(np.intp)
    return before, before + (before < size - 1), (at - before.astype(np.float32)).astype(dtype)


def interpolate(x: Array, size: tuple[int, int], *, crop: tuple[int, int] = (0, 0), out: Array | None = None) -> Array:
    """Bilinear interpolation with the corners on the corners.

    Parameters
    ----------
    x : (images, channels, height, width)
    size : (height, width) of the result
    crop : how many pixels are left out in front and behind, on both axes
    out : array of the result's shape, optional

    References
    ----------
    hszhao/PSPNet, src/caffe/util/interp.cpp

    Examples
    --------
    >>> interpolate(np.float64([[[[0, 2], [4, 6]]]]), (3, 3))[0, 0]
    array([[0., 1., 2.],
           [2., 3., 4.],
           [4., 5., 6.]])
    """
    front, behind = crop
    x = x[..., front : x.shape[2] - behind, front : x.shape[3] - behind]
    if out is None:
        out = np.empty((*x.shape[:2], *size), x.dtype)
    if x.shape[2:] == tuple(size):
        out[...] = x
        return out
    up, down, low = _line(x.shape[2], size[0], x.dtype)
    left, right, far = _line(x.shape[3], size[1], x.dtype)
    # rows first: several rows of the result use each
    rows = (1 - far) * x[..., left] + far * x[..., right]
    low = low[:, None]
    np.multiply(1 - low, rows[..., up, :], out=out)
    out += low * rows[..., down, :]
    return out


def _interpolate_backward(dy: Array, crop: tuple[int, int], dx: Array) -> None:
    dx[...] = 0
    front, behind = crop
    dx = dx[..., front : dx.shape[2] - behind, front : dx.shape[3] - behind]
    if dx.shape == dy.shape:
        dx += dy
        return
    matrices = []
    for size, to in zip(dx.shape[2:], dy.shape[2:], strict=True):
        before, after, weight = _line(size, to, dy.dtype)
        matrix = np.zeros((to, size), dy.dtype)
        matrix[np.arange(to), before] += 1 - weight
        matrix[np.arange(to), after] += weight
        matrices.append(matrix)
    dx += np.matmul(matrices[0].T, np.matmul(dy, matrices[1]))


@dataclass(frozen=True, slots=True)
class Interp(Operation):
    """`interpolate` to the size of the top."""

    crop: tuple[int, int] = (0, 0)

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        interpolate(bottoms[0], (tops[0].shape[2], tops[0].shape[3]), crop=self.crop, out=tops[0])

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        if dbottoms[0] is not None:
            _interpolate_backward(dtops[0], self.crop, dbottoms[0])


def _places(mask: Mask, pixels: int) -> np.ndarray:
    """Return the index in the whole array of each element of the mask."""
    index = mask.reshape(math.prod(mask.shape[:2]), math.prod(mask.shape[2:])).astype(np.intp)
    wrong = (index < 0) | (index >= pixels)
    if wrong.any():
        raise CaffeError(
            f"upsample top index {index[wrong][0]} out of range: the mask points beyond {pixels} pixels\n"
            "the size must be that of the bottom of the Pooling that made the mask"
        )
    index += np.arange(len(index))[:, None] * pixels
    return index.reshape(-1)


def upsample(x: Array, mask: Mask, size: tuple[int, int], *, out: Array | None = None) -> Array:
    """Put each number at the place in its mask, and 0 elsewhere, as SegNet does with its poolings' masks.

    Parameters
    ----------
    x, mask : (images, channels, height, width)
        The mask is the second top of a Pooling.
    size : (height, width) of the result
    out : array of the result's shape, optional

    References
    ----------
    alexgkendall/caffe-segnet, src/caffe/layers/upsample_layer.cpp

    Examples
    --------
    >>> upsample(np.float64([[[[5]]]]), np.array([[[[3]]]]), (2, 2))[0, 0]
    array([[0., 0.],
           [0., 5.]])
    """
    index = _places(mask, math.prod(size))
    if out is None:
        out = np.empty((*x.shape[:2], *size), x.dtype)
    out[...] = 0
    out.reshape(-1)[index] = x.reshape(-1)
    return out


def repeat_pixels(x: Array, scale: int, *, out: Array | None = None) -> Array:
    """Make each pixel a square of `scale` x `scale`.

    Examples
    --------
    >>> repeat_pixels(np.float64([[1, 2]]), 2)
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.]])
    """
    *lead, height, width = x.shape
    if out is None:
        out = np.empty((*lead, height * scale, width * scale), x.dtype)
    out.reshape(*lead, height, scale, width, scale)[...] = x[..., :, None, :, None]
    return out


@dataclass(frozen=True, slots=True)
class Upsample(Operation):
    """`upsample` by the mask in bottom 1; with one bottom `repeat_pixels`, `scale` times."""

    scale: int = 0

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        if len(bottoms) > 1:
            upsample(bottoms[0], bottoms[1], (tops[0].shape[2], tops[0].shape[3]), out=tops[0])
        else:
            repeat_pixels(bottoms[0], self.scale, out=tops[0])

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        dy, dx = dtops[0], dbottoms[0]
        if len(bottoms) > 1:
            if len(dbottoms) > 1 and dbottoms[1] is not None:
                dbottoms[1][...] = 0
            if dx is not None:
                dx.reshape(-1)[...] = dy.reshape(-1)[_places(bottoms[1], math.prod(dy.shape[2:]))]
        elif dx is not None:
            *lead, height, width = dx.shape
            parts = dy.reshape(*lead, height, self.scale, width, self.scale)
            dx[...] = 0
            # column by column, as in the fork
            for i in range(self.scale):
                for j in range(self.scale):
                    dx += parts[..., :, j, :, i]

    def forces(self, bottom: int) -> bool:
        return bottom == 0


def reorganize(x: Array, stride: int, *, reverse: bool = False, out: Array | None = None) -> Array:
    """Darknet's reorg: ``stride * stride`` times as many channels on images as many times smaller, or back.

    Darknet takes the bottom for what would come out of the way back, so that pixels of several places mix.

    Parameters
    ----------
    x : (images, channels, height, width)
    stride : int
    reverse : bool
        Make images larger.
    out : array of the result's shape, optional

    References
    ----------
    Redmon, Farhadi, "YOLO9000", 2016; src/blas.c of darknet, with the shapes of Caffe's ports of it

    Examples
    --------
    >>> reorganize(np.arange(16.0).reshape(1, 4, 2, 2), 2, reverse=True)[0, 0]
    array([[ 0.,  4.,  1.,  5.],
           [ 8., 12.,  9., 13.],
           [ 2.,  6.,  3.,  7.],
           [10., 14., 11., 15.]])
    """
    images, channels, height, width = x.shape
    shape = (images, channels * stride**2, height // stride, width // stride)
    if reverse:
        shape = (images, channels // stride**2, height * stride, width * stride)
    if out is None:
        out = np.empty(shape, x.dtype)
    few = channels // stride**2
    if reverse:
        small, large = x, out.reshape(images, few, height, stride, width, stride)
        large[...] = small.reshape(images, stride, stride, few, height, width).transpose(0, 3, 4, 1, 5, 2)
        return out
    # as in darknet, which reads the image as larger and with fewer channels: the sizes are the bottom's
    large = x.reshape(images, few, height, stride, width, stride)
    out.reshape(images, stride, stride, few, height, width)[...] = large.transpose(0, 3, 5, 1, 2, 4)
    return out


@dataclass(frozen=True, slots=True)
class Reorg(Operation):
    """`reorganize`."""

    stride: int
    reverse: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        reorganize(bottoms[0], self.stride, reverse=self.reverse, out=tops[0])

    def backward(
        self,
        dtops: Sequence[Array],
        bottoms: Sequence[Array],
        tops: Sequence[Array],
        blobs: Sequence[Array],
        dbottoms: Sequence[Array | None],
        dblobs: Sequence[Array | None],
        work: Work,
    ) -> None:
        dx = dbottoms[0]
        if dx is None:
            return
        images, channels, height, width = dx.shape
        s, few = self.stride, channels // self.stride**2
        large, small = (images, few, height, s, width, s), (images, s, s, few, height, width)
        if self.reverse:
            dx.reshape(small)[...] = dtops[0].reshape(large).transpose(0, 3, 5, 1, 2, 4)
        else:
            dx.reshape(large)[...] = dtops[0].reshape(small).transpose(0, 3, 4, 1, 5, 2)
