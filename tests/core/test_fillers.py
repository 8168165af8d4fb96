"""fill: what it takes, what it refuses, and that arrays of any layout get the same values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import caffe_fillers as cf
from caffe_fillers import fillers, schema

TYPES = ["constant", "uniform", "gaussian", "positive_unitball", "xavier", "msra", "bilinear"]
FILLERS = [
    'type: "constant" value: 0.25',
    'type: "uniform" min: -2 max: 3',
    'type: "gaussian" mean: 1 std: 0.1',
    'type: "gaussian" std: 1 sparse: 2',
    'type: "positive_unitball"',
    'type: "xavier" variance_norm: AVERAGE',
    'type: "msra" variance_norm: FAN_OUT',
    'type: "bilinear"',
]


def bits(array):
    return np.ascontiguousarray(array).view(np.uint32 if array.dtype == np.float32 else np.uint64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("boost", ["1.74", "1.58", "1.54"])
def test_every_layout_gets_the_same_values(filler, dtype, boost):
    shape = (6, 5, 4, 4)
    straight = cf.fill(shape, filler, rng=7, dtype=dtype, boost=boost)
    base = np.full((12, 5, 4, 9), 8, dtype)
    layouts = {
        "in place": np.empty(shape, dtype),
        "Fortran order": np.empty(shape, dtype, order="F"),
        "strided": base[::2, :, :, 1::2],
        "reversed": np.empty(shape, dtype)[::-1, :, ::-1],
        "transposed": np.empty(shape[::-1], dtype).T,
        "misaligned": np.empty(math.prod(shape) * straight.itemsize + 1, np.uint8)[1:].view(dtype).reshape(shape),
    }
    for name, out in layouts.items():
        rng = cf.RNG(7, boost=boost)
        assert cf.fill(out, filler, rng=rng) is out
        assert (bits(out) == bits(straight)).all(), name
    assert (base[1::2] == 8).all()
    assert (base[:, :, :, ::2] == 8).all()


@pytest.mark.parametrize("filler", ['type: "uniform"', 'type: "gaussian"', 'type: "xavier"'])
def test_a_blob_is_filled_like_an_array(filler):
    blob = cf.Blob((3, 4))
    assert cf.fill(blob, filler, rng=3) is blob
    assert (bits(blob.data) == bits(cf.fill((3, 4), filler, rng=3))).all()


def test_every_way_to_say_a_filler_is_the_same():
    message = schema.FillerParameter(type="msra", variance_norm=2)
    wanted = bits(cf.fill((4, 6), message, rng=1))
    for same in (
        'type: "msra" variance_norm: AVERAGE',
        b'type: "msra" variance_norm: AVERAGE',
        {"type": "msra", "variance_norm": "AVERAGE"},
        {"type": "msra", "variance_norm": 2},
    ):
        assert (bits(cf.fill((4, 6), same, rng=1)) == wanted).all()
    assert (bits(cf.fill((4, 6), "xavier", rng=1)) == bits(cf.fill((4, 6), 'type: "xavier"', rng=1))).all()
    assert (cf.fill((3,), "", rng=1) == 0).all()


@given(st.lists(st.integers(1, 700), min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.booleans())
def test_uniform_in_pieces_is_uniform_at_once(pieces, seed, double):
    dtype = np.float64 if double else np.float32
    filler = {"type": "uniform", "min": -1, "max": 1}
    rng = cf.RNG(seed)
    parts = [cf.fill(n, filler, rng=rng, dtype=dtype) for n in pieces]
    assert (bits(np.concatenate(parts)) == bits(cf.fill(sum(pieces), filler, rng=seed, dtype=dtype))).all()


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["FAN_IN", "FAN_OUT", "AVERAGE"]),
)
def test_xavier_is_numpys_generator_and_a_few_lines(shape, seed, norm):
    """An oracle of its own: NumPy's engine, NumPy's float32 arithmetic, the formula."""
    f = np.float32
    count = math.prod(shape)
    fan_in, fan_out = count // shape[0], count // shape[1]
    n = {"FAN_IN": f(fan_in), "FAN_OUT": f(fan_out), "AVERAGE": f(fan_in + fan_out) / f(2)}[norm]
    s = np.sqrt(f(3) / n)
    high = np.nextafter(s, f(np.inf))
    engine = np.random.MT19937()
    engine._legacy_seeding(seed)
    values = []
    while len(values) < count:
        r = f(engine.random_raw()) / f(2**32) * (high + s) + -s
        if r < high:
            values.append(r)
    ours = cf.fill(shape, {"type": "xavier", "variance_norm": norm}, rng=seed)
    assert (bits(ours).ravel() == bits(np.array(values, f))).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_fans_are_integer_quotients(shape):
    count = math.prod(shape)
    assert cf.fans(shape) == (count // shape[0], count // shape[1] if len(shape) > 1 else count)


def test_fans_of_old_revisions():
    assert cf.fans((1, 1, 500, 800), caffe="rc2") == (400000, 400000)
    assert cf.fans((500, 800), caffe="1.0") == (800, 500)
    assert cf.fans((), caffe="1.0") == (1, 1)


def test_a_sum_of_fans_beyond_an_int_is_refused():
    # Caffe adds them as ints, and the root of a negative number would be its scale
    for filler in ('type: "xavier" variance_norm: AVERAGE', 'type: "msra" variance_norm: AVERAGE'):
        with pytest.raises(cf.CaffeError, match=r"fan_in \+ fan_out = 1 \+ 2147483647 does not fit Caffe's int"):
            cf.fill((2**31 - 1, 1), filler, rng=1)


def test_the_numbers_of_a_filler_are_float32():
    assert cf.fill(2, {"type": "constant", "value": 0.1}, rng=0, dtype=np.float64)[0] == np.float64(np.float32(0.1))
    text = 'type: "constant" value: 1.00000005960464477539062500001'
    assert cf.fill(1, text, rng=0, dtype=np.float64)[0] == 1.0


def test_minus_zero_is_not_taken_for_zero():
    for value in (0.0, -0.0, 0.0):
        out = cf.fill(2, {"type": "constant", "value": value}, rng=0)
        assert np.signbit(out).all() == (math.copysign(1, value) < 0)


BAD_FILLERS = [
    ((2, 3), "xaver", "Unknown filler name: xaver"),
    ((2, 3), 'type: "gaussian" std: 0', "sigma > 0 (0 vs. 0)"),
    ((2, 3), 'type: "gaussian" std: -1', "sigma > 0 (-1 vs. 0)"),
    ((2, 3), 'type: "gaussian" std: nan', "sigma > 0 (nan vs. 0)"),
    ((2, 3), 'type: "gaussian" std: 1e-46', "sigma > 0 (0 vs. 0)"),
    ((2, 3), 'type: "uniform" min: 1 max: 0', "a <= b (1 vs. 0)"),
    ((2, 3), 'type: "uniform" min: nan', "a <= b (nan vs. 1)"),
    ((2, 3), 'type: "uniform" min: -inf', "uniform"),
    ((2, 3), 'type: "uniform" max: inf min: inf', "uniform"),
    ((2, 3), 'type: "xavier" sparse: 3', "Sparsity not supported"),
    ((2, 3), 'type: "gaussian" sparse: 3', "p <= 1 (1.5 vs. 1)"),
    ((2, 3), 'type: "gaussian" sparse: -2', "sparse >= -1 (-2 vs. -1)"),
    ((2, 3), 'type: "bilinear"', "blob->num_axes() == 4 (2 vs. 4)"),
    ((1, 1, 2, 3), 'type: "bilinear"', "(3 vs. 2) Filter must be square"),
    ((0, 3), "xavier", "blob->count()"),
    ((0, 3), "gaussian", "data_"),
    ((-1, 3), "xavier", "shape[i] >= 0 (-1 vs. 0)"),
    ((2**31, 1), "constant", "INT_MAX"),
    ((65536, 65536), "constant", "INT_MAX"),
    ((1,) * 33, "constant", "(33 vs. 32)"),
    ((), "xavier", "0-D Blob"),
    ((2, 3), {"type": "xavier", "fan": 3}, "no field 'fan'"),
    ((2, 3), {"type": "xavier", "variance_norm": "FANIN"}, "FAN_IN, FAN_OUT, AVERAGE"),
    ((2, 3), {"type": "gaussian", "sparse": 1.5}, "sparse"),
    ((2, 3), {"type": 3}, "type"),
    ((2, 3), 3, "a filler is"),
    ((2, 3), 'type: "xavier" variance_norm: FOO', "FOO"),
    ((2, 3), 'type: "xavier" fan: 3', "fan"),
    ((2.5, 3), "xavier", "sequence of ints"),
    ("conv", "xavier", "sequence of ints"),
]


@pytest.mark.parametrize(("shape", "filler", "text"), BAD_FILLERS)
def test_bad_fillers_change_nothing(shape, filler, text):
    rng = cf.RNG(5)
    with pytest.raises(cf.CaffeError) as caught:
        cf.fill(shape, filler, rng=rng)
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert rng.position == 0


def read_only():
    array = np.zeros((3, 4), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (read_only(), "read-only"),
        (np.zeros((3, 4), np.int32), "int32"),
        (np.zeros((3, 4), np.float16), "float16"),
        (np.zeros((3, 4), np.float32).astype(">f4"), "byte order"),
        (np.zeros((3, 4), object), "object"),
        (np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (3, 4), (0, 0)), "overlaps itself"),
        (np.lib.stride_tricks.as_strided(np.zeros(9, np.float32), (3, 4), (8, 4)), "overlaps itself"),
        (np.lib.stride_tricks.as_strided(np.zeros(9, np.float64), (3, 3), (8, 4)), "overlaps itself"),
    ],
)
def test_bad_arrays_are_left_alone(array, text):
    before, rng = array.copy(), cf.RNG(5)
    with pytest.raises(cf.CaffeError) as caught:
        cf.fill(array, "xavier", rng=rng)
    assert text in str(caught.value)
    assert rng.position == 0
    assert (array == before).all()


def test_interleaved_axes_that_do_not_overlap_are_filled():
    base = np.zeros(12, np.float32)
    # steps of 2 and 3 places, yet no place twice
    odd = np.lib.stride_tricks.as_strided(base, (3, 2), (8, 12))
    cf.fill(odd, "xavier", rng=1)
    assert (bits(odd) == bits(cf.fill((3, 2), "xavier", rng=1))).all()


def test_rng_follows_spec_7():
    assert (bits(cf.fill(5, "uniform", rng=3)) == bits(cf.fill(5, "uniform", rng=cf.RNG(3)))).all()
    assert (cf.fill(50, "uniform") != cf.fill(50, "uniform")).any()
    for bad in (-1, 2**32, 1.5, "1", True):
        with pytest.raises(cf.CaffeError):
            cf.fill(5, "uniform", rng=bad)
    with pytest.raises(cf.CaffeError, match=str(2**32 - 1)):
        cf.fill(5, "uniform", rng=-1)
    with pytest.raises(cf.CaffeError, match="boost"):
        cf.fill(5, "uniform", rng=cf.RNG(1, boost="1.58"), boost="1.74")
    with pytest.raises(cf.CaffeError, match=r"v0\.9999"):
        cf.fill(5, "uniform", rng=1, caffe="0.9")


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("boost", ["1.74", "1.58", "1.54"])
def test_consuming_is_filling_without_the_values(filler, boost):
    shape = (7, 3, 129, 129)
    filled, consumed = cf.RNG(11, boost=boost), cf.RNG(11, boost=boost)
    cf.fill(shape, filler, rng=filled)
    plan = fillers.plan(fillers.as_spec(filler), shape, np.dtype(np.float32))
    fillers.consume(plan, math.prod(shape), np.dtype(np.float32), consumed)
    assert filled.position == consumed.position
    assert filled.random_raw() == consumed.random_raw()


def test_a_sparse_filler_of_zero_draws_no_mask():
    rng = cf.RNG(1)
    out = cf.fill((4, 5), 'type: "gaussian" sparse: 0', rng=rng)
    assert not out.any()
    plain = cf.RNG(1)
    cf.fill((4, 5), "gaussian", rng=plain)
    assert rng.position == plain.position


@pytest.mark.parametrize("kind", TYPES)
def test_designed_deviations_are_those_of_the_values(kind):
    shape = (40, 30, 12, 12)
    for norm in ("FAN_IN", "FAN_OUT", "AVERAGE"):
        plan = fillers.plan(fillers.as_spec({"type": kind, "variance_norm": norm}), shape, np.dtype(np.float32))
        values = cf.fill(shape, {"type": kind, "variance_norm": norm}, rng=2).astype(np.float64)
        if kind == "positive_unitball":
            np.testing.assert_allclose(values.reshape(len(values), -1).sum(1), 1, rtol=1e-5)
        else:
            assert values.std() == pytest.approx(plan.std, rel=0.01, abs=1e-12)


NUMBERS = st.one_of(st.floats(), st.floats(width=32), st.integers(-3, 3), st.integers())
VALUES = st.one_of(NUMBERS, st.text(max_size=9), st.none(), st.booleans(), st.lists(st.integers(), max_size=2))
DIMS = st.one_of(st.integers(-2, 9), st.sampled_from([-(2**31), 2**16, 2**31 - 1, 2**31, 2**32, 2**63, 2**64]))
SHAPES = st.lists(DIMS, max_size=5).filter(lambda dims: not 10**5 < math.prod(dims) < 2**31)
ANY_FILLER = st.one_of(
    st.sampled_from([*TYPES, *FILLERS, "Xavier", "type: 3", "{", ""]),
    st.text(max_size=30),
    st.binary(max_size=30),
    VALUES,
    st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)},
        optional={
            **dict.fromkeys(("value", "min", "max", "mean", "std"), NUMBERS),
            "sparse": st.one_of(st.integers(-3, 12), VALUES),
            "variance_norm": st.one_of(st.integers(-1, 3), st.sampled_from(["FAN_IN", "FAN_OUT", "AVERAGE", "x"])),
            "fan": VALUES,
        },
    ),
    st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
)


@settings(deadline=None)
@given(
    st.one_of(SHAPES, SHAPES.map(tuple), DIMS.filter(lambda n: not 10**5 < n < 2**31), VALUES),
    ANY_FILLER,
    st.sampled_from([np.float32, np.float64, "float32", ">f4", np.int32, "x", None]),
    st.sampled_from(["1.47", "1.58", "1.74"]),
    st.sampled_from(["v0.9999", "rc2", "rc3", "1.0", "master"]),
    st.one_of(st.none(), st.integers(-1, 3)),
)
def test_whatever_is_given_a_new_array_or_an_error_comes_out(shape, filler, dtype, boost, caffe, threads):
    rng = cf.RNG(5, boost=boost)
    try:
        out = cf.fill(shape, filler, rng=rng, dtype=dtype, caffe=caffe, threads=threads)
    except cf.CaffeError as error:
        assert str(error)  # noqa: PT017
        assert rng.position == 0
    else:
        again = cf.fill(shape, filler, rng=cf.RNG(5, boost=boost), dtype=dtype, caffe=caffe)
        assert (bits(out) == bits(again)).all()


@given(
    st.lists(st.integers(0, 7), min_size=0, max_size=4),
    st.data(),
    ANY_FILLER,
    st.sampled_from([np.float32, np.float64, np.float16, np.int32, ">f4", np.complex64, bool]),
)
def test_whatever_is_filled_in_place_only_its_own_places_change(dims, data, filler, dtype):
    base = np.full([2 * n + 1 for n in dims], 7, dtype)
    out = base[..., *(slice(1, None, data.draw(st.sampled_from([1, 2, -1]))) for _ in dims)]
    if dims and data.draw(st.booleans()):
        out = out.transpose(data.draw(st.permutations(range(len(dims)))))
    before, rng = base.copy(), cf.RNG(5)
    try:
        cf.fill(out, filler, rng=rng)
    except cf.CaffeError:
        assert rng.position == 0
        assert base.tobytes() == before.tobytes()
    else:
        straight = cf.fill(out.shape, filler, rng=5, dtype=out.dtype)
        assert (bits(np.ascontiguousarray(out)) == bits(straight)).all()
        out[...] = 7
        assert base.tobytes() == before.tobytes()
