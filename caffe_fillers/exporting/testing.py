"""The net that is exported: a copy of the caller's in phase TEST that shares its parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from .. import ops, schema
from .._core import RNG
from ..errors import CaffeError, CaffeWarning
from ..layers.rule import Inputs
from ..net import Net
from ..planning import Options
from .plan import leaves_out

__all__ = ["twin"]


def twin(net: Net, end: str | None = None, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Net:
    """Return a net like `net` in phase TEST, with its parameters; running it does not change `net`.

    Parameters
    ----------
    end : str, optional
        The last layer that matters.
    shapes : mapping, optional
        For inputs by name; without them those that the caller gave them.

    Raises
    ------
    CaffeError
        If the net has no phase TEST, has a layer there that `net` has no parameters for, or holds no values.
    """
    state = schema.NetState()
    state.CopyFrom(net.state)
    state.phase = schema.enum("Phase")["TEST"]
    with warnings.catch_warnings():
        # the caller's net has warned already
        warnings.simplefilter("ignore", CaffeWarning)
        test_net = _of_state(net, state)
    # the inputs whose shape the caller changed
    reshaped = {
        name: blob.shape
        for step in net.steps
        if not step.bottoms
        for name, blob, planned in zip(step.layer.tops, step.tops, step.setup.tops, strict=True)
        if blob.shape != planned
    }
    for step in test_net.steps:
        if not step.bottoms:
            for name, blob in zip(step.layer.tops, step.tops, strict=True):
                blob.reshape((shapes or {}).get(name) or reshaped.get(name) or blob.shape)
                step.setup.tops = [top.shape for top in step.tops]
    for entry in test_net.tape.entries:
        if not leaves_out(entry.step):
            # a loss may need labels for another batch
            entry.fit()
        if entry.step.layer.name == end:
            break
    _share(test_net, net)
    return test_net


def _of_state(net: Net, state: schema.NetState) -> Net:
    first = net.steps[0].layer if net.steps else None
    try:
        return Net.of_state(
            net.source,
            state,
            RNG(0),
            Options(
                Inputs() if first is None else first.inputs,
                net.dtype,
                net.caffe,
                net.allowed,
                fill=False,
                threads=1,
                python={} if first is None else first.python,
                alone=first is None,
            ),
        )
    except CaffeError as error:
        if net.phase == "TEST":
            raise
        raise CaffeError(f"a net is exported in phase TEST, and this one has no such phase: {error}") from None


def _share(test_net: Net, net: Net) -> None:
    same = [step.layer.name for step in test_net.steps] == [step.layer.name for step in net.steps]
    by_name = {step.layer.name: step for step in reversed(net.steps)}
    for i, step in enumerate(test_net.steps):
        if not step.layer.blobs:
            continue
        other = net.steps[i] if same else by_name.get(step.layer.name)
        ours = [blob.shape for blob in step.layer.blobs]
        theirs = None if other is None else [blob.shape for blob in other.layer.blobs]
        if other is None or ours != theirs:
            raise CaffeError(
                f"{step.where}: in phase TEST it has parameters of shapes {ours}, in the net given "
                f"{'there is no such layer' if theirs is None else f'of {theirs}'}\n"
                'set the net up with phase="TEST" and its weights'
            )
        for blob, owner in zip(step.layer.blobs, other.layer.blobs, strict=True):
            if _changes(step.setup.operation):
                blob.without_data("")
                blob.allocate()[...] = owner.data
            else:
                blob.share_data(owner)


def _changes(operation: ops.Operation | None) -> bool:
    """Return whether a forward pass writes to the parameters."""
    return isinstance(operation, (ops.BatchNorm, ops.MovingBN)) and not operation.stored
