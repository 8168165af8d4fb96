"""Write ziggurat_tables.h from the formula: python csrc/ziggurat_tables.py > csrc/ziggurat_tables.h

A ziggurat covers a density f by n layers of equal area v. The lowest layer reaches to r and holds the tail beyond it,
so v = r f(r) + tail(r); going up, each layer's height is v over its width. The right r is the one for which the last
layer ends exactly at f(0) = 1.
"""

import struct
from decimal import Decimal, getcontext
from itertools import pairwise

getcontext().prec = 30
ONE = Decimal(1)


def arctan_inverse(n):
    """arctan(1/n) by its series."""
    total, term, k = Decimal(0), ONE / n, 0
    while abs(term) > Decimal("1e-29"):
        total += term / (2 * k + 1) * (-1) ** k
        term, k = term / (n * n), k + 1
    return total


def normal_tail(r):
    """Integral of exp(-x*x/2) from r on: the half of the whole less the series from 0 to r."""
    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    total, term, k = Decimal(0), r, 0
    while abs(term) > Decimal("1e-29"):
        total += term / (2 * k + 1)
        k += 1
        term = -term * r * r / (2 * k)
    return (pi / 2).sqrt() - total


def layers(r, n, f, inverse, tail):
    """x and y of the n + 1 edges for one r, and by how much the top misses 1."""
    v = r * f(r) + tail(r)
    x, y = [v / f(r), r], [Decimal(0), f(r)]
    for _ in range(2, n):
        y.append(y[-1] + v / x[-1])
        if y[-1] >= 1:
            return x, y, y[-1]
        x.append(inverse(y[-1]))
    miss = y[-1] + v / x[-1] - 1
    return [*x, Decimal(0)], [*y, ONE], miss


def solve(low, high, *curve):
    """The r between low (top too high) and high (too low) for which the layers close."""
    for _ in range(90):
        middle = (low + high) / 2
        if layers(middle, *curve)[2] > 0:
            low = middle
        else:
            high = middle
    return layers(high, *curve)[:2]


def as_float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def first_outside(x, inner):
    """The smallest 24-bit fraction f for which f * x, rounded to float32, is not below the next edge.

    The product of two 24-bit numbers is exact in a Python float, so there is one rounding, as in C.
    """
    low, high = 0, 1 << 24
    while low < high:
        middle = (low + high) // 2
        if as_float32(middle * 2.0**-24 * as_float32(x)) < inner:
            low = middle + 1
        else:
            high = middle
    return low


def table(kind, name, values):
    suffix = "f" if kind == "float" else ""
    numbers = ", ".join(repr(value) + suffix for value in values)
    lines, line = [], "   "
    for number in numbers.split(" "):
        if len(line) + len(number) > 116:
            lines.append(line)
            line = "   "
        line += " " + number
    body = "\n".join([*lines, line])
    return f"static const {kind} {name}[{len(values)}] = {{\n{body}}};\n"


def edges():
    """x and y of the layers' edges, of the normal distribution and of the exponential one."""
    normal = solve(
        Decimal(3), Decimal(4), 128, lambda x: (-x * x / 2).exp(), lambda y: (-2 * y.ln()).sqrt(), normal_tail
    )
    exponential = solve(Decimal(7), Decimal(8), 256, lambda x: (-x).exp(), lambda y: -y.ln(), lambda r: (-r).exp())
    return [[float(v) for v in axis] for axis in (*normal, *exponential)]


def main():
    x, y, ex, ey = edges()
    print("/* Written by ziggurat_tables.py: the edges of the layers, from the widest up. */")
    print("#ifndef CF_ZIGGURAT_TABLES_H\n#define CF_ZIGGURAT_TABLES_H\n\n#include <stdint.h>\n")
    print("enum { CF_NORMAL_LAYERS = 128 };\n")
    print(table("double", "cf_normal_x", x))
    print(table("double", "cf_normal_y", y))
    print(table("double", "cf_exponential_x", ex))
    print(table("double", "cf_exponential_y", ey))
    print("/* What float32 rounds those of the normal to. */")
    print(table("float", "cf_normal_x_f32", list(map(as_float32, x))))
    print("/* For a draw as a whole in float32: draw < inside[i] is the same as f * x[i] < x[i + 1]. */")
    print(table("uint32_t", "cf_normal_inside", [first_outside(*pair) << 8 for pair in pairwise(x)]))
    top = [int(256 * inner / outer) for outer, inner in pairwise(x)]
    assert all(256 * inner / outer % 1 > 1e-6 or inner == 0 for outer, inner in pairwise(x))
    print("/* The top byte of those, for float64 too: a fraction whose top byte is below it is surely inside. */")
    print(table("uint8_t", "cf_normal_surely", top))
    kept = [[i for i in range(8) if mask >> i & 1] for mask in range(256)]
    print("/* For a byte of bits, the places of those that are 1, a byte each from the lowest up. */")
    print(table("uint64_t", "cf_places", [sum(i << 8 * at for at, i in enumerate(places)) for places in kept]))
    print("#endif")


if __name__ == "__main__":
    main()
