"""The position of data layers, recurrent layers and the random stream, which lasts across passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from .._core import RNG
from ..layers.delivering import Delivering
from ..net import Net

if TYPE_CHECKING:
    from .solver import Solver

__all__ = ["Place", "go_to", "places_of", "seeds_of", "stand", "standing"]


class Place(TypedDict, total=False):
    """The position of a layer, as JSON holds it: the items it delivered, its state, the seeds it drew."""

    delivered: int
    carried: dict[str, tuple[Sequence[int], list[float]]]
    seeds: dict[str, list[int]]


def seeds_of(place: Place) -> dict[str, list[int]]:
    """Return the seeds that a layer drew when it was set up, by purpose."""
    return {what: list(map(int, seeds)) for what, seeds in place["seeds"].items()}


def places_of(net: Net) -> dict[str, Place]:
    """Return the position of each layer that continues from pass to pass, by its index in the net."""
    found: dict[str, Place] = {}
    for i, entry in enumerate(net.tape.entries):
        operation, work = entry.operation, entry.work
        place: Place = {}
        if isinstance(operation, Delivering):
            place["delivered"] = operation.place(work)
        if operation is not None and operation.carries:
            held = {name: work.buffers[name] for name in operation.carries if name in work.buffers}
            place["carried"] = {name: (array.shape, array.reshape(-1).tolist()) for name, array in held.items()}
        if place:
            found[str(i)] = {**place, "seeds": {what: list(seeds) for what, seeds in work.seeds.items()}}
    return found


def go_to(net: Net, places: dict[str, Place]) -> None:
    """Bring the layers of a net to where `places_of` found them."""
    for i, place in places.items():
        entry = net.tape.entries[int(i)]
        operation, work = entry.operation, entry.work
        # without a random_seed the layers of a new process drew others
        work.seeds = seeds_of(place)
        if isinstance(operation, Delivering) and "delivered" in place:
            operation.go_to(int(place["delivered"]), work)
        carried = place.get("carried", {})
        for name in () if operation is None else operation.carries:
            if name in work.buffers and name not in carried:
                work.buffers[name][...] = 0  # as before the first pass
        for name, (shape, values) in carried.items():
            array = np.array(values, net.dtype).reshape(shape)
            work.buffer(name, array.shape, array.dtype)[...] = array


def standing(solver: Solver) -> tuple[RNG, list[dict[str, Place]]]:
    """Return the positions of the stream and of the test nets."""
    return solver.net.rng.copy(), [places_of(net) for net in solver.test_nets]


def stand(solver: Solver, before: tuple[RNG, list[dict[str, Place]]]) -> None:
    """Bring the stream and the test nets back to where they stood."""
    stream, places = before
    solver.net.rng.become(stream)
    for net, place in zip(solver.test_nets, places, strict=True):
        go_to(net, place)
