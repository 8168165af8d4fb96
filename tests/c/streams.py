"""The fills of golden/fillers.json as calls on one stream. As a program: as text, for goldens.c.

Cases of more than 200,000 values are left to pytest. Each line of the text is a case ("case ID SEED BOOST TYPE
NEXT_DRAW") or one of its calls ("KIND COUNT ROWS A B SHA256 SHA256"); the second hash is that of another C library's
Box-Muller in double.
"""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path

PROFILES = {"boost_ge_1.64": 164, "boost_1.56_1.63": 156, "boost_le_1.55": 147}
FIELD = re.compile(r"(\w+)\s*:\s*((?:\"[^\"]*\"\s*)+|[^\s,;]+)")
NORM = {"0": "FAN_IN", "1": "FAN_OUT", "2": "AVERAGE"}


def as_float(value):
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def fields(text):
    """The few forms of FillerParameter that the goldens use; numbers rounded to float32 as protobuf does."""
    found = dict(FIELD.findall(text))
    kind = "".join(re.findall('"([^"]*)"', found.pop("type", '"constant"')))
    norm = found.pop("variance_norm", "FAN_IN")
    numbers = {name: as_float(float(re.sub("(?<=[0-9.])f", "", value))) for name, value in found.items()}
    return kind, NORM.get(norm, norm), {"min": 0, "max": 1, "mean": 0, "std": 1, "sparse": -1} | numbers


def calls(shape, text, dtype):
    """Return what Caffe's filler asks of the stream: (kind, count, rows, a, b); nothing if it never draws."""
    kind, norm, p = fields(text)
    count, rounded = math.prod(shape), as_float if dtype == "float" else float
    rows = shape[0] if shape else 1
    if kind == "uniform":
        return [(kind, count, rows, p["min"], p["max"])]
    if kind == "gaussian":
        mask = [("mask", count, rows, rounded(p["sparse"] / rows), 0)] if p["sparse"] >= 0 else []
        return [(kind, count, rows, p["mean"], p["std"]), *mask]
    if kind == "positive_unitball":
        return [("uniform", count, rows, 0, 1), ("normalize", count, rows, 0, 0)]
    if kind in ("xavier", "msra"):
        fan_in, fan_out = count // rows, count // shape[1] if len(shape) > 1 else count
        n = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": rounded(fan_in + fan_out) / 2}[norm]
        scale = rounded(math.sqrt(rounded((3 if kind == "xavier" else 2) / rounded(n))))
        return [("uniform", count, rows, -scale, scale) if kind == "xavier" else ("gaussian", count, rows, 0, scale)]
    assert kind in ("constant", "bilinear"), kind
    return []


def result_of(case, profile):
    result = case["results"][profile]
    while isinstance(result, str):
        result = case["results"][result.removeprefix("same as ")]
    return result


def cases():
    """The cases as they stand in the file."""
    return json.loads((Path(__file__).parents[1] / "golden" / "fillers.json").read_text())["cases"]


def as_text():
    for case in cases():
        for profile, boost in PROFILES.items():
            result = result_of(case, profile)
            if "error" in result or max(math.prod(item["shape"]) for item in case["items"]) > 200_000:
                continue
            other = case["results"].get(profile + "_libm_without_fma", result)
            yield f"case {case['id']} {case['seed']} {boost} {case['dtype']} {result['next_draw']}"
            for item, value, alternative in zip(case["items"], result["values"], other["values"], strict=True):
                output = calls(item["shape"], item["filler"], case["dtype"])
                for call in output:
                    kind, count, rows, a, b = call
                    last = call is output[-1]
                    hashes = f"{value['sha256']} {alternative['sha256']}" if last else "- -"
                    yield f"{kind} {count} {rows} {float(a).hex()} {float(b).hex()} {hashes}"


if __name__ == "__main__":
    print("\n".join(as_text()))
