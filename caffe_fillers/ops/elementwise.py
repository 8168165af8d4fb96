"""Smooth element-wise functions, and what all element-wise operations share.

Each function takes `out=`, which may be the input itself, as a layer that works in place has it. What Caffe computes
in double, since a constant of its formula is a double, is computed in float64 here and rounded; and so is what it asks
C's `expf`, `logf` and `powf` for, which round (nearly) as well as that, where NumPy's of float32 don't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from ..errors import CaffeError
from . import native
from .native import in_c
from .operation import Operation, Work
from .pieces import blank, pieces
from .tangent import libm_tanh

__all__ = [
    "BNLL",
    "ELU",
    "Elementwise",
    "Sigmoid",
    "Swish",
    "TanH",
    "bnll",
    "bnll_backward",
    "elu",
    "elu_backward",
    "sigmoid",
    "sigmoid_backward",
    "swish",
    "swish_backward",
    "tanh",
    "tanh_backward",
]


class Elementwise(Operation):
    """An operation that computes each element by itself, without parameters."""

    __slots__ = ()

    def value(self, x: Array, out: Array | None = None) -> Array:
        """The function of each element of `x`."""
        raise NotImplementedError

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        """`dy` times the derivative, from the input `x` and the result `y`."""
        raise CaffeError(f"{type(self).__name__} has no gradient: Caffe has no backward pass for it")

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        self.value(bottoms[0], tops[0])

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
            self.gradient(dtops[0], bottoms[0], tops[0], dbottoms[0])


@in_c(native.sigmoid)
@np.errstate(all="ignore")
def sigmoid(x: Array, out: Array | None = None) -> Array:
    """``1 / (1 + exp(-x))``, computed as Caffe does, ``tanh(x / 2) / 2 + 1 / 2`` in double: nothing overflows.

    Source: sigmoid_layer.cpp. A saturated unit is exactly 0 or 1 there, and so is it here; of float32 every result has
    the bits of glibc's tanh up to 2.40.

    Examples
    --------
    >>> sigmoid(np.float32([-1000, 0, 1000]))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    y = blank(x, out)
    for a, b in pieces(x, y):
        double = np.multiply(a, 0.5, dtype=np.float64)
        libm_tanh(double, double)
        double *= 0.5
        double += 0.5
        b[...] = double
    return y


@in_c(native.sigmoid_backward)
@np.errstate(all="ignore")
def sigmoid_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    """Gradient of `sigmoid`, from its result: ``dy * y * (1 - y)``."""
    dx = blank(y, out)
    for d, b, result in pieces(dy, y, dx):
        double = np.subtract(1.0, b, dtype=np.float64)
        double *= d * b
        result[...] = double
    return dx


@dataclass(frozen=True, slots=True)
class Sigmoid(Elementwise):
    """`sigmoid` of each element."""

    def value(self, x: Array, out: Array | None = None) -> Array:
        return sigmoid(x, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return sigmoid_backward(dy, y, out)


def tanh(x: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent: of float32 with the bits of glibc's up to 2.40. Source: tanh_layer.cpp.

    Examples
    --------
    >>> tanh(np.float32([0]))
    array([0.], dtype=float32)
    """
    return libm_tanh(x, out)


@np.errstate(all="ignore")
def tanh_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    """Gradient of `tanh`, from its result: ``dy * (1 - y * y)``."""
    dx = blank(y, out)
    for d, b, result in pieces(dy, y, dx):
        slope = b * b
        np.subtract(1, slope, out=slope)
        np.multiply(d, slope, out=result)
    return dx


@dataclass(frozen=True, slots=True)
class TanH(Elementwise):
    """`tanh` of each element."""

    def value(self, x: Array, out: Array | None = None) -> Array:
        return tanh(x, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return tanh_backward(dy, y, out)


@np.errstate(all="ignore")
def swish(x: Array, beta: float = 1.0, out: Array | None = None, gate: Array | None = None) -> Array:
    """``x * sigmoid(beta * x)``. Source: swish_layer.cpp; Ramachandran et al. 2017.

    Parameters
    ----------
    gate : array of the shape of `x`, optional
        Receives ``sigmoid(beta * x)``, which `swish_backward` needs.

    Examples
    --------
    >>> swish(np.float32([-1000, 0, 1000]))
    array([  -0.,    0., 1000.], dtype=float32)
    """
    y, factor = blank(x, out), x.dtype.type(beta)
    for a, b, *kept in pieces(x, y) if gate is None else pieces(x, y, gate):
        inner = a * factor
        sigmoid(inner, inner)
        for each in kept:
            each[...] = inner
        np.multiply(a, inner, out=b)
    return y


@np.errstate(all="ignore")
def swish_backward(dy: Array, y: Array, gate: Array, beta: float = 1.0, out: Array | None = None) -> Array:
    """Gradient of `swish`, from its result and its gate: ``dy * (beta * y + gate * (1 - beta * y))``."""
    dx, factor = blank(y, out), y.dtype.type(beta)
    for d, b, g, result in pieces(dy, y, gate, dx):
        inner = b * factor
        double = np.subtract(1.0, inner, dtype=np.float64)
        double *= g
        double += inner
        double *= d
        result[...] = double
    return dx


@dataclass(frozen=True, slots=True)
class Swish(Elementwise):
    """`swish` of each element."""

    beta: float = 1.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return swish(x, self.beta, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return swish_backward(dy, y, sigmoid(x * x.dtype.type(self.beta)), self.beta, out)

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        x = bottoms[0]
        gate = work.buffer("gate", x.shape, x.dtype) if work.backward else None
        swish(x, self.beta, tops[0], gate)

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
        y = tops[0]
        if dbottoms[0] is not None:
            swish_backward(dtops[0], y, work.buffer("gate", y.shape, y.dtype), self.beta, dbottoms[0])


@np.errstate(all="ignore")
def bnll(x: Array, out: Array | None = None) -> Array:
    """``log(1 + exp(x))``, the softplus, without overflow: ``x + log(1 + exp(-x))`` above 0. Source: bnll_layer.cpp.

    Examples
    --------
    >>> bnll(np.float32([-1000, 0, 1000]))
    array([0.000000e+00, 6.931472e-01, 1.000000e+03], dtype=float32)
    """
    y = blank(x, out)
    for a, b in pieces(x, y):
        # the exponential is a float, the logarithm a double
        double = np.exp(-np.abs(a), dtype=np.float64).astype(a.dtype).astype(np.float64)
        double += 1.0
        np.log(double, out=double)
        double += np.maximum(a, 0)
        b[...] = double
    return y


@np.errstate(all="ignore")
def bnll_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """Gradient of `bnll`: ``dy * e / (e + 1)`` with ``e = exp(min(x, 50))``.

    A layer that works in place has its result for `x` here, as in Caffe.
    """
    dx = blank(x, out)
    for d, a, result in pieces(dy, x, dx):
        power = np.exp(np.minimum(a, 50), dtype=np.float64).astype(a.dtype)
        double = np.add(power, 1.0, dtype=np.float64)
        np.divide(d * power, double, out=double)
        result[...] = double
    return dx


@dataclass(frozen=True, slots=True)
class BNLL(Elementwise):
    """`bnll` of each element."""

    def value(self, x: Array, out: Array | None = None) -> Array:
        return bnll(x, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return bnll_backward(dy, x, out)


@np.errstate(all="ignore")
def elu(x: Array, alpha: float = 1.0, out: Array | None = None) -> Array:
    """``max(x, 0) + alpha * (exp(min(x, 0)) - 1)``. Source: elu_layer.cpp; Clevert et al. 2016.

    Examples
    --------
    >>> elu(np.float32([-1000, 0, 2]), 0.5)
    array([-0.5,  0. ,  2. ], dtype=float32)
    """
    y, factor = blank(x, out), x.dtype.type(alpha)
    for a, b in pieces(x, y):
        low = np.exp(np.minimum(a, 0), dtype=np.float64).astype(a.dtype)
        low -= 1
        low *= factor
        np.maximum(a, 0, out=b)
        b += low
    return y


@np.errstate(all="ignore")
def elu_backward(dy: Array, x: Array, y: Array, alpha: float = 1.0, out: Array | None = None) -> Array:
    """Gradient of `elu`: ``dy`` where ``x > 0``, else ``dy * (alpha + y)``."""
    dx, factor = blank(x, out), x.dtype.type(alpha)
    for d, a, b, result in pieces(dy, x, y, dx):
        low = (b + factor) * (a <= 0)
        low += a > 0
        np.multiply(d, low, out=result)
    return dx


@dataclass(frozen=True, slots=True)
class ELU(Elementwise):
    """`elu` of each element."""

    alpha: float = 1.0

    def value(self, x: Array, out: Array | None = None) -> Array:
        return elu(x, self.alpha, out)

    def gradient(self, dy: Array, x: Array, y: Array, out: Array | None = None) -> Array:
        return elu_backward(dy, x, y, self.alpha, out)
