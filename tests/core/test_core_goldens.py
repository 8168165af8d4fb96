"""The RNG alone against the values measured from the real Caffe."""

from __future__ import annotations

import hashlib
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from caffe_fillers._core import RNG, normalize_rows
from caffe_fillers.errors import CaffeError

BOOST = {
    "boost_ge_1.64": ("1.64", "1.74", "1.90"),
    "boost_1.56_1.63": ("1.56", "1.58.0", "1.63"),
    "boost_le_1.55": ("1.47", "1.54", "1.55"),
}
NOT_OURS = re.compile("text parse|Unknown filler|Sparsity not|blob|axis|data_|sparse >= -1")
STREAMS = runpy.run_path(str(Path(__file__).parents[1] / "c" / "streams.py"))
CASES, calls, expected = STREAMS["cases"](), STREAMS["calls"], STREAMS["result_of"]


def draw(rng, shape, text, dtype):
    """The array a golden's filler gives; None if that never draws."""
    out = np.empty(shape, {"float": np.float32, "double": np.float64}[dtype])
    output = calls(shape, text, dtype)
    for kind, _, rows, a, b in output:
        if kind == "uniform":
            rng.fill_uniform(out, a, b)
        elif kind == "gaussian":
            rng.fill_gaussian(out, a, b)
        elif kind == "mask":
            rng.mask_bernoulli(out, a)
        else:
            normalize_rows(out.reshape(rows, -1))
    return out if output else None


def error_is_ours(case):
    results = [expected(case, profile) for profile in BOOST]
    return all("error" not in r or not NOT_OURS.search(r["error"]) for r in results)


def check_refusal(rng, items, dtype, text):
    """Some item is refused, with nothing drawn for it. Which one is not recorded for a fill that hangs."""
    with pytest.raises(CaffeError) as caught:  # noqa: PT012
        for item in items:
            before = rng.state, rng.position
            draw(rng, item["shape"], item["filler"], dtype)
    if text.startswith("Check failed"):
        assert str(caught.value).splitlines()[0] == text
    else:
        assert "never returns" in str(caught.value)
    if "sparse" not in item["filler"]:  # there the gaussians come before the mask's p is checked
        np.testing.assert_equal((rng.state, rng.position), before)


def check(case, profile, version):
    result, dtype = expected(case, profile), case["dtype"]
    rng = RNG(case["seed"], boost=version)
    if "error" in result:
        check_refusal(rng, case["items"], dtype, result["error"])
        return
    other = case["results"].get(profile + "_libm_without_fma", result)
    for item, value, alternative in zip(case["items"], result["values"], other["values"], strict=True):
        out = draw(rng, item["shape"], item["filler"], dtype)
        if out is not None:
            sha = hashlib.sha256(out).hexdigest()
            assert sha in (value["sha256"], alternative["sha256"]), (item, out.ravel()[:8])
    assert rng.random_raw() == result["next_draw"]


@pytest.mark.parametrize("profile", BOOST)
@pytest.mark.parametrize(
    "case", [c for c in CASES if c["category"] != "long" and error_is_ours(c)], ids=lambda c: c["id"]
)
def test_golden(case, profile):
    for version in BOOST[profile][: 3 if case["category"] in ("seeds", "rejection") else 1]:
        check(case, profile, version)


@pytest.mark.slow
@pytest.mark.parametrize("profile", BOOST)
@pytest.mark.parametrize("case", [c for c in CASES if c["category"] == "long"], ids=lambda c: c["id"])
def test_long_golden(case, profile):
    check(case, profile, BOOST[profile][1])


def test_memory_stays_at_the_output():
    script = """
import resource, numpy as np
from caffe_fillers._core import RNG
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out = np.ones(60_000_000, np.float32)
rng = RNG(1)
rng.fill_gaussian(out[:2_000_000], 0, 1)
before = peak()
rng.fill_uniform(out, 0, 1)
rng.fill_gaussian(out, 0, 1)
assert peak() - before < 4096, peak() - before
"""
    subprocess.run([sys.executable, "-c", script], check=True)
