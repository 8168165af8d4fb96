"""Convolution over any number of axes, as matrix products with columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..arrays import Array
from ..errors import CaffeError
from .columns import at_once, col2im, columns_of, im2col, is_identity
from .depthwise import depthwise_convolution, depthwise_gradients
from .operation import Operation, Work
from .products import matrix_product
from .tiles import convolution_in_tiles, tiles_pay
from .window import Window

if TYPE_CHECKING:
    from .deconv import Deconvolution

__all__ = [
    "Convolution",
    "Im2col",
    "add_bias_gradient",
    "add_weight_gradient",
    "backward_of",
    "columns_and_products",
    "convolution",
    "convolution_backward",
    "convolution_gradients",
    "forward_of",
]

# of outputs
_FEW = 128


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    group: int = 1,
    columns: Array | None = None,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array:
    """Slide the kernels over the images (a correlation: kernels are not flipped).

    As in Caffe each image is laid out in columns, and each group is one product of matrices. Kernels of 3x3 over many
    channels are computed in tiles instead, which need 4 products where columns need 9, with the same accuracy.

    Parameters
    ----------
    x : (..., channels, *spatial)
        The axes before the channels count images.
    weight : (outputs, channels / group, *kernel)
    bias : (outputs,) or None
    columns : (images, channels * kernel, places), optional
        Receives `im2col` of `x`, which `convolution_backward` needs. Without it a few images at a time are laid out,
        so that large nets need little memory.
    out : array of the result's shape, optional
    empty : callable
        ``empty(shape, dtype)`` gives the memory for columns.

    Returns
    -------
    (..., outputs, *places)

    References
    ----------
    src/caffe/layers/base_conv_layer.cpp, conv_layer.cpp

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
    >>> convolution(x, w, np.float32([0.5]), Window.square(2))
    array([[[[4.5, 4.5],
             [4.5, 4.5]]]], dtype=float32)
    """
    axes, outputs = len(window.kernel), weight.shape[0]
    lead, channels, size = x.shape[: -axes - 1], x.shape[-axes - 1], x.shape[x.ndim - axes :]
    if weight.shape[1:] != (channels // group, *window.kernel) or channels % group or outputs % group:
        raise CaffeError(
            f"a weight of shape {weight.shape} doesn't fit {channels} input channels in {group} group(s) "
            f"with kernel {window.kernel}"
        )
    places = window.convolved(size)
    if out is None:
        out = np.empty((*lead, outputs, *places), np.result_type(x, weight))
    x = x.reshape(math.prod(lead), channels, *size)
    if 1 < group == channels == outputs and columns is None:
        depthwise_convolution(x, weight, bias, window, out=out.reshape(len(x), channels, *places), empty=empty)
        return out
    y = out.reshape(len(x), outputs, *places)
    if columns is None and tiles_pay(window, weight[: outputs // group], places):
        _in_tiles(x, weight, bias, window, group, y, empty)
    else:
        _by_columns(x, weight, bias, window, group, y, columns, empty)
    return out


def _in_tiles(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    group: int,
    y: Array,
    empty: Callable[..., Array],
) -> None:
    """Group by group in tiles, and then by columns what is not all finite numbers."""
    inputs, outputs = x.shape[1] // group, len(weight) // group
    broken: set[int] = set()
    for i in range(group):
        part, of = slice(i * outputs, (i + 1) * outputs), slice(i * inputs, (i + 1) * inputs)
        term = None if bias is None else bias[part]
        broken.update(convolution_in_tiles(x[:, of], weight[part], term, window, out=y[:, part], empty=empty))
    for i in sorted(broken):
        _by_columns(x[i : i + 1], weight, bias, window, group, y[i : i + 1], None, empty)


def _by_columns(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    group: int,
    y: Array,
    columns: Array | None,
    empty: Callable[..., Array],
) -> None:
    """Each image is laid out in columns, and each group is one product of matrices."""
    images, outputs, *places = y.shape
    area, rows = math.prod(places), x.shape[1] * math.prod(window.kernel)
    y = y.reshape(images, group, outputs // group, area)
    kernels = weight.reshape(group, outputs // group, rows // group)
    if columns is not None:
        x, many = im2col(x, window, columns), max(1, images)
    else:
        many = at_once(images, rows * area)
        buffer = None if is_identity(window) else empty((many, rows, area), x.dtype)
    for i in range(0, images, many):
        part = x[i : i + many] if columns is not None else columns_of(x[i : i + many], window, buffer)
        matrix_product(kernels, part.reshape(len(part), group, rows // group, area), y[i : i + many])
        if bias is not None:
            y[i : i + many] += bias.reshape(group, -1, 1)


def columns_and_products(
    empty: Callable[..., Array], kernels: Array, dweight: Array | None, columns: tuple[int, ...]
) -> tuple[Array, Array]:
    """Memory for columns, and for `add_weight_gradient`: as many products as images, and two.

    The first of them is `dweight`, and belongs there in the end.
    """
    group, outputs, inputs = kernels.shape
    # many rows times few columns take a BLAS down to half as long as few rows times many columns
    few = outputs <= _FEW
    layout = (group, inputs, outputs) if few else kernels.shape
    result, products = two_in_one(empty, kernels.dtype, columns, (columns[0] + 2, *layout))
    if few:
        products = products.swapaxes(2, 3)
    if dweight is not None:
        products[0] = dweight.reshape(kernels.shape)
    return result, products


def add_weight_gradient(dy: Array, columns: Array, products: Array) -> None:
    """Add one product for each image to the first of `products`, the images one after another: Caffe's order.

    `dy` is (images, group, outputs, places), `columns` (images, group, inputs, places), `products` what
    `columns_and_products` gave.
    """
    matrix_product(dy, columns.swapaxes(2, 3), products[1 : len(dy) + 1])
    if len(dy) == 1:
        products[0] += products[1]
        return
    np.add.reduce(products[: len(dy) + 1], axis=0, out=products[-1])
    products[0] = products[-1]


def add_bias_gradient(dy: Array, dbias: Array) -> None:
    """`dy` is (images, outputs, places); the sums over places are a product with ones, as in Caffe."""
    sums = np.matmul(dy, np.ones(dy.shape[2], dy.dtype))
    np.add.reduce([dbias, *sums], axis=0, out=dbias)


def convolution_gradients(
    dy: Array,
    x: Array,
    weight: Array,
    window: Window,
    *,
    group: int = 1,
    into: tuple[Array | None, Array | None, Array | None],
    empty: Callable[..., Array] = np.empty,
) -> None:
    """Gradients of `convolution`, a few images at a time.

    Parameters
    ----------
    dy : (..., outputs, *places)
        Gradient of the result.
    x, weight
        What the convolution was given.
    into : dx, dweight, dbias
        `dx` is overwritten, the others are added to; None leaves one out.

    Examples
    --------
    >>> x, w, dx = np.ones((1, 1, 3)), np.float64([[[1, 10]]]), np.empty((1, 1, 3))
    >>> convolution_gradients(np.ones((1, 1, 2)), x, w, Window((2,), (1,), (0,), (1,)), into=(dx, None, None))
    >>> dx
    array([[[ 1., 11., 10.]]])
    """
    dx, dweight, dbias = into
    axes, outputs = len(window.kernel), weight.shape[0]
    channels, size = x.shape[-axes - 1], x.shape[x.ndim - axes :]
    images, places = math.prod(x.shape[: -axes - 1]), window.convolved(size)
    x = x.reshape(images, channels, *size)
    area, rows = math.prod(places), channels * math.prod(window.kernel)
    if dbias is not None:
        add_bias_gradient(dy.reshape(images, outputs, area), dbias)
    if dx is not None:
        dx = dx.reshape(x.shape)
    if 1 < group == channels == outputs:
        depthwise_gradients(
            dy.reshape(images, outputs, *places), x, weight, window, dx=dx, dweight=dweight, empty=empty
        )
        return
    dy = dy.reshape(images, group, outputs // group, area)
    kernels = weight.reshape(group, outputs // group, rows // group)
    many = at_once(images, max(rows * area, weight.size))
    columns, products = columns_and_products(empty, kernels, dweight, (many, rows, area))
    for i in range(0, images, many):
        some = dy[i : i + many]
        if dweight is not None:
            part = columns_of(x[i : i + many], window, columns).reshape(len(some), group, rows // group, area)
            add_weight_gradient(some, part, products)
        if dx is None:
            continue
        direct = is_identity(window)
        part = dx[i : i + many] if direct else columns[: len(some)]
        matrix_product(kernels.swapaxes(1, 2), some, part.reshape(len(some), group, rows // group, area))
        if not direct:
            col2im(part, dx[i : i + many].shape, window, out=dx[i : i + many])
    if dweight is not None:
        dweight.reshape(kernels.shape)[...] = products[0]


def two_in_one(empty: Callable[..., Array], dtype: npt.DTypeLike, *shapes: tuple[int, ...]) -> tuple[Array, Array]:
    """Two arrays in one piece of memory."""
    first, second = (math.prod(shape) for shape in shapes)
    memory = empty((first + second,), dtype)
    return memory[:first].reshape(shapes[0]), memory[first:].reshape(shapes[1])


def convolution_backward(
    dy: Array,
    weight: Array,
    window: Window,
    columns: Array,
    shape: Sequence[int],
    *,
    group: int = 1,
    inputs: bool = True,
) -> tuple[Array | None, Array, Array]:
    """Gradients of a convolution whose columns were kept.

    Parameters
    ----------
    dy : (images, outputs, *places)
        Gradient of the result.
    columns : what `convolution` left in its buffer
    shape : shape of the convolution's input
    inputs : bool
        False leaves the gradient of the input out; the first layer needs none.

    Returns
    -------
    dx : array of `shape`, or None
    dweight : array of the weight's shape
    dbias : (outputs,)
    """
    images, outputs = dy.shape[0], weight.shape[0]
    grouped = dy.reshape(images, group, outputs // group, -1)
    kernels = weight.reshape(group, outputs // group, -1)
    patches = columns.reshape(images, group, -1, grouped.shape[-1])
    dweight = np.add.reduce(np.matmul(grouped, patches.swapaxes(2, 3)), axis=0).reshape(weight.shape)
    dbias = np.zeros(outputs, dy.dtype)
    add_bias_gradient(dy.reshape(images, outputs, -1), dbias)
    if not inputs:
        return None, dweight, dbias
    dcolumns = np.matmul(kernels.swapaxes(1, 2), grouped)
    return col2im(dcolumns, shape, window), dweight, dbias


def forward_of(
    operation: Convolution | Deconvolution,
    compute: Callable[..., Array],
    bottoms: Sequence[Array],
    tops: Sequence[Array],
    blobs: Sequence[Array],
    work: Work,
) -> None:
    bias = blobs[1].reshape(-1) if len(blobs) > 1 else None
    for x, y in zip(bottoms, tops, strict=True):
        compute(x, blobs[0], bias, operation.window, group=operation.group, out=y, empty=work.scratch)


def backward_of(
    operation: Convolution | Deconvolution,
    gradients: Callable[..., None],
    dtops: Sequence[Array],
    bottoms: Sequence[Array],
    weight: Array,
    into: tuple[Sequence[Array | None], Sequence[Array | None]],
    work: Work,
) -> None:
    dweight, dbias = (*into[1], None)[:2]
    if dbias is not None:
        dbias = dbias.reshape(-1)
    for dy, x, dx in zip(dtops, bottoms, into[0], strict=True):
        target = (dx, dweight, dbias)
        gradients(dy, x, weight, operation.window, group=operation.group, into=target, empty=work.scratch)


@dataclass(frozen=True, slots=True)
class Convolution(Operation):
    """`convolution` of each bottom by the same kernels; where each channel is a group of its own, one by one."""

    window: Window
    group: int = 1

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        forward_of(self, convolution, bottoms, tops, blobs, work)

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
        backward_of(self, convolution_gradients, dtops, bottoms, blobs[0], (dbottoms, dblobs), work)


@dataclass(frozen=True, slots=True)
class Im2col(Operation):
    """`im2col` as a layer; the axes before the channels count images."""

    window: Window

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        axis = bottoms[0].ndim - len(self.window.kernel) - 1
        images, x, y = math.prod(bottoms[0].shape[:axis]), bottoms[0], tops[0]
        columns = y.reshape(images, y.shape[axis], math.prod(y.shape[axis + 1 :]))
        im2col(x.reshape(images, *x.shape[axis:]), self.window, columns)

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
        if dx is not None:
            axis = dx.ndim - len(self.window.kernel) - 1
            images = dx.reshape(math.prod(dx.shape[:axis]), *dx.shape[axis:])
            col2im(dtops[0], images.shape, self.window, out=images)
