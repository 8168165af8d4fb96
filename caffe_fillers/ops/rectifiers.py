"""Piecewise linear element-wise functions, such as ReLU.

NaN and -0.0 come out as Caffe's `std::max` and `std::min` let them. Each function takes `out=`, which may be the input
itself, as a layer that works in place has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from . import native
from .elementwise import Elementwise
from .native import in_c
from .operation import Work
from .pieces import blank, pieces

__all__ = [
    "AbsVal",
    "Clip",
    "HardSwish",
    "ReLU",
    "ReLU6",
    "Threshold",
    "absolute",
    "absolute_backward",
    "bend",
    "clip",
    "clip_backward",
    "hard_swish",
    "hard_swish_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "threshold",
]


def bend(x: Array, slope: Array | np.floating, out: Array) -> None:
    """``max(x, 0) + slope * min(x, 0)`` into `out`, with Caffe's zeros: of equal ones `std::max` takes the first."""
    zero = x == 0
    # NumPy may return either zero: restore the sign of -0.0
    bits = f"i{x.itemsize}"
    signs = x.view(bits) * (zero & (slope >= 0)) if zero.any() else None
    low = np.minimum(x, 0)
    low *= slope
    np.maximum(x, 0, out=out)
    out += low
    if signs is not None:
        out.view(bits)[...] |= signs


@in_c(native.relu)
@np.errstate(all="ignore")
def relu(x: Array, negative_slope: float = 0.0, out: Array | None = None) -> Array:
    """``max(x, 0) + negative_slope * min(x, 0)``, as written: 0 times -inf is NaN. Source: relu_layer.cpp.

    Examples
    --------
    >>> relu(np.float32([-2, 0, 3]), 0.5)
    array([-1.,  0.,  3.], dtype=float32)
    """
    y, slope = blank(x, out), x.dtype.type(negative_slope)
    for a, b in pieces(x, y):
        bend(a, slope, b)
    return y


@in_c(native.relu_backward)
@np.errstate(all="ignore")
def relu_backward(dy: Array, x: Array, negative_slope: float = 0.0, out: Array | None = None) -> Array:
    """Gradient of `relu`; `x` is the input, or the result where it was computed in place."""
    dx, slope = blank(x, out), x.dtype.type(negative_slope)
    for d, a, result in pieces(dy, x, dx):
        if negative_slope:
            factor = (a <= 0) * slope
            factor += a > 0
            np.multiply(d, factor, out=result)
        else:
            np.multiply(d, a > 0, out=result)
    return dx


@dataclass(frozen=True, slots=True)
class ReLU(Elementwise):
    """`relu` of each element."""

    negative_slope: float = 0.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return relu(x, self.negative_slope, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return relu_backward(dy, x, self.negative_slope, out)


@np.errstate(all="ignore")
def relu6(x: Array, out: Array | None = None) -> Array:
    """``min(max(x, 0), 6)``. Source: relu6_layer.cpp of eric612/MobileNet-YOLO.

    Examples
    --------
    >>> relu6(np.float32([-1, 5, 7]))
    array([0., 5., 6.], dtype=float32)
    """
    y = blank(x, out)
    for a, b in pieces(x, y):
        bend(a, a.dtype.type(0), b)
        np.minimum(b, 6, out=b)
    return y


@np.errstate(all="ignore")
def relu6_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """Gradient of `relu6`: `dy` where ``0 < x < 6``."""
    dx = blank(x, out)
    for d, a, result in pieces(dy, x, dx):
        np.multiply(d, (a > 0) & (a < 6), out=result)
    return dx


@dataclass(frozen=True, slots=True)
class ReLU6(Elementwise):
    """`relu6` of each element."""

    def value(self, x: Array, out: Array | None = None) -> Array:
        return relu6(x, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return relu6_backward(dy, x, out)


def clip(x: Array, low: float, high: float, out: Array | None = None) -> Array:
    """``max(low, min(x, high))``; NaN becomes `low`. Source: clip_layer.cpp.

    Examples
    --------
    >>> clip(np.float32([-1, 5, 7]), 0, 6)
    array([0., 5., 6.], dtype=float32)
    """
    y, least, most = blank(x, out), x.dtype.type(low), x.dtype.type(high)
    for a, b in pieces(x, y):
        np.minimum(a, most, out=b)
        np.fmax(b, least, out=b)
        if least == 0:
            b += 0  # -0.0 becomes 0.0
    return y


@np.errstate(all="ignore")
def clip_backward(dy: Array, x: Array, low: float, high: float, out: Array | None = None) -> Array:
    """Gradient of `clip`: `dy` where ``low <= x <= high``."""
    dx, least, most = blank(x, out), x.dtype.type(low), x.dtype.type(high)
    for d, a, result in pieces(dy, x, dx):
        np.multiply(d, (a >= least) & (a <= most), out=result)
    return dx


@dataclass(frozen=True, slots=True)
class Clip(Elementwise):
    """`clip` of each element."""

    low: float
    high: float

    def value(self, x: Array, out: Array | None = None) -> Array:
        return clip(x, self.low, self.high, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return clip_backward(dy, x, self.low, self.high, out)


def threshold(x: Array, at: float = 0.0, out: Array | None = None) -> Array:
    """1 where ``x > at``, else 0. Source: threshold_layer.cpp. It has no gradient.

    Examples
    --------
    >>> threshold(np.float32([0, 1]))
    array([0., 1.], dtype=float32)
    """
    y, bound = blank(x, out), x.dtype.type(at)
    for a, b in pieces(x, y):
        b[...] = a > bound
    return y


@dataclass(frozen=True, slots=True)
class Threshold(Elementwise):
    """`threshold` of each element."""

    at: float = 0.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return threshold(x, self.at, out)


def absolute(x: Array, out: Array | None = None) -> Array:
    """``|x|``. Source: absval_layer.cpp.

    Examples
    --------
    >>> absolute(np.float32([-2, 3]))
    array([2., 3.], dtype=float32)
    """
    return np.abs(x, out=blank(x, out))


@np.errstate(all="ignore")
def absolute_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """Gradient of `absolute`: the sign of `x`, 0 at 0 and at NaN, times `dy`."""
    dx = blank(x, out)
    for d, a, result in pieces(dy, x, dx):
        sign = np.subtract(a > 0, a < 0, dtype=np.int8)
        np.multiply(sign, d, out=result)
    return dx


@dataclass(frozen=True, slots=True)
class AbsVal(Elementwise):
    """`absolute` of each element."""

    def value(self, x: Array, out: Array | None = None) -> Array:
        return absolute(x, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return absolute_backward(dy, x, out)


@np.errstate(all="ignore")
def hard_swish(x: Array, out: Array | None = None) -> Array:
    """``x * min(max(x + 3, 0), 6) / 6``. Source: hard_swish_layer.cpp of synopsys-caffe; Howard et al. 2019.

    Examples
    --------
    >>> hard_swish(np.float32([-4, 1, 4]))
    array([-0.       ,  0.6666667,  4.       ], dtype=float32)
    """
    y = blank(x, out)
    for a, b in pieces(x, y):
        gate = relu6(a + 3)
        gate *= a
        np.divide(gate, 6, out=b)
    return y


@np.errstate(all="ignore")
def hard_swish_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """Gradient of `hard_swish`: `dy` times 0 below -3, 1 above 3, and ``(2 * x + 3) / 6`` between."""
    dx = blank(x, out)
    for d, a, result in pieces(dy, x, dx):
        slope = (a * 2 + 3) / 6
        slope = np.where(a > 3, 1, np.where(a < -3, 0, slope))
        np.multiply(d, slope, out=result)
    return dx


@dataclass(frozen=True, slots=True)
class HardSwish(Elementwise):
    """`hard_swish` of each element; in place the input is kept for the gradient."""

    def value(self, x: Array, out: Array | None = None) -> Array:
        return hard_swish(x, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return hard_swish_backward(dy, x, out)

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        work.keep_input(bottoms[0], tops[0])
        hard_swish(bottoms[0], tops[0])

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
            hard_swish_backward(dtops[0], work.kept_input(bottoms[0], tops[0]), dbottoms[0])
