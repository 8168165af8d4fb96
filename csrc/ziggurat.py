"""Boost 1.64's normal distribution, one draw after another, with the values of the C code. Read this before the C code.

The curve exp(-x*x/2) is covered by 128 layers of equal area, the widest at the bottom. One draw chooses a layer, a sign
and a place along the layer. Up to the edge of the layer above, every place is under the curve, so 97 of 100 values need
nothing else. Beyond that edge another draw gives the height, and points above the curve are rejected; the curve's chord
and tangent decide most cases without exp. The lowest layer ends in the tail, which takes exponential variates from a
ziggurat of their own.

    python csrc/ziggurat.py prints some values of seed 1701. `real` is np.float32 or np.float64, `draw` returns 32 bits.
"""

import math
from itertools import pairwise

import numpy as np
from ziggurat_tables import edges

X, Y, EX, EY = edges()
DX, DY, DEX, DEY = ([b - a for a, b in pairwise(edge)] for edge in (X, Y, EX, EY))


def unit(draw, real):
    while (u := real(draw()) * real(2**-32)) == 1:  # float32 rounds some draws up
        pass
    return u


def fraction_and_bucket(draw, real):
    u = draw()
    fraction = real(u >> 8) * real(2**-24)
    if real is np.float64:
        fraction = (fraction + real(draw() & 0x1FFFFFFF)) * real(2**-29)
    return fraction, u & 255


def exponential(draw, real):
    shift = real(0)
    while True:
        x, i = fraction_and_bucket(draw, real)
        x *= real(EX[i])
        if x < real(EX[i + 1]):
            return shift + x
        if i == 0:
            shift += real(EX[1])
            continue
        t = unit(draw, real)
        y = real(EY[i]) + t * real(DEY[i])
        above_chord = real(-DEX[i]) * t - (real(EX[i]) - x)
        above_tangent = y - (real(EY[i + 1]) + (real(EX[i + 1]) - x) * real(EY[i + 1]))
        if above_chord < 0 and (above_tangent < 0 or y < real(math.exp(-x))):
            return shift + x


def tail(draw, real):
    while True:
        x = exponential(draw, real) / real(X[1])
        if 2 * exponential(draw, real) > x * x:
            return x + real(X[1])


def normal(draw, real):
    while True:
        x, bucket = fraction_and_bucket(draw, real)
        i, sign = bucket >> 1, real((bucket & 1) * 2 - 1)
        x *= real(X[i])
        if float(x) < X[i + 1]:
            return sign * x
        if i == 0:
            return sign * tail(draw, real)
        t = unit(draw, real)
        y = real(Y[i]) + t * real(DY[i])
        above_chord = real(-DX[i]) * t - (real(X[i]) - x)
        above_tangent = y - (real(Y[i]) + (real(X[i]) - x) * real(Y[i]) * real(X[i]))
        upper, lower = (above_chord, above_tangent) if X[i] >= 1 else (above_tangent, above_chord)
        if upper < 0 and (lower < 0 or y < real(math.exp(-(x * x / 2)))):
            return sign * x


if __name__ == "__main__":
    key = np.random.MT19937()
    key._legacy_seeding(1701)
    print(*(normal(lambda: int(key.random_raw()), np.float32) for _ in range(5)))
