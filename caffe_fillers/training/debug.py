"""Inspects a net during training: Caffe's `debug_info`, and where values stop being finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..net import Net
from .log import number

if TYPE_CHECKING:
    from ..planning import Step

__all__ = ["first_not_finite", "forward", "forward_backward", "param_name"]

Say = Callable[..., None]


def _mean(array: np.ndarray) -> str:
    with np.errstate(all="ignore"):
        return number(np.abs(array).sum() / array.dtype.type(array.size))


def param_name(step: Step, index: int) -> str:
    """Return Caffe's name for a parameter blob: the name in the text, else its number."""
    specs = step.layer.message.param
    return (specs[index].name if index < len(specs) else "") or str(index)


def forward(net: Net, say: Say) -> None:
    """Run forward a layer at a time, and say the mean absolute value of all that each one made."""
    tape = net.tape
    for i, entry in enumerate(tape.entries):
        tape.forward(i, i + 1)
        step = entry.step
        for name, blob in zip(step.layer.tops, step.tops, strict=True):
            say("net.cpp:593", f"    [Forward] Layer {step.layer.name}, top blob {name} data: {_mean(blob.data)}")
        for k, blob in enumerate(step.layer.blobs):
            text = f"    [Forward] Layer {step.layer.name}, param blob {param_name(step, k)} data: {_mean(blob.data)}"
            say("net.cpp:605", text)


def forward_backward(net: Net, say: Say) -> float:
    """Run `forward`, then backward in the same way; return the loss."""
    forward(net, say)
    tape = net.tape
    loss = tape.loss()
    for i in range(len(tape.entries) - 1, -1, -1):
        tape.backward(i, i - 1)
        if tape.entries[i].needs_backward:
            _backward_lines(net, i, say)
    _all_params(net, say)
    return loss


def _backward_lines(net: Net, i: int, say: Say) -> None:
    entry = net.tape.entries[i]
    step = entry.step
    for name, blob, down in zip(step.node.wired, step.bottoms, entry.down, strict=True):
        if down:
            say("net.cpp:621", f"    [Backward] Layer {step.layer.name}, bottom blob {name} diff: {_mean(blob.diff)}")
    for k, (blob, learns) in enumerate(zip(step.layer.blobs, entry.lr_needs, strict=True)):
        if learns:
            say("net.cpp:632", f"    [Backward] Layer {step.layer.name}, param blob {k} diff: {_mean(blob.diff)}")


def _all_params(net: Net, say: Say) -> None:
    of: type[np.floating] = net.dtype.type
    sums = [of(0)] * 4
    with np.errstate(all="ignore"):
        for blob in net.learnable:
            data, diff = blob.data.reshape(-1), blob.diff.reshape(-1)
            terms = (np.abs(data).sum(), np.abs(diff).sum(), np.dot(data, data), np.dot(diff, diff))
            sums = [total + term for total, term in zip(sums, terms, strict=True)]
        norms = [*sums[:2], *np.sqrt(sums[2:])]
    l1_data, l1_diff, l2_data, l2_diff = map(number, norms)
    say(
        "net.cpp:721",
        f"    [Backward] All net params (data, diff): L1 norm = ({l1_data}, {l1_diff}); "
        f"L2 norm = ({l2_data}, {l2_diff})",
        "E",
    )


def first_not_finite(net: Net) -> str:
    """Return the first layer whose parameters or tops hold NaN or infinity, as a text."""
    for step in (entry.step for entry in net.tape.entries):
        for k, blob in enumerate(step.layer.blobs):
            if not np.isfinite(blob.data).all():
                return (
                    f"the first such values are in layer '{step.layer.name}', in its blob {k}, which training changed"
                )
        for name, top in zip(step.layer.tops, step.tops, strict=True):
            if top.written and not np.isfinite(top.data).all():
                return f"the first such values are in layer '{step.layer.name}', in its top '{name}'"
    return "no parameter and no top holds such values"
