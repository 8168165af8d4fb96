"""What a few layers compute, forward and backward, in NumPy.

Arrays are laid out as in Caffe: (images, channels, spatial axes ...), C order. Results have the type of the input, and
sums run in Caffe's order where that costs nothing, so that a float32 training follows the real one for as long as
rounding allows. Nothing here knows a prototxt: geometry comes as a `Window`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .errors import CaffeError
from .layers import spatial
from .layers.rule import c_div

Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[Any]
Normalization = Literal["VALID", "FULL", "BATCH_SIZE", "NONE"]


@dataclass(frozen=True, slots=True)
class Window:
    """Where a kernel stands on an image: one number for each spatial axis.

    Examples
    --------
    >>> Window.square(3, stride=2)
    Window(kernel=(3, 3), stride=(2, 2), pad=(0, 0), dilation=(1, 1))
    >>> Window.square(3, pad=1).convolved((28, 28)), Window.square(3, stride=2).pooled((28, 28))
    ((28, 28), (14, 14))
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    @classmethod
    def square(cls, kernel: int, *, stride: int = 1, pad: int = 0, dilation: int = 1, axes: int = 2) -> Window:
        """The same numbers on every one of `axes` spatial axes."""
        return cls((kernel,) * axes, (stride,) * axes, (pad,) * axes, (dilation,) * axes)

    @classmethod
    def of_convolution(cls, param: Any, axes: int) -> Window:
        """What a ConvolutionParameter says about `axes` spatial axes."""
        return cls(*map(tuple, spatial.windows(param, axes)))

    @classmethod
    def of_pooling(cls, param: Any, size: Sequence[int]) -> Window:
        """What a PoolingParameter says about images of `size`, (height, width)."""
        kernel = tuple(size) if param.global_pooling else spatial.height_width(param, "kernel")
        return cls(kernel, spatial.height_width(param, "stride"), spatial.height_width(param, "pad"), (1, 1))

    def convolved(self, size: Sequence[int]) -> tuple[int, ...]:
        """Spatial size of a convolution's result: places where the whole kernel fits."""
        return tuple(
            c_div(n + 2 * p - (d * (k - 1) + 1), s) + 1
            for n, k, s, p, d in zip(size, self.kernel, self.stride, self.pad, self.dilation, strict=True)
        )

    def pooled(self, size: Sequence[int], *, ceil: bool = True) -> tuple[int, ...]:
        """Spatial size of a pooling's result: rounded up, the last window clipped at the border."""
        return spatial.pooled((1, 1, *size), self.kernel, self.pad, self.stride, ceil)[2:]


# ---------------------------------------------------------------------------------------------------------- convolution


def im2col(x: Array, window: Window, out: Array | None = None) -> Array:
    """Lay the patch under every place of the kernel out as a column, so that a convolution is one matrix product.

    Parameters
    ----------
    x : (images, channels, *spatial)
    window : Window
    out : array of the result's shape, optional
        Filled and returned; a training that hands the same buffer in again allocates nothing.

    Returns
    -------
    (images, channels * kernel, places), with zeros where the kernel stands on padding.

    Examples
    --------
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), Window.square(2))[0]
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    axes = len(window.kernel)
    images, channels, *size = x.shape
    places = window.convolved(size)
    shape = (images, channels * math.prod(window.kernel), math.prod(places))
    if out is None:
        out = np.empty(shape, x.dtype)
    elif out.shape != shape or out.dtype != x.dtype or not out.flags.c_contiguous:
        raise CaffeError(f"im2col needs a C-contiguous {x.dtype} buffer of shape {shape}, got {out.dtype} {out.shape}")
    if any(window.pad):
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in window.pad)])
    steps = x.strides[2:]
    patches = np.lib.stride_tricks.as_strided(
        x,
        (images, channels, *window.kernel, *places),
        (
            *x.strides[:2],
            *(d * b for d, b in zip(window.dilation, steps, strict=True)),
            *(s * b for s, b in zip(window.stride, steps, strict=True)),
        ),
        writeable=False,
    )
    assert patches.ndim == 2 + 2 * axes
    np.copyto(out.reshape(patches.shape), patches)
    return out


def col2im(columns: Array, shape: Sequence[int], window: Window) -> Array:
    """Add every column back to the places its numbers came from: the transpose of `im2col`.

    Parameters
    ----------
    columns : (images, channels * kernel, places)
    shape : (images, channels, *spatial) of the result

    Examples
    --------
    >>> ones = np.ones((1, 1, 3, 3))
    >>> col2im(im2col(ones, Window.square(2)), ones.shape, Window.square(2))[0, 0]  # how many windows hold each pixel
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    images, channels, *size = shape
    places = window.convolved(size)
    padded = np.zeros(
        (images, channels, *(n + 2 * p for n, p in zip(size, window.pad, strict=True))), dtype=columns.dtype
    )
    columns = columns.reshape(images, channels, *window.kernel, *places)
    for offset in product(*map(range, window.kernel)):
        patches: Any = (slice(None), slice(None), *offset)
        at: tuple[Any, ...] = tuple(
            slice(d * k, d * k + s * (o - 1) + 1, s)
            for k, o, s, d in zip(offset, places, window.stride, window.dilation, strict=True)
        )
        padded[:, :, *at] += columns[patches]
    inner: tuple[Any, ...] = tuple(slice(p, p + n) for n, p in zip(size, window.pad, strict=True))
    return padded[:, :, *inner]


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    group: int = 1,
    columns: Array | None = None,
) -> Array:
    """Slide the kernels over the images (a correlation: kernels are not flipped).

    Parameters
    ----------
    x : (images, channels, *spatial)
    weight : (outputs, channels / group, *kernel)
    bias : (outputs,) or None
    columns : (images, channels * kernel, places), optional
        Receives `im2col` of `x`, which `convolution_backward` needs. Without it one image at a time is laid out, so
        that large nets need little memory.

    Returns
    -------
    (images, outputs, *places)

    Examples
    --------
    >>> x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2), np.float32)
    >>> convolution(x, w, np.float32([0.5]), Window.square(2))
    array([[[[4.5, 4.5],
             [4.5, 4.5]]]], dtype=float32)
    """
    images, channels, *size = x.shape
    outputs = weight.shape[0]
    if weight.shape[1:] != (channels // group, *window.kernel) or channels % group or outputs % group:
        raise CaffeError(
            f"a weight of shape {weight.shape} doesn't fit {channels} input channels in {group} group(s) "
            f"with kernel {window.kernel}"
        )
    places = window.convolved(size)
    y = np.empty((images, group, outputs // group, math.prod(places)), np.result_type(x, weight))
    kernels = weight.reshape(group, outputs // group, -1)
    if columns is not None:
        im2col(x, window, columns)
        np.matmul(kernels, columns.reshape(images, group, -1, y.shape[-1]), out=y)
    else:
        buffer = np.empty((1, channels * math.prod(window.kernel), y.shape[-1]), x.dtype)
        for image, result in zip(x, y, strict=True):
            im2col(image[None], window, buffer)
            np.matmul(kernels, buffer.reshape(group, -1, y.shape[-1]), out=result)
    y = y.reshape(images, outputs, *places)
    if bias is not None:
        y += bias.reshape(-1, *(1,) * len(places))
    return y


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
    """Gradients of a convolution.

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
    images = dy.shape[0]
    outputs = weight.shape[0]
    grouped = dy.reshape(images, group, outputs // group, -1)
    patches = columns.reshape(images, group, -1, grouped.shape[-1])
    # One product for each image, the images added one after another: Caffe's order. Its sums over places are a
    # product with ones; NumPy's own sum takes another order, and the loss of a training shows it after 20 iterations.
    dweight = np.matmul(grouped, patches.swapaxes(2, 3)).sum(axis=0).reshape(weight.shape)
    dbias = np.matmul(dy.reshape(images, outputs, -1), np.ones(grouped.shape[-1], dy.dtype)).sum(axis=0)
    if not inputs:
        return None, dweight, dbias
    kernels = weight.reshape(group, outputs // group, -1)
    dcolumns = np.matmul(kernels.swapaxes(1, 2), grouped)
    return col2im(dcolumns, shape, window), dweight, dbias


def deconvolution(x: Array, weight: Array, bias: Array | None, window: Window, *, group: int = 1) -> Array:
    """Spread every number of the input over a kernel: the transpose of `convolution`.

    Parameters
    ----------
    x : (images, channels, *spatial)
    weight : (channels, outputs / group, *kernel)
    bias : (outputs,) or None

    Examples
    --------
    >>> deconvolution(np.float32([[[[1, 2]]]]), np.ones((1, 1, 1, 2), np.float32), None,
    ...               Window((1, 2), (1, 2), (0, 0), (1, 1)))
    array([[[[1., 1., 2., 2.]]]], dtype=float32)
    """
    images, channels, *size = x.shape
    if weight.shape[0] != channels or channels % group:
        raise CaffeError(f"a weight of shape {weight.shape} doesn't fit {channels} input channels in {group} group(s)")
    outputs = weight.shape[1] * group
    result = tuple(
        s * (n - 1) + d * (k - 1) + 1 - 2 * p
        for n, k, s, p, d in zip(size, window.kernel, window.stride, window.pad, window.dilation, strict=True)
    )
    kernels = weight.reshape(group, channels // group, -1)
    columns = np.matmul(kernels.swapaxes(1, 2), x.reshape(images, group, channels // group, -1))
    y = col2im(columns, (images, outputs, *result), window)
    return y if bias is None else y + bias.reshape(-1, *(1,) * len(result))


# -------------------------------------------------------------------------------------------------------------- pooling


def _overlaps(window: Window, size: Sequence[int], places: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """For each offset in the kernel, row by row: which places have a pixel there, and which pixels those are."""
    for offset in product(*map(range, window.kernel)):
        at, pixels = [], []
        for k, n, o, s, p in zip(offset, size, places, window.stride, window.pad, strict=True):
            first = max(0, -((k - p) // s))
            last = min(o - 1, (n - 1 + p - k) // s)
            at.append(slice(first, last + 1))
            start = first * s + k - p
            pixels.append(slice(start, start + (last - first) * s + 1, s))
            if last < first:
                break
        else:
            yield (..., *at), (..., *pixels)


def max_pool(x: Array, window: Window, *, ceil: bool = True) -> Array:
    """The largest number in each window; padding never wins.

    Parameters
    ----------
    x : (images, channels, height, width)
    ceil : bool
        Round the number of windows up, as Caffe does unless `round_mode: FLOOR` is written.

    Returns
    -------
    (images, channels, *places)

    Examples
    --------
    >>> max_pool(np.arange(9.0).reshape(1, 1, 3, 3), Window.square(2, stride=2))  # 3 wide, 2 at a time: rounded up
    array([[[[4., 5.],
             [7., 8.]]]])
    """
    places = window.pooled(x.shape[2:], ceil=ceil)
    y = np.full((*x.shape[:2], *places), np.finfo(x.dtype).min, x.dtype)
    for at, pixels in _overlaps(window, x.shape[2:], places):
        np.fmax(y[at], x[pixels], out=y[at])
    return y


def max_pool_backward(dy: Array, x: Array, y: Array, window: Window) -> Array:
    """Gradient of `max_pool`: all of it to the first of the largest numbers, row by row.

    Parameters
    ----------
    dy, y : gradient and value of the result
    x : the input
    """
    dx = np.zeros_like(x, dtype=dy.dtype)
    searching = np.ones(y.shape, bool)
    for at, pixels in _overlaps(window, x.shape[2:], y.shape[2:]):
        found = x[pixels] == y[at]
        found &= searching[at]
        searching[at] ^= found
        dx[pixels] += dy[at] * found
    return dx


def _window_sizes(window: Window, size: Sequence[int], places: Sequence[int], dtype: Any) -> Array:
    """What Caffe divides each window's sum by: the padding counts, what hangs over its far end doesn't."""
    height, width = (
        np.minimum(np.arange(o) * s - p + k, n + p) - (np.arange(o) * s - p)
        for n, o, k, s, p in zip(size, places, window.kernel, window.stride, window.pad, strict=True)
    )
    return np.outer(height, width).astype(dtype)


def average_pool(x: Array, window: Window, *, ceil: bool = True) -> Array:
    """The mean of each window, padding counted as zeros.

    Parameters
    ----------
    x : (images, channels, height, width)

    Examples
    --------
    >>> average_pool(np.ones((1, 1, 2, 2)), Window.square(2, stride=2, pad=1))
    array([[[[0.25, 0.25],
             [0.25, 0.25]]]])
    """
    places = window.pooled(x.shape[2:], ceil=ceil)
    y = np.zeros((*x.shape[:2], *places), x.dtype)
    for at, pixels in _overlaps(window, x.shape[2:], places):
        y[at] += x[pixels]
    # a stride beyond the kernel can leave the last window without a pixel; Caffe gives 0 / 0 there, and so does this
    with np.errstate(invalid="ignore"):
        y /= _window_sizes(window, x.shape[2:], places, x.dtype)
    return y


def average_pool_backward(dy: Array, shape: Sequence[int], window: Window) -> Array:
    """Gradient of `average_pool` for an input of `shape`: an equal share to every pixel of the window."""
    dx = np.zeros(shape, dy.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = dy / _window_sizes(window, shape[2:], dy.shape[2:], dy.dtype)
    for at, pixels in _overlaps(window, shape[2:], dy.shape[2:]):
        dx[pixels] += share[at]
    return dx


# -------------------------------------------------------------------------------------- inner product and element-wise


def inner_product(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x @ weight.T + bias``.

    Parameters
    ----------
    x : (rows, inputs)
    weight : (outputs, inputs)
        Hand the transpose in for a layer with `transpose: true`.
    bias : (outputs,) or None

    Returns
    -------
    (rows, outputs)

    Examples
    --------
    >>> inner_product(np.float32([[1, 2]]), np.float32([[3, 4]]), np.float32([0.5]))
    array([[11.5]], dtype=float32)
    """
    y: Array = x @ weight.T
    if bias is not None:
        y += bias
    return y


def inner_product_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Gradients (dx, dweight, dbias) of `inner_product`."""
    return dy @ weight, dy.T @ x, np.ones(len(dy), dy.dtype) @ dy


def relu(x: Array, negative_slope: float = 0.0) -> Array:
    """``max(x, 0) + negative_slope * min(x, 0)``.

    Examples
    --------
    >>> relu(np.float32([-2, 0, 3]), 0.5)
    array([-1.,  0.,  3.], dtype=float32)
    """
    y = np.maximum(x, 0)
    if negative_slope:
        y += x.dtype.type(negative_slope) * np.minimum(x, 0)
    return y


def relu_backward(dy: Array, x: Array, negative_slope: float = 0.0) -> Array:
    """Gradient of `relu`; `x` is the input, or the result where it was computed in place."""
    dx = dy * (x > 0)
    if negative_slope:
        dx += dy * (x <= 0) * x.dtype.type(negative_slope)
    return dx


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, computed as Caffe does, ``tanh(x / 2) / 2 + 1 / 2``: nothing overflows.

    Examples
    --------
    >>> sigmoid(np.float32([-1000, 0, 1000]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    y: Array = 0.5 * np.tanh(0.5 * x) + 0.5
    return y


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """Gradient of `sigmoid`, from its result."""
    dx: Array = dy * y * (1 - y)
    return dx


def tanh(x: Array) -> Array:
    """The hyperbolic tangent.

    Examples
    --------
    >>> tanh(np.float32([0]))
    array([0.], dtype=float32)
    """
    return np.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """Gradient of `tanh`, from its result."""
    dx: Array = dy * (1 - y * y)
    return dx


# --------------------------------------------------------------------------------------------------- softmax and losses


def softmax(x: Array, axis: int = 1) -> Array:
    """Probabilities along `axis`; the largest number is taken off first, so nothing overflows.

    Examples
    --------
    >>> softmax(np.float32([[1000, 1000]]))
    array([[0.5, 0.5]], dtype=float32)
    """
    # In float64, because C's expf rounds (nearly) as well as this and NumPy's exp of float32 doesn't.
    y: Array = np.exp(x - x.max(axis=axis, keepdims=True), dtype=np.float64).astype(x.dtype)
    y /= y.sum(axis=axis, keepdims=True)
    return y


def softmax_backward(dy: Array, y: Array, axis: int = 1) -> Array:
    """Gradient of `softmax`, from its result."""
    dx: Array = (dy - (dy * y).sum(axis=axis, keepdims=True)) * y
    return dx


def _picked(shape: tuple[int, ...], labels: Labels, axis: int, ignore_label: int | None) -> tuple[Labels, Labels]:
    """Each place's class as an index that `take_along_axis` understands, and which places count."""
    index = labels.reshape(*shape[:axis], 1, *shape[axis + 1 :]).astype(np.intp)
    counted = np.ones(index.shape, bool) if ignore_label is None else index != ignore_label
    wrong = counted & ((index < 0) | (index >= shape[axis]))
    if wrong.any():
        raise CaffeError(f"label {index[wrong][0]} doesn't fit {shape[axis]} classes (0 to {shape[axis] - 1})")
    return np.where(counted, index, 0), counted


def _normalizer(counted: Labels, normalization: Normalization) -> int:
    match normalization:
        case "VALID":
            return max(1, int(counted.sum()))
        case "FULL":
            return max(1, int(counted.size))
        case "BATCH_SIZE":
            return max(1, len(counted))
        case "NONE":
            return 1
    raise CaffeError(f"unknown normalization {normalization!r}; one of VALID, FULL, BATCH_SIZE, NONE")


def softmax_loss(
    x: Array,
    labels: Labels,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
) -> tuple[float, Array]:
    """Mean of -log of the probability that `softmax` gives to the right class.

    Parameters
    ----------
    x : (images, classes, ...)
        Scores.
    labels : as many whole numbers as there are places, in any shape
    ignore_label : int or None
        Places with this label don't count.
    normalization : {"VALID", "FULL", "BATCH_SIZE", "NONE"}
        What the sum is divided by: places that count, all places, images, 1.

    Returns
    -------
    loss : float
    probabilities : array like `x`, for `softmax_loss_backward`

    Examples
    --------
    >>> loss, probabilities = softmax_loss(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4), probabilities
    (1.3863, array([[0.25, 0.25, 0.25, 0.25]]))
    """
    probabilities = softmax(x, axis)
    index, counted = _picked(x.shape, labels, axis, ignore_label)
    right = np.take_along_axis(probabilities, index, axis)[counted]
    total = -np.log(np.maximum(right, np.finfo(x.dtype).tiny)).sum(dtype=np.float64)
    return float(total) / _normalizer(counted, normalization), probabilities


def softmax_loss_backward(
    probabilities: Array,
    labels: Labels,
    *,
    axis: int = 1,
    ignore_label: int | None = None,
    normalization: Normalization = "VALID",
    loss_weight: float = 1.0,
) -> Array:
    """Gradient of `softmax_loss` times `loss_weight` by its scores."""
    index, counted = _picked(probabilities.shape, labels, axis, ignore_label)
    dx = probabilities.copy()
    np.put_along_axis(dx, index, np.take_along_axis(dx, index, axis) - 1, axis)
    if ignore_label is not None:
        dx *= counted
    dx *= probabilities.dtype.type(loss_weight / _normalizer(counted, normalization))
    return dx


def accuracy(x: Array, labels: Labels, *, top_k: int = 1, axis: int = 1, ignore_label: int | None = None) -> float:
    """Share of places whose right class is among the `top_k` highest scores.

    As in Caffe a tie counts against a place, and a score that is not a number counts as right.

    Parameters
    ----------
    x : (images, classes, ...)
    labels : as many whole numbers as there are places, in any shape

    Examples
    --------
    >>> accuracy(np.float32([[1, 5, 2], [7, 0, 0]]), np.array([1, 1]))
    0.5
    """
    index, counted = _picked(x.shape, labels, axis, ignore_label)
    right = np.take_along_axis(x, index, axis)
    rivals = (x >= right).sum(axis=axis, keepdims=True) - 1
    return float((rivals < top_k)[counted].mean()) if counted.any() else 0.0
