"""Batch normalisation: BVLC Caffe's, and with a scale and bias of its own, as in NVIDIA's and Intel's forks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from . import native
from .native import in_c
from .operation import Operation, Work

__all__ = [
    "BatchNorm",
    "add_affine_gradients",
    "as_channels",
    "batch_norm",
    "batch_norm_train",
    "channel_dots",
    "channel_sums",
    "gradient_through",
    "normalized",
    "scale_and_shift",
]


def as_channels(x: Array, channels: int) -> Array:
    """`x` as (images, channels, pixels)."""
    return x.reshape(len(x), channels, math.prod(x.shape) // max(1, len(x) * channels))


def _per_channel(products: Array) -> Array:
    return np.ones(len(products), products.dtype) @ products


def channel_sums(x: Array, share: np.floating | float = 1) -> Array:
    """The sum of each channel of (images, channels, pixels), or `share` of it: products with ones, as Caffe's."""
    sums = np.matmul(x, np.ones(x.shape[2], x.dtype))
    # by image, as Caffe: images that are normalised already leave the same rest
    sums *= share
    return _per_channel(sums)


def channel_dots(a: Array, b: Array, share: np.floating | float = 1) -> Array:
    """The sum of a * b in each channel, or `share` of it."""
    dots = np.einsum("ncp,ncp->nc", a, b)
    dots *= share
    return _per_channel(dots)


def scale_and_shift(y: Array, scale: Array | None, bias: Array | None) -> None:
    if scale is not None:
        y *= scale.reshape(-1, 1)
    if bias is not None:
        y += bias.reshape(-1, 1)


@in_c(native.normalized)
def normalized(x: Array, mean: Array, deviation: Array, scale: Array | None, bias: Array | None, out: Array) -> Array:
    """``(x - mean) / deviation * scale + bias`` by channel; `x` is (images, channels, pixels)."""
    np.subtract(x, mean[:, None], out=out)
    out /= deviation[:, None]
    scale_and_shift(out, scale, bias)
    return out


def batch_norm(
    x: Array,
    mean: Array,
    variance: Array,
    factor: float = 1.0,
    *,
    eps: float = 1e-5,
    scale: Array | None = None,
    bias: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Normalise each channel with statistics that were stored.

    Parameters
    ----------
    x : (images, channels, ...)
    mean, variance : (channels,)
        Sums, as Caffe's blobs hold them.
    factor : float
        What they are divided by, Caffe's third blob; 0 makes both 0. Other frameworks store the quotients.
    scale, bias : (channels,) or None
        Of a layer that has them itself; Caffe's own BatchNorm leaves them to a Scale layer.
    out : array like `x`, optional

    Returns
    -------
    array like `x`

    References
    ----------
    Ioffe, Szegedy, "Batch Normalization", 2015; src/caffe/layers/batch_norm_layer.cpp

    Examples
    --------
    >>> batch_norm(np.float64([[7], [3]]), np.float64([10]), np.float64([8]), 2.0, eps=0)
    array([[ 1.],
           [-1.]])
    """
    out = np.empty_like(x) if out is None else out
    real = x.dtype.type
    weight = real(0) if factor == 0 else real(1) / real(factor)
    deviation = np.sqrt(variance.reshape(-1) * weight + real(eps))
    images, y = as_channels(x, mean.size), as_channels(out, mean.size)
    normalized(images, mean.reshape(-1) * weight, deviation, scale, bias, y)
    return out


def batch_norm_train(
    x: Array,
    *,
    channels: int,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Normalise each channel with the mean and variance of these images themselves.

    Parameters
    ----------
    x : (images, channels, ...)
    out : array like `x`, optional

    Returns
    -------
    y : array like `x`
    mean, variance : (channels,)
        The variance is of the images as they are, divided by their number.

    References
    ----------
    src/caffe/layers/batch_norm_layer.cpp

    Examples
    --------
    >>> batch_norm_train(np.float64([[7], [3]]), channels=1, eps=0)
    (array([[ 1.],
           [-1.]]), array([5.]), array([4.]))
    """
    out = np.empty_like(x) if out is None else out
    real = x.dtype.type
    images, y = as_channels(x, channels), as_channels(out, channels)
    share = real(1 / (images.shape[0] * images.shape[2]) if images.size else 0)
    mean = channel_sums(images, share)
    np.subtract(images, mean[:, None], out=y)
    variance = channel_dots(y, y, share)
    y /= np.sqrt(variance + real(eps))[:, None]
    return out, mean, variance


def batch_norm_gradient(dy: Array, y: Array, dx: Array, memory: Array) -> None:
    """The gradient of `batch_norm_train` but for the division by the deviation: dy - mean(dy) - mean(dy * y) * y.

    All are (images, channels, pixels); `memory` is like them, and may be `dx` where that isn't `dy`.
    """
    dots, sums = channel_dots(y, dy), channel_sums(dy)
    np.multiply(y, dots[:, None], out=memory)
    memory += sums[:, None]
    memory *= y.dtype.type(-1 / (y.shape[0] * y.shape[2]) if y.size else 0)
    np.add(memory, dy, out=dx)


def add_affine_gradients(dy: Array, y: Array, dscale: Array | None, dbias: Array | None) -> None:
    if dscale is not None:
        dscale.reshape(-1)[...] += channel_dots(y, dy)
    if dbias is not None:
        dbias.reshape(-1)[...] += channel_sums(dy)


def gradient_through(dy: Array, y: Array, dx: Array, scale: Array | None, work: Work) -> None:
    """`batch_norm_gradient` through a scale, where there is one; `dx` may be `dy`."""
    memory = work.scratch(dy.shape, dy.dtype) if dx is dy or scale is not None else dx
    if scale is not None:
        np.multiply(dy, scale.reshape(-1, 1), out=dx)
        dy = dx
    batch_norm_gradient(dy, y, dx, memory)


@dataclass(frozen=True, slots=True)
class BatchNorm(Operation):
    """Batch normalisation with a moving sum of statistics, or with those that are `stored`.

    With four or five blobs scale and bias are the layer's own, as in forks. `renewed` is NVIDIA's way: the statistics
    are moving means, of which the first two batches make a new start, and hold eps already.
    """

    eps: float = 1e-5
    fraction: float = 0.999
    stored: bool = False
    renewed: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x, y, real = bottoms[0], tops[0], bottoms[0].dtype.type
        mean, variance, factor, scale, bias = (*blobs, None, None)[:5]
        assert mean is not None
        assert variance is not None
        assert factor is not None
        if self.stored:
            divisor = 1.0 if self.renewed else float(factor.flat[0])
            batch_norm(x, mean, variance, divisor, eps=self.eps, scale=scale, bias=bias, out=y)
            weight = real(0) if divisor == 0 else real(1) / real(divisor)
            work.kept["deviation"] = np.sqrt(variance.reshape(-1) * weight + real(self.eps))
            return
        _, now_mean, now_variance = batch_norm_train(x, channels=mean.size, eps=self.eps, out=y)
        work.kept["deviation"] = np.sqrt(now_variance + real(self.eps))
        work.buffer("normal", y.shape, y.dtype)[...] = y
        fraction = real(self.fraction)
        weights = real(1), real(1)
        if self.renewed:
            passes = work.kept["passes"] = work.kept.get("passes", -1) + 1
            now_variance += real(self.eps)
            weights = (real(1 - self.fraction),) * 2 if passes > 1 else weights
            fraction = fraction if passes > 1 else real(0)
        else:
            many = x.size // mean.size
            weights = real(1), real(many) / real(many - 1) if many > 1 else real(1)
            factor *= fraction
            factor += real(1)
        for blob, now, weight in ((mean, now_mean, weights[0]), (variance, now_variance, weights[1])):
            kept = blob.reshape(-1)
            # after a new start NaN must not remain
            kept[...] = kept * fraction + now * weight if fraction else now * weight
        scale_and_shift(as_channels(y, mean.size), scale, bias)

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
        scale = blobs[3] if len(blobs) > 3 else None
        dy = as_channels(dtops[0], blobs[0].size)
        dx = None if dbottoms[0] is None else dy if dbottoms[0] is dtops[0] else as_channels(dbottoms[0], blobs[0].size)
        if scale is not None:
            add_affine_gradients(dy, self._normal(bottoms[0], blobs, work), *(*dblobs[3:], None)[:2])
        if dx is None:
            return
        if not self.stored:
            gradient_through(dy, self._normal(bottoms[0], blobs, work), dx, scale, work)
            dy = dx
        elif scale is not None:
            dy = np.multiply(dy, scale.reshape(-1, 1), out=dx)
        np.divide(dy, work.kept["deviation"][:, None], out=dx)

    def _normal(self, x: Array, blobs: Sequence[Array], work: Work) -> Array:
        """Return the values that forward had computed before scale and bias."""
        if not self.stored:
            return as_channels(work.buffer("normal", x.shape, x.dtype), blobs[0].size)
        y = work.scratch(x.shape, x.dtype, "normal")
        divisor = 1.0 if self.renewed else float(blobs[2].flat[0])
        return as_channels(batch_norm(x, blobs[0], blobs[1], divisor, eps=self.eps, out=y), blobs[0].size)
