"""Revisions of Caffe, by name and in order, so that "up to rc2" is a comparison."""

from __future__ import annotations

from .errors import CaffeError

__all__ = ["MASTER", "RC", "RC2", "RC3", "REVISIONS", "V0_9999", "V1_0", "age_of", "check_revision"]

REVISIONS = ("v0.9999", "rc", "rc2", "rc3", "1.0", "master")
V0_9999, RC, RC2, RC3, V1_0, MASTER = range(len(REVISIONS))

_AGES = {name: age for age, name in enumerate(REVISIONS)}


def check_revision(caffe: str) -> str:
    """Return `caffe`, or raise CaffeError where it names no revision."""
    age_of(caffe)
    return caffe


def age_of(caffe: str) -> int:
    """The place of a revision in time, `V0_9999` to `MASTER`."""
    if caffe not in _AGES:
        raise CaffeError(f"caffe= is one of {', '.join(REVISIONS)}, got {caffe!r}")
    return _AGES[caffe]
