"""The fillers by name: Caffe's own bits for Caffe's own, the papers' distributions for the others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import caffe_fillers as cf

SHAPES = [(50, 20, 5, 5), (500, 800), (10, 7, 3), (33,), (2, 3, 4, 5, 6)]
OPTIONS: list[dict[str, Any]] = [{}, {"dtype": np.float64}, {"boost": "1.54"}, {"boost": "1.58"}, {"threads": 2}]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (cf.xavier, {}, 'type: "xavier"'),
        (cf.xavier, {"variance_norm": "FAN_OUT"}, 'type: "xavier" variance_norm: FAN_OUT'),
        (cf.xavier, {"variance_norm": "AVERAGE"}, 'type: "xavier" variance_norm: AVERAGE'),
        (cf.msra, {}, 'type: "msra"'),
        (cf.msra, {"variance_norm": "AVERAGE"}, 'type: "msra" variance_norm: AVERAGE'),
        (cf.gaussian, {}, 'type: "gaussian"'),
        (cf.gaussian, {"mean": 0.1, "std": 0.01}, 'type: "gaussian" mean: 0.1 std: 0.01'),
        (cf.gaussian, {"std": 0.3, "sparse": 2}, 'type: "gaussian" std: 0.3 sparse: 2'),
        (cf.uniform, {}, 'type: "uniform"'),
        (cf.uniform, {"min": -0.1, "max": 0.3}, 'type: "uniform" min: -0.1 max: 0.3'),
        (cf.constant, {}, 'type: "constant"'),
        (cf.constant, {"value": 0.1}, 'type: "constant" value: 0.1'),
        (cf.positive_unitball, {}, 'type: "positive_unitball"'),
    ],
)
def test_caffes_own_have_caffes_bits(
    function: Any, arguments: dict[str, Any], text: str, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    assert same(function(shape, **arguments, rng=1701, **options), cf.fill(shape, text, rng=1701, **options))


def test_bilinear_has_caffes_bits() -> None:
    assert same(cf.bilinear((2, 1, 7, 7)), cf.fill((2, 1, 7, 7), "bilinear"))
    assert same(cf.bilinear((2, 1, 7, 7), caffe="1.0"), cf.fill((2, 1, 7, 7), "bilinear", caffe="1.0"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_rule_is_behind_xavier_and_msra(shape: tuple[int, ...], norm: Any, dtype: Any) -> None:
    by_rule = cf.variance_scaling(shape, 1, norm, "uniform", rng=7, dtype=dtype)
    assert same(by_rule, cf.xavier(shape, norm, rng=7, dtype=dtype))
    by_rule = cf.variance_scaling(shape, 2, norm, "normal", rng=7, dtype=dtype)
    assert same(by_rule, cf.msra(shape, norm, rng=7, dtype=dtype))
    assert same(by_rule, cf.he_normal(shape, 0.0, norm, rng=7, dtype=dtype))


def test_old_revisions_count_fans_their_way() -> None:
    by_rule = cf.variance_scaling((1, 1, 50, 80), 1, "FAN_IN", "uniform", rng=7, caffe="rc2")
    assert same(by_rule, cf.xavier((1, 1, 50, 80), rng=7, caffe="rc2"))
    with pytest.raises(cf.CaffeError, match="knows no variance_norm"):
        cf.variance_scaling((1, 1, 50, 80), 1, "FAN_OUT", "uniform", rng=7, caffe="rc2")


@pytest.mark.parametrize(
    ("function", "arguments", "variance"),
    [
        (cf.lecun_normal, {}, 1 / 800),
        (cf.xavier_normal, {}, 2 / (800 + 500)),
        (cf.he_normal, {}, 2 / 800),
        (cf.he_normal, {"negative_slope": 0.25}, 2 / (1 + 0.25**2) / 800),
        (cf.he_normal, {"negative_slope": 0.25, "variance_norm": "FAN_OUT"}, 2 / (1 + 0.25**2) / 500),
        (cf.he_normal, {"negative_slope": 1}, 1 / 800),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_caffe_lacks_is_the_gaussian_of_that_deviation(
    function: Any, arguments: dict[str, Any], variance: float, dtype: Any
) -> None:
    values = function((500, 800), **arguments, rng=3, dtype=dtype)
    assert values.dtype == dtype
    assert abs(values.mean(dtype=float)) < 5 * math.sqrt(variance / values.size)
    # the deviation of a sample variance is sqrt(2 / n) of it
    assert values.var(dtype=float) == pytest.approx(variance, rel=5 * math.sqrt(2 / values.size))
    # normal: 0.27 % lie beyond three deviations
    assert (abs(values) > 3 * math.sqrt(variance)).mean() == pytest.approx(0.0027, abs=0.0005)
    # the stream's own standard normals, times the scale
    standard = cf.RNG(3).gaussian(0, 1, values.size, dtype=dtype).reshape(values.shape)
    np.testing.assert_allclose(values, standard * math.sqrt(variance), rtol=1e-6)


def test_float32_scales_are_computed_as_caffe_computes_them() -> None:
    scale = np.sqrt(np.float32(1.7) / np.float32(333))
    expected = cf.RNG(5).gaussian(0, float(scale), 2 * 333, dtype=np.float32).reshape(2, 333)
    assert same(cf.variance_scaling((2, 333), 1.7, rng=5), expected)


@pytest.mark.parametrize("function", [cf.xavier, cf.msra, cf.lecun_normal, cf.xavier_normal, cf.he_normal, cf.uniform])
def test_filling_in_place_returns_what_was_given(function: Any) -> None:
    expected = function((4, 6), rng=2)
    out = np.zeros((6, 4), np.float32).T
    assert function(out, rng=2) is out
    assert same(np.ascontiguousarray(out), expected)
    blob = cf.Blob((4, 6))
    assert function(blob, rng=2) is blob
    assert same(blob.data, expected)


def test_streams_go_on_from_filler_to_filler() -> None:
    stream = cf.RNG(1701)
    first, second = cf.lecun_normal((3, 5), rng=stream), cf.lecun_normal((3, 5), rng=stream)
    assert not same(first, second)
    at = stream.position
    with pytest.raises(cf.CaffeError):
        cf.lecun_normal((), rng=stream)
    assert stream.position == at


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 0}, "scale is a finite number above 0"),
        ({"scale": -1.0}, "scale is a finite number above 0"),
        ({"scale": math.nan}, "scale is a finite number above 0"),
        ({"scale": math.inf}, "scale is a finite number above 0"),
        ({"variance_norm": "fan_in"}, "variance_norm is one of FAN_IN, FAN_OUT, AVERAGE, got 'fan_in'"),
        ({"distribution": "gaussian"}, "distribution is"),
        ({"caffe": "2.0"}, "caffe= is one of"),
        ({"shape": ()}, "at least one axis"),
        ({"shape": (3, 0)}, "no fans"),
        ({"shape": (-1, 2)}, "shape"),
    ],
)
def test_variance_scaling_refuses(arguments: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"shape": (4, 6), "scale": 1.0, **arguments}
    array = np.full((4, 6), 7, np.float32)
    with pytest.raises(cf.CaffeError, match=message):
        cf.variance_scaling(**given, rng=1)
    if "shape" not in arguments:
        with pytest.raises(cf.CaffeError, match=message):
            cf.variance_scaling(**{**given, "shape": array}, rng=1)
    assert (array == 7).all()


def test_other_refusals() -> None:
    with pytest.raises(cf.CaffeError, match="negative_slope"):
        cf.he_normal((4, 6), math.nan)
    with pytest.raises(cf.CaffeError, match="variance_norm is one of"):
        cf.xavier((4, 6), "fan_in")  # type: ignore[arg-type]
    with pytest.raises(cf.CaffeError, match="sigma > 0"):
        cf.gaussian((4, 6), std=-1)
