"""Deconvolution: the transpose of a convolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from .columns import at_once, col2im, columns_of, is_identity
from .conv import add_bias_gradient, add_weight_gradient, backward_of, columns_and_products, forward_of
from .operation import Operation, Work
from .products import matrix_product
from .window import Window

__all__ = ["Deconvolution", "deconvolution", "deconvolution_gradients"]


def deconvolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    group: int = 1,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """Spread every number of the input over a kernel: the transpose of `convolution`.

    Parameters
    ----------
    x : (..., channels, *spatial)
    weight : (channels, outputs / group, *kernel)
    bias : (outputs,) or None
    out : array of the result's shape, optional
    empty : callable
        ``empty(shape, dtype)`` gives the memory for columns.

    References
    ----------
    src/caffe/layers/deconv_layer.cpp

    Examples
    --------
    >>> deconvolution(np.float32([[[[1, 2]]]]), np.ones((1, 1, 1, 2), np.float32), None,
    ...               Window((1, 2), (1, 2), (0, 0), (1, 1)))
    array([[[[1., 1., 2., 2.]]]], dtype=float32)
    """
    axes = len(window.kernel)
    lead, channels, size = x.shape[: -axes - 1], x.shape[-axes - 1], x.shape[x.ndim - axes :]
    if weight.shape[0] != channels or channels % group:
        raise CaffeError(f"a weight of shape {weight.shape} doesn't fit {channels} input channels in {group} group(s)")
    outputs, images, area = weight.shape[1] * group, math.prod(lead), math.prod(size)
    result = window.deconvolved(size)
    if out is None:
        out = np.empty((*lead, outputs, *result), np.result_type(x, weight))
    y = out.reshape(images, outputs, *result)
    grouped = x.reshape(images, group, channels // group, area)
    rows = outputs * math.prod(window.kernel)
    kernels = weight.reshape(group, channels // group, rows // group).swapaxes(1, 2)
    many, direct = at_once(images, rows * area), is_identity(window)
    columns: Array = y if direct else empty((many, rows, area), x.dtype)
    for i in range(0, images, many):
        some = grouped[i : i + many]
        part = y[i : i + many] if direct else columns[: len(some)]
        matrix_product(kernels, some, part.reshape(len(some), group, rows // group, area))
        if not direct:
            col2im(part, y[i : i + many].shape, window, out=y[i : i + many])
        if bias is not None:
            y[i : i + many] += bias.reshape(-1, *(1,) * axes)
    return out


def deconvolution_gradients(
    dy: Array,
    x: Array,
    weight: Array,
    window: Window,
    *,
    group: int = 1,
    into: tuple[Array | None, Array | None, Array | None],
    empty: Callable[..., Array] = np.empty,
) -> None:
    """Gradients of `deconvolution`: dx overwritten, dweight and dbias added to; None leaves one out."""
    dx, dweight, dbias = into
    axes = len(window.kernel)
    images, channels, size = math.prod(x.shape[: -axes - 1]), x.shape[-axes - 1], x.shape[x.ndim - axes :]
    outputs, area = weight.shape[1] * group, math.prod(size)
    dy = dy.reshape(images, outputs, *dy.shape[dy.ndim - axes :])
    if dbias is not None:
        add_bias_gradient(dy.reshape(images, outputs, math.prod(dy.shape[2:])), dbias)
    grouped = x.reshape(images, group, channels // group, area)
    rows = outputs * math.prod(window.kernel)
    kernels = weight.reshape(group, channels // group, rows // group)
    many = at_once(images, max(rows * area, weight.size))
    columns, products = columns_and_products(empty, kernels, dweight, (many, rows, area))
    for i in range(0, images, many):
        some = grouped[i : i + many]
        part = columns_of(dy[i : i + many], window, columns).reshape(len(some), group, rows // group, area)
        if dweight is not None:
            add_weight_gradient(some, part, products)
        if dx is not None:
            matrix_product(kernels, part, dx.reshape(grouped.shape)[i : i + many])
    if dweight is not None:
        dweight.reshape(kernels.shape)[...] = products[0]


@dataclass(frozen=True, slots=True)
class Deconvolution(Operation):
    """`deconvolution` of each bottom by the same kernels."""

    window: Window
    group: int = 1

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        forward_of(self, deconvolution, bottoms, tops, blobs, work)

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
        backward_of(self, deconvolution_gradients, dtops, bottoms, blobs[0], (dbottoms, dblobs), work)
