"""The compatibility promise: no bit of any public filler changes unseen."""

from __future__ import annotations

import hashlib
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import initializers

TESTS = Path(__file__).parents[1]
MANIFEST = runpy.run_path(str(TESTS / "manifest.py"))
SHA256, RESTS_ON = (MANIFEST["HEAD"].index(name) for name in ("sha256", "rests_on"))


def libm_is_the_measured_one():
    """Return whether this machine's libm gives the values of Box-Muller in double that the manifest holds."""
    for case in json.loads((TESTS / "golden" / "fillers.json").read_text())["cases"]:
        if "boost_le_1.55_libm_without_fma" in case["results"] and len(case["items"]) == 1:
            item = case["items"][0]
            seen = cf.fill(item["shape"], item["filler"], rng=cf.RNG(case["seed"], boost="1.54"), dtype=np.float64)
            return case["results"]["boost_le_1.55"]["values"][0]["sha256"] == hashlib.sha256(seen).hexdigest()
    raise AssertionError("no golden in which the C library shows")


def test_every_public_filler_has_an_entry():
    entered = {row[0].split()[0] for row in MANIFEST["written"]()}
    assert entered == set(initializers.__all__)
    for column, values in ((4, MANIFEST["BOOSTS"]), (5, MANIFEST["REVISIONS"]), (1, ("float32", "float64"))):
        for name in entered:
            rows = [row for row in MANIFEST["written"]() if row[0].split()[0] == name]
            assert {each for row in rows for each in row[column].split(",")} == set(values)


def test_not_a_bit_and_not_a_draw_has_changed():
    result, written = MANIFEST["rows"](), MANIFEST["written"]()
    if not libm_is_the_measured_one():
        # what rests on the C library's log, sin and cos is held to its draws alone
        for row in (*result, *written):
            if row[RESTS_ON] == "libm":
                row[SHA256] = "libm"
    differing = [row for row in result if row not in written]
    assert not differing, "bits changed: if this is meant, run tests/manifest.py --write and say so in CHANGELOG.md"
    assert result == written


@pytest.mark.parametrize("kind", ["constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear"])
def test_the_type_in_a_prototxt_is_the_function(kind):
    shape = (6, 1, 5, 5)
    assert (cf.fill(shape, kind, rng=9) == getattr(cf, kind)(shape, rng=9)).all()
