"""Every filler measured from the real Caffe, in every revision, profile and dtype: bits and draws, nothing excused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf

GOLDEN = Path(__file__).parents[1] / "golden"
BOOST = {"boost_ge_1.64": "1.74", "boost_1.56_1.63": "1.58", "boost_le_1.55": "1.54"}
DTYPES = {"float": np.float32, "double": np.float64}
# of float64 Box-Muller two results are recorded: which one holds depends on the C library's log, sin and cos
OTHER_LIBM = "boost_le_1.55_libm_without_fma"


def resolve(results, key, prefix="same as "):
    while isinstance(results[key], str):
        key = results[key].removeprefix(prefix)
    return results[key]


def cases():
    for case in json.loads((GOLDEN / "fillers.json").read_text())["cases"]:
        for boost in BOOST:
            marks = [pytest.mark.slow] if case["category"] == "long" else []
            yield pytest.param(case, case["results"], boost, "master", id=f"{case['id']}-{boost}", marks=marks)
    for case in json.loads((GOLDEN / "fillers_legacy.json").read_text())["cases"]:
        by_revision = case["results_by_caffe_revision"]
        for caffe in by_revision:
            for boost in BOOST:
                results = resolve(by_revision, caffe)
                yield pytest.param(case, results, boost, caffe, id=f"{case['id']}-{caffe}-{boost}")


def fill_all(case, rng, caffe):
    for item in case["items"]:
        yield cf.fill(item["shape"], item["filler"], rng=rng, dtype=DTYPES[case["dtype"]], caffe=caffe)


def sha256(array):
    return hashlib.sha256(array).hexdigest()


@pytest.mark.parametrize(("case", "results", "boost", "caffe"), list(cases()))
def test_fill(case, results, boost, caffe):
    result = resolve(results, boost)
    rng = cf.RNG(case["seed"], boost=BOOST[boost])
    if "error" in result:
        check_refusal(case, result, rng, caffe)
        return
    seen = [sha256(values) for values in fill_all(case, rng, caffe)], rng.random_raw()
    wanted = [([value["sha256"] for value in result["values"]], result["next_draw"])]
    if boost == "boost_le_1.55" and OTHER_LIBM in results:
        assert case["dtype"] == "double"
        other = resolve(results, OTHER_LIBM)
        wanted.append(([value["sha256"] for value in other["values"]], other["next_draw"]))
    assert seen in wanted


def check_refusal(case, result, rng, caffe):
    """Check that each input that Caffe refuses, crashes or hangs on gives one clear error and changes nothing."""
    # of a hang the place is not recorded: it is the first fill
    failed = result.get("failed_item", 1 if case["category"] == "error" else 0)
    fills = fill_all(case, rng, caffe)
    for _ in range(failed):
        next(fills)
    before = rng.copy()
    with pytest.raises(cf.CaffeError) as caught:
        next(fills)
    if result["error"].startswith("Check failed"):
        assert str(caught.value).splitlines()[0].rstrip() == result["error"]
    assert len(str(caught.value).splitlines()) <= 2
    assert rng.position == before.position
    assert rng.copy().random_raw() == before.copy().random_raw()

    item = case["items"][failed]
    if -1 < int(np.prod(item["shape"], dtype=object)) < 2**20:
        array = np.full(item["shape"], 7, DTYPES[case["dtype"]])
        with pytest.raises(cf.CaffeError):
            cf.fill(array, item["filler"], rng=rng, caffe=caffe)
        assert (array == 7).all()
        assert rng.position == before.position
