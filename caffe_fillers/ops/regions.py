"""Boxes on images, for the detectors among Caffe's forks: region pooling and SSD's priors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from .operation import Operation, Work
from .pool import Mask, largest, unpool

__all__ = ["PriorBox", "ROIPooling", "prior_box", "roi_pool"]


def _corners(rois: Array, scale: float, images: int) -> np.ndarray:
    """Return image, left, top, right and bottom of each region, in whole pixels of the feature map."""
    rows = rois.reshape(len(rois), 5)
    if not np.isfinite(rows).all():
        raise CaffeError(f"region {int(np.argmin(np.isfinite(rows).all(axis=1)))} holds a number that is not finite")
    found = rows.astype(np.float64)
    found[:, 1:] = rows[:, 1:] * rows.dtype.type(scale)
    # as C's round: halves go away from 0
    found[:, 1:] = np.trunc(found[:, 1:] + np.copysign(0.5, found[:, 1:]))
    of = np.trunc(found[:, 0])
    for check, wrong in (("roi_batch_ind >= 0", of < 0), (f"roi_batch_ind < {images}", of >= images)):
        if wrong.any():
            raise CaffeError(f"Check failed: {check}: region {int(wrong.argmax())} is of image {of[wrong][0]:g}")
    return found.astype(np.int64)


def _bins(start: int, end: int, bins: int, size: int, dtype: np.dtype) -> list[slice]:
    """Return the pixels of each bin on one axis."""
    real = dtype.type
    step = real(max(end - start + 1, 1)) / real(bins)
    edges = np.arange(bins + 1).astype(dtype) * step
    first = np.clip(np.floor(edges[:-1]).astype(np.int64) + start, 0, size)
    last = np.clip(np.ceil(edges[1:]).astype(np.int64) + start, 0, size)
    return [slice(a, b) for a, b in zip(first.tolist(), last.tolist(), strict=True)]


def roi_pool(
    x: Array,
    rois: Array,
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    out: Array | None = None,
    mask: Mask | None = None,
) -> Array:
    """The largest number in each of ``size`` bins of each region; 0 in a bin without a pixel.

    Parameters
    ----------
    x : (images, channels, height, width)
    rois : (regions, 5)
        Image, left, top, right and bottom, the latter two included, in pixels of the net's input.
    size : (height, width) of the result
    scale : float
        From the net's input to `x`.
    out : array of the result's shape, optional
    mask : whole numbers of the result's shape, optional
        Where in its channel each number stands; -1 for none.

    Returns
    -------
    (regions, channels, *size)

    References
    ----------
    Girshick, "Fast R-CNN", 2015; rbgirshick/caffe-fast-rcnn, src/caffe/layers/roi_pooling_layer.cpp

    Examples
    --------
    >>> roi_pool(np.arange(16.0).reshape(1, 1, 4, 4), np.float64([[0, 0, 0, 3, 1]]), (1, 2))
    array([[[[5., 7.]]]])
    """
    corners = _corners(rois, scale, len(x))
    if out is None:
        out = np.empty((len(rois), x.shape[1], *size), x.dtype)
    if mask is None:
        mask = np.empty(out.shape, np.int32)
    out[...] = np.finfo(np.float32).min
    mask[...] = -1
    index = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    for n, (image, left, top, right, bottom) in enumerate(corners.tolist()):
        rows = _bins(top, bottom, size[0], x.shape[2], x.dtype)
        columns = _bins(left, right, size[1], x.shape[3], x.dtype)
        for i, j in np.ndindex(*size):
            values = x[image, :, rows[i], columns[j]]
            if values.size:
                largest(values, index[rows[i], columns[j]], out[n, :, i, j], mask[n, :, i, j])
            else:
                out[n, :, i, j] = 0
    return out


@dataclass(frozen=True, slots=True)
class ROIPooling(Operation):
    """`roi_pool` of bottom 0 by the regions in bottom 1."""

    size: tuple[int, int]
    scale: float = 1.0

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        mask = work.buffer("mask", tops[0].shape, np.int32)
        roi_pool(bottoms[0], bottoms[1], self.size, scale=self.scale, out=tops[0], mask=mask)

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
        if dbottoms[1] is not None:
            dbottoms[1][...] = 0
        dx = dbottoms[0]
        if dx is None:
            return
        dx[...] = 0
        mask = work.buffer("mask", tops[0].shape, np.int32)
        corners = _corners(bottoms[1], self.scale, len(dx))
        for n, (image, left, top, right, bottom) in enumerate(corners.tolist()):
            # the forward pass took an inverted region as one pixel, but it gets no gradient
            if left <= right and top <= bottom:
                unpool(dtops[0][n : n + 1], mask[n : n + 1], dx[image : image + 1])

    def forces(self, bottom: int) -> bool:
        return bottom == 0


def prior_box(
    layer: tuple[int, int],
    image: tuple[int, int],
    *,
    sizes: Sequence[tuple[float, ...]],
    ratios: Sequence[float] = (1.0,),
    variances: Sequence[float] = (0.1,),
    step: tuple[float, float] | None = None,
    offset: float = 0.5,
    clip: bool = False,
) -> np.ndarray:
    """SSD's priors: boxes of several sizes and shapes around every pixel of a feature map.

    Parameters
    ----------
    layer, image : (height, width) of the feature map and of the image
    sizes : sequence of (smallest,) or (smallest, largest)
        Cut to whole numbers, as there. Each makes a square of the smallest, one of the mean of both, and a box of each
        of the other ratios.
    ratios : sequence of float
        Width by height, inverses included.
    variances : one number or four
    step : (height, width) from a box to the next in pixels of the image; without it image by layer
    offset : float
        Where in its step a box has its middle.
    clip : bool
        Cut the boxes at the borders of the image.

    Returns
    -------
    (1, 2, height * width * boxes * 4), float64
        Left, top, right, bottom of each box in parts of the image; then the variances.

    References
    ----------
    Liu et al., "SSD: Single Shot MultiBox Detector", 2016; weiliu89/caffe, src/caffe/layers/prior_box_layer.cpp

    Examples
    --------
    >>> prior_box((1, 1), (10, 20), sizes=[(4,)])[0, 0]
    array([0.4, 0.3, 0.6, 0.7])
    """
    shapes: list[tuple[float, float]] = []
    for smallest, *larger in sizes:
        side = int(smallest)
        shapes.append((side, side))
        if larger:
            shapes.append((math.sqrt(side * int(larger[0])),) * 2)
        others = [math.sqrt(ratio) for ratio in ratios if abs(ratio - 1) >= 1e-6]
        shapes += [(side * root, side / root) for root in others]
    boxes = np.array(shapes, np.float32).astype(np.float64)
    centers = []
    for i in (0, 1):
        apart = np.float32(step[i]) if step else np.float32(image[i]) / np.float32(layer[i])
        centers.append((np.arange(layer[i], dtype=np.float32) + np.float32(offset)) * apart)
    result = np.empty((*layer, len(boxes), 4))
    for i, (axis, side) in enumerate(((1, -1), (0, -1), (1, 1), (0, 1))):
        middle = centers[axis].reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)).astype(np.float64)
        result[..., i] = (middle + side * boxes[:, 1 - axis] / 2) / image[axis]
    if clip:
        np.clip(result, 0, 1, out=result)
    variance = np.broadcast_to(np.array(variances, np.float32), (result.size // 4, 4))
    return np.stack([result.reshape(-1), variance.reshape(-1)])[None]


@dataclass(frozen=True, slots=True)
class PriorBox(Operation):
    """`prior_box` for the sizes of bottom 0, the feature map, and bottom 1, the image."""

    sizes: tuple[tuple[float, ...], ...]
    ratios: tuple[float, ...] = (1.0,)
    variances: tuple[float, ...] = (0.1,)
    image: tuple[int, int] | None = None
    step: tuple[float, float] | None = None
    offset: float = 0.5
    clip: bool = False

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        layer, image = ((x.shape[2], x.shape[3]) for x in bottoms)
        tops[0][...] = prior_box(
            layer,
            self.image or image,
            sizes=self.sizes,
            ratios=self.ratios,
            variances=self.variances,
            step=self.step,
            offset=self.offset,
            clip=self.clip,
        )
