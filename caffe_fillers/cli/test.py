"""caffe-fillers test."""

from __future__ import annotations

from typing import TypedDict, Unpack

import click
import numpy as np

import caffe_fillers as cf

from .options import blas_option, blas_threads, boost_option, caffe_option, checked_seed, level_option, stages_option
from .output import print_json

__all__ = ["command"]


class _Options(TypedDict):
    weights: str
    seed: int | None
    blas: int | None
    level: int
    stages: tuple[str, ...]
    boost: str
    caffe: str


@click.command("test", short_help="Score trained weights, as `caffe test` does.")
@click.argument("net", type=click.Path())
@click.option("--weights", required=True, type=click.Path(), help="Weights to copy by layer name: a.caffemodel,b.h5.")
@click.option("--iterations", type=click.IntRange(1), default=50, show_default=True, help="Number of batches to run.")
@click.option("--seed", type=int, help="Caffe's random_seed, for a net that draws in its test phase.")
@blas_option
@level_option
@stages_option
@boost_option
@caffe_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(net: str, iterations: int, as_json: bool, **options: Unpack[_Options]) -> None:
    """Score trained WEIGHTS on the test data of NET, as `caffe test` does.

    \b
    Example:
      caffe-fillers test lenet_train_test.prototxt \\
        --weights lenet_iter_10000.caffemodel --iterations 100
    """
    built = cf.Net(
        net,
        "TEST",
        level=options["level"],
        stages=options["stages"],
        weights=options["weights"],
        rng=checked_seed(options["seed"]),
        boost=options["boost"],
        caffe=options["caffe"],
    )
    of = built.dtype.type
    totals: dict[str, np.ndarray] = {}
    loss = of(0)
    with np.errstate(all="ignore"), blas_threads(options["blas"]):
        for i in range(iterations):
            outputs = built.forward()
            loss += of(built.tape.loss())
            for name, values in outputs.items():
                totals[name] = values.copy() if i == 0 else totals[name] + values
                for value in values.reshape(-1):
                    if not as_json:
                        click.echo(f"Batch {i}, {name} = {cf.training.number(value)}")
        means = {name: np.asarray(total / of(iterations)) for name, total in totals.items()}
        loss = loss / of(iterations)
    if as_json:
        print_json({"loss": float(loss), "outputs": {name: mean.reshape(-1).tolist() for name, mean in means.items()}})
        return
    click.echo(f"Loss: {cf.training.number(loss)}")
    for name, value, weighted in cf.training.score_text(means, built.loss_weights):
        click.echo(f"{name} = {cf.training.number(value)}{weighted}")
