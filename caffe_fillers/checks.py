"""Caffe's CHECKs, and its arithmetic of C ints."""

from __future__ import annotations

from typing import NoReturn

from .errors import CaffeError

__all__ = ["c_div", "c_int", "c_rem", "fail", "need", "need_equal"]


def need(holds: bool, check: str, advice: str = "") -> None:
    """Raise Caffe's CHECK, with our advice, unless `holds`."""
    if not holds:
        fail(check, advice)


def fail(check: str, advice: str = "") -> NoReturn:
    """Raise Caffe's CHECK; for what each layer of a net is asked, since writing a text takes longer than the check."""
    raise CaffeError(f"Check failed: {check}" + (f"\n{advice}" if advice else ""))


def need_equal(left: object, right: object, check: str, advice: str = "") -> None:
    need(left == right, f"{check} ({left} vs. {right})", advice)


def c_int(value: int) -> int:
    """Return a uint32 field as the C int that Caffe casts it to."""
    return value - 2**32 if value >= 2**31 else value


def c_div(a: int, b: int) -> int:
    """Divide integers as C does: round toward zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def c_rem(a: int, b: int) -> int:
    """Return the remainder of C, which has the sign of `a`."""
    return a - b * c_div(a, b)
