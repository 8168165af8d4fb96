"""Normalisation of each image separately: MVN, and division by a vector's norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .operation import Operation, Work

__all__ = ["MVN", "Normalize", "mean_variance_norm", "normalize"]


def mean_variance_norm(
    x: Array,
    *,
    across_channels: bool = False,
    variance: bool = True,
    eps: float = 1e-9,
    out: Array | None = None,
    deviations: Array | None = None,
) -> Array:
    """Subtract the mean of each channel of each image and, with `variance`, divide by its deviation plus eps.

    Parameters
    ----------
    x : (images, channels, ...)
    across_channels : bool
        All channels of an image together.
    out : array of as many elements, optional
    deviations : (rows, 1), optional
        Receives what was divided by: one row for each image, or each channel.

    References
    ----------
    src/caffe/layers/mvn_layer.cpp

    Examples
    --------
    >>> mean_variance_norm(np.float64([[[7, 3], [2, 2]]]), eps=1)
    array([[[ 0.66666667, -0.66666667],
            [ 0.        ,  0.        ]]])
    """
    out = np.empty_like(x) if out is None else out
    real = x.dtype.type
    flat, y = (_rows(each, x.shape, across_channels) for each in (x, out))
    share = real(1 / flat.shape[1])
    mean = np.matmul(flat, np.ones(flat.shape[1], x.dtype)) * share
    np.subtract(flat, mean[:, None], out=y)
    if variance:
        deviation = np.sqrt(np.einsum("ri,ri->r", y, y) * share)[:, None] + real(eps)
        if deviations is not None:
            deviations[...] = deviation
        y /= deviation
    return out


def _rows(x: Array, shape: Sequence[int], across_channels: bool) -> Array:
    """Return a view with a row for each group of values that is normalised together."""
    axes = 1 if across_channels else 2
    return x.reshape(math.prod(shape[:axes]), math.prod(shape[axes:]))


@dataclass(frozen=True, slots=True)
class MVN(Operation):
    """`mean_variance_norm`."""

    across_channels: bool = False
    variance: bool = True
    eps: float = 1e-9

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x = bottoms[0]
        rows = len(_rows(x, x.shape, self.across_channels))
        mean_variance_norm(
            x,
            across_channels=self.across_channels,
            variance=self.variance,
            eps=self.eps,
            out=tops[0],
            deviations=work.buffer("deviations", (rows, 1), x.dtype),
        )

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
        if dbottoms[0] is None:
            return
        dy, y, dx = (_rows(each, bottoms[0].shape, self.across_channels) for each in (dtops[0], tops[0], dbottoms[0]))
        real = dy.dtype.type
        sums = np.matmul(dy, np.ones(dy.shape[1], dy.dtype))[:, None]
        if not self.variance:
            np.subtract(dy, sums * real(1 / dy.shape[1]), out=dx)
            return
        part = work.scratch(dy.shape, dy.dtype)
        np.multiply(y, np.einsum("ri,ri->r", y, dy)[:, None], out=part)
        part += sums
        part *= real(-1 / dy.shape[1])
        np.add(part, dy, out=dx)
        dx /= work.buffer("deviations", (len(dy), 1), dy.dtype)


def _norms(x: Array, across_spatial: bool, eps: float) -> Array:
    """Return the norms of (images, channels, pixels); eps keeps them above 0."""
    total = np.einsum("ncp,ncp->n" if across_spatial else "ncp,ncp->np", x, x) + x.dtype.type(eps)
    length: Array = np.sqrt(total).reshape(len(x), 1, 1 if across_spatial else x.shape[2])
    return length


def _pixels(x: Array) -> Array:
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def normalize(
    x: Array,
    scale: Array,
    *,
    across_spatial: bool = True,
    eps: float = 1e-10,
    out: Array | None = None,
    norms: Array | None = None,
) -> Array:
    """Divide by the length of the vector of channels, at each pixel or of the whole image, and scale.

    Parameters
    ----------
    x : (images, channels, ...)
    scale : () or (channels,)
    across_spatial : bool
        One length for the whole image, as SSD's default is, though SSD's nets ask for one at each pixel.
    out : array like `x`, optional
    norms : (images, 1, pixels or 1), optional
        Receives the lengths.

    References
    ----------
    Liu, Rabinovich, Berg, "ParseNet", 2015; weiliu89/caffe, src/caffe/layers/normalize_layer.cpp

    Examples
    --------
    >>> normalize(np.float64([[[3], [4]]]), np.float64([10, 20]), eps=0)
    array([[[ 6.],
            [16.]]])
    """
    out = np.empty_like(x) if out is None else out
    flat, y = _pixels(x), _pixels(out)
    length = _norms(flat, across_spatial, eps)
    if norms is not None:
        norms[...] = length
    if across_spatial:
        np.multiply(flat, x.dtype.type(1) / length, out=y)
    else:
        np.divide(flat, length, out=y)
    y *= scale.reshape(-1, 1)
    return out


@dataclass(frozen=True, slots=True)
class Normalize(Operation):
    """SSD's `normalize`.

    As there the gradient takes the scale for one number: where channels have scales that differ, it is not exact.
    """

    across_spatial: bool = True
    eps: float = 1e-10

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x = bottoms[0]
        normalize(
            x,
            blobs[0],
            across_spatial=self.across_spatial,
            eps=self.eps,
            out=tops[0],
            norms=work.buffer("norms", self._norms(x), x.dtype),
        )

    def _norms(self, x: Array) -> tuple[int, ...]:
        return len(x), 1, 1 if self.across_spatial else math.prod(x.shape[2:])

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
        dy, x, y = _pixels(dtops[0]), _pixels(bottoms[0]), _pixels(tops[0])
        scale, dscale = blobs[0].reshape(-1, 1), dblobs[0]
        if dscale is not None:
            products = np.einsum("ncp,ncp->nc", y, dy)
            if scale.size == 1:
                dscale.reshape(-1)[...] += products.sum() / scale[0, 0]
            else:
                rows = np.concatenate([dscale.reshape(1, -1), products / scale[:, 0]])
                np.add.reduce(rows, axis=0, out=dscale.reshape(-1))
        if dbottoms[0] is None:
            return
        dx = _pixels(dbottoms[0])
        length = work.buffer("norms", self._norms(bottoms[0]), dy.dtype)
        dots = np.einsum("ncp,ncp->n" if self.across_spatial else "ncp,ncp->np", x, dy).reshape(length.shape)
        part = work.scratch(dy.shape, dy.dtype)
        np.multiply(x, dots / (length * length), out=part)
        np.subtract(dy, part, out=dx)
        dx /= length
        dx *= scale
