"""The command line: caffe-fillers, over the public names alone."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

import caffe_fillers as cf

from . import prototxt, schema
from .errors import printable

__all__ = ["main"]

FINE, DIFFERS, USAGE, STOPPED = 0, 1, 2, 130
_MARK = 2**28  # a line for each so many seeds, where there is no terminal to draw a bar on


# --- what the commands share ---------------------------------------------------------------------------------------


class _Dims(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """NAME=1x28x28"""

    name = "NAME=DIMS"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, tuple[int, ...]]:
        name, equals, dims = value.rpartition("=")
        try:
            shape = tuple(int(dim) for dim in dims.split("x")) if dims else ()
        except ValueError:
            self.fail(f"{value!r}: DIMS is whole numbers with x between them, such as 1x28x28", param, ctx)
        if not equals or not name:
            self.fail(f"{value!r}: write NAME=DIMS, such as data=1x28x28", param, ctx)
        return name, shape


class _Commands(click.Group):
    """A group whose commands turn what a user can cause into one message and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:
            # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FINE)

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always", cf.CaffeWarning)
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except cf.CaffeError as error:
                _fail(str(error))
            except MemoryError:
                _fail("out of memory")
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                _fail(str(error))


def _fail(text: str) -> None:
    click.echo(f"{click.style('error:', fg='red')} {text}", err=True)
    sys.exit(DIFFERS)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {message}", err=True)


def _print(rows: Iterable[dict[str, Any]], columns: Sequence[tuple[str, str, str]], title: str = "") -> None:
    """An aligned table. Columns are (key, heading, "left" or "right")."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for _, heading, justify in columns:
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key, _, _ in columns))
    # names are text, whatever brackets and colons they hold
    console = Console(highlight=False, soft_wrap=False, markup=False, emoji=False)
    if not console.is_terminal:
        # a pipe has no width; nothing may be cut off or folded there
        console = Console(highlight=False, markup=False, emoji=False, width=10_000, no_color=True)
        with console.capture() as capture:
            console.print(table)
        click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
        return
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return "x".join(str(dim) for dim in value) or "()"
    return printable(str(value))


def _plain(value: Any) -> Any:
    """What JSON can hold of a value; NaN and infinities become null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _json(value: Any) -> None:
    click.echo(json.dumps(_plain(value), indent=1))


def _filler_text(filler: Any) -> str:
    if filler is None:
        return "-"
    if not isinstance(filler, dict) or not isinstance(filler.get("type"), str):
        return str(filler)  # a file says so that we did not write
    rest = (f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in filler.items())
    next(rest)
    return " ".join((filler["type"], *rest))


def _std(values: np.ndarray) -> float:
    """The standard deviation, in pieces, so that no copy of large weights is made."""
    flat = values.reshape(-1)
    if not flat.size:
        return math.nan
    pieces = [flat[i : i + (1 << 20)] for i in range(0, flat.size, 1 << 20)]
    with np.errstate(all="ignore"):  # of infinities and signalling NaNs
        mean = sum(float(piece.sum(dtype=np.float64)) for piece in pieces) / flat.size
        square = sum(float(np.square(np.subtract(piece, mean, dtype=np.float64)).sum()) for piece in pieces)
    return math.sqrt(square / flat.size)


def _seed(given: int | None) -> int | None:
    if given is not None and not 0 <= given < 2**32:
        raise click.BadParameter(
            f"{given} is not in 0..4294967295; Caffe would use {given % 2**32}", param_hint="--seed"
        )
    return given


_inputs_option = click.option(
    "--input", "inputs", type=_Dims(), multiple=True, help="A shape the prototxt does not hold: data=1x28x28."
)
_phase_option = click.option("--phase", type=click.Choice(["TRAIN", "TEST"]), default="TRAIN", show_default=True)
_level_option = click.option("--level", type=int, default=0, show_default=True, help="The level of the net's state.")
_stages_option = click.option(
    "--stage", "stages", multiple=True, help="A stage of the net's state; may be given again."
)
_boost_option = click.option(
    "--boost", default="1.74", show_default=True, help="The Boost that Caffe was built with, 1.47 or later."
)
_caffe_option = click.option(
    "--caffe", default="master", show_default=True, help="The Caffe to follow: v0.9999, rc, rc2, rc3, 1.0 or master."
)
_net_options = [
    click.option("--seed", type=int, help="Caffe's random_seed, 0 to 4294967295. Without it a solver's own counts."),
    _inputs_option,
    _phase_option,
    _level_option,
    _stages_option,
    click.option("--weights", "pretrained", multiple=True, help="Weights to copy by layer name: a.caffemodel,b.h5."),
    _boost_option,
    _caffe_option,
    click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True),
    click.option("--strict", is_flag=True, help="Refuse what BVLC Caffe refuses."),
    click.option("--threads", type=click.IntRange(1), help="Threads to fill with; the values are the same."),
]
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _with_net_options(command: Any) -> Any:
    for option in reversed(_net_options):
        command = option(command)
    return command


def _inputs(given: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    inputs = dict(given)
    if len(inputs) < len(given):
        raise click.BadParameter("one name is given twice", param_hint="--input")
    return inputs


def _build(path: str, options: dict[str, Any], fill: bool = True) -> tuple[Any, list[Any]]:
    """The net of a prototxt, a solver's train net, and a solver's test nets."""
    common = {
        "inputs": _inputs(options["inputs"]),
        "weights": list(options["pretrained"]) or None,
        "boost": options["boost"],
        "caffe": options["caffe"],
        "dtype": np.dtype(options["dtype"]),
        "strict": options["strict"],
        "threads": options["threads"],
        "rng": _seed(options["seed"]),
        "fill": fill,
    }
    if not prototxt.is_solver(path):
        return cf.Net(path, options["phase"], level=options["level"], stages=options["stages"], **common), []
    message = cf.read_solver(path, strict=options["strict"])
    # as `caffe train` does before it builds the solver
    message.train_state.level = options["level"]
    message.train_state.stage.extend(options["stages"])
    solver = cf.Solver(message, beside=path, **common)
    return solver.net, solver.test_nets


@contextmanager
def _progress(text: str) -> Iterator[None]:
    """Show `text` on a terminal while something long goes on."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield


# --- the commands ----------------------------------------------------------------------------------------------------


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(cf.__version__, prog_name="caffe-fillers")
def main() -> None:
    """The weights Caffe would have started training from, bit for bit.

    Exit codes: 0 fine, 1 the files differ or the input is refused, 2 wrong usage, 130 stopped by Ctrl-C.

    Shell completion: eval "$(_CAFFE_FILLERS_COMPLETE=bash_source caffe-fillers)", or zsh_source, fish_source.
    """


@main.command()
@click.argument("net", type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(), help=".npz, .caffemodel, .h5 or .safetensors; a solver's train net is written."
)
@_with_net_options
@click.option("--draws", is_flag=True, help="Show the ledger: where in the stream each layer stood, and what it drew.")
@_as_json
def init(net: str, output: str | None, draws: bool, as_json: bool, **options: Any) -> None:
    """Fill the weights of NET, a net's or a solver's prototxt.

    Example: caffe-fillers init lenet_solver.prototxt --input data=1x28x28 -o lenet.npz
    """
    with _progress(f"filling {net}"):
        built, tests = _build(net, options)
        if output is not None:
            built.save(output)
    rows = built.fills()
    if as_json:
        _json(
            {
                "net": built.name,
                "phase": built.phase,
                "seed": built.seed,
                "boost": built.boost,
                "caffe": built.caffe,
                "blobs": rows,
                "draws": _ledger(built),
                "test_nets": [{"net": test.name, "draws": _ledger(test)} for test in tests],
                "output": output,
            }
        )
        return
    for row in rows:
        row["filler"] = f"= {row['shared_with']}" if row["shared_with"] else _filler_text(row["filler"])
        row["blob"] = f"{row['index']} {row['name']}"
    columns = [
        ("layer", "layer", "left"),
        ("blob", "blob", "left"),
        ("shape", "shape", "right"),
        ("filler", "filler", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("std", "std", "right"),
    ]
    _print(rows, columns)
    if draws:
        click.echo()
        for each in (built, *tests):
            _print(
                _ledger(each),
                [
                    ("layer", "layer", "left"),
                    ("start", "first draw", "right"),
                    ("count", "draws", "right"),
                    ("what", "for", "left"),
                ],
                f"{each.name or net} {each.phase}",
            )
    values = sum(math.prod(row["shape"]) for row in rows if not row["shared_with"])
    click.echo(f"\nseed {built.seed}, Boost {built.boost}, Caffe {built.caffe}: {values:,} values in {len(rows)} blobs")
    if built.report is not None:
        click.echo(str(built.report))
    if output is not None:
        click.echo(f"wrote {output}")


def _ledger(net: Any) -> list[dict[str, Any]]:
    return [
        {"layer": layer.name, "start": draw.start, "count": draw.count, "what": draw.what}
        for layer in net.layers
        for draw in layer.draws
    ]


@main.command()
@click.argument("source", metavar="NET|WEIGHTS", type=click.Path())
@_with_net_options
@_as_json
def show(source: str, as_json: bool, **options: Any) -> None:
    """Show the blobs of a net's prototxt (filled with --seed, or with one from entropy), or of a file of weights.

    Example: caffe-fillers show lenet.caffemodel
    """
    if source.endswith((".prototxt", ".pbtxt", ".txt", ".pt")):
        with _progress(f"filling {source}"):
            net, _ = _build(source, options)
        rows = net.fills()
        arrays = {(layer.name, i): blob.data for layer in net.layers for i, blob in enumerate(layer.blobs)}
        said = {"seed": net.seed, "boost": net.boost, "caffe": net.caffe}
    else:
        weights = cf.load_weights(source)
        record = weights.source.provenance or {}
        known = record.get("blobs") or {}
        types = {entry["name"]: entry.get("type") for entry in record.get("layers", ())}
        types |= {layer.name: layer.message.type for layer in weights.source.layers if layer.message is not None}
        arrays = {(name, i): array for name, blobs in weights.items() for i, array in enumerate(blobs)}
        rows = []
        for (name, i), array in arrays.items():
            entry = known.get(f"{name}/{i}", {})
            rows.append({**entry, "layer": name, "type": types.get(name), "index": i, "shape": array.shape})
        said = {key: record[key] for key in ("seed", "boost", "caffe", "version", "prototxt_sha256") if key in record}
    for row in rows:
        array = arrays[row["layer"], row["index"]]
        row["measured"] = _std(array)
        row["dtype"] = str(array.dtype)
    if as_json:
        _json({"source": source, **said, "blobs": rows})
        return
    for row in rows:
        row["filler"] = f"= {row['shared_with']}" if row.get("shared_with") else _filler_text(row.get("filler"))
    columns = [
        ("layer", "layer", "left"),
        ("type", "type", "left"),
        ("index", "blob", "right"),
        ("shape", "shape", "right"),
        ("filler", "filler", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("std", "std expected", "right"),
        ("measured", "measured", "right"),
    ]
    _print(rows, columns)
    if said:
        click.echo("\n" + ", ".join(f"{key} {value}" for key, value in said.items()))


@main.command()
@click.argument("net", type=click.Path())
@_with_net_options
@click.option("--measure", is_flag=True, help="Push noise through the net and lay the measured variances beside.")
@click.option("--plot", type=click.Path(), help="Draw it: .png (needs matplotlib), or one .html, complete in itself.")
@_as_json
def signal(net: str, measure: bool, plot: str | None, as_json: bool, **options: Any) -> None:
    """What the theory says about NET before it is trained: gains by depth, where the signal dies, what would hold it.

    Example: caffe-fillers signal train_val.prototxt --input data=3x224x224 --measure --plot signal.html
    """
    with _progress(f"filling {net}"):
        built, _ = _build(net, options)
    with _progress(f"measuring {net}" if measure else f"reckoning {net}"):
        report = cf.signal(built, measure)
        if plot is not None:
            report.plot(plot)
    if as_json:
        _json({"seed": built.seed, "boost": built.boost, "caffe": built.caffe, **report.to_dict()})
        return
    columns = [
        ("layer", "layer", "left"),
        ("fan_in", "fan_in", "right"),
        ("fan_out", "fan_out", "right"),
        ("caffe_fans", "Caffe's", "right"),
        ("filler", "filler", "left"),
        ("weight_variance", "Var(W)", "right"),
        ("weight_variance_measured", "held", "right"),
        ("activation", "then", "left"),
        ("factor", "factor", "right"),
        ("forward_gain", "gain", "right"),
        ("backward_gain", "back", "right"),
        ("forward", "forward", "right"),
        ("backward", "backward", "right"),
        ("variance", "variance", "right"),
    ]
    if measure:
        columns.append(("measured", "measured", "right"))
    rows = []
    for row in report.layers:
        cells = dataclasses.asdict(row)
        for key, value in cells.items():
            if isinstance(value, float):
                cells[key] = f"{value:.3g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:.0f}"
        cells["caffe_fans"] = None if row.caffe_fan_in is None else f"{row.caffe_fan_in}/{row.caffe_fan_out}"
        rows.append({**cells, "filler": _filler_text(row.filler), "activation": row.activation or None})
    title = f"{report.name or net} {report.phase}"
    _print(rows, columns, f"{title}, {report.images} images of noise" if measure else title)
    click.echo()
    for finding in report.findings or ["the signal and the gradient keep within a factor of 1000 all the way"]:
        click.echo(finding)
    for note in report.notes:
        click.echo(f"note: {note}")
    if plot is not None:
        click.echo(f"wrote {plot}")


@main.command()
@click.argument("weights", type=click.Path())
@click.argument("out", type=click.Path())
@click.option("--names", type=click.Choice(["torch"]), help="Write PyTorch's names and layouts.")
@_as_json
def convert(weights: str, out: str, names: str | None, as_json: bool) -> None:
    """Convert WEIGHTS, of any format and age, to the format of OUT's suffix.

    Example: caffe-fillers convert old.caffemodel new.safetensors
    """
    with _progress(f"converting {weights}"):
        loaded = cf.load_weights(weights)
        cf.save_weights(out, loaded.source, names=names)
    blobs = sum(len(layer.arrays) for layer in loaded.source.layers)
    if as_json:
        _json({"weights": weights, "output": out, "layers": len(loaded), "blobs": blobs})
    else:
        click.echo(f"wrote {out}: {blobs} blobs of {len(loaded)} layers")


@main.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@_with_net_options
@_as_json
def compare(a: str, b: str, as_json: bool, **options: Any) -> None:
    """Compare weights bit for bit, then by how far they are apart. B may be a prototxt, filled with --seed.

    With a prototxt every blob is listed: which still hold the bits that they began with, and which were trained.

    Example: caffe-fillers compare snapshot.caffemodel lenet_solver.prototxt --input data=1x28x28
    """
    sides: list[Any] = []
    net = None
    for path in (a, b):
        if path.endswith((".prototxt", ".pbtxt")):
            with _progress(f"filling {path}"):
                net = _build(path, options)[0]
                sides.append(net.weight_set())
        else:
            sides.append(path)
    report = cf.compare(*sides)
    if as_json:
        _json({"equal": bool(report), "close": report.close, "blobs": [dataclasses.asdict(blob) for blob in report]})
    elif net is None or report:
        click.echo(str(report))
    else:
        _initial(net, report)
    sys.exit(FINE if report else DIFFERS)


def _initial(net: Any, report: Any) -> None:
    """Which blobs still are as a net's fills made them."""
    same = len(report) - len(report.differences)
    click.echo(f"{same} of {len(report)} blobs are equal bit for bit to the fills of seed {net.seed}\n")
    fillers = {f"{row['layer']}/{row['index']}": _filler_text(row["filler"]) for row in net.fills()}
    rows = []
    for blob in report:
        holds = {"equal": "its initial bits", "differs": f"{blob.count:,} others"}.get(blob.status, blob.status)
        apart = blob.max_abs if blob.status in ("differs", "dtype") else None
        rows.append({"blob": blob.name, "filler": fillers.get(blob.name), "holds": holds, "apart": apart})
    columns = [
        ("blob", "blob", "left"),
        ("filler", "filler", "left"),
        ("holds", "holds", "right"),
        ("apart", "apart by at most", "right"),
    ]
    _print(rows, columns)


@main.command()
@click.argument("old", type=click.Path())
@click.option("-o", "--output", type=click.Path(), required=True, help="Where to write today's form.")
@click.option("--strict", is_flag=True, help="Refuse what BVLC Caffe refuses.")
@_as_json
def upgrade(old: str, output: str, strict: bool, as_json: bool) -> None:
    """Write a V0 or V1 prototxt, of a net or a solver, in today's form.

    Example: caffe-fillers upgrade old.prototxt -o new.prototxt
    """
    solver = prototxt.is_solver(old)
    # the text, for it knows the types of forks' layers, which the message can't hold
    new = cf.upgrade(prototxt.read(old, schema.SolverParameter if solver else schema.NetParameter, strict=strict))
    cf.write_prototxt(output, new)
    layers = None if solver else len(new.layer)
    if as_json:
        _json({"old": old, "output": output, "layers": layers})
    else:
        click.echo(f"wrote {output}" + ("" if solver else f": {layers} layers"))


@main.command()
@click.argument("weights", type=click.Path())
@click.argument("net", type=click.Path())
@click.option("--layer", help="The layer to search by, or one blob of it as NAME/INDEX; else all that draw.")
@_inputs_option
@_phase_option
@_level_option
@_stages_option
@click.option("--boost", help="The Boost that Caffe was built with; else one of each kind is tried.")
@_caffe_option
@click.option("--from", "first", type=click.IntRange(0, 2**32 - 1), default=0, help="The first seed to try.")
@click.option("--to", "last", type=click.IntRange(0, 2**32 - 1), default=2**32 - 1, help="The last seed to try.")
@click.option("--threads", type=click.IntRange(1), help="Threads to search with; one for each core otherwise.")
@_as_json
def seed(weights: str, net: str, inputs: Any, first: int, last: int, as_json: bool, **options: Any) -> None:
    """Find the seed whose fills of NET, a net's or a solver's prototxt, these WEIGHTS are.

    One blob that training has not touched is enough. Ctrl-C stops the search, and says how to go on.

    Example: caffe-fillers seed lenet_iter_0.caffemodel lenet_train_test.prototxt --input data=1x28x28
    """
    if first > last:
        raise click.BadParameter(f"{first} is behind {last}, where --to ends the search", param_hint="--from")
    reached, began = first, 0.0
    console = Console(stderr=True)
    columns = (TextColumn("trying seeds"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    bar = progress.add_task("", total=None)

    def show(done: int, stop: int) -> None:
        nonlocal reached, began
        if not began:
            began = perf_counter()
            click.echo("no blob tells its seed at once: trying one after another", err=True)
        elif not console.is_terminal and done // _MARK > reached // _MARK:
            left = (perf_counter() - began) / (done - first) * (stop - done)
            click.echo(f"below {done}: none; some {left:.0f} s left", err=True)
        reached = done
        progress.update(bar, completed=done - first, total=stop - first)

    try:
        # without a terminal, rich of old prints an empty line where a bar would end
        with progress if console.is_terminal else nullcontext():
            found = cf.search_seed(
                weights, net, inputs=_inputs(inputs), seeds=range(first, last + 1), progress=show, **options
            )
    except KeyboardInterrupt:
        click.echo(f"stopped with all below {reached} tried; go on with --from {reached}", err=True)
        sys.exit(STOPPED)
    if as_json:
        _json({"weights": weights, "net": net, "seed": found.seed, **dataclasses.asdict(found)})
    else:
        click.echo(str(found), err=not found.found)
    sys.exit(FINE if found.found else DIFFERS)


if __name__ == "__main__":
    main()
