"""RNG as an object: its stream, its state, its refusals."""

from __future__ import annotations

import copy
import doctest
import operator
import pickle
import threading
import time

import numpy as np
import pytest

from caffe_fillers import _core
from caffe_fillers._core import RNG, normalize_rows
from caffe_fillers.errors import CaffeError

PROFILES = ("1.54", "1.58", "1.74")
LENGTHS = (0, 1, 2, 3, 17, 226, 227, 228, 396, 397, 398, 623, 624, 625, 1247, 1248, 1249)
DTYPES = (np.float32, np.float64)


def bits(array):
    return np.asarray(array).tobytes()


def numpys(rng):
    """NumPy's own engine at the place where rng stands."""
    engine = np.random.MT19937()
    engine.state = rng.state
    return engine


def uniform_oracle(engine, low, high, n, dtype):
    """The uniform path written again over NumPy's engine: nextafter, then the loop of rejections."""
    low, above = dtype(low), np.nextafter(dtype(high), np.finfo(dtype).max)
    out = np.empty(0, dtype)
    while len(out) < n:
        raw = engine.random_raw(n - len(out)).astype(np.uint32)
        values = raw.astype(dtype) / dtype(2**32) * (above - low) + low
        out = np.concatenate([out, values[values < above]])
    return out


@pytest.mark.parametrize("seed", [0, 1, 1701, 2**32 - 1])
def test_raw_draws_are_numpys(seed):
    legacy = np.random.RandomState(seed)
    assert np.array_equal(RNG(seed).random_raw(2000), legacy.randint(0, 2**32, 2000, np.uint32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", [(0, 1), (-1, 1), (-0.05, 0.05), (0.5, 0.5), (3, 3.0000002), (1e-40, 3e-40)])
def test_uniform_against_numpy(bounds, dtype):
    for n in LENGTHS:
        rng = RNG(n)
        engine = numpys(rng)
        assert bits(rng.uniform(*bounds, n, dtype)) == bits(uniform_oracle(engine, *bounds, n, dtype))
        assert rng.random_raw() == engine.random_raw()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1e-12, 0.3, 0.5, 1.0])
def test_bernoulli_against_numpy(p, dtype):
    rng = RNG(5)
    raw = numpys(rng).random_raw(5000).astype(np.uint32)
    mask = raw.astype(dtype) <= dtype(p) * dtype(2**32 - 1)
    assert bits(rng.copy().bernoulli(p, 5000, dtype)) == bits(mask.astype(dtype))
    values = np.linspace(-1, 1, 5000, dtype=dtype)
    expected = values * mask.astype(dtype)
    rng.mask_bernoulli(values, p)
    assert bits(values) == bits(expected)
    assert rng.position == 5000


def test_bernoulli_of_zero_draws_nothing_and_keeps_signs():
    rng = RNG(1)
    values = np.array([1, -1, np.inf], np.float32)
    with np.errstate(invalid="ignore"):
        expected = values * np.float32(0)
    rng.mask_bernoulli(values, 0)
    assert bits(np.signbit(values[:2])) == bits(np.signbit(expected[:2]))
    assert np.isnan(values[2])
    assert rng.position == 0
    assert bits(rng.bernoulli(0, 2)) == bytes(8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("boost", PROFILES)
def test_pieces_equal_the_whole(boost, dtype):
    whole, pieces = RNG(9, boost=boost), RNG(9, boost=boost)
    expected = whole.gaussian(0, 1, 5000, dtype)
    out, at = np.empty(5000, dtype), 0
    for n in (2, 624, 622, 6, 1000, 2746):  # even: Box-Muller throws away the half of a last pair
        pieces.fill_gaussian(out[at : at + n], 0, 1)
        at += n
    assert bits(out) == bits(expected)
    assert whole.random_raw() == pieces.random_raw()
    assert bits(whole.uniform(size=1300, dtype=dtype)) == bits(
        np.concatenate([pieces.uniform(size=n, dtype=dtype) for n in (1, 300, 999)])
    )


def test_threads_share_a_stream_without_tearing_it():
    expected = RNG(3).random_raw(8 * 200 * 10)
    rng, parts = RNG(3), []

    def draw():
        mine = [rng.random_raw(10) for _ in range(200)]
        parts.append(np.concatenate(mine))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert np.array_equal(np.sort(np.concatenate(parts)), np.sort(expected))
    assert rng.position == expected.size


@pytest.mark.parametrize("n", [0, 1, 623, 624, 625, 10**6, 10**7 + 3])
def test_skip_is_drawing(n):
    skipped, drawn = RNG(7), RNG(7)
    skipped.random_raw(5)
    drawn.random_raw(5)
    skipped.skip(n)
    drawn.random_raw(n)
    assert skipped.position == drawn.position == n + 5
    np.testing.assert_equal(skipped.state, drawn.state)


def test_skipping_far_is_quick_and_adds_up():
    once, twice = RNG(7), RNG(7)
    began = time.process_time()
    once.skip(10**12)
    assert time.process_time() - began < 0.05
    twice.skip(123_456_789_012)
    twice.skip(10**12 - 123_456_789_012 - 1)
    twice.random_raw()
    assert once.position == twice.position == 10**12
    np.testing.assert_equal(once.state, twice.state)


def test_fills_work_at_the_end_of_all_positions():
    rng = RNG(7)
    rng.skip(2**63 - 1)
    assert np.isfinite(rng.gaussian(0, 1, 1000)).all()
    assert rng.position > 2**63
    with pytest.raises(CaffeError, match="position"):
        rng.skip(1)


@pytest.mark.parametrize("n", [-1, 2**63, 2**64, 10**30, 1.5, "3", None])
def test_skip_refuses(n):
    rng = RNG(7)
    with pytest.raises(CaffeError):
        rng.skip(n)
    assert rng.position == 0


def test_state_goes_to_numpy_and_back():
    rng = RNG(11)
    rng.random_raw(100)
    engine = numpys(rng)
    assert np.array_equal(engine.random_raw(1000), rng.random_raw(1000))
    other = RNG(0, boost="1.54")
    other.state = engine.state
    assert (other.seed, other.position, other.boost) == (None, 0, "1.54")
    assert np.array_equal(other.random_raw(1000), rng.random_raw(1000))
    np.testing.assert_equal(other.state, rng.state)


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: None,
        lambda s: "MT19937",
        lambda s: s | {"bit_generator": "PCG64"},
        lambda s: {"bit_generator": "MT19937"},
        lambda s: s | {"state": 3},
        lambda s: s | {"state": {"key": s["state"]["key"]}},
        lambda s: s | {"state": s["state"] | {"pos": 625}},
        lambda s: s | {"state": s["state"] | {"pos": -1}},
        lambda s: s | {"state": s["state"] | {"pos": 1.0}},
        lambda s: s | {"state": s["state"] | {"key": s["state"]["key"][1:]}},
        lambda s: s | {"state": s["state"] | {"key": s["state"]["key"] * 1.0}},
        lambda s: s | {"state": s["state"] | {"key": -s["state"]["key"].astype(np.int64)}},
        lambda s: s | {"state": s["state"] | {"key": s["state"]["key"] * 0}},
        lambda s: s | {"state": s["state"] | {"key": "key"}},
    ],
)
def test_a_bad_state_harms_nothing(damage):
    rng = RNG(11)
    rng.random_raw(100)
    before = rng.state
    with pytest.raises(CaffeError):
        rng.state = damage(rng.state)
    assert (rng.seed, rng.position) == (11, 100)
    np.testing.assert_equal(rng.state, before)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, RNG.copy, lambda r: pickle.loads(pickle.dumps(r))])
def test_copies_go_on_alone(duplicate):
    rng = RNG(1701, boost="1.58.0")
    rng.gaussian(0, 1, 100)
    rng.c_rand = 7
    other = duplicate(rng)
    assert (other.seed, other.position, other.boost, other.c_rand) == (1701, rng.position, "1.58.0", 7)
    assert bits(other.gaussian(0, 1, 1000)) == bits(rng.gaussian(0, 1, 1000))
    other.random_raw()
    assert other.position == rng.position + 1


def test_entropy_is_told():
    rng = RNG()
    assert 0 <= rng.seed < 2**32
    assert np.array_equal(RNG(rng.seed).random_raw(10), rng.random_raw(10))
    assert repr(rng) == f"RNG(seed={rng.seed}, boost='1.74', position=10)"


@pytest.mark.parametrize(("seed", "named"), [(2**32, "0"), (-1, "4294967295"), (2**32 + 1701, "1701")])
def test_a_seed_out_of_range_names_caffes(seed, named):
    with pytest.raises(CaffeError, match=rf"Caffe would use {named}\b"):
        RNG(seed)


@pytest.mark.parametrize("seed", [True, False, 1.0, "1", [1], np.float32(1), np.bool_(True)])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(CaffeError, match="seed must be"):
        RNG(seed)


def test_numpy_integers_are_seeds():
    assert RNG(np.uint32(5)).seed == 5


@pytest.mark.parametrize(
    "boost", ["1.46", "1.4", "1.5", "2.0", "1.74-1", "", "1.74.", "1_74", 1.74, None, "0.47", " 1.74"]
)
def test_a_bad_boost(boost):
    with pytest.raises(CaffeError, match=r"(?i)boost"):
        RNG(1, boost=boost)


@pytest.mark.parametrize("size", [-1, (3, -2), 2**62, (2**31, 2**31, 2**31), 1.5, "3", (1.5,), (1,) * 33])
@pytest.mark.parametrize("draw", [RNG.uniform, RNG.gaussian, lambda r, size: r.bernoulli(0.5, size), RNG.random_raw])
def test_a_bad_size_draws_nothing(draw, size):
    rng = RNG(1)
    with pytest.raises(CaffeError, match="size"):
        draw(rng, size=size)
    assert rng.position == 0


def test_sizes():
    rng = RNG(1)
    assert isinstance(rng.uniform(), np.float32)
    assert isinstance(rng.gaussian(dtype=np.float64), np.float64)
    assert isinstance(rng.random_raw(), int)
    assert rng.uniform(size=(2, 0)).shape == (2, 0)
    assert rng.uniform(size=()).shape == ()
    assert rng.uniform(size=np.int64(3)).shape == (3,)
    assert rng.random_raw((2, 3)).dtype == np.uint32


def bad_arrays():
    frozen = np.zeros(3, np.float32)
    frozen.flags.writeable = False
    return [
        frozen,
        np.zeros(3, np.int32),
        np.zeros(3, np.float16),
        np.zeros(3, ">f4"),
        np.zeros((4, 4), np.float32)[:, ::2],
        np.zeros((4, 4), np.float32).T[1:],
        [1.0, 2.0],
        b"abcd",
        None,
    ]


@pytest.mark.parametrize("out", bad_arrays(), ids=lambda a: type(a).__name__)
def test_a_bad_array_draws_nothing(out):
    rng = RNG(1)
    for fill in (
        lambda: rng.fill_uniform(out, 0, 1),
        lambda: rng.fill_gaussian(out, 0, 1),
        lambda: rng.fill_bernoulli(out, 0.5),
        lambda: rng.mask_bernoulli(out, 0.5),
        lambda: normalize_rows(out),
    ):
        with pytest.raises(CaffeError, match="fill"):
            fill()
    assert rng.position == 0


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (lambda r: r.gaussian(0, -1, 3), "Check failed: sigma > 0 (-1 vs. 0)"),
        (lambda r: r.gaussian(0, 0, 3), "Check failed: sigma > 0 (0 vs. 0)"),
        (lambda r: r.gaussian(0, -0.0, 3), "Check failed: sigma > 0 (-0 vs. 0)"),
        (lambda r: r.gaussian(0, 1e-46, 3), "Check failed: sigma > 0 (0 vs. 0)"),
        (lambda r: r.gaussian(0, float("nan"), 3), "Check failed: sigma > 0 (nan vs. 0)"),
        (lambda r: r.uniform(1, 0, 3), "Check failed: a <= b (1 vs. 0)"),
        (lambda r: r.uniform(float("nan"), 0, 3), "Check failed: a <= b (nan vs. 0)"),
        (lambda r: r.uniform(0, -float("nan"), 3), "Check failed: a <= b (0 vs. -nan)"),
        (lambda r: r.uniform(123456789, 1e-5, 3), "Check failed: a <= b (1.23457e+08 vs. 1e-05)"),
        (lambda r: r.uniform(0.1, 0.05, 3, np.float64), "Check failed: a <= b (0.1 vs. 0.05)"),
        (lambda r: r.bernoulli(1.25, 3), "Check failed: p <= 1 (1.25 vs. 1)"),
        (lambda r: r.bernoulli(-0.5, 3), "Check failed: p >= 0 (-0.5 vs. 0)"),
        (lambda r: r.bernoulli(float("nan"), 3), "Check failed: p >= 0 (nan vs. 0)"),
    ],
)
def test_checks_are_worded_as_caffes(draw, text):
    rng = RNG(1)
    with pytest.raises(CaffeError) as caught:
        draw(rng)
    first, advice = str(caught.value).splitlines()
    assert first == text
    assert advice
    assert rng.position == 0


def test_a_sigma_that_underflows_only_in_float():
    assert np.isfinite(RNG(1).gaussian(0, 1e-46, 3, np.float64)).all()


MAX32, MAX64 = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)


@pytest.mark.parametrize("boost", PROFILES)
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (-np.inf, 0, np.float32),
        (np.inf, np.inf, np.float64),
        (-np.inf, -np.inf, np.float64),
        (MAX32, MAX32, np.float32),
        (MAX64, MAX64, np.float64),
    ],
)
def test_ranges_on_which_caffe_hangs(low, high, dtype, boost):
    rng, out = RNG(1, boost=boost), np.full(5, 7, dtype)
    with pytest.raises(CaffeError, match="never returns"):
        rng.fill_uniform(out, low, high)
    assert rng.position == 0
    assert (out == 7).all()


def test_an_infinite_upper_bound_is_the_largest_number():
    assert bits(RNG(1).uniform(0, np.inf, 9)) == bits(RNG(1).uniform(0, MAX32, 9))


def test_the_widest_ranges_work_from_boost_1_56_on():
    values = RNG(1, boost="1.56").uniform(-MAX32, MAX32, 1000)
    assert np.isfinite(values).all()
    assert values.min() < -MAX32 / 2 < MAX32 / 2 < values.max()
    with pytest.raises(CaffeError):
        RNG(1, boost="1.55").uniform(-MAX32, MAX32, 1000)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1000), (7, 33), (100, 1), (3, 0), (0, 3)])
def test_rows_are_summed_in_order(shape, dtype):
    values = RNG(2).uniform(size=shape, dtype=dtype)
    expected = values.copy()
    for row in expected:
        total = dtype(0)
        for value in row:
            total += value
        row /= total
    normalize_rows(values)
    assert bits(values) == bits(expected)


def test_not_numbers():
    rng = RNG(1)
    for call in (lambda: rng.uniform("a", 1), lambda: rng.gaussian(None, 1), lambda: rng.bernoulli([])):
        with pytest.raises(CaffeError, match="must be a number"):
            call()
    with pytest.raises(CaffeError, match="dtype"):
        rng.uniform(dtype=np.int32)
    with pytest.raises(CaffeError, match="dtype"):
        rng.uniform(dtype="nonsense")
    for threads in (0, -1, 1.5):
        with pytest.raises(CaffeError, match="threads"):
            rng.fill_uniform(np.empty(3), 0, 1, threads=threads)


def test_the_examples_in_the_docstrings():
    finder = doctest.DocTestFinder()
    examples = [
        test
        for name in ("RNG", "RNG.uniform", "RNG.gaussian", "RNG.bernoulli")
        for test in finder.find(operator.attrgetter(name)(_core), name)
        if test.examples
    ]
    assert len(examples) >= 4
    for test in examples:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("wrap", [np.frombuffer, lambda raw, dtype, offset: memoryview(raw)[offset:].cast(dtype)])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_memory_that_is_not_aligned_is_refused_as_such(dtype, wrap):
    rng, raw = RNG(1), bytearray(81)
    with pytest.raises(CaffeError, match=r"does not begin at a multiple of its [48] bytes"):
        rng.fill_gaussian(wrap(raw, dtype, offset=1), 0, 1)
    assert rng.position == 0
    assert not any(raw)
