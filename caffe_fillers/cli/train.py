"""caffe-fillers train."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

import caffe_fillers as cf

from .options import blas_option, blas_threads, boost_option, caffe_option, checked_seed, level_option, stages_option
from .output import STOPPED, print_table

__all__ = ["command"]


class _Options(TypedDict):
    weights: str | None
    log_file: str | None
    plot: str | None
    json_file: str | None
    other_net: str | None
    seed: int | None
    on_full_disk: str
    blas: int | None
    level: int
    stages: tuple[str, ...]
    boost: str
    caffe: str


@click.command("train", short_help="Train a net, as `caffe train` does.")
@click.argument("solver", type=click.Path())
@click.option("--weights", type=click.Path(), help="Weights to start from, by layer name: a.caffemodel,b.h5.")
@click.option("--snapshot", type=click.Path(), help="A .solverstate to continue from.")
@click.option("--iterations", type=click.IntRange(0), help="The iteration to stop at, instead of max_iter.")
@click.option("--log", "log_file", type=click.Path(), help="Write the log of `caffe train` to this file.")
@click.option("--plot", type=click.Path(), help="Draw losses, test outputs and the rate: .png, .svg or .pdf.")
@click.option("--json", "json_file", type=click.Path(), help="Write losses, rates and test outputs to this file.")
@click.option("--net", "other_net", type=click.Path(), help="The net to use instead of those that the solver names.")
@click.option("--seed", type=int, help="Caffe's random_seed, instead of the solver's.")
@click.option(
    "--on-full-disk",
    type=click.Choice(["stop", "go-on"]),
    default="stop",
    show_default=True,
    help="Stop or go on if a snapshot can't be written.",
)
@blas_option
@level_option
@stages_option
@boost_option
@caffe_option
def command(solver: str, snapshot: str | None, iterations: int | None, **options: Unpack[_Options]) -> None:
    """Train the net of SOLVER as `caffe train` does, with the same numbers.

    Ctrl-C finishes the iteration, writes a snapshot and prints how to continue; a second one stops at once.

    \b
    Example:
      caffe-fillers train examples/mnist/lenet_solver.prototxt \\
        --log lenet.log --plot lenet.png
    """
    if snapshot and options["weights"]:
        raise click.UsageError("Give a snapshot to resume training or weights to finetune but not both.")
    # find errors in the options for output before the training begins
    draw = cf.training.drawing(options["plot"]) if options["plot"] else None
    if options["json_file"] and not Path(options["json_file"]).parent.is_dir():
        raise cf.CaffeError(f"{options['json_file']}: the folder {Path(options['json_file']).parent} does not exist")
    with (
        cf.training.LogFile(options["log_file"], bool(snapshot)) if options["log_file"] else nullcontext() as log,
        blas_threads(options["blas"]),
    ):
        work = _prepared(solver, snapshot, options)
        began = time.perf_counter()
        stopped = _run(work, log, snapshot, iterations)
        if stopped and (work.saved is None or work.saved[0] != work.iter):
            work.snapshot()
    if options["json_file"]:
        work.curves.save(options["json_file"])
    if draw is not None:
        draw({work.net.name or Path(solver).stem: work.curves})
        click.echo(f"wrote {options['plot']}")
    if stopped and work.saved is not None:
        again = ["caffe-fillers", "train", solver, "--snapshot", work.saved[1]]
        click.echo(f"stopped after iteration {work.iter}; go on with: {shlex.join(again)}", err=True)
        sys.exit(STOPPED)
    click.echo(f"{work.iter} iterations, {time.perf_counter() - began:.1f} s", err=True)
    if work.saved is not None:
        click.echo(f"wrote {work.saved[1]}", err=True)


def _prepared(path: str, snapshot: str | None, options: _Options) -> cf.Solver:
    message = cf.read_solver(path)
    # as `caffe train` does before it builds the solver
    message.train_state.level = options["level"]
    message.train_state.stage.extend(options["stages"] or [""])
    if snapshot or options["weights"]:
        del message.weights[:]
    if options["weights"]:
        message.weights.append(options["weights"])
    solver = cf.Solver(
        message,
        beside=path,
        net=options["other_net"],
        rng=checked_seed(options["seed"]),
        boost=options["boost"],
        caffe=options["caffe"],
    )
    solver.snapshot_failure = "raise" if options["on_full_disk"] == "stop" else "warn"
    return solver


def _run(solver: cf.Solver, log: cf.training.LogFile | None, snapshot: str | None, iterations: int | None) -> bool:
    """Train; return whether Ctrl-C stopped it."""
    last = solver.message.max_iter if iterations is None else iterations
    if log is not None:
        for place, text in cf.training.setup_lines(solver):
            log(place, text)
    with _shown(solver, log, last), _stoppable(solver) as stopped:
        if snapshot:
            solver.say("caffe.cpp:235", f"Resuming from {snapshot}")
            solver.restore(snapshot)
        solver.say("caffe.cpp:239", "Starting Optimization")
        if not stopped:
            solver.solve(iterations=iterations)
        solver.say("caffe.cpp:250", "Optimization Done.")
    return bool(stopped)


@contextmanager
def _stoppable(solver: cf.Solver) -> Iterator[list[int]]:
    """Let Ctrl-C stop the solver after its iteration; a second one raises as usual. A hangup takes a snapshot."""
    stopped: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        stopped.append(number)
        solver.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: solver.request_snapshot())
    try:
        yield stopped
    except KeyboardInterrupt:
        click.echo(f"stopped at once, in iteration {solver.iter}; the last snapshot is whole", err=True)
        sys.exit(STOPPED)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown(solver: cf.Solver, log: cf.training.LogFile | None, last: int) -> Iterator[None]:
    """Show the progress: a bar and tables on a terminal, else Caffe's lines without time and place.

    The lines go to standard output and the bar to standard error, so both have to be a terminal for the bar.
    """
    console = Console(stderr=True)
    piped = sys.stdout is not None and not sys.stdout.isatty()
    if piped or not console.is_terminal:
        solver.log = _both(log, lambda place, text, severity: click.echo(text))
        yield
        return
    solver.log = log
    columns = (
        *("{task.description}", BarColumn(), MofNCompleteColumn(), "loss {task.fields[loss]}"),
        *("{task.fields[score]}", "lr {task.fields[lr]}", TimeRemainingColumn()),
    )
    with Progress(*(TextColumn(c) if isinstance(c, str) else c for c in columns), console=console) as progress:
        task = progress.add_task(solver.net.name or "training", total=last, loss="-", lr="-", score="")
        watch = _Watch(progress, task)
        solver.callbacks.append(watch)
        yield
        watch(solver, True)


class _Watch:
    """Updates the bar, and prints a table of each test."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task
        self.shown_tests: set[int] = set()
        self.next = 0.0

    def __call__(self, solver: cf.Solver, now: bool = False) -> None:
        curves = solver.curves
        for iteration in curves.test.keys() - self.shown_tests:
            self.shown_tests.add(iteration)
            rows = [
                {"iteration": iteration, "net": net, "output": name, "mean": value}
                for net, outputs in curves.test[iteration].items()
                for name, value in outputs.items()
            ]
            columns = [("net", "test net", "right"), ("output", "output", "left"), ("mean", "mean", "right")]
            self.progress.console.print(f"test at iteration {iteration}", highlight=False)
            print_table(rows, columns, console=self.progress.console)
        if not now and time.monotonic() < self.next:
            return
        self.next = time.monotonic() + 0.1
        last, score = max(curves.test, default=None), ""
        if last is not None:
            score = next((f"{k} {v:.4g}" for k, v in curves.test[last].get(0, {}).items() if "loss" not in k), "")
        loss = next(reversed(curves.loss.values()), float("nan"))
        rate = next(reversed(curves.lr.values()), float("nan"))
        self.progress.update(self.task, completed=solver.iter, loss=f"{loss:.4g}", lr=f"{rate:.4g}", score=score)


def _both(log: cf.training.LogFile | None, echo: Callable[[str, str, str], None]) -> Callable[[str, str, str], None]:
    if log is None:
        return echo

    def both(place: str, text: str, severity: str = "I") -> None:
        log(place, text, severity)
        echo(place, text, severity)

    return both
