"""The solver's loop: test, step, test, as `caffe train` runs it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from digits import Digits, find
from network import Network, SoftmaxWithLoss
from sgd import SGD

import caffe_fillers as cf
from caffe_fillers import prototxt, schema


@dataclass
class Log:
    """What a training left behind.

    Attributes
    ----------
    train_loss : list of float
        The loss of each iteration's batch, before its update.
    test : dict of int to dict of str to float
        By the iteration before which the test ran: what the test net tells, averaged over its batches.
    """

    train_loss: list[float] = field(default_factory=list)
    test: dict[int, dict[str, float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values; what is not finite becomes None, which JSON can write."""

        def plain(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "train_loss": [plain(loss) for loss in self.train_loss],
            "test": {str(at): {name: plain(v) for name, v in scores.items()} for at, scores in self.test.items()},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Log:
        """The other way; `values` may hold more than a log needs."""
        losses = [math.nan if loss is None else loss for loss in values["train_loss"]]
        tests = {
            int(at): {name: math.nan if v is None else v for name, v in scores.items()}
            for at, scores in values["test"].items()
        }
        return cls(losses, tests)


@dataclass
class Job:
    """A solver with its digits, ready to train. With a `prefix` snapshots are saved while it trains."""

    solver: Any
    digits: dict[str, Digits]
    prefix: str | None


def prepare(path: Path, *, data: Path | None = None, filler: str | None = None, boost: str | None = None) -> Job:
    """Find the digits, fill the nets.

    Parameters
    ----------
    path : Path
        The solver's prototxt.
    data : Path, optional
        Folder of the IDX files.
    filler : str, optional
        Stands in for every weight_filler of the net: a type, or a filler's text.
    boost : str, optional
        The Boost version whose gaussians are drawn.
    """
    message = cf.upgrade(cf.read_solver(path))
    nets = _nets(message, path)
    digits = _digits(nets, path, data)
    inputs = {
        f"{layer.name}@{phase}": digits[phase].images.shape[1:]
        for net in nets
        for layer in net.layer
        if layer.type == "Data"
        for phase in digits
    }
    if filler is not None:
        for net in nets:
            _replace_fillers(net, filler)
    solver = cf.Solver(path if filler is None else message, inputs=inputs, boost=boost)
    solver.share()
    return Job(solver, digits, message.snapshot_prefix or str(path.with_suffix("")))


def _nets(message: Any, path: Path) -> list[Any]:
    """The net messages of a solver, which are put into its message in place of their paths."""
    for name in ("net", "train_net"):
        if message.HasField(name):
            getattr(message, f"{name}_param").CopyFrom(_net(getattr(message, name), path))
            message.ClearField(name)
    for name in message.test_net:
        message.test_net_param.add().CopyFrom(_net(name, path))
    message.ClearField("test_net")
    given = [message.net_param] if message.HasField("net_param") else []
    given += [message.train_net_param] if message.HasField("train_net_param") else []
    return [*given, *message.test_net_param]


def _net(name: str, solver: Path) -> Any:
    """The message of the net called `name`, from the working directory, else from beside the solver."""
    return cf.upgrade(cf.read_net(name if Path(name).exists() else solver.parent / name))


def _digits(nets: list[Any], path: Path, data: Path | None) -> dict[str, Digits]:
    """The digits of both phases, by the sources that the nets' data layers name."""
    found = {}
    for phase in ("TRAIN", "TEST"):
        sources = [
            layer.data_param.source
            for net in nets
            for layer in net.layer
            if layer.type == "Data" and not _left_out(layer, phase)
        ]
        found[phase] = find(phase, sources[0] if sources else "", path.parent, data)
    return found


def _left_out(layer: Any, phase: str) -> bool:
    """Whether the layer's include and exclude rules keep it out of the nets of `phase`."""

    def matches(rule: Any) -> bool:
        return not rule.HasField("phase") or rule.phase == ("TRAIN", "TEST").index(phase)

    if layer.include:
        return not any(map(matches, layer.include))
    return any(map(matches, layer.exclude))


def _replace_fillers(net: Any, filler: str) -> None:
    """Write `filler` into every weight_filler."""
    new = schema.FillerParameter(type=filler) if filler.isidentifier() else _parsed(filler)
    for layer in net.layer:
        for param in (layer.convolution_param, layer.inner_product_param):
            if param.HasField("weight_filler"):
                param.weight_filler.CopyFrom(new)


def _parsed(text: str) -> Any:
    """A filler from `gaussian std: 0.01`, or from prototxt text."""
    first, _, rest = text.partition(" ")
    if first.isidentifier():
        text = f'type: "{first}" {rest}'
    return prototxt.parse(text, schema.FillerParameter, name="--weight-filler", strict=True).message


def train(job: Job, iterations: int | None = None, watch: Callable[[int, Log], None] | None = None) -> Log:
    """Run the solver.

    Parameters
    ----------
    job : Job
    iterations : int, optional
        Instead of the solver's max_iter.
    watch : callable, optional
        Called with the number of iterations done and the log, after each iteration and each test.
    """
    settings = job.solver.message
    network = Network(job.solver.net, job.digits["TRAIN"])
    if not any(isinstance(operation, SoftmaxWithLoss) for operation in network.operations):
        raise cf.CaffeError("the train net has no SoftmaxWithLoss: there is nothing to train")
    if job.prefix and not os.access(Path(job.prefix).parent, os.W_OK):
        raise cf.CaffeError(f"snapshots can't be written to {Path(job.prefix).parent}, as snapshot_prefix asks")
    tests = [Network(net, job.digits["TEST"]) for net in job.solver.test_nets]
    descent = SGD(settings, job.solver.net)
    last = settings.max_iter if iterations is None else iterations
    log = Log()
    # a training that blows up does so in its numbers, as Caffe's, not in warnings
    with np.errstate(all="ignore"):
        for iteration in range(last + 1):
            due = settings.test_interval and iteration % settings.test_interval == 0
            if tests and due and (iteration or settings.test_initialization):
                for i, (net, batches) in enumerate(zip(tests, settings.test_iter, strict=False)):
                    scores = log.test.setdefault(iteration, {})
                    scores.update({f"{name} of test net {i}" if i else name: v for name, v in _test(net, batches)})
                if watch:
                    watch(iteration, log)
            if iteration == last:
                break
            network.clear_gradients()
            losses = []
            for _ in range(settings.iter_size):
                losses.append(network.loss(network.forward()))
                network.backward()
            descent.update(iteration)
            log.train_loss.append(float(np.mean(losses)))
            done = iteration + 1
            if job.prefix and settings.snapshot and done % settings.snapshot == 0 and done != last:
                snapshot(job, done)
            if watch:
                watch(done, log)
    return log


def _test(net: Network, batches: int) -> list[tuple[str, float]]:
    """What the net tells, averaged over `batches` of its data."""
    scores = [net.forward() for _ in range(batches)]
    return [(name, float(np.mean([score[name] for score in scores]))) for name in net.outputs]


def snapshot(job: Job, iteration: int) -> str:
    """Save the weights under the name that Caffe would give them."""
    path = f"{job.prefix}_iter_{iteration}.caffemodel"
    job.solver.net.save(path)
    return path
