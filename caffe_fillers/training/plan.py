"""What a solver's message asks for: its nets, where they are, and what its class refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .. import schema
from ..checks import need
from ..errors import CaffeError

__all__ = ["TYPES", "check_class", "find", "planned_nets", "read"]

TYPES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


def read(source: Any, strict: bool) -> tuple[Any, str | None]:
    from .. import prototxt
    from ..upgrading import upgrade_solver

    if isinstance(source, (str, os.PathLike)):
        text = prototxt.read(source, schema.SolverParameter, strict=strict)
        return upgrade_solver(text, source), os.fspath(source)
    if getattr(getattr(source, "DESCRIPTOR", None), "name", None) != "SolverParameter":
        raise CaffeError(f"a solver is the path of a prototxt or a SolverParameter, got {type(source).__name__}")
    message = schema.SolverParameter()
    message.MergeFromString(source.SerializePartialToString())
    return upgrade_solver(message), None


def find(name: str, solver: str | None) -> str:
    beside = Path(solver).parent / name if solver else None
    if not Path(name).exists() and beside is not None and beside.exists():
        return str(beside)
    if not Path(name).exists():
        places = f"in the working directory, {Path.cwd()}" + (f", and beside {solver}" if solver else "")
        raise CaffeError(f"{solver or 'the solver'} names {name!r}, which is not there: looked {places}")
    return name


def planned_nets(message: Any) -> tuple[list[Any], list[Any]]:
    """What the train nets and the test nets are, a path or a message each, in the order in which Caffe builds them."""
    has = message.HasField
    trains = [getattr(message, name) for name in ("train_net_param", "train_net", "net_param", "net") if has(name)]
    fields = "these fields specifying a train_net: net, net_param, train_net, train_net_param"
    must = f"SolverParameter must specify a train net using one of {fields}"
    need(
        len(trains) >= 1,
        f"num_train_nets >= 1 ({len(trains)} vs. 1) {must}",
    )
    need(
        len(trains) <= 1,
        f"num_train_nets <= 1 ({len(trains)} vs. 1) SolverParameter must not contain more than one of {fields}",
    )
    tests: list[Any] = [*message.test_net_param, *message.test_net]
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


def check_class(message: Any) -> None:
    """What the solver's class refuses, once all nets are built."""
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
