"""An operation's backward pass against the numerical derivative of its forward pass, in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from caffe_fillers import RNG
from caffe_fillers.ops import Operation, Work

MOST = 40  # elements of one array that are moved


class Case:
    """One operation, its arrays, and the gradient that its tops are given."""

    def __init__(
        self,
        operation: Operation,
        bottoms: Sequence[np.ndarray],
        blobs: Sequence[np.ndarray],
        tops: Sequence[tuple[int, ...]],
        rng: int | None,
        in_place: bool,
    ) -> None:
        self.operation, self.tops_shapes, self.seed, self.in_place = operation, tops, rng, in_place
        self.bottoms = [np.array(bottom, np.float64) for bottom in bottoms]
        self.blobs = [np.array(blob, np.float64) for blob in blobs]
        random = np.random.default_rng(7)
        self.dtops = [random.uniform(0.5, 1.5, shape) * random.choice([-1, 1], shape) for shape in tops]

    def forward(self) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], Work]:
        """One pass over copies, with a stream that begins anew: bottoms, tops, blobs, work."""
        bottoms, blobs = [each.copy() for each in self.bottoms], [each.copy() for each in self.blobs]
        tops = [np.full(shape, np.nan) for shape in self.tops_shapes]
        if self.in_place:
            tops[0] = bottoms[0]
        work = Work(None if self.seed is None else RNG(self.seed))
        self.operation.forward(bottoms, tops, blobs, work)
        return bottoms, tops, blobs, work

    def loss(self) -> float:
        return sum(float((dtop * top).sum()) for dtop, top in zip(self.dtops, self.forward()[1], strict=True))

    def backward(self, wanted: Iterable[int]) -> tuple[list[np.ndarray | None], list[np.ndarray]]:
        """The gradients of the bottoms `wanted`, which have to be overwritten, and of all blobs, which have to grow."""
        wanted = set(wanted)
        bottoms, tops, blobs, work = self.forward()
        dtops = [each.copy() for each in self.dtops]
        dbottoms = [np.full_like(each, np.nan) if i in wanted else None for i, each in enumerate(self.bottoms)]
        if self.in_place:
            dbottoms[0] = dtops[0]
        dblobs = [np.full_like(each, 3.0) for each in self.blobs]
        left = [each.copy() for each in (*bottoms, *tops, *blobs)]
        self.operation.backward(dtops, bottoms, tops, blobs, dbottoms, dblobs, work)
        for before, after in zip(left, (*bottoms, *tops, *blobs), strict=True):
            np.testing.assert_array_equal(before, after, err_msg="backward changed what forward had made")
        return dbottoms, [each - 3.0 for each in dblobs]


def numeric(array: np.ndarray, loss: Callable[[], float], places: np.ndarray, step: float) -> np.ndarray:
    """Central differences of `loss` by the elements of `array` at the flat `places`."""
    flat, result = array.reshape(-1), np.empty(len(places))
    for i, place in enumerate(places):
        kept = flat[place]
        flat[place] = kept + step
        above = loss()
        flat[place] = kept - step
        result[i] = (above - loss()) / (2 * step)
        flat[place] = kept
    return result


def check_gradient(
    operation: Operation,
    bottoms: Sequence[np.ndarray],
    blobs: Sequence[np.ndarray],
    tops_shapes: Sequence[tuple[int, ...]],
    rng: int | None = None,
    *,
    by: Sequence[int] | None = None,
    by_blobs: Sequence[int] | None = None,
    in_place: bool = False,
    step: float = 1e-6,
    tolerance: float = 1e-6,
) -> None:
    """Hold every gradient that `operation` has to the numerical one.

    Parameters
    ----------
    operation, bottoms, blobs, tops_shapes
        Arrays of any type; they are copied as float64.
    rng : int, optional
        The seed of the stream that each forward pass begins with (Dropout).
    by, by_blobs : sequence of int, optional
        The bottoms and blobs that have a gradient (not labels, not statistics); without it all.
    in_place : bool
        The first top is the first bottom's own array.
    step, tolerance : float
        How far an element is moved, and how far the results may be apart, relative to the largest gradient.
    """
    case = Case(operation, bottoms, blobs, tops_shapes, rng, in_place)
    by = range(len(bottoms)) if by is None else by
    by_blobs = range(len(blobs)) if by_blobs is None else by_blobs
    dbottoms, dblobs = case.backward(by)
    pairs = [(f"bottom {i}", case.bottoms[i], dbottoms[i]) for i in by]
    pairs += [(f"blob {i}", case.blobs[i], dblobs[i]) for i in by_blobs]
    random = np.random.default_rng(3)
    for name, array, gradient in pairs:
        assert gradient is not None
        assert gradient.shape == array.shape
        assert np.isfinite(gradient).all(), f"{name}: not all of its gradient was written"
        places = np.arange(array.size) if array.size <= MOST else random.choice(array.size, MOST, replace=False)
        expected = numeric(array, case.loss, places, step)
        largest = max(1e-3, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(
            gradient.reshape(-1)[places], expected, rtol=0, atol=tolerance * largest, err_msg=f"gradient of {name}"
        )
    # a bottom that wants no gradient changes nothing of the others
    if not in_place:
        for i in by:
            alone, again = case.backward([i])
            np.testing.assert_allclose(alone[i], dbottoms[i], rtol=1e-12, atol=1e-14)
            for one, other in zip(again, dblobs, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
