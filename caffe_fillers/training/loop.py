"""The training loop: one iteration, and the tests, prints and snapshots between iterations."""

from __future__ import annotations

import math
import time
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CaffeError, CaffeWarning
from . import debug
from .average import Average
from .log import number, score_lines, scores
from .places import stand, standing

if TYPE_CHECKING:
    from .solver import Solver

__all__ = ["finish", "test", "train"]


def train(solver: Solver, stop: int) -> None:
    """Iterate until `solver.iter` is `stop`, or a stop is asked for."""
    message, net, of = solver.message, solver.net, solver.net.dtype.type
    rate_of, update = solver.prepare()
    average, share = solver._average, of(message.iter_size)
    testing, snapshot, display_every = message.test_interval, message.snapshot, message.display
    curves = solver.curves
    solver._timer = time.perf_counter()
    while solver.iter < stop:
        iteration = solver.iter
        update.clear()
        if testing and iteration % testing == 0 and (iteration > 0 or message.test_initialization):
            test_all(solver)
            if solver._stopping:
                break
        for on_start, _ in solver._stages:
            if on_start is not None:
                on_start()
        display = display_every != 0 and iteration % display_every == 0 and solver.log is not None
        solver._looking = display and message.debug_info
        loss = of(0)
        for _ in range(message.iter_size):
            if solver._looking:
                loss += of(debug.forward_backward(net, solver.say))
            else:
                loss += of(net.forward_backward())
        loss = loss / share
        solver.loss = float(loss)
        curves.loss[iteration] = float(average.add(loss))
        if not math.isfinite(solver.loss):
            _warn_of_loss(solver)
        if display:
            _display(solver, average)
        for _, on_gradients_ready in solver._stages:
            if on_gradients_ready is not None:
                on_gradients_ready()
        rate = rate_of(iteration)
        curves.lr[iteration] = float(rate)
        if not math.isfinite(rate):
            solver._warn_once("rate", f"the learning rate is {number(rate)} from iteration {iteration} on")
        if display:
            solver.say("sgd_solver.cpp:112", f"Iteration {iteration}, lr = {number(rate)}")
        update.apply(rate, iteration)
        solver.iter = iteration + 1
        for callback in solver.callbacks:
            callback(solver)
        if (snapshot and solver.iter % snapshot == 0) or solver._snapshot_wanted:
            save(solver)
        if solver._stopping:
            break


def finish(solver: Solver) -> None:
    """End as Caffe's solve does: take a snapshot, then print losses and scores once more."""
    message = solver.message
    if message.snapshot_after_train and (not message.snapshot or solver.iter % message.snapshot):
        save(solver)
    if solver._stopping:
        solver.say("solver.cpp:311", "Optimization stopped early.")
        return
    if message.display and solver.iter % message.display == 0:
        if solver._looking:
            debug.forward(solver.net, solver.say)
        else:
            solver.net.forward()
        mean = solver._average.add(solver.net.dtype.type(solver.net.tape.loss()))
        solver.curves.loss[solver.iter] = float(mean)
        solver.say("solver.cpp:327", f"Iteration {solver.iter}, loss = {number(mean)}")
    if message.test_interval and solver.iter % message.test_interval == 0:
        test_all(solver)
        if solver._stopping:
            return
    solver.say("solver.cpp:332", "Optimization Done.")


def save(solver: Solver) -> None:
    """Take a snapshot during a training."""
    solver._snapshot_wanted = False
    try:
        solver.snapshot()
    except CaffeError as error:
        if solver.snapshot_failure == "raise":
            raise
        text = f"iteration {solver.iter}: no snapshot was written, the training goes on: {error}"
        warnings.warn(text, CaffeWarning, stacklevel=2)


def test_all(solver: Solver) -> None:
    """Run every test net; where somebody asks to stop, as if none had been run: a run that goes on tests again."""
    before = standing(solver)
    for index in range(len(solver.test_nets)):
        test(solver, index)
        if solver._stopping:
            stand(solver, before)
            return


def test(solver: Solver, index: int) -> OrderedDict[str, np.ndarray | float]:
    """Run test net `index` over its batches; the mean of each output."""
    message, net = solver.message, solver.test_nets[index]
    of = net.dtype.type
    solver.say("solver.cpp:347", f"Iteration {solver.iter}, Testing net (#{index})")
    net.share_with(solver.net)
    if solver.log is not None:
        names = {step.layer.name for step in net.steps}
        for step in solver.net.steps:
            if step.layer.name not in names:
                solver.say("net.cpp:678", f"Ignoring source layer {step.layer.name}")
    looking = message.debug_info and solver.log is not None
    totals: OrderedDict[str, np.ndarray] = OrderedDict()
    loss, count = of(0), of(message.test_iter[index])
    with np.errstate(all="ignore"):
        for i in range(message.test_iter[index]):
            if solver._stopping:
                solver.say("solver.cpp:396", "Test interrupted.")
                return OrderedDict()
            if looking:
                debug.forward(net, solver.say)
            outputs = OrderedDict((name, net.blobs[name].data) for name in net.outputs) if looking else net.forward()
            if message.test_compute_loss:
                loss += of(net.tape.loss())
            for name, values in outputs.items():
                totals[name] = values.copy() if i == 0 else totals[name] + values
        means = OrderedDict((name, np.asarray(total / count)) for name, total in totals.items())
        loss = loss / count
    entered = [(name, float(value)) for name, value in scores(means)]
    if message.test_compute_loss:
        solver.say("solver.cpp:401", f"Test loss: {number(loss)}")
        if "loss" not in means:
            entered.insert(0, ("loss", float(loss)))
    for line in score_lines("Test", means, net.loss_weights):
        solver.say("solver.cpp:414", line)
    solver.curves.test.get(solver.iter, {}).pop(index, None)
    solver.curves.tested(solver.iter, index, entered)
    return OrderedDict((name, mean if mean.size != 1 else float(mean.reshape(-1)[0])) for name, mean in means.items())


def _display(solver: Solver, average: Average) -> None:
    message, net = solver.message, solver.net
    now = time.perf_counter()
    # Caffe's timer counts whole milliseconds
    lapse = int((now - solver._timer) * 1000) / 1000
    per_second = (solver.iter - solver._displayed) / (lapse or 1)
    solver._timer, solver._displayed = now, solver.iter
    solver.say(
        "solver.cpp:239",
        f"Iteration {solver.iter} ({number(per_second)} iter/s, {number(lapse)}s/{message.display} iters), "
        f"loss = {number(average.mean)}",
    )
    outputs = OrderedDict((name, net.blobs[name].data) for name in net.outputs)
    for line in score_lines("Train", outputs, net.loss_weights):
        solver.say("solver.cpp:258", line)


def _warn_of_loss(solver: Solver) -> None:
    if "loss" not in solver._warned:
        where = debug.first_not_finite(solver.net)
        solver._warn_once("loss", f"the loss is {number(solver.loss)} at iteration {solver.iter}: {where}")
