"""Another shape, another order, another choice of the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .array import Array
from .operation import Operation, Work

__all__ = ["Reshape"]


@dataclass(frozen=True, slots=True)
class Reshape(Operation):
    """The same numbers in another shape: Reshape, Flatten, Squeeze, and a Concat or Slice of a single blob."""

    shares = "both"

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        tops[0][...] = bottoms[0].reshape(tops[0].shape)

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
            dbottoms[0][...] = dtops[0].reshape(dbottoms[0].shape)
