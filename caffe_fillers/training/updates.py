"""Parameter updates of the six solver types: shared clipping, normalisation and regularisation, then the update.

Caffe's own order and rounding (``src/caffe/solvers/``): every product and sum is rounded to the blobs' type by itself.
All of it is done a piece at a time, so that what one call has written is in the cache when the next one reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import _core, schema
from ..arrays import Array
from ..blob import Blob
from ..errors import CaffeError

__all__ = ["SGD", "UPDATES", "AdaDelta", "AdaGrad", "Adam", "Nesterov", "RMSProp", "Update", "axpby"]

Number = np.floating  # a scalar of the blobs' type
_PIECE = 16384


@dataclass(slots=True)
class Piece:
    """A stretch of one parameter: views of its data, diff and histories, and two arrays for intermediate results."""

    data: Array
    diff: Array
    history: tuple[Array, ...]
    a: Array
    b: Array


def axpby(alpha: Number, x: Array, beta: Number, y: Array, scratch: Array) -> None:
    """y = alpha x + beta y. A term whose factor is 0 is left out of the sum, as in OpenBLAS."""
    if beta == 0:
        scale(alpha, x, y)
        return
    np.multiply(y, beta, out=y)
    if alpha != 0:
        np.multiply(x, alpha, out=scratch)
        np.add(y, scratch, out=y)


def scale(alpha: Number, x: Array, y: Array) -> None:
    """y = alpha x; 0 for alpha 0, whatever x holds."""
    if alpha == 0:
        y.fill(0)
    else:
        np.multiply(x, alpha, out=y)


def _together(blobs: Sequence[Blob]) -> list[Array]:
    """Zeros for each blob, in one piece of memory: such a large one gets large pages, which saves time in each pass."""
    if not blobs:
        return []
    dtype = blobs[0].dtype
    line = 64 // dtype.itemsize
    sizes = [-(-blob.count() // line) * line for blob in blobs]
    memory = np.zeros(sum(sizes) + line, dtype)
    # each begins on a cache line
    starts = np.cumsum([-memory.ctypes.data % 64 // dtype.itemsize, *sizes])
    return [memory[start:][: blob.count()].reshape(blob.shape) for start, blob in zip(starts, blobs, strict=False)]


class Update:
    """The rule that all solvers share; a subclass computes the change from a gradient.

    Parameters
    ----------
    message : SolverParameter
    blobs : sequence of Blob
        The parameters to learn, those that layers share once.
    multipliers : sequence of (float, float)
        lr_mult and decay_mult of each.

    Attributes
    ----------
    history : list of ndarray
        What the solver remembers of past gradients, in the order of a solverstate: one for each parameter, or two,
        first all of the first kind.

    Raises
    ------
    CaffeError
        If the message asks for a regularization that Caffe does not know.
    """

    kinds: ClassVar[int] = 1
    """The number of history arrays for each parameter."""

    def __init__(
        self, message: schema.SolverParameter, blobs: Sequence[Blob], multipliers: Sequence[tuple[float, float]]
    ) -> None:
        self.blobs = list(blobs)
        of: type[np.floating] = self.blobs[0].dtype.type if self.blobs else np.float32
        self.of = of
        self.message = message
        self.momentum, self.delta = of(message.momentum), of(message.delta)
        self.clip = of(message.clip_gradients)
        self.share = None if message.iter_size == 1 else of(1) / of(message.iter_size)
        self.rates = [of(rate) for rate, _ in multipliers]
        decay = of(message.weight_decay)
        self.decays = [decay * of(own) for _, own in multipliers]
        if message.regularization_type not in ("L1", "L2") and any(self.decays):
            raise CaffeError(
                f"Unknown regularization type: {message.regularization_type}\nregularization_type is L2 or L1"
            )
        self.l1 = message.regularization_type == "L1"
        self.history = [array for _ in range(self.kinds) for array in _together(self.blobs)]
        for blob, array in zip(self.blobs, _together(self.blobs), strict=True):
            blob._place_diff(array)
        self.clipped: Callable[[Number, Number], None] | None = None
        """Called with the norm and the factor where gradients are scaled down."""
        longest = min(_PIECE, max((blob.count() for blob in self.blobs), default=0))
        self._room = np.empty((2, longest), of)
        self._pieces: list[list[Piece]] = []
        self._layouts = -1

    def clear(self) -> None:
        """Set the diffs to zero, for gradients to be added up in."""
        for blob in self.blobs:
            blob._clear_diff()

    def apply(self, rate: Number, iteration: int) -> None:
        """Change the parameters by their diffs, which then hold the change."""
        if self._layouts != Blob.layouts:
            self._pieces = [self._cut(i) for i in range(len(self.blobs))]
            self._layouts = Blob.layouts
        for blob in self.blobs:
            # those that no backward pass has written
            blob._settle_diff()
        with np.errstate(all="ignore"):
            self._clip()
            for i, (pieces, own, decay) in enumerate(zip(self._pieces, self.rates, self.decays, strict=True)):
                local = self.local_rate(rate * own, iteration)
                if self.at_once(i, local, decay):
                    continue
                for piece in pieces:
                    if self.share is not None:
                        np.multiply(piece.diff, self.share, out=piece.diff)
                    if decay:
                        self._regularize(piece, decay)
                    self.compute(piece, local)
                    np.subtract(piece.data, piece.diff, out=piece.data)

    def at_once(self, i: int, rate: Number, decay: Number) -> bool:
        """Return whether C did all of it for parameter `i` in one pass, with the same bits."""
        return False

    def local_rate(self, rate: Number, iteration: int) -> Number:
        return rate

    def compute(self, piece: Piece, rate: Number) -> None:
        """Turn the gradient in ``piece.diff`` into the change to subtract from the parameter."""
        raise NotImplementedError

    def _cut(self, index: int) -> list[Piece]:
        blob, count = self.blobs[index], len(self.blobs)
        data, diff = blob.data.reshape(-1), blob._unshown_diff.reshape(-1)
        history = [self.history[index + kind * count].reshape(-1) for kind in range(self.kinds)]
        pieces = []
        for start in range(0, data.size, _PIECE):
            part = slice(start, start + _PIECE)
            a, b = self._room[:, : data[part].size]
            pieces.append(Piece(data[part], diff[part], tuple(each[part] for each in history), a, b))
        return pieces

    def _clip(self) -> None:
        if self.clip < 0:
            return
        total = self.of(0)
        for blob in self.blobs:
            flat = blob._unshown_diff.reshape(-1)
            total += np.dot(flat, flat)
        norm = np.sqrt(total)
        if norm > self.clip:
            factor = self.clip / norm
            if self.clipped is not None:
                self.clipped(norm, factor)
            for blob in self.blobs:
                scale(factor, blob._unshown_diff, blob._unshown_diff)

    def _regularize(self, piece: Piece, decay: Number) -> None:
        towards = piece.data
        if self.l1:
            towards = np.sign(piece.data, out=piece.b)
        np.multiply(towards, decay, out=piece.a)
        np.add(piece.diff, piece.a, out=piece.diff)


class SGD(Update):
    """Stochastic gradient descent with momentum."""

    def at_once(self, i: int, rate: Number, decay: Number) -> bool:
        share = 1.0 if self.share is None else self.share
        blob, history = self.blobs[i], self.history[i]
        return _core.sgd(blob.data, blob._unshown_diff, history, share, decay, rate, self.momentum, self.l1)

    def compute(self, piece: Piece, rate: Number) -> None:
        (velocity,) = piece.history
        axpby(rate, piece.diff, self.momentum, velocity, piece.a)
        piece.diff[...] = velocity


class Nesterov(Update):
    """Nesterov's accelerated gradient (Sutskever et al., 2013)."""

    def compute(self, piece: Piece, rate: Number) -> None:
        (velocity,) = piece.history
        change, scratch = piece.b, piece.a
        change[...] = velocity
        axpby(rate, piece.diff, self.momentum, velocity, scratch)
        # back by the old step, then over the new one
        axpby(self.of(1) + self.momentum, velocity, -self.momentum, change, scratch)
        piece.diff[...] = change


class AdaGrad(Update):
    """AdaGrad (Duchi et al., 2011): the rate over the root of the sum of all squared gradients."""

    def compute(self, piece: Piece, rate: Number) -> None:
        (squares,) = piece.history
        np.square(piece.diff, out=piece.a)
        np.add(piece.a, squares, out=squares)
        _over_root(piece, squares, self.delta)
        scale(rate, piece.a, piece.diff)


class RMSProp(Update):
    """RMSProp (Tieleman and Hinton, 2012): as AdaGrad, with a sum that forgets by rms_decay."""

    def __init__(
        self, message: schema.SolverParameter, blobs: Sequence[Blob], multipliers: Sequence[tuple[float, float]]
    ) -> None:
        super().__init__(message, blobs, multipliers)
        self.decay = self.of(message.rms_decay)

    def compute(self, piece: Piece, rate: Number) -> None:
        (squares,) = piece.history
        np.square(piece.diff, out=piece.a)
        axpby(self.of(1) - self.decay, piece.a, self.decay, squares, piece.b)
        _over_root(piece, squares, self.delta)
        scale(rate, piece.a, piece.diff)


class AdaDelta(Update):
    """AdaDelta (Zeiler, 2012): the change in units of past changes."""

    kinds = 2

    def compute(self, piece: Piece, rate: Number) -> None:
        squares, changes = piece.history
        a, b, rest = piece.a, piece.b, self.of(1) - self.momentum
        np.square(piece.diff, out=a)
        axpby(rest, a, self.momentum, squares, b)
        np.add(changes, self.delta, out=a)
        np.add(squares, self.delta, out=b)
        np.divide(a, b, out=a)
        np.sqrt(a, out=a)
        np.multiply(piece.diff, a, out=piece.diff)
        np.square(piece.diff, out=a)
        axpby(rest, a, self.momentum, changes, b)
        scale(rate, piece.diff, piece.diff)


class Adam(Update):
    """Adam (Kingma and Ba, 2015). Caffe's delta stands beside the root before its correction."""

    kinds = 2

    def __init__(
        self, message: schema.SolverParameter, blobs: Sequence[Blob], multipliers: Sequence[tuple[float, float]]
    ) -> None:
        super().__init__(message, blobs, multipliers)
        self.momentum2 = self.of(message.momentum2)

    def local_rate(self, rate: Number, iteration: int) -> Number:
        t, one = iteration + 1, self.of(1)
        # Caffe's pow of a float and an int is a double
        first, second = np.float64(self.momentum) ** t, np.float64(self.momentum2) ** t
        return rate * self.of(np.sqrt(one - second) / (one - first))

    def compute(self, piece: Piece, rate: Number) -> None:
        mean, squares = piece.history
        a, b, one = piece.a, piece.b, self.of(1)
        axpby(one - self.momentum, piece.diff, self.momentum, mean, a)
        np.multiply(piece.diff, piece.diff, out=a)
        axpby(one - self.momentum2, a, self.momentum2, squares, b)
        np.sqrt(squares, out=a)
        np.add(a, self.delta, out=a)
        np.divide(mean, a, out=a)
        scale(rate, a, piece.diff)


def _over_root(piece: Piece, squares: Array, delta: Number) -> None:
    """``piece.a = diff / (sqrt(squares) + delta)``."""
    np.sqrt(squares, out=piece.a)
    np.add(piece.a, delta, out=piece.a)
    np.divide(piece.diff, piece.a, out=piece.a)


UPDATES: dict[str, type[Update]] = {each.__name__: each for each in (SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam)}
