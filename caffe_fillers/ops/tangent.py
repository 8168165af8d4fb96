"""The hyperbolic tangent of float32, with the bits of the C library that Caffe was measured with.

glibc's up to 2.40 is that of Sun's fdlibm, whose method and coefficients these are: made of expm1, and a unit away from
the rounded tanh for a third of all numbers. That matters where a unit is saturated: its gradient is 1 - y * y.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from . import native
from .native import in_c
from .pieces import blank, pieces

__all__ = ["tanh_f32"]


def _expm1(x: Array) -> Array:
    """``exp(x) - 1`` of float32 in (-2, 0] and [2, 44)."""
    number, size = np.float32, np.abs(x)
    whole = (number(1.4426950216293335) * x + np.copysign(number(0.5), x)).astype(np.int32)
    # a positive x below the second limit would need 1, but there is none
    whole = np.where(size <= number(0.3465735912322998), 0, np.where(size < number(1.0397207736968994), -1, whole))
    k = whole.astype(np.float32)
    high, low = x - k * number(0.6931381225585938), k * number(9.05800061445916e-06)
    rest = high - low
    lost, half = (high - rest) - low, number(0.5) * rest
    square = rest * half
    series = np.zeros_like(x)
    # highest power first
    for factor in (-2.0109921194944036e-07, 4.00821772927884e-06, -7.936507608974352e-05, 0.0015873016091063619):
        series = number(factor) + square * series
    series = 1 + square * (number(-0.03333333507180214) + square * series)
    term = 3 - series * half
    error = square * ((series - term) / (6 - rest * term))
    near, error = rest - (rest * error - square), (rest * (error - lost) - lost) - square
    one, up, down = number(1), np.ldexp(number(1), whole), np.ldexp(number(1), -whole)
    far = np.where(whole < 23, ((one - down) - (error - rest)) * up, ((rest - (error + down)) + one) * up)
    far = np.where((whole < 0) | (whole > 56), (one - (error - rest)) * up - one, far)
    result: Array = np.where(whole == 0, near, np.where(whole == -1, number(0.5) * (rest - error) - number(0.5), far))
    return result


@in_c(native.tanh_f32)
def tanh_f32(x: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent of float32.

    Examples
    --------
    >>> tanh_f32(np.float32([0, 0.5]))
    array([0.        , 0.46211717], dtype=float32)
    """
    y = blank(x, out)
    with np.errstate(all="ignore"):
        for a, b in pieces(x, y):
            size = np.abs(a)
            power = _expm1(np.where(size < 1, -2 * size, np.minimum(2 * size, 44)))
            result = np.where(size < 1, -power / (power + 2), 1 - 2 / (power + 2))
            # tiny numbers and NaN stay as they are
            result = np.where(size >= 2.0**-25, np.where(size < 22, result, 1), a)
            b[...] = np.copysign(result, a)
    return y
