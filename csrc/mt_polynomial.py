"""Print MT19937's characteristic polynomial, as in jump.c: python csrc/mt_polynomial.py

By the algorithm of Berlekamp and Massey ("Shift-register synthesis and BCH decoding", 1969), from twice its degree of
output bits.
"""

import random

DEGREE = 19937


def lowest_bits(n):
    words = random.Random(1)
    return [words.getrandbits(32) & 1 for _ in range(n)]


def recurrence(bits):
    """Return the shortest recurrence of a sequence over GF(2); bit i of the result weighs the bit i steps back."""
    current, previous, length, since, history = 1, 1, 0, 1, 0
    for i, bit in enumerate(bits):
        history = history << 1 | bit  # bit j is the one j steps back
        if (current & history).bit_count() & 1:
            changed = current ^ previous << since
            if 2 * length <= i:
                previous, length, since = current, i + 1 - length, 0
            current = changed
        since += 1
        history &= (1 << DEGREE + 1) - 1
    return current, length


if __name__ == "__main__":
    connection, degree = recurrence(lowest_bits(2 * DEGREE + 100))
    assert degree == DEGREE
    # the characteristic polynomial is the connection polynomial with its coefficients in reverse order
    print(", ".join(str(e) for e in range(DEGREE) if connection >> (DEGREE - e) & 1))
