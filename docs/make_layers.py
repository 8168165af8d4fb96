"""Write docs/layers.md: every layer type that has a rule, from the rules themselves.

Run it after adding a type: ``python docs/make_layers.py``. A test compares the page with the rules.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from caffe_fillers.layers import RULES, Rule

PAGE = Path(__file__).with_name("layers.md")

HEAD = """# Layer types

The columns give the number of bottom and top blobs: `1`, `1..2`, or `1..n` for one or more. "Since" is Caffe's first
version with the type, if it is not the earliest; in an older `caffe=` the type is an error, as it was then. A loss
without a top in the prototxt gets an automatic one.

`net.forward()` and `net.backward()` run every type of BVLC Caffe, and the forks' types marked "yes". All others can be
set up and filled; running one is an error that names the layer.

## Types of BVLC Caffe
"""

FORKS = """
## Types of the forks

BVLC Caffe and `strict=True` refuse these. Otherwise shapes and parameters follow the set-up code of the fork named
here. Types marked "yes" also run. For a data layer of a fork, write to its tops.
"""

MORE = """
Forks also added fields to BVLC Caffe's types. These change shapes or parameters, so they are followed:

| type | fields | fork | what they do |
|---|---|---|---|
| BatchNorm | `scale_bias`, `scale_filler`, `bias_filler` | NVIDIA/caffe from 0.16 on, caffe-jacinto | \
blobs 3 and 4: scale and bias; the factor starts at 1 |
| BatchNorm | `engine: MKL2017` or `MKLDNN`; `use_weight_bias`, `bias_term`, `filler`, `bias_filler` | intel/caffe | \
blobs 3 and 4: scale and bias |
| Convolution, Deconvolution | `pad_t`, `pad_b`, `pad_l`, `pad_r` | synopsys-caffe | padding for each side |
| Pooling | `ceil_mode` | caffe-rfcn, synopsys-caffe | what BVLC Caffe calls `round_mode` |

For any other type, give the shapes of its tops in `inputs`, or register the type with
`caffe_fillers.layers.register`.
"""


def _number(limits: tuple[int, int | None] | None) -> str:
    if limits is None:
        return "any"
    low, high = limits
    return str(low) if low == high else f"{low}..{'n' if high is None else high}"


def _makes(rule: Rule) -> str:
    if rule.equal:
        return "as many"
    return _number(rule.tops) + (", or an automatic one" if rule.automatic_top else "")


def page() -> str:
    """The whole page."""
    of_bvlc = sorted((name, rule) for name, rule in RULES.items() if not rule.fork)
    of_forks = sorted(((name, rule) for name, rule in RULES.items() if rule.fork not in ("", "user")), key=_by_fork)
    text = HEAD + "\n| type | bottoms | tops | since |\n|---|---|---|---|\n"
    for name, rule in of_bvlc:
        since = "" if rule.since == "v0.9999" else rule.since
        text += f"| {name} | {_number(rule.bottoms)} | {_makes(rule)} | {since} |\n"
    text += FORKS + "\n| fork | type | bottoms | tops | runs |\n|---|---|---|---|---|\n"
    for fork, members in groupby(of_forks, key=lambda item: item[1].fork):
        for i, (name, rule) in enumerate(members):
            text += (
                f"| {'' if i else fork} | {name} | {_number(rule.bottoms)} | {_makes(rule)} | {_runs(name, rule)} |\n"
            )
    return text + MORE


def _runs(name: str, rule: Rule) -> str:
    if not rule.runs:
        return ""
    return "on what you give" if name.endswith("Data") else "yes"


def _by_fork(item: tuple[str, Rule]) -> tuple[str, str]:
    return item[1].fork.lower(), item[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
