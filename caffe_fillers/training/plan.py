"""Reads a solver's message: its nets, their files, and the settings that its type refuses."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .. import schema
from ..checks import need
from ..errors import CaffeError, CaffeWarning

if TYPE_CHECKING:
    from .. import fillers

__all__ = ["TYPES", "Planned", "check_class", "check_type", "find", "give_net", "planned_nets"]

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


def find(name: str, solver: str | None) -> str:
    """The file of a net that a solver names: from the working directory, beside the solver, or where it was moved to.

    Solvers come with paths of the machine that they were written on. So the longest end of the path that exists beside
    the solver, or in a folder above it, is taken, and told of.
    """
    # os.path: a name that no file can have is not there, in place of an OSError
    if os.path.exists(name):
        return name
    if solver:
        beside = Path(solver).parent / name
        if os.path.exists(beside):
            return str(beside)
        parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..") and not part.endswith(":")]
        folder = Path(solver).absolute().parent
        for start in range(len(parts)):
            for base in (folder, *folder.parents):
                found = base.joinpath(*parts[start:])
                if os.path.isfile(found):
                    warnings.warn(
                        f"{solver} names the net {name!r}, which does not exist: {found} is used instead\n"
                        "give another with --net FILE or Solver(net=)",
                        CaffeWarning,
                        stacklevel=5,
                    )
                    return str(found)
    places = f"in the working directory, {Path.cwd()}" + (f", beside {solver} and above it" if solver else "")
    raise CaffeError(
        f"{solver or 'the solver'} names the net {name!r}, which does not exist: looked {places}\n"
        "give its path with --net FILE or Solver(net=)"
    )


Planned: TypeAlias = str | schema.NetParameter


def check_type(message: schema.SolverParameter) -> None:
    """Refuse an unknown type of solver, and a mean of no losses."""
    if message.type not in TYPES:
        raise CaffeError(
            "Check failed: registry.count(type) == 1 (0 vs. 1) "
            f"Unknown solver type: {message.type}\nthere are {', '.join(TYPES)}"
        )
    need(
        message.average_loss >= 1,
        f"param_.average_loss() >= 1 ({message.average_loss} vs. 1) average_loss should be non-negative.",
        "it is the number of losses to average over",
    )


def give_net(message: schema.SolverParameter, net: str | os.PathLike[str] | fillers.Message) -> None:
    """Let a solver train and test `net`, instead of all nets that it names."""
    from ..upgrading import upgrade_net

    for name in ("net", "net_param", "train_net", "train_net_param", "test_net", "test_net_param"):
        message.ClearField(name)
    if isinstance(net, (str, os.PathLike)):
        message.net = os.fspath(net)
    elif schema.is_message(net, "NetParameter"):
        message.net_param.CopyFrom(upgrade_net(net).message)
    else:
        raise CaffeError(f"net is the path of a prototxt or a NetParameter, got {type(net).__name__}")


def planned_nets(message: schema.SolverParameter) -> tuple[list[Planned], list[Planned]]:
    """Return the train nets and the test nets, a path or a message each, in the order in which Caffe builds them."""
    has = message.HasField
    trains = [getattr(message, name) for name in ("train_net_param", "train_net", "net_param", "net") if has(name)]
    fields = "these fields specifying a train_net: net, net_param, train_net, train_net_param"
    must = f"SolverParameter must specify a train net using one of {fields}"
    need(
        len(trains) >= 1,
        f"num_train_nets >= 1 ({len(trains)} vs. 1) {must}",
        'write net: "FILE" into the solver, or give --net FILE or Solver(net=)',
    )
    need(
        len(trains) <= 1,
        f"num_train_nets <= 1 ({len(trains)} vs. 1) SolverParameter must not contain more than one of {fields}",
    )
    tests: list[Planned] = [*message.test_net_param, *message.test_net]
    generic = [getattr(message, name) for name in ("net_param", "net") if has(name)]
    iterations = len(message.test_iter)
    compare = ">=" if generic else "=="
    need(
        iterations >= len(tests) if generic else iterations == len(tests),
        f"param_.test_iter_size() {compare} num_test_nets ({iterations} vs. {len(tests)}) "
        "test_iter must be specified for each test network.",
    )
    tests += generic * (iterations - len(tests))
    states = len(message.test_state)
    need(
        states in (0, len(tests)),
        f"param_.test_state_size() == num_test_net_instances ({states} vs. {len(tests)}) "
        "test_state must be unspecified or specified once per test net.",
    )
    need(
        not tests or message.test_interval > 0,
        f"param_.test_interval() > 0 ({message.test_interval} vs. 0)",
        "a solver with test nets needs test_interval",
    )
    return trains, tests


def check_class(message: schema.SolverParameter) -> None:
    """Refuse what the class of the solver refuses, after all nets are built."""
    if message.type in ("AdaGrad", "RMSProp"):
        need(
            message.momentum == 0,
            f"0 == this->param_.momentum() (0 vs. {message.momentum:g})",
            f"Momentum cannot be used with {message.type}.",
        )
    if message.type == "RMSProp":
        decay = message.rms_decay
        need(decay >= 0, f"this->param_.rms_decay() >= 0 ({decay:g} vs. 0)", "rms_decay should lie between 0 and 1.")
        need(decay < 1, f"this->param_.rms_decay() < 1 ({decay:g} vs. 1) rms_decay should lie between 0 and 1.")
