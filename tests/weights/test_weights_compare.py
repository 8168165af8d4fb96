"""Comparing weights: bits first, then distances."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from caffe_fillers import CaffeError
from caffe_fillers.weights import LayerBlobs, WeightSet, compare, load_weights, save_weights

LENET = Path(__file__).parents[1] / "golden/mnist/lenet_iter_0.caffemodel"


def one(*values, dtype=np.float32):
    return {"a": [np.array(values, dtype)]}


def test_equal_in_every_form(tmp_path):
    save_weights(tmp_path / "w.npz", load_weights(LENET))
    report = compare(LENET, str(tmp_path / "w.npz"))
    assert report
    assert report.close
    assert len(report) == 8
    assert report[0].name == "conv1/0"
    assert report[0].shape_a == (20, 1, 5, 5)
    assert str(report) == "8 of 8 blobs are equal bit for bit"

    class Net:
        params = load_weights(LENET)

    assert compare(Net(), LENET)


@pytest.mark.parametrize(
    ("a", "b", "status", "count", "max_abs", "max_rel", "close"),
    [
        (one(1, 2), one(1, 2), "equal", 0, 0, 0, True),
        (one(0.0), one(-0.0), "differs", 1, 0, 0, True),
        (one(math.nan), one(math.nan), "equal", 0, 0, 0, True),
        (one(math.nan), one(1), "differs", 1, math.inf, math.inf, False),
        (one(math.inf, 1), one(math.inf, 1), "equal", 0, 0, 0, True),
        (one(math.inf), one(-math.inf), "differs", 1, math.inf, math.inf, False),
        (one(math.inf), one(1), "differs", 1, math.inf, math.inf, False),
        (one(1, 2, 4), one(1, 2, 5), "differs", 1, 1, 0.2, False),
        (one(1.0), one(1.000001), "differs", 1, pytest.approx(1e-6, rel=0.1), pytest.approx(1e-6, rel=0.1), True),
        (one(1, 2), one(1, 2, dtype=np.float64), "dtype", 0, 0, 0, True),
        (one(1, 2), one(1, 3, dtype=np.float64), "dtype", 1, 1, pytest.approx(1 / 3), False),
        (one(1, 2), one(1, 2, 3), "shape", 0, 0, 0, False),
        (one(1), {}, "only in a", 0, 0, 0, False),
        ({}, one(1), "only in b", 0, 0, 0, False),
        (one(), one(), "equal", 0, 0, 0, True),
        (one(1.0), one(1.0, dtype=">f4"), "equal", 0, 0, 0, True),
    ],
)
def test_each_way_to_differ(a, b, status, count, max_abs, max_rel, close):
    report = compare(a, b)
    (blob,) = report
    assert (blob.status, blob.count, blob.max_abs, blob.max_rel, blob.close) == (status, count, max_abs, max_rel, close)
    assert bool(report) is bool(blob) is (status == "equal")
    assert report.close is close
    assert report.differences == ([] if report else [blob])
    assert ("a/0" in str(report)) is not bool(report)


def test_nans_of_other_payloads_differ_in_bits_but_are_close():
    nans = np.array([0x7FC00001, 0x7FC00002], np.uint32).view(np.float32)
    (blob,) = compare({"a": [nans[:1]]}, {"a": [nans[1:]]})
    assert blob.status == "differs"
    assert blob.close


def test_layers_of_one_name_are_told_apart():
    a = WeightSet([LayerBlobs("a", [np.ones(1)]), LayerBlobs("a", [np.ones(2)])])
    assert [blob.name for blob in compare(a, a)] == ["a/0", "a#2/0"]


def test_large_blobs_are_compared_block_by_block():
    a = np.zeros(3 << 20, np.float32)
    b = a.copy()
    b[[5, 2 << 20, -1]] = [1, 2, -3]
    (blob,) = compare({"a": [a]}, {"a": [b]})
    assert (blob.count, blob.max_abs) == (3, 3)


def test_the_tolerance_can_be_set():
    assert not compare(one(1), one(1.1)).close
    assert compare(one(1), one(1.1), rtol=0.2).close
    assert compare(one(1), one(1.1), atol=0.2).close


def test_what_cannot_be_compared():
    for bad in (3, None, [1]):
        with pytest.raises(CaffeError, match="mapping"):
            compare(bad, one(1))
    with pytest.raises(CaffeError, match="object"):
        compare({"a": [np.array([object()])]}, one(1))
    with pytest.raises(CaffeError, match="No such file"):
        compare("/none", one(1))
