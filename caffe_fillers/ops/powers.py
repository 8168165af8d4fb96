"""Element-wise exponentials, logarithms and powers, with Caffe's scales and shifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .elementwise import Elementwise
from .pieces import blank, pieces

__all__ = ["Exp", "Log", "Power", "exp", "exp_backward", "log", "log_backward", "power", "power_backward"]


def _log_of(base: float, kind: type[np.floating]) -> np.floating:
    """Return the natural logarithm of a base in the type of the arrays; -1 stands for e."""
    return kind(1) if base == -1 else kind(np.log(kind(base), dtype=np.float64))


@np.errstate(all="ignore")
def exp(x: Array, base: float = -1.0, scale: float = 1.0, shift: float = 0.0, out: Array | None = None) -> Array:
    """``base ** (scale * x + shift)``, as ``exp(log(base) * scale * x) * base ** shift``; a base of -1 is e.

    Source: exp_layer.cpp.

    Examples
    --------
    >>> exp(np.float32([0, 1, 3]), base=2, shift=1)
    array([ 2.,  4., 16.], dtype=float32)
    """
    y, kind = blank(x, out), x.dtype.type
    inner = _log_of(base, kind) * kind(scale)
    outer = kind(np.exp(shift) if base == -1 else np.power(kind(base), shift, dtype=np.float64))
    for a, b in pieces(x, y):
        b[...] = np.exp(a * inner, dtype=np.float64)
        b *= outer
    return y


@np.errstate(all="ignore")
def exp_backward(dy: Array, y: Array, base: float = -1.0, scale: float = 1.0, out: Array | None = None) -> Array:
    """Gradient of `exp`, from its result: ``dy * y * log(base) * scale``."""
    dx, inner = blank(y, out), _log_of(base, y.dtype.type) * y.dtype.type(scale)
    for d, b, result in pieces(dy, y, dx):
        np.multiply(b, d, out=result)
        result *= inner
    return dx


@dataclass(frozen=True, slots=True)
class Exp(Elementwise):
    """`exp` of each element."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return exp(x, self.base, self.scale, self.shift, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return exp_backward(dy, y, self.base, self.scale, out)


@np.errstate(all="ignore")
def log(x: Array, base: float = -1.0, scale: float = 1.0, shift: float = 0.0, out: Array | None = None) -> Array:
    """The logarithm of ``scale * x + shift`` to `base`; a base of -1 is e. Source: log_layer.cpp.

    Examples
    --------
    >>> log(np.float32([1, 2, 8]), base=2)
    array([0., 1., 3.], dtype=float32)
    """
    y, kind = blank(x, out), x.dtype.type
    outer = kind(1) / _log_of(base, kind)
    for a, b in pieces(x, y):
        inner = a * kind(scale)
        if shift:
            inner += kind(shift)
        b[...] = np.log(inner, dtype=np.float64)
        b *= outer
    return y


@np.errstate(all="ignore")
def log_backward(
    dy: Array, x: Array, base: float = -1.0, scale: float = 1.0, shift: float = 0.0, out: Array | None = None
) -> Array:
    """Gradient of `log`: ``dy * scale / log(base) / (scale * x + shift)``.

    Where Caffe works in place it has lost both `x` and, by the time it multiplies, `dy`; with `out` the same array as
    `dy` this gives what Caffe gives then, the square of a wrong derivative.
    """
    dx, kind = blank(x, out), x.dtype.type
    numerator = kind(scale) / _log_of(base, kind)
    if numerator == 0:
        # Caffe scales with the BLAS, which turns infinity times 0 into 0; 1 / (scale * x) is infinite then
        np.multiply(dy, 0, out=dx)
        return dx
    for d, a, result in pieces(dy, x, dx):
        slope = a * kind(scale)
        if shift:
            slope += kind(shift)
        np.divide(1, slope, out=slope)
        np.multiply(slope, numerator, out=result)
        result *= d
    return dx


@dataclass(frozen=True, slots=True)
class Log(Elementwise):
    """`log` of each element."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return log(x, self.base, self.scale, self.shift, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return log_backward(dy, x, self.base, self.scale, self.shift, out)


@np.errstate(all="ignore")
def power(x: Array, power: float = 1.0, scale: float = 1.0, shift: float = 0.0, out: Array | None = None) -> Array:
    """``(shift + scale * x) ** power``; where scale or power is 0 `x` is not looked at. Source: power_layer.cpp.

    Examples
    --------
    >>> power(np.float32([1, 2]), power=2, scale=3, shift=1)
    array([16., 49.], dtype=float32)
    """
    y, kind = blank(x, out), x.dtype.type
    if kind(power) * kind(scale) == 0:
        y[...] = 1 if power == 0 else np.power(kind(shift), power, dtype=np.float64)
        return y
    for a, b in pieces(x, y):
        np.multiply(a, kind(scale), out=b)
        if shift:
            b += kind(shift)
        if power != 1:
            raised = np.power(b, power, dtype=np.float64)
            if power == 0.5:
                # NumPy may take the root, which C's pow is not for -infinity and -0
                raised[b == -np.inf] = np.inf
                raised += 0.0
            b[...] = raised
    return y


@np.errstate(all="ignore")
def power_backward(
    dy: Array,
    x: Array,
    y: Array,
    power: float = 1.0,
    scale: float = 1.0,
    shift: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Gradient of `power`: ``dy * power * scale * y / (shift + scale * x)``, or a shorter form of that.

    Where Caffe works in place it has lost both `x` and, by the time it multiplies, `dy`; with `out` the same array as
    `dy` this gives what Caffe gives then, the square of a wrong derivative.
    """
    dx, kind = blank(x, out), x.dtype.type
    slope = kind(power) * kind(scale)
    if slope == 0:
        dx[...] = 0
        return dx
    for d, a, b, result in pieces(dy, x, y, dx):
        if power == 1:
            result[...] = slope
        elif power == 2:
            np.multiply(a, slope * kind(scale), out=result)
            if shift:
                result += slope * kind(shift)
        elif shift == 0:
            np.divide(b, a, out=result)
            result *= kind(power)
        else:
            inner = a * kind(scale)
            inner += kind(shift)
            np.divide(b, inner, out=result)
            result *= slope
        result *= d
    return dx


@dataclass(frozen=True, slots=True)
class Power(Elementwise):
    """`power` of each element."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return power(x, self.power, self.scale, self.shift, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return power_backward(dy, x, y, self.power, self.scale, self.shift, out)
