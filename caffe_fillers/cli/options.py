"""Options that several commands share, and the nets that the commands build from them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias, TypedDict, TypeVar, cast

import click
import numpy as np

import caffe_fillers as cf

__all__ = [
    "NetOptions",
    "Shapes",
    "as_json_option",
    "blas_option",
    "blas_threads",
    "boost_option",
    "boosts",
    "build",
    "caffe_option",
    "checked_seed",
    "inputs_option",
    "level_option",
    "net_options",
    "phase_option",
    "read_text",
    "revisions",
    "shapes",
    "stages_option",
    "wide_option",
    "with_net_options",
]


_Command = TypeVar("_Command", bound=Callable[..., object])
_Text: TypeAlias = "cf.prototxt.Text[cf.schema.NetParameter] | cf.prototxt.Text[cf.schema.SolverParameter]"
Shapes = Sequence[tuple[str, tuple[int, ...]]]


class NetOptions(TypedDict):
    """The options that `with_net_options` gives to a command."""

    seed: int | None
    inputs: Shapes
    phase: str
    level: int
    stages: tuple[str, ...]
    pretrained: tuple[str, ...]
    boost: str
    caffe: str
    dtype: str
    strict: bool
    other_net: str | None
    weightless: tuple[str, ...]
    ignore: tuple[str, ...]
    threads: int | None


class _Common(TypedDict):
    """The options that a net and a solver share."""

    inputs: dict[str, tuple[int, ...]]
    weights: list[str] | None
    boost: str
    caffe: str
    dtype: np.dtype[np.floating]
    strict: bool
    weightless: tuple[str, ...]
    ignore: tuple[str, ...]
    threads: int | None
    rng: int | None
    fill: bool


class Dims(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """NAME=1x28x28"""

    name = "NAME=DIMS"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        name, equals, dims = value.rpartition("=")
        try:
            shape = tuple(int(dim) for dim in re.split("[xX,]", dims)) if dims else ()
        except ValueError:
            self.fail(f"{value!r}: DIMS is whole numbers with x between them, such as 1x28x28", param, ctx)
        if not equals or not name:
            self.fail(f"{value!r}: write NAME=DIMS, such as data=1x28x28", param, ctx)
        return name, shape


inputs_option = click.option(
    "--input", "inputs", type=Dims(), multiple=True, help="A shape that the prototxt lacks: data=1x28x28."
)
phase_option = click.option(
    "--phase", type=click.Choice(["TRAIN", "TEST"]), default="TRAIN", show_default=True, help="The net's phase."
)
level_option = click.option("--level", type=int, default=0, show_default=True, help="The level of the net's state.")
stages_option = click.option("--stage", "stages", multiple=True, help="A stage of the net's state; may be repeated.")


def _one_of(*values: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return the completion for an option that takes these values and others."""
    return lambda context, parameter, begun: [value for value in values if value.startswith(begun)]


boosts = _one_of("1.47", "1.54", "1.55", "1.56", "1.58", "1.63", "1.64", "1.74", "1.83")
revisions = _one_of("master", "1.0", "rc3", "rc2", "rc", "v0.9999")
boost_option = click.option(
    "--boost",
    shell_complete=boosts,
    default="1.74",
    show_default=True,
    help="The version of Boost that Caffe was built with, 1.47 or later.",
)
caffe_option = click.option(
    "--caffe",
    shell_complete=revisions,
    default="master",
    show_default=True,
    help="The version of Caffe: v0.9999, rc, rc2, rc3, 1.0 or master.",
)
allowed_options = [
    click.option("--weightless", multiple=True, help="An unknown layer without parameters, by name or type."),
    click.option("--ignore", multiple=True, help="A fork's field to skip although it changes shapes."),
]
net_options = [
    click.option("--seed", type=int, help="Caffe's random_seed, 0 to 4294967295, instead of the solver's."),
    inputs_option,
    phase_option,
    level_option,
    stages_option,
    click.option("--weights", "pretrained", multiple=True, help="Weights to copy by layer name: a.caffemodel,b.h5."),
    boost_option,
    caffe_option,
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float64"]),
        default="float32",
        show_default=True,
        help="The type of the weights: of Caffe for floats, or for doubles.",
    ),
    click.option("--strict", is_flag=True, help="Refuse what BVLC Caffe refuses."),
    click.option("--net", "other_net", type=click.Path(), help="The net to use instead of those that a solver names."),
    *allowed_options,
    click.option("--threads", type=click.IntRange(1), help="Number of threads; the values do not depend on it."),
]
blas_option = click.option(
    "--blas-threads",
    "blas",
    type=click.IntRange(1),
    help="Most threads of a matrix product. Needs threadpoolctl.  [default: one for each core]",
)
wide_option = click.option("--wide", is_flag=True, help="Show every column, also on a narrow terminal.")
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def blas_threads(count: int | None) -> AbstractContextManager[object]:
    """Limit matrix products to a number of threads within a block, if one is given."""
    if count is None:
        return nullcontext()
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        # the environment variable is read when NumPy is loaded, so it is too late to set it here
        raise cf.CaffeError(
            f"--blas-threads {count} needs threadpoolctl, which is not installed\n"
            f"pip install threadpoolctl, or set OPENBLAS_NUM_THREADS={count}"
        ) from None
    limits: AbstractContextManager[object] = threadpool_limits(count, "blas")
    return limits


def with_net_options(command: _Command) -> _Command:
    for option in reversed(net_options):
        command = option(command)
    return command


def checked_seed(given: int | None) -> int | None:
    if given is not None and not 0 <= given < 2**32:
        raise click.BadParameter(
            f"{given} is not in 0..4294967295; Caffe would use {given % 2**32}", param_hint="--seed"
        )
    return given


def shapes(given: Shapes) -> dict[str, tuple[int, ...]]:
    inputs = dict(given)
    if len(inputs) < len(given):
        raise click.BadParameter("one name is given twice", param_hint="--input")
    return inputs


def read_text(path: str, strict: bool = False) -> _Text:
    """Read the prototxt of a net or a solver, from standard input for ``-``; only once, since it may be a pipe."""
    if path == "-" and sys.stdin is None:  # as `<&-` starts a program
        raise cf.CaffeError("-: standard input is closed\ngive the name of a file, or send the prototxt through a pipe")
    return cf.read_prototxt(sys.stdin.buffer if path == "-" else path, strict)


def build(path: str, options: NetOptions, fill: bool = True, chance: bool = True) -> tuple[cf.Net, list[cf.Net]]:
    """The net of a prototxt, a solver's train net, and a solver's test nets.

    Without `chance`, one whose fills would be those of a seed from entropy is refused.
    """
    common: _Common = {
        "inputs": shapes(options["inputs"]),
        "weights": list(options["pretrained"]) or None,
        "boost": options["boost"],
        "caffe": options["caffe"],
        "dtype": np.dtype(options["dtype"]),
        "strict": options["strict"],
        "weightless": options["weightless"],
        "ignore": options["ignore"],
        "threads": options["threads"],
        "rng": checked_seed(options["seed"]),
        "fill": fill,
    }
    text = read_text(path, options["strict"])
    message = text.message
    by_chance = options["seed"] is None and (isinstance(message, cf.schema.NetParameter) or message.random_seed < 0)
    if by_chance and not chance:
        common["rng"], chance = 0, True
        net, _ = build_text(text, path, options, {**common, "fill": False})
        if any(row["draws"] for row in net.fills()):
            raise click.UsageError(
                f"{path} has no random_seed, so its seed would be random\n"
                f"give one with --seed N, or search for it: caffe-fillers seed WEIGHTS {path}"
            )
    return build_text(text, path, options, common)


def build_text(text: _Text, path: str, options: NetOptions, common: _Common) -> tuple[cf.Net, list[cf.Net]]:
    message = text.message
    if isinstance(message, cf.schema.NetParameter):
        if options["other_net"]:
            raise click.BadParameter("it is for a solver, and this is a net", param_hint="--net")
        net = cast("cf.prototxt.Text[cf.schema.NetParameter]", text)
        return cf.Net(net, options["phase"], level=options["level"], stages=options["stages"], **common), []
    # as `caffe train` does before it builds the solver
    message.train_state.level = options["level"]
    message.train_state.stage.extend(options["stages"])
    solver = cf.Solver(message, beside=None if path == "-" else path, net=options["other_net"], **common)
    return solver.net, solver.test_nets
