"""The two layers that forks of Caffe call BN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .batchnorm import (
    add_affine_gradients,
    as_channels,
    batch_norm,
    batch_norm_train,
    channel_dots,
    channel_sums,
    gradient_through,
    scale_and_shift,
)
from .operation import Operation, Work

__all__ = ["BN", "MovingBN"]


@dataclass(frozen=True, slots=True)
class BN(Operation):
    """SegNet's: normalised with the images' own statistics, scaled and shifted; or scaled and shifted alone.

    Its second and third top are the mean and the variance of each channel.
    """

    learn: bool = True
    eps: float = 1e-9

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        channels, real = blobs[0].size, bottoms[0].dtype.type
        x, y = as_channels(bottoms[0], channels), as_channels(tops[0], channels)
        if not self.learn:
            np.multiply(x, blobs[0].reshape(-1, 1), out=y)
            scale_and_shift(y, None, blobs[1])
            return
        share = real(1 / (x.shape[0] * x.shape[2]) if x.size else 0)
        mean = channel_sums(x) * share
        # E(x * x) - E(x) * E(x), which cancels where the mean is large
        variance = channel_dots(x, x) * share - mean * mean
        for top, values in zip(tops[1:], (mean, variance), strict=False):
            top.reshape(-1)[...] = values
        np.subtract(x, mean[:, None], out=y)
        with np.errstate(invalid="ignore"):
            deviation = work.kept["deviation"] = np.sqrt(variance + real(self.eps))
        y /= deviation[:, None]
        work.buffer("normal", y.shape, y.dtype)[...] = y
        scale_and_shift(y, blobs[0], blobs[1])

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
        dy = as_channels(dtops[0], blobs[0].size)
        y = work.buffer("normal", dy.shape, dy.dtype) if self.learn else as_channels(bottoms[0], blobs[0].size)
        add_affine_gradients(dy, y, dblobs[0], dblobs[1])
        if dbottoms[0] is None:
            return
        dx = dy if dbottoms[0] is dtops[0] else as_channels(dbottoms[0], blobs[0].size)
        if not self.learn:
            np.multiply(dy, blobs[0].reshape(-1, 1), out=dx)
            return
        gradient_through(dy, y, dx, blobs[0], work)
        dx /= work.kept["deviation"][:, None]


@dataclass(frozen=True, slots=True)
class MovingBN(Operation):
    """PSPNet's BN: scale, bias, and moving means of the statistics, which are used where they are `stored`."""

    eps: float = 1e-5
    momentum: float = 0.9
    stored: bool = False
    frozen: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        slope, bias, mean, variance = blobs
        x, y, real = bottoms[0], tops[0], bottoms[0].dtype.type
        if self.stored or self.frozen:
            batch_norm(x, mean, variance, eps=self.eps, out=y)
            work.kept["deviation"] = np.sqrt(variance.reshape(-1) + real(self.eps))
        else:
            _, now_mean, now_variance = batch_norm_train(x, channels=slope.size, eps=self.eps, out=y)
            work.kept["deviation"] = np.sqrt(now_variance + real(self.eps))
            for blob, now in ((mean, now_mean), (variance, now_variance)):
                kept = blob.reshape(-1)
                kept *= real(self.momentum)
                kept += (real(1) - real(self.momentum)) * now
        if not self.frozen:
            work.buffer("normal", y.shape, y.dtype)[...] = y
        scale_and_shift(as_channels(y, slope.size), slope, bias)

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
        dy = as_channels(dtops[0], blobs[0].size)
        dx = None if dbottoms[0] is None else dy if dbottoms[0] is dtops[0] else as_channels(dbottoms[0], blobs[0].size)
        if self.frozen:
            if dx is not None:
                np.multiply(dy, blobs[0].reshape(-1, 1) / work.kept["deviation"][:, None], out=dx)
            return
        y = as_channels(work.buffer("normal", dtops[0].shape, dtops[0].dtype), blobs[0].size)
        add_affine_gradients(dy, y, dblobs[0], dblobs[1])
        if dx is not None:
            # as in PSPNet, with stored statistics too
            gradient_through(dy, y, dx, blobs[0], work)
            dx /= work.kept["deviation"][:, None]
