"""The Operation base: the parameters of one layer, and its forward and backward computation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from .._core import RNG
from ..arrays import Array
from ..errors import CaffeError

__all__ = ["Given", "Operation", "Work"]

Shape = tuple[int, ...]
_Kept = TypeVar("_Kept")


class Work:
    """The memory of an operation that runs; the operation itself has no state.

    Parameters
    ----------
    rng : RNG, optional
        The stream that Dropout and the like draw from.
    seeds : dict of str to list of int, optional
        What the layer drew when it was set up, by what it drew it for; and its turns at C's `rand`.
    scratch : dict, optional
        Memory that several operations use in turn.

    Examples
    --------
    >>> work = Work()
    >>> mask = work.buffer("mask", (2, 3), np.float32)
    >>> work.buffer("mask", (2, 3), np.float32) is mask
    True
    """

    __slots__ = ("_buffers", "_scratch", "backward", "fresh", "kept", "rng", "seeds")

    def __init__(
        self,
        rng: RNG | None = None,
        seeds: dict[str, list[int]] | None = None,
        scratch: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.rng = RNG() if rng is None else rng
        self.backward = True
        """Whether a backward pass may follow; without one `forward` needs to keep nothing for it."""
        self.fresh = False
        """Whether the gradients of parameters count as zeros, whatever they hold; see `Operation.overwrites`."""
        self.seeds = seeds or {}
        self.kept: dict[str, Any] = {}
        self._buffers: dict[str, np.ndarray] = {}
        self._scratch = {} if scratch is None else scratch

    def buffer(self, name: str, shape: Shape, dtype: npt.DTypeLike) -> np.ndarray:
        """Return an array of this operation's own, from forward to backward. New memory is zeros."""
        array = self._buffers.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._buffers[name] = np.zeros(shape, dtype)
        return array

    @property
    def buffers(self) -> Mapping[str, np.ndarray]:
        """The arrays that `buffer` has made so far, by name."""
        return self._buffers

    def scratch(self, shape: Shape, dtype: npt.DTypeLike, name: str = "") -> np.ndarray:
        """Return an array that the next operation may overwrite; two at a time need two names."""
        nbytes = prod(shape) * np.dtype(dtype).itemsize
        memory = self._scratch.get(name)
        if memory is None or memory.size < nbytes:
            memory = self._scratch[name] = np.empty(nbytes, np.uint8)
        result: np.ndarray = memory[:nbytes].view(dtype).reshape(shape)
        return result

    def keep_input(self, x: Array, y: Array) -> None:
        """Copy the input `x` before a layer that works in place overwrites it with `y`, if backward may need it."""
        if self.backward and np.may_share_memory(x, y):
            self.buffer("input", x.shape, x.dtype)[...] = x

    def kept_input(self, x: Array, y: Array) -> Array:
        """The input as `forward` found it."""
        return self.buffer("input", x.shape, x.dtype) if np.may_share_memory(x, y) else x

    def once(self, name: str, make: Callable[[], _Kept]) -> _Kept:
        """Return the result of the first call of `make`: a reader, for example, with its place in the data."""
        if name not in self.kept:
            self.kept[name] = make()
        result: _Kept = self.kept[name]
        return result


class Operation:
    """The computation of a layer. Each kind is a frozen dataclass of plain numbers: no message, no blob, no state.

    All arrays are C-contiguous and of one dtype, float32 or float64, and belong to the caller. A layer that works in
    place gets the same array as bottom and as top, and then reads in `backward` what `forward` left there, as Caffe
    does. What `forward` hands to `backward` besides goes into ``work.buffer(name, shape, dtype)``.
    """

    __slots__ = ()

    shares: ClassVar[str] = ""
    """ "data" where each top is the memory of bottom 0 seen through its own shape, so that `forward` has nothing to do;
    "both" where that holds for the gradient too."""

    in_place: ClassVar[bool] = True
    """Whether a top may be a bottom: not where some of it would be written before all of the bottom is read."""

    carries: ClassVar[tuple[str, ...]] = ()
    """Buffers in which the next forward pass finds where this one ended."""

    overwrites: ClassVar[bool] = False
    """Whether `backward` writes the gradients of all parameters, instead of adding to them, where `Work.fresh` is."""

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        """Write every value of `tops` from `bottoms` and the parameters `blobs`."""
        raise NotImplementedError

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
        """Write the gradient of each bottom that is not None, and add to the gradient of each parameter that is not.

        The diff of a loss's top is its loss_weight.
        """
        raise CaffeError(f"{type(self).__name__} has no gradient: Caffe has no backward pass for it")

    def delivers(self) -> bool:
        """True if an operation without bottoms brings its own data; else the caller writes them to its tops."""
        return True

    def forces(self, bottom: int) -> bool:
        """Return whether `force_backward: true` asks for a gradient of this bottom: not for labels."""
        return True

    def shapes(self, bottoms: Sequence[Array], work: Work) -> list[Shape] | None:
        """Return the shapes of the tops if they depend on values (Filter, images of any size); else None."""
        return None


class Given(Operation):
    """The operation of an Input: its tops hold what the caller wrote to them."""

    __slots__ = ()

    def forward(self, bottoms: Sequence[Array], tops: Sequence[Array], blobs: Sequence[Array], work: Work) -> None:
        pass

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
        pass

    def delivers(self) -> bool:
        return False
