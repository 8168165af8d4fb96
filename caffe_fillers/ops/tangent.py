"""The hyperbolic tangent, with the bits of the C library that Caffe was measured with.

glibc up to 2.40 uses the method and coefficients of Sun's fdlibm, as this module does: tanh is computed from expm1, and
is one unit from the rounded tanh for a third of all numbers. For a saturated unit this changes the gradient
1 - y * y a lot, and so it does a sigmoid near 0, tanh(x / 2) / 2 + 1 / 2. In float64, variants of glibc differ in the
last bit of 1 number in 1,000.
"""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from . import native
from .native import in_c
from .pieces import blank, pieces

__all__ = ["libm_tanh"]

# The constants, by the bytes of a number. The reduction: 1 / ln(2), ln(2) in two parts, and the limits of |x| below
# which no ln(2) is subtracted, and one.
_REDUCTION = {
    4: (1.4426950216293335, 0.6931381225585938, 9.05800061445916e-06, 0.3465736210346222, 1.0397207736968994),
    8: (1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10, 0.3465735912322998, 1.0397205352783203),
}
# The coefficients of the series, from the second on.
_SERIES = {
    4: (
        -0.03333333507180214,
        0.0015873016091063619,
        -7.936507608974352e-05,
        4.00821772927884e-06,
        -2.0109921194944036e-07,
    ),
    8: (
        -0.03333333333333313,
        0.0015873015872548146,
        -7.93650757867488e-05,
        4.008217827329362e-06,
        -2.0109921818362437e-07,
    ),
}
# From this power of 2 on 1 is added last. A number below the other limit is its own tangent.
_LARGE = {4: 23, 8: 20}
_TINY = {4: 2.0**-25, 8: 2.0**-55}


def _expm1(x: Array) -> Array:
    """``exp(x) - 1`` in (-2, 0] and [2, 44)."""
    number, size, width = x.dtype.type, np.abs(x), x.itemsize
    inverse, first, second, none, one_less = map(number, _REDUCTION[width])
    whole = (inverse * x + np.copysign(number(0.5), x)).astype(np.int32)
    # a positive x below the second limit would need 1, but there is none
    whole = np.where(size < none, 0, np.where(size < one_less, -1, whole))
    k = whole.astype(x.dtype)
    high, low = x - k * first, k * second
    rest = high - low
    lost, half = (high - rest) - low, number(0.5) * rest
    square = rest * half
    a, b, c, d, e = map(number, _SERIES[width])
    if width == 4:
        series = 1 + square * (a + square * (b + square * (c + square * (d + square * e))))
    else:
        fourth = square * square
        series = ((1 + square * a) + fourth * (b + square * c)) + (fourth * fourth) * (d + square * e)
    term = 3 - series * half
    error = square * ((series - term) / (6 - rest * term))
    near, error = rest - (rest * error - square), (rest * (error - lost) - lost) - square
    one, up, down = number(1), np.ldexp(number(1), whole), np.ldexp(number(1), -whole)
    far = ((rest - (error + down)) + one) * up
    far = np.where(whole < _LARGE[width], ((one - down) - (error - rest)) * up, far)
    far = np.where((whole < 0) | (whole > 56), (one - (error - rest)) * up - one, far)
    result: Array = np.where(whole == 0, near, np.where(whole == -1, number(0.5) * (rest - error) - number(0.5), far))
    return result


@in_c(native.tanh)
def libm_tanh(x: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent, of float32 and of float64.

    Examples
    --------
    >>> libm_tanh(np.float32([0, 0.5]))
    array([0.        , 0.46211717], dtype=float32)
    """
    y = blank(x, out)
    with np.errstate(all="ignore"):
        for a, b in pieces(x, y):
            size = np.abs(a)
            power = _expm1(np.where(size < 1, -2 * size, np.minimum(2 * size, 44)))
            result = np.where(size < 1, -power / (power + 2), 1 - 2 / (power + 2))
            # tiny numbers and NaN stay as they are
            result = np.where(size >= _TINY[x.itemsize], np.where(size < 22, result, 1), a)
            b[...] = np.copysign(result, a)
    return y
