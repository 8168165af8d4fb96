"""C loops that replace NumPy where the arrays have the memory layout that they need.

A function of this package that has a twin in C is written in NumPy and decorated by `in_c`. The twin is called first,
with the same arguments; where it returns ``Left.TO_NUMPY``, nothing was written, and NumPy's version runs. Both give
the same bits. `inspect.unwrap` finds NumPy's version alone, and `numpy_source` is its text, which can be carried off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache, wraps
from math import prod
from typing import ParamSpec, TypeVar

import numpy as np

from .. import _core
from ..arrays import Array, Integers
from .window import Window

__all__ = ["Left", "in_c", "numpy_source"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

# with fewer numbers per row NumPy is as fast
_WORTH_A_LOOP = 8


class Left(Enum):
    """The result of a twin that did not run and wrote nothing."""

    TO_NUMPY = 0


def in_c(twin: Callable[_P, _R | Left]) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function so that `twin` runs first, and the function if that returns ``Left.TO_NUMPY``.

    Examples
    --------
    >>> @in_c(lambda x: Left.TO_NUMPY if x < 0 else "C")
    ... def work(x):
    ...     return "NumPy"
    >>> work(1), work(-1), work.__wrapped__(1)
    ('C', 'NumPy', 'NumPy')
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            result = twin(*args, **kwargs)
            return function(*args, **kwargs) if result is Left.TO_NUMPY else result

        return call

    return decorate


def numpy_source(function: Callable[..., object]) -> str:
    """Return the source of a function's NumPy version, without the line that names its twin.

    Examples
    --------
    >>> from caffe_fillers.ops import im2col
    >>> print(numpy_source(im2col).split("\\n")[0])
    def im2col(x: Array, window: Window, out: Array | None = None) -> Array:
    """
    import inspect

    lines = inspect.getsource(inspect.unwrap(function)).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("@in_c("))


@lru_cache(maxsize=512)
def _convolved(window: Window, size: tuple[int, ...]) -> tuple[int, ...]:
    return window.convolved(size)


def im2col(x: Array, window: Window, out: Array | None = None) -> Array | Left:
    if x.ndim != 4 or len(window.kernel) != 2:
        return Left.TO_NUMPY
    images, channels, *_ = x.shape
    places = _convolved(window, x.shape[2:])
    shape = (images, channels * window.kernel[0] * window.kernel[1], places[0] * places[1])
    if out is None:
        out = np.empty(shape, x.dtype)
    elif out.shape != shape:
        return Left.TO_NUMPY
    return out if _core.im2col(x, out, window, places) else Left.TO_NUMPY


def col2im(columns: Array, shape: Sequence[int], window: Window, out: Array | None = None) -> Array | Left:
    if len(shape) != 4 or len(window.kernel) != 2:
        return Left.TO_NUMPY
    if out is None:
        out = np.empty(tuple(shape), columns.dtype)
    done = out.shape == tuple(shape) and _core.col2im(columns, out, window, _convolved(window, out.shape[2:]))
    return out if done else Left.TO_NUMPY


@lru_cache(maxsize=512)
def _pooled(window: Window, size: tuple[int, ...], ceil: bool) -> tuple[int, ...]:
    return window.pooled(size, ceil=ceil)


def _for_pooling(x: Array, window: Window, ceil: bool, out: Array | None) -> Array:
    return np.empty((*x.shape[:2], *_pooled(window, x.shape[2:], ceil)), x.dtype) if out is None else out


def max_pool(
    x: Array, window: Window, *, ceil: bool = True, out: Array | None = None, mask: Array | Integers | None = None
) -> Array | Left:
    if x.ndim != 4:
        return Left.TO_NUMPY
    y = _for_pooling(x, window, ceil, out)
    return y if _core.max_pool(x, window, y, mask) else Left.TO_NUMPY


def unpool(dy: Array, mask: Array | Integers, dx: Array, *, fresh: bool = False) -> Left | None:
    return None if _core.unpool(dy, mask, dx, fresh) else Left.TO_NUMPY


def average_pool(x: Array, window: Window, *, ceil: bool = True, out: Array | None = None) -> Array | Left:
    if x.ndim != 4:
        return Left.TO_NUMPY
    y = _for_pooling(x, window, ceil, out)
    return y if _core.average_pool(x, window, y) else Left.TO_NUMPY


def average_pool_backward(dy: Array, shape: Sequence[int], window: Window, out: Array | None = None) -> Array | Left:
    dx = np.empty(tuple(shape), dy.dtype) if out is None else out
    return dx if _core.average_pool_backward(dy, window, dx) else Left.TO_NUMPY


def depthwise_convolution(
    x: Array,
    weight: Array,
    bias: Array | None,
    window: Window,
    *,
    out: Array | None = None,
    empty: Callable[..., Array] = np.empty,
) -> Array | Left:
    if x.ndim != 4 or len(window.kernel) != 2:
        return Left.TO_NUMPY
    y = np.empty((*x.shape[:2], *_convolved(window, x.shape[2:])), x.dtype) if out is None else out
    return y if _core.depthwise(x, weight, bias, window, y) else Left.TO_NUMPY


def tile_kernels(weight: Array, out: Array) -> Left | None:
    return None if _core.tile_kernels(weight, out) else Left.TO_NUMPY


def tile_image(x: Array, window: Window, rows: range, out: Array) -> Left | None:
    places = _convolved(window, x.shape[1:])
    return None if _core.tile_image(x, window, places, rows.start, rows.stop, out) else Left.TO_NUMPY


def tile_sums(products: Array, bias: Array | None, window: Window, rows: range, out: Array) -> bool | Left:
    finite = _core.tile_sums(products, bias, window, rows.start, rows.stop, out)
    return Left.TO_NUMPY if finite is None else finite


def relu(x: Array, negative_slope: float = 0.0, out: Array | None = None) -> Array | Left:
    y = np.empty(x.shape, x.dtype) if out is None else out
    return y if _core.relu(x, negative_slope, y) else Left.TO_NUMPY


def sigmoid(x: Array, out: Array | None = None) -> Array | Left:
    y = np.empty(x.shape, x.dtype) if out is None else out
    return y if _core.sigmoid(x, y) else Left.TO_NUMPY


def tanh(x: Array, out: Array | None = None) -> Array | Left:
    y = np.empty(x.shape, x.dtype) if out is None else out
    return y if _core.tanh(x, y) else Left.TO_NUMPY


def relu_backward(dy: Array, x: Array, negative_slope: float = 0.0, out: Array | None = None) -> Array | Left:
    dx = np.empty(x.shape, x.dtype) if out is None else out
    return dx if _core.relu_backward(dy, x, negative_slope, dx) else Left.TO_NUMPY


def sigmoid_backward(dy: Array, y: Array, out: Array | None = None) -> Array | Left:
    dx = np.empty(y.shape, y.dtype) if out is None else out
    return dx if _core.sigmoid_backward(dy, y, dx) else Left.TO_NUMPY


def normalized(
    x: Array, mean: Array, deviation: Array, scale: Array | None, bias: Array | None, out: Array
) -> Array | Left:
    if x.ndim != 3 or x.dtype != mean.dtype or x.shape[2] < _WORTH_A_LOOP:
        return Left.TO_NUMPY
    return out if _core.affine(x, mean, deviation, scale, bias, out, x.shape[2]) else Left.TO_NUMPY


def scale(x: Array, factor: Array, term: Array | None = None, axis: int = 1, out: Array | None = None) -> Array | Left:
    if factor.ndim == 0 or (term is not None and term.shape != factor.shape):
        return Left.TO_NUMPY
    inner = prod(x.shape[axis + factor.ndim :])
    if inner < _WORTH_A_LOOP:
        return Left.TO_NUMPY
    y = np.empty(x.shape, x.dtype) if out is None else out
    return y if _core.affine(x, None, None, factor, term, y, inner) else Left.TO_NUMPY


def eltwise_sum(xs: Sequence[Array], coefficients: Sequence[float] = (), out: Array | None = None) -> Array | Left:
    y = np.empty(xs[0].shape, xs[0].dtype) if out is None else out
    terms = [(x, c) for x, c in zip(xs, coefficients or (1.0,) * len(xs), strict=True) if c != 0]
    # a factor of 0 gives 0 even for NaN and infinity
    given = [x for x, _ in terms]
    return y if _core.weighted_sum(given, [c for _, c in terms], y) else Left.TO_NUMPY


def transposed(x: Array, bias: Array | None, out: Array) -> Left | None:
    return None if _core.transpose(x, bias, out) else Left.TO_NUMPY


def in_order(terms: Array) -> float | Left:
    total = _core.total(terms)
    return Left.TO_NUMPY if total is None else total


def neighbours(
    x: Array,
    size: int,
    factor: float | np.floating,
    start: float | np.floating,
    out: Array,
    empty: Callable[..., Array],
) -> Left | None:
    return None if _core.lrn_sums(x, size, factor, start, out) else Left.TO_NUMPY


def lrn_gradient(
    dy: Array,
    x: Array,
    y: Array,
    sums: Array,
    out: Array,
    size: int,
    factor: float | np.floating,
    empty: Callable[..., Array],
) -> Left | None:
    return None if _core.lrn_gradient(dy, x, y, sums, size, factor, out) else Left.TO_NUMPY
