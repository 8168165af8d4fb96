"""Where the layers that go on from pass to pass stand: data layers, recurrent ones, and the random stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import RNG
from ..layers.delivering import Delivering
from ..net import Net

if TYPE_CHECKING:
    from .solver import Solver

__all__ = ["go_to", "places_of", "seeds_of", "stand", "standing"]


def seeds_of(place: dict[str, Any]) -> dict[str, list[int]]:
    """The seeds that a layer drew when it was set up, by what for."""
    return {what: list(map(int, seeds)) for what, seeds in place["seeds"].items()}


def places_of(net: Net) -> dict[str, Any]:
    """Where each layer that goes on from pass to pass stands, by its position in the net."""
    found = {}
    for i, entry in enumerate(net.tape.entries):
        operation, work = entry.operation, entry.work
        place: dict[str, object] = {}
        if isinstance(operation, Delivering):
            place["delivered"] = operation.place(work)
        if operation is not None and operation.carries:
            held = {name: work.buffers[name] for name in operation.carries if name in work.buffers}
            place["carried"] = {name: [array.shape, array.reshape(-1).tolist()] for name, array in held.items()}
        if place:
            found[str(i)] = {**place, "seeds": {what: list(seeds) for what, seeds in work.seeds.items()}}
    return found


def go_to(net: Net, places: dict[str, Any]) -> None:
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


def standing(solver: Solver) -> tuple[RNG, list[dict[str, Any]]]:
    """Where the stream and the test nets stand."""
    return solver.net.rng.copy(), [places_of(net) for net in solver.test_nets]


def stand(solver: Solver, before: tuple[RNG, list[dict[str, object]]]) -> None:
    """Bring the stream and the test nets back to where they stood."""
    stream, places = before
    solver.net.rng.become(stream)
    for net, place in zip(solver.test_nets, places, strict=True):
        go_to(net, place)
