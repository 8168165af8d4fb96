"""Plots of a signal report: a PNG by matplotlib, or one HTML file that needs no network and no libraries."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Callable, Sequence

from ..errors import CaffeError
from ..files import as_path, replacing
from .report import EXPLODED, VANISHED, SignalReport
from .rows import Filler, LayerSignal

__all__ = ["signal_plot"]

# these colours differ for people with colour blindness too, as do the lines
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

SERIES: list[tuple[str, str, str, Callable[[LayerSignal], float | None]]] = [
    ("forward", "signal forward, product of gains", BLUE, lambda row: row.forward),
    ("backward", "gradient backward, product of gains", ORANGE, lambda row: row.backward),
    ("predicted", "variance of the result, predicted", GREEN, lambda row: row.variance),
    ("measured", "variance of the result, measured", GREEN, lambda row: row.measured),
]


def signal_plot(report: SignalReport, path: str | os.PathLike[str]) -> None:
    """Draw a signal report by depth, with a histogram for each layer.

    Parameters
    ----------
    report : SignalReport
        What `signal` returned.
    path : str or PathLike
        Ending in ``.png`` (needs matplotlib, the extra `plot`) or ``.html`` (one file, complete in itself).

    Raises
    ------
    CaffeError
        For another suffix, a report without layers, or a file that can't be written.

    Examples
    --------
    >>> import tempfile, caffe_fillers as cf
    >>> from caffe_fillers.signals.plots import signal_plot
    >>> net = cf.Net("examples/mnist/lenet_train_test.prototxt", rng=1701, inputs={"mnist": (1, 28, 28)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     signal_plot(cf.signal(net), folder + "/lenet.html")
    """
    name = str(as_path(path))
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in (".png", ".html"):
        raise CaffeError(f"{name}: a plot is .png or .html, not {suffix or 'without a suffix'}")
    if not report.layers:
        raise CaffeError(f"net {report.name!r} has no layers with weights: there is nothing to draw")
    data = _png(report) if suffix == ".png" else _page(report).encode()
    with replacing(name) as temporary:
        temporary.write_bytes(data)


def _usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _nothing(report: SignalReport) -> str:
    """Return the text of a picture that has nothing to draw, or an empty text."""
    if any(_usable(get(row)) for row in report.layers for *_, get in SERIES):
        return ""
    zero = all(row.weight_variance == 0 for row in report.layers)
    return "all weights are 0: no signal passes" if zero else "no signal passes: there is nothing to draw"


def _decades(report: SignalReport) -> tuple[int, int]:
    """Return the powers of ten at which the axis begins and ends."""
    values = [v for row in report.layers for *_, get in SERIES if (v := get(row)) is not None and _usable(v)]
    low, high = min([*values, 0.1]), max([*values, 10.0])
    return math.floor(math.log10(low)), math.ceil(math.log10(high))


def _number(value: float | None) -> str:
    """Return a number as HTML."""
    if value is None:
        return "&ndash;"
    if not math.isfinite(value):
        return "&infin;" if value > 0 else "?"
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _filler(filler: Filler | None) -> str:
    """Return a filler as HTML."""
    if not filler:
        return "&ndash;"
    words = [f"{key} {value:g}" if isinstance(value, float) else str(value) for key, value in filler.items()]
    return html.escape(", ".join(words))


# --- PNG -----------------------------------------------------------------------------------------------------------


def _png(report: SignalReport) -> bytes:
    import io

    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise CaffeError("a .png needs matplotlib: pip install 'caffe_fillers[plot]'; an .html needs nothing") from None
    rows = report.layers
    columns = min(8, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(12, 5 + 1.25 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    halves = figure.subfigures(2, 1, height_ratios=[5, 1.25 * lines], squeeze=False)
    above, below = halves[0][0], halves[1][0]
    axes = above.subplots()
    places = range(1, len(rows) + 1)
    low, high = _decades(report)
    axes.axhspan(VANISHED, EXPLODED, color="#888888", alpha=0.08, linewidth=0)
    axes.axhline(1, color="#888888", linewidth=0.8)
    for key, label, colour, get in SERIES:
        values = [v if _usable(v) else math.nan for v in (get(row) for row in rows)]
        if not any(math.isfinite(v) for v in values if v is not None):
            continue
        style = {"forward": "o-", "backward": "s--", "predicted": "-", "measured": "D"}[key]
        hollow = {"markerfacecolor": "none"} if key == "measured" else {}
        axes.plot(places, values, style, color=colour, label=label, markersize=4, linewidth=1.4, **hollow)
    if said := _nothing(report):
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", fontsize=12)
    axes.set_yscale("log")
    axes.set_ylim(10.0**low, 10.0**high)
    axes.set_xlim(0.5, len(rows) + 0.5)
    if len(rows) <= 64:
        axes.set_xticks(list(places), [row.layer for row in rows], rotation=90, fontsize=8 if len(rows) <= 32 else 6)
    else:
        axes.set_xlabel("layers with weights, in the net's order")
    axes.set_title(f"{report.name or 'net'} ({report.phase}): the signal before training", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    below.suptitle(_histogram_title(report), fontsize=9, x=0.01, ha="left")
    grid = below.subplots(lines, columns, squeeze=False).reshape(-1)
    for small, row in zip(grid, rows, strict=False):
        shown = row.histogram or row.weights_histogram
        if shown and len(shown["edges"]) > 2:
            small.stairs(shown["counts"], shown["edges"], fill=True, color=GREEN if row.histogram else BLUE, alpha=0.7)
            small.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))
            small.xaxis.get_offset_text().set_fontsize(5)
        small.set_title(row.layer, fontsize=6, pad=2)
        small.tick_params(labelsize=5, length=2)
        small.locator_params(axis="x", nbins=3)
        small.set_yticks([])
        small.spines[["top", "right", "left"]].set_visible(False)
    for small in grid[len(rows) :]:
        small.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=130, metadata={"Software": None})
    return out.getvalue()


def _histogram_title(report: SignalReport) -> str:
    if report.images:
        return f"what each layer makes of noise, {report.images} images"
    return "the weights of each layer" if any(row.weights_histogram for row in report.layers) else ""


# --- HTML ----------------------------------------------------------------------------------------------------------

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --dim: #5d6975; --paper: #ffffff; --card: #f4f6f8; --line: #d7dde3;
  --forward: #0072B2; --backward: #C04F00; --predicted: #00805c; --measured: #00805c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --dim: #9aa7b3; --paper: #14181c; --card: #1d2328;
  --line: #364049; --forward: #56B4E9; --backward: #F0883E; --predicted: #2fbf93; --measured: #2fbf93;
  --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 8px; }
p, ul { margin: 8px 0; } ul { padding-left: 1.2em; } .dim { color: var(--dim); }
.finding { border-left: 4px solid var(--bad); background: var(--card); padding: 8px 12px; margin: 8px 0;
  border-radius: 0 6px 6px 0; overflow-wrap: anywhere; }
.fine { border-left-color: var(--predicted); }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--dim); font: 12px system-ui, sans-serif; }
.narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; padding: 0; margin: 8px 0 0; list-style: none;
  font-size: .9rem; }
.legend svg { width: 34px; display: inline-block; vertical-align: middle; margin-right: 6px; }
.forward { stroke: var(--forward); fill: var(--forward); }
.backward { stroke: var(--backward); fill: var(--backward); }
.predicted { stroke: var(--predicted); fill: var(--predicted); }
.measured { stroke: var(--measured); fill: var(--paper); }
path.line { fill: none; stroke-width: 2; } path.backward.line { stroke-dasharray: 6 4; }
path.predicted.line { stroke-width: 1.5; stroke-dasharray: 1.5 3; }
.measured.mark { stroke-width: 1.8; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(262px, 1fr)); gap: 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; min-width: 0; }
.card h3 { font-size: .95rem; margin: 0; overflow-wrap: anywhere; } .card .dim { font-size: .82rem; margin: 0 0 6px; }
.card dl { display: grid; grid-template-columns: auto minmax(0, 1fr) minmax(0, 1fr); gap: 1px 8px;
  font-size: .82rem; margin: 6px 0 0; }
.card dt { color: var(--dim); white-space: nowrap; }
.card dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.card dd.wide { grid-column: 2 / 4; overflow-wrap: anywhere; } .card .head { color: var(--dim); }
.histogram { height: 64px; border-bottom: 1px solid var(--line); }
.ends { display: flex; justify-content: space-between; color: var(--dim); font-size: .75rem; }
.bars { fill: var(--predicted); opacity: .75; } .weights { fill: var(--forward); opacity: .75; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; font-size: .82rem; width: 100%; }
th, td { padding: 4px 10px; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--dim); font-weight: 600; background: var(--card); white-space: normal; vertical-align: bottom; }
tbody tr { border-top: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
th:first-child { background: var(--card); } .bad { color: var(--bad); font-weight: 600; }
@media (max-width: 700px) { main { padding: 16px 12px 32px; } .wide-only { display: none; } .narrow { display: block; }
  .cards { grid-template-columns: 1fr; } h1 { font-size: 1.25rem; } }
"""


def _page(report: SignalReport) -> str:
    title = html.escape(f"{report.name or 'net'} ({report.phase}): the signal before training")
    layers = len(report.layers)
    depth = max(row.depth for row in report.layers)
    about = f"{layers} layers with weights, {depth} deep. "
    about += f"Measured with {report.images} images of noise." if report.images else "Theory alone; nothing measured."
    findings = "".join(f'<p class="finding">{html.escape(text)}</p>' for text in report.findings)
    fine = '<p class="finding fine">The signal and the gradient keep within a factor of 1000 all the way.</p>'
    notes = "".join(f"<li>{html.escape(text)}</li>" for text in report.notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="dim">{about}</p>
{findings or fine}
{f"<h2>Left out</h2><ul>{notes}</ul>" if notes else ""}
<h2>By depth</h2>
<div class="wide-only">{_chart(report, 1120, 460, names=layers <= 40)}</div>
<div class="narrow">{_chart(report, 380, 380, names=False)}</div>
{_legend(report)}
<p class="dim">Grey: a factor of 1000 up and down. The products are 1 at the input, and backward at the end.</p>
<h2>Layer by layer</h2>
<p class="dim">{_caption(report)}</p>
<div class="cards">{"".join(_card(row, i) for i, row in enumerate(report.layers, 1))}</div>
<h2>All numbers</h2>
{_table(report)}
</main>
</body>
</html>
"""


def _caption(report: SignalReport) -> str:
    if report.images:
        return "Histograms of what each layer makes of noise before its activation; of its weights where unmeasured."
    return "Histograms of the weights." if any(row.weights_histogram for row in report.layers) else "No values to show."


def _ticks(low: int, high: int) -> list[int]:
    step = next(step for step in (1, 2, 3, 5, 10, 20, 50, 100, 1000) if (high - low) / step <= 8)
    return [power for power in range(low, high + 1) if power % step == 0]


_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _chart(report: SignalReport, width: int, height: int, *, names: bool) -> str:
    rows = report.layers
    low, high = _decades(report)
    longest = max(len(row.layer) for row in rows) if names else 0
    left, right, top = 52, 12, 12
    bottom = 34 + min(int(longest * 5.2), 110) if names else 46
    wide, tall = width - left - right, height - top - bottom

    def x(i: int) -> float:
        return round(left + wide * (i + 0.5) / len(rows), 1)

    def y(value: float) -> float:
        return round(top + tall * (high - math.log10(value)) / (high - low), 1)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="variances by depth">']
    band_top, band_bottom = y(min(EXPLODED, 10.0**high)), y(max(VANISHED, 10.0**low))
    parts.append(
        f'<rect x="{left}" y="{band_top}" width="{wide}" height="{band_bottom - band_top:.1f}" fill="var(--card)"/>'
    )
    for power in _ticks(low, high):
        at = y(10.0**power)
        strong = 'stroke="var(--dim)"' if power == 0 else 'stroke="var(--line)"'
        label = "1" if power == 0 else "10" + str(power).translate(_POWERS)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{at}" y2="{at}" {strong}/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4}" text-anchor="end">{label}</text>')
    every = -(-len(rows) // (wide // 34))
    for i, row in enumerate(rows):
        if names:
            parts.append(
                f'<text transform="translate({x(i) + 4},{top + tall + 10}) rotate(-60)" text-anchor="end">'
                f"{html.escape(row.layer)}</text>"
            )
        elif i % every == 0:
            parts.append(f'<text x="{x(i)}" y="{top + tall + 18}" text-anchor="middle">{i + 1}</text>')
    if not names:
        parts.append(
            f'<text x="{left + wide / 2}" y="{height - 8}" text-anchor="middle">layer, in the net\'s order</text>'
        )
    for key, label, _, get in SERIES:
        parts.append(_series(rows, key, label, get, x, y))
    if said := _nothing(report):
        parts.append(
            f'<text x="{left + wide / 2}" y="{top + tall / 2}" text-anchor="middle">{html.escape(said)}</text>'
        )
    return "".join(parts) + "</svg>"


def _series(
    rows: Sequence[LayerSignal],
    key: str,
    label: str,
    get: Callable[[LayerSignal], float | None],
    x: Callable[[int], float],
    y: Callable[[float], float],
) -> str:
    line, marks, pen = [], [], "M"
    for i, row in enumerate(rows):
        value = get(row)
        if value is None or not _usable(value):
            pen = "M"
            continue
        line.append(f"{pen}{x(i)} {y(value)}")
        pen = "L"
        title = f"<title>{html.escape(row.layer)}: {label} {_number(value)}</title>"
        marks.append(_mark(key, x(i), y(value), title))
    path = "" if key == "measured" or not line else f'<path class="{key} line" d="{"".join(line)}"/>'
    return path + "".join(marks)


def _mark(key: str, x: float, y: float, title: str = "") -> str:
    if key == "backward":
        return f'<rect class="{key} mark" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6">{title}</rect>'
    if key == "measured":
        return f'<circle class="{key} mark" cx="{x}" cy="{y}" r="4.5">{title}</circle>'
    return f'<circle class="{key} mark" cx="{x}" cy="{y}" r="{3 if key == "forward" else 1.5}">{title}</circle>'


def _legend(report: SignalReport) -> str:
    items = []
    for key, label, _, get in SERIES:
        if any(_usable(get(row)) for row in report.layers):
            line = "" if key == "measured" else f'<path class="{key} line" d="M0 7L34 7"/>'
            items.append(f'<li><svg viewBox="0 0 34 14">{line}{_mark(key, 17, 7)}</svg>{label}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _bars(shown: dict[str, list[float]], kind: str) -> str:
    counts, edges = shown["counts"], shown["edges"]
    if len(edges) < 2 or not max(counts, default=0):
        return ""
    top = max(counts)
    bars = "".join(
        f'<rect x="{i}" y="{64 * (1 - n / top):.1f}" width=".92" height="{64 * n / top:.1f}"/>'
        for i, n in enumerate(counts)
        if n
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {len(counts)} 64" preserveAspectRatio="none" role="img" '
        f'aria-label="histogram"><g class="{kind}">{bars}</g></svg>'
        f'<div class="ends"><span>{_number(edges[0])}</span><span>{_number(edges[-1])}</span></div>'
    )


def _bad(value: float | None) -> str:
    return ' class="bad"' if value is not None and not VANISHED < value < EXPLODED else ""


def _card(row: LayerSignal, number: int) -> str:
    shape = "&times;".join(str(dim) for dim in row.shape) or "()"
    follows = ", normalised" * row.normalised + (f", then {html.escape(row.activation)}" if row.activation else "")
    histogram = ""
    if row.histogram:
        histogram = _bars(row.histogram, "bars")
    elif row.weights_histogram:
        histogram = _bars(row.weights_histogram, "weights")
    pairs = [
        ("fan", row.fan_in, row.fan_out, False),
        ("gain", row.forward_gain, row.backward_gain, False),
        ("product", row.forward, row.backward, True),
    ]
    lines = ""
    for name, forward, backward, judged in pairs:
        for i, value in enumerate((forward, backward)):
            lines += f"<dt>{name}</dt>" if not i else ""
            lines += f"<dd{_bad(value) if judged else ''}>{_number(value)}</dd>"
    lines += f'<dt>filler</dt><dd class="wide">{_filler(row.filler)}</dd>'
    if not row.normalised:
        lines += f'<dt>filler for gain 1</dt><dd class="wide">{_filler(row.unit_gain_filler_forward)}</dd>'
    lines += f'<dt>Var predicted</dt><dd class="wide">{_number(row.variance)}</dd>'
    if row.measured is not None:
        lines += f'<dt>Var measured</dt><dd class="wide">{_number(row.measured)}</dd>'
    return (
        f'<section class="card"><h3>{number}. {html.escape(row.layer)}</h3>'
        f'<p class="dim">{html.escape(row.type)} {shape}{follows}</p>{histogram}'
        f'<dl><dt></dt><dd class="head">forward</dd><dd class="head">backward</dd>{lines}</dl></section>'
    )


def _table(report: SignalReport) -> str:
    heads = "layer,fan in,fan out,Caffe's fans,Var(W),Var(W) held,activation,factor,gain forward,gain backward"
    heads += ",product forward,product backward,variance predicted,measured"
    body = ""
    for row in report.layers:
        body += f"<tr><td>{html.escape(row.layer)}</td><td>{_number(row.fan_in)}</td><td>{_number(row.fan_out)}</td>"
        body += f"<td>{_number(row.caffe_fan_in)} / {_number(row.caffe_fan_out)}</td>"
        body += f"<td>{_number(row.weight_variance)}</td><td>{_number(row.weight_variance_measured)}</td>"
        body += f"<td>{html.escape(row.activation) or '&ndash;'}</td>"
        body += "".join(f"<td>{_number(cell)}</td>" for cell in (row.factor, row.forward_gain, row.backward_gain))
        body += "".join(f"<td{_bad(cell)}>{_number(cell)}</td>" for cell in (row.forward, row.backward))
        body += "".join(f"<td>{_number(cell)}</td>" for cell in (row.variance, row.measured)) + "</tr>"
    head = "".join(f"<th>{name}</th>" for name in heads.split(","))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
