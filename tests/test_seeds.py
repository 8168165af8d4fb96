"""Seeds found again: from the draws that values tell of, by the recurrence, and one by one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import fillers
from caffe_fillers._core import Seekers, seeds_of, simd
from caffe_fillers.seeds import clues, recurrence

FILLERS = {
    "xavier": "type: 'xavier'",
    "uniform": "type: 'uniform' min: 0.3 max: 0.4",
    "gaussian": "type: 'gaussian' std: 0.01",
    "msra": "type: 'msra'",
}
BOOSTS = ("1.54", "1.58", "1.74")


def net_of(tmp_path, first, second="type: 'xavier'", outputs=12, bias="type: 'constant'"):
    """A prototxt of two convolutions of 3x3 over 3 channels, the second drawn right behind the first."""
    path = tmp_path / "net.prototxt"
    path.write_text(
        f"""input: "data" input_shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }}
        layer {{ name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param {{
            num_output: {outputs} kernel_size: 3 weight_filler {{ {first} }} bias_filler {{ {bias} }} }} }}
        layer {{ name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param {{
            num_output: 300 kernel_size: 3 bias_term: false weight_filler {{ {second} }} }} }}"""
    )
    return path


def seed_of(*key):
    return int(np.random.default_rng([ord(c) for c in str(key)]).integers(2**32))


def around(seed, size=40000):
    first = max(0, seed - size // 2)
    return range(first, min(2**32, first + size))


# --- what a value tells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("boost", BOOSTS)
@pytest.mark.parametrize("name", FILLERS)
def test_the_clues_of_a_value_hold_its_draws(name, boost, dtype):
    plan = fillers.plan(FILLERS[name], (1, 50), np.dtype(dtype))
    kind = clues.kind_of(plan, boost)
    used = clues.draws_per_value(kind, np.dtype(dtype)) * (2 if kind == "Box-Muller" else 1)
    looked = 0
    for seed in range(60):
        rng = cf.RNG(seed, boost=boost)
        values = np.empty(2 if kind == "Box-Muller" else 1, dtype)
        fillers.apply(plan, values, rng)
        if rng.position != used:
            continue  # a ziggurat that took more, perhaps by a draw before
        looked += 1
        draws = cf.RNG(seed).random_raw(2)
        found = clues.clues(plan, kind, values, 0)
        assert [clue.draw for clue in found] == list(range(used))
        for clue in found:
            assert draws[clue.draw] in clue.words()
            assert len(clue.words()) == clue.size < 2**18
    assert looked > 50


def test_values_that_no_draw_makes_tell_nothing():
    plan = fillers.plan("type: 'uniform' min: 1 max: 2", (1,), np.dtype(np.float32))
    assert clues.clues(plan, "uniform", np.array([2.5], np.float32), 0) == []
    plan = fillers.plan("type: 'gaussian'", (1,), np.dtype(np.float32))
    assert clues.clues(plan, "ziggurat", np.array([9], np.float32), 0) == []
    assert clues.clues(plan, "Box-Muller", np.zeros(2, np.float32), 0) == []


# --- the vectors of seeds --------------------------------------------------------------------------------------------


def exactly(draw, rotation=0):
    key = np.uint32((draw >> rotation | draw << (32 - rotation)) & 0xFFFFFFFF)
    return rotation, np.array([[key, key]], np.uint32)


@pytest.mark.parametrize("at", [0, 1, 226, 227, 396, 397, 453, 454, 622, 623, 624, 850, 1247, 1248, 5000])
def test_one_seed_in_many_has_a_draw(at):
    seeds = np.arange(4294967000, 4294967296, dtype=np.uint64).astype(np.uint32)
    for place, rotation in ((0, 0), (131, 8), (295, 29)):
        rng = cf.RNG(int(seeds[place]))
        rng.skip(at)
        found, _ = Seekers([[(at, *exactly(rng.random_raw(), rotation))]]).among(seeds)
        assert found.tolist() == [seeds[place]]


def test_possibilities_and_what_must_all_be_right():
    draws = cf.RNG(77).random_raw(700)
    right, wrong = (3, *exactly(int(draws[3]))), (699, *exactly(int(draws[699]) ^ 1))
    also = (650, *exactly(int(draws[650]), 8))
    seeds = np.arange(100, dtype=np.uint32)

    def among(*possibilities):
        found, which = Seekers(list(possibilities)).among(seeds)
        return list(zip(found.tolist(), which.tolist(), strict=True))

    assert among([right, wrong]) == []
    assert among([right, also]) == [(77, 0)]
    assert among([wrong], [right, wrong], [right], [also, right]) == [(77, 2), (77, 3)]
    everything = np.array([[0, 2**32 - 1]], np.uint32)
    assert len(among([(0, 0, everything)], [(9, 5, everything)])) == 200
    assert among([(0, 0, np.empty((0, 2), np.uint32))]) == []


def test_ranges_are_met_at_their_edges():
    draw = cf.RNG(5).random_raw()
    for low, high, held in ((0, 0, True), (0, 9, True), (-9, 0, True), (1, 9, False), (-9, -1, False)):
        ranges = np.array([[0, 10], [draw + low, draw + high], [2**32 - 5, 2**32 - 1]], np.uint32)
        found, _ = Seekers([[(0, 0, ranges)]]).among(np.array([5], np.uint32))
        assert (found.tolist() == [5]) == held


def test_back_from_every_word_of_the_seeding():
    seeds = np.random.default_rng(0).integers(2**32, size=130, dtype=np.uint32)
    words = seeds.copy()
    for i in range(1, 624):
        words = (words ^ words >> 30) * np.uint32(1812433253) + np.uint32(i)
        back = words.copy()
        seeds_of(back, i)
        assert np.array_equal(back, seeds)


PATHS = """
import numpy as np
from caffe_fillers._core import Seekers, seeds_of
ranges = np.array([[5 << 24, 6 << 24], [200 << 24, 210 << 24]], np.uint32)
for at in (0, 230, 1300):
    seeds = np.arange(5000, dtype=np.uint32)
    for found in Seekers([[(at, 0, ranges), (at + 1, 8, ranges)], [(at + 2, 29, ranges)]]).among(seeds):
        print(found.tolist())
    seeds_of(seeds, 600)
    print(seeds.tolist())
"""


def test_every_instruction_set_finds_the_same():
    said = {}
    for name in {"portable", simd, *(("avx2",) if simd == "avx512" else ())}:
        done = subprocess.run(
            [sys.executable, "-c", PATHS],
            env=os.environ | {"CAFFE_FILLERS_SIMD": name},
            capture_output=True,
            check=True,
        )
        said[name] = done.stdout
    assert len(set(said.values())) == 1
    assert len(said["portable"]) > 10000


# --- the recurrence backwards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 200, 395])
def test_two_draws_give_the_seed(n):
    draws = cf.RNG(123456789).random_raw(700)
    words = recurrence.words_between(draws[n : n + 1], draws[n + 227 : n + 228])
    assert 123456789 in recurrence.seeds_between(words, n)
    assert len(words) == 2


@pytest.mark.parametrize(("skip", "lost"), [(0, 0), (1, 0), (623, 8), (624, 8), (1000003, 9)])
def test_draws_in_a_row_give_the_seed_and_where_they_stand(skip, lost):
    rng = cf.RNG(4000000000)
    rng.skip(skip)
    draws = rng.random_raw(4000).astype(np.int64)
    first = draws >> lost << lost
    last = first | ((1 << lost) - 1)
    first[700], last[700] = 5, 5  # one that was changed
    first[2100], last[2100] = 1, 0  # and one that no draw makes
    runs = list(recurrence.complete(*recurrence.words_behind(first, last)))
    assert runs
    for offset, state in runs:
        assert recurrence.seed_behind(state, skip + 4000) == (4000000000, skip + offset)


def test_how_far_back_a_seed_is_looked_for():
    rng = cf.RNG(5)
    rng.skip(100_000)
    words = recurrence.untemper(rng.random_raw(624))
    assert recurrence.seed_behind(words, 100_000) == (5, 100_000)
    assert recurrence.seed_behind(words, 90_000) is None


def test_a_row_of_anything_else_gives_nothing():
    values = np.random.default_rng(0).integers(2**32, size=3000)
    assert list(recurrence.complete(*recurrence.words_behind(values, values))) == []


# --- searches --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("boost", BOOSTS)
@pytest.mark.parametrize("name", FILLERS)
def test_a_first_layer_gives_its_seed_at_once(tmp_path, name, boost):
    path, seed = net_of(tmp_path, FILLERS[name]), seed_of(name, boost)
    net = cf.Net(path, rng=seed, boost=boost)
    search = cf.search_seed(net.params, path, progress=lambda *_: pytest.fail("seeds were tried one by one"))
    assert [found.seed for found in search.found] == [seed]
    found = search.found[0]
    assert boost in found.boosts
    # the two ziggurats hardly ever differ in so few values
    assert len(found.boosts) == 3 if name in ("xavier", "uniform") else "1.54" not in found.boosts or boost == "1.54"
    assert (search.blob, found.same, found.changed, found.places) == ("a/0", ["a/0", "a/1", "b/0"], {}, [])
    assert str(search).startswith(f"seed {seed}\n")


@pytest.mark.parametrize("boost", BOOSTS)
@pytest.mark.parametrize("name", ["uniform", "msra"])
def test_float64(tmp_path, name, boost):
    path, seed = net_of(tmp_path, FILLERS[name]), seed_of(name, boost, 64)
    net = cf.Net(path, rng=seed, boost=boost, dtype=np.float64)
    assert cf.find_seed(net.params, path, boost=boost) == seed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xavier", "uniform"])
def test_a_deep_uniform_layer_gives_its_seed_at_once(tmp_path, name):
    path = net_of(tmp_path, "type: 'msra'", FILLERS[name], outputs=3000)
    for boost in BOOSTS:
        seed = seed_of(name, boost, "deep")
        net = cf.Net(path, rng=seed, boost=boost)
        assert net.layers[2].draws[0].start > 80000
        net.params["a"][0].data[...] *= 3
        search = cf.search_seed(net.params, path, progress=lambda *_: pytest.fail("seeds were tried one by one"))
        assert search.seed == seed
        assert search.found[0].changed == {"a/0": 81000}
        assert len(search.misfits) == 1


@pytest.mark.slow
@pytest.mark.parametrize("boost", BOOSTS)
@pytest.mark.parametrize(("name", "outputs"), [("xavier", 6), ("msra", 6), ("msra", 20)])
def test_a_small_or_deeper_layer_one_by_one(tmp_path, name, outputs, boost):
    # the second layer begins at 162 draws, where pairs still serve, or at some 550
    path, seed = net_of(tmp_path, FILLERS[name], FILLERS["msra"], outputs), seed_of(name, boost, outputs)
    net = cf.Net(path, rng=seed, boost=boost)
    layer = "a" if outputs == 6 else "b"
    search = cf.search_seed(net.params, path, layer=layer, seeds=around(seed), threads=2)
    assert search.seed == seed
    assert search.blob == f"{layer}/0"
    assert "one by one" in search.tried[-1]
    assert cf.find_seed(net.params, path, layer="a", seeds=range(0)) is None


@pytest.mark.slow
def test_a_blob_of_one_value_belongs_to_many_seeds(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"], outputs=1, bias="type: 'uniform' min: -1 max: 1")
    net = cf.Net(path, rng=31337)
    given = {"a": [np.zeros(0, np.float32), net.params["a"][1].data]}
    search = cf.search_seed(given, path, seeds=range(2**25))
    assert 31337 in [found.seed for found in search.found]
    assert 1 <= len(search.found) < 40
    for found in search.found:
        again = cf.Net(path, rng=found.seed)
        assert again.params["a"][1].data.tobytes() == net.params["a"][1].data.tobytes()
    # with the whole net the one is told from the others
    assert cf.search_seed(net.params, path, layer="a/1", seeds=range(2**22)).seed == 31337


@pytest.mark.parametrize("name", ["xavier", "msra"])
@pytest.mark.parametrize("at", [0, 1, 57, 227, 228, 300])
def test_a_flipped_bit_is_named(tmp_path, name, at):
    path, seed = net_of(tmp_path, FILLERS[name]), seed_of(name, at)
    net = cf.Net(path, rng=seed)
    blob = net.params["a"][0].data
    blob.view(np.uint32).reshape(-1)[at] ^= 1 << (at % 32)
    search = cf.search_seed(net.params, path)
    assert search.seed == seed
    place = tuple(int(i) for i in np.unravel_index(at, blob.shape))
    assert search.found[0].places == [place]
    assert f"a/0 differs at {list(place)}" in str(search)
    # and where seeds are tried one by one
    path = net_of(tmp_path, FILLERS[name], outputs=4)
    net = cf.Net(path, rng=seed)
    net.params["a"][0].data.view(np.uint32).reshape(-1)[at % 108] ^= 1
    assert cf.search_seed(net.params, path, layer="a", seeds=around(seed)).seed == seed


@pytest.mark.slow
@pytest.mark.parametrize("boost", ["1.54", "1.74"])
def test_sparse_weights(tmp_path, boost):
    path = net_of(tmp_path, "type: 'gaussian' std: 0.1 sparse: 6")
    seed = seed_of("sparse", boost)
    net = cf.Net(path, rng=seed, boost=boost)
    assert np.count_nonzero(net.params["a"][0].data) < 250
    assert cf.search_seed(net.params, path, layer="a", seeds=around(seed)).seed == seed


def test_a_frozen_layer_is_enough(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"])
    net = cf.Net(path, rng=2024)
    trained = {"a": [net.params["a"][0].data, net.params["a"][1].data + 1], "b": [np.full((300, 12, 3, 3), 7.0, "f")]}
    search = cf.search_seed(trained, path)
    assert search.seed == 2024
    assert search.found[0].changed == {"a/1": 12, "b/0": 32400}
    # one that training moved, but not out of its range
    net.params["a"][0].data[...] *= 0.999
    search = cf.search_seed(net.params, path)
    assert (search.seed, search.blob) == (2024, "b/0")
    assert search.tried[0].startswith("a/0: all seeds at once")


def test_what_was_tried_is_told(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"])
    other = cf.Net(net_of(tmp_path, FILLERS["xavier"], "type: 'msra'"), rng=1)
    net_of(tmp_path, FILLERS["xavier"])
    noise = np.random.default_rng(0)
    given = {"a": [noise.uniform(-0.3, 0.3, (12, 3, 3, 3)).astype("f")], "b": other.params["b"]}
    search = cf.search_seed(given, path)
    assert search.seed is None
    text = str(search)
    assert text.startswith("no seed found\n")
    assert "a/0: all seeds at once, by values 227 draws apart (uniform)" in text
    assert "a/0: values look like their filler's" in text
    assert "b/0 does not look like its filler, xavier" in text
    assert "likely reasons" in text
    few = net_of(tmp_path, "type: 'gaussian' mean: 1 std: 1e-8", outputs=4)
    flat = cf.Net(few, rng=1)
    with pytest.raises(cf.CaffeError, match="have too few digits"):
        cf.search_seed(flat.params, few, layer="a", seeds=range(10))


def test_a_blob_that_stands_elsewhere_in_the_stream(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"])
    net = cf.Net(path, rng=99)
    path = net_of(tmp_path, FILLERS["xavier"], outputs=12, bias=FILLERS["uniform"])
    search = cf.search_seed({"b": net.params["b"]}, path)
    assert search.seed is None
    assert any("seed 99 gives its values" in line and "elsewhere" in line for line in search.tried)


def test_a_blob_that_stands_elsewhere_is_not_searched_any_further(tmp_path, monkeypatch):
    path = net_of(tmp_path, FILLERS["uniform"], FILLERS["uniform"])
    net = cf.Net(path, rng=99)
    path = net_of(tmp_path, FILLERS["uniform"], FILLERS["uniform"], bias=FILLERS["uniform"])
    walked = []
    monkeypatch.setattr(recurrence, "seed_behind", lambda *args: walked.append(args) or (99, 324))
    search = cf.search_seed({"b": net.params["b"]}, path, progress=lambda *_: pytest.fail("and seeds were tried"))
    assert search.seed is None
    assert len(walked) == 1


KEPT = {
    "big-endian": lambda blob: blob.astype(">f4"),
    "Fortran": lambda blob: np.asfortranarray(blob),
    "float64": lambda blob: blob.astype(np.float64),
    "lists": lambda blob: blob.tolist(),
    "strided": lambda blob: np.repeat(blob, 2, -1)[..., ::2],
}


@pytest.mark.parametrize("which", ["ab", "a", "b"])
@pytest.mark.parametrize("how", KEPT)
def test_weights_kept_in_other_ways(tmp_path, how, which):
    path = net_of(tmp_path, FILLERS["xavier"], FILLERS["msra"])
    net = cf.Net(path, rng=55)
    given = {
        name: [KEPT[how](blob.data) if name in which else blob for blob in blobs] for name, blobs in net.params.items()
    }
    search = cf.search_seed(given, path)
    assert search.seed == 55
    assert search.found[0].changed == {}
    given["a"][0] = np.full((12, 3, 3, 3), 1e308)  # float64 indeed, and no fill
    assert cf.search_seed(given, path, layer="a").misfits


def test_weights_of_few_digits(tmp_path, monkeypatch):
    # a value of these is one of 2**28 words, which are not to be listed
    path = net_of(tmp_path, "type: 'uniform' min: 1000 max: 1000.001", "type: 'constant'")
    net = cf.Net(path, rng=4242)
    monkeypatch.setattr(clues.Clue, "words", lambda clue: pytest.fail(f"{clue.size} words"))
    assert cf.find_seed(net.params, path, seeds=around(4242)) == 4242
    # so few values are there that half of them are equal by chance
    path = net_of(tmp_path, "type: 'uniform' min: 1e-45 max: 3e-45", "type: 'constant'")
    net = cf.Net(path, rng=10**7)
    assert cf.find_seed(net.params, path, seeds=range(20000)) is None
    # these look like their filler, which makes but one value
    path = net_of(tmp_path, "type: 'uniform' min: 1 max: 1", "type: 'constant'")
    with pytest.raises(cf.CaffeError, match="have too few digits"):
        cf.find_seed(cf.Net(path, rng=1).params, path)
    path = net_of(tmp_path, "type: 'gaussian' std: 1e-40", "type: 'constant'")
    net = cf.Net(path, rng=4242, boost="1.54")
    assert cf.find_seed(net.params, path, boost="1.54", seeds=around(4242)) == 4242


@pytest.mark.slow
def test_a_mean_far_from_zero_begins_where_it_costs_least(tmp_path, monkeypatch):
    path = net_of(tmp_path, "type: 'gaussian' mean: 0.3 std: 0.1", "type: 'constant'")
    net = cf.Net(path, rng=4242)
    asked = []
    between = recurrence.words_between
    monkeypatch.setattr(recurrence, "words_between", lambda *args: asked.append(args) or between(*args))
    assert cf.find_seed(net.params, path, boost="1.74") == 4242
    sizes = [
        clue.size
        for i in range(16)
        for clue in clues.clues(
            fillers.plan("type: 'gaussian' mean: 0.3 std: 0.1", (324,), np.dtype("f")),
            "ziggurat",
            net.params["a"][0].data.ravel(),
            i,
        )
    ]
    assert len(asked[0][0]) <= sorted(sizes)[3]


def test_the_kinds_that_were_tried_are_told(tmp_path):
    # Box-Muller needs a pair of values, and these stand alone
    path = net_of(tmp_path, "type: 'gaussian' std: 0.1 sparse: 6", "type: 'constant'")
    net = cf.Net(path, rng=1)
    net.params["a"][0].data.reshape(-1)[::2] = 0
    search = cf.search_seed(net.params, path, seeds=range(100, 200))
    assert search.tried[-1] == "a/0: seeds 100 to 199 one by one (ziggurat)"


def test_places_of_a_large_blob_are_not_all_named(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"])
    net = cf.Net(path, rng=7)
    net.params["b"][0].data.view(np.uint32).reshape(-1)[4:32400:4] ^= 1
    search = cf.search_seed({"b": net.params["b"]}, path)
    assert search.found[0].changed == {"b/0": 8099}
    assert len(search.found[0].places) == 1000
    assert "b/0 differs at 8091 more places" in str(search)


def test_a_layer_that_is_named_like_a_blob(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"])
    path.write_text(path.read_text().replace('name: "b"', 'name: "a/0"'))
    net = cf.Net(path, rng=7)
    assert cf.search_seed(net.params, path, layer="a/0").blob == "a/0/0"


@pytest.mark.slow
def test_solvers_states_and_old_shapes(tmp_path, golden, root):
    inputs = {"data": (1, 28, 28)}
    weights = golden / "mnist" / "lenet_iter_0.caffemodel"
    for net in ("lenet_solver.prototxt", "lenet_train_test.prototxt"):
        for layer in (None, "conv1", "conv2", "ip1/0", "ip2"):
            assert cf.find_seed(weights, root / "examples" / "mnist" / net, layer=layer, inputs=inputs) == 1701
    solver = cf.read_solver(root / "examples/mnist/lenet_train_test.prototxt".replace("train_test", "solver"))
    solver.net = str(root / "examples/mnist/lenet_train_test.prototxt")
    assert cf.find_seed(weights, solver, inputs=inputs) == 1701
    old = {
        name: [blob.reshape((1,) * (4 - blob.ndim) + blob.shape) for blob in blobs]
        for name, blobs in cf.load_weights(weights).items()
    }
    old["ip2"][0].view(np.uint32)[0, 0, :, 0] ^= 1
    found = cf.search_seed(old, root / "examples/mnist/lenet_train_test.prototxt", layer="ip2", inputs=inputs)
    assert found.seed == 1701
    assert str(found).endswith("ip2/0 differs at 2 more places\n7 of 8 blobs hold their initial bits")
    path = net_of(tmp_path, FILLERS["xavier"])
    assert cf.find_seed(cf.Net(path, rng=3), cf.read_net(path)) == 3


def test_refusals(tmp_path):
    path = net_of(tmp_path, FILLERS["xavier"])
    net = cf.Net(path, rng=1)

    def refused(match, *args, **options):
        with pytest.raises(cf.CaffeError, match=match):
            cf.search_seed(*args, **options)

    refused("no layer 'c' has parameters in this net; those that draw are a, b", net.params, path, layer="c")
    refused("layer 'a/1' draws nothing: a/1 is filled by constant", net.params, path, layer="a/1")
    refused("seeds is a range", net.params, path, seeds=range(0, 10, 2))
    refused("seeds is a range", net.params, path, seeds=range(-1, 10))
    refused("the weights hold no a/0; the weights hold no b/0", {}, path)
    refused(r"a/0 has shape \(3,\) in the weights, \(12, 3, 3, 3\) in the net", {"a": [np.zeros(3, "f")]}, path)
    refused("in float32 or float64", {"a": [np.zeros((12, 3, 3, 3), int)]}, path)
    small = net_of(tmp_path, FILLERS["xavier"], outputs=1)
    refused("threads must be at least 1", cf.Net(small, rng=1).params, small, threads=0, layer="a")
    still = net_of(tmp_path, "type: 'constant'", "type: 'constant'")
    refused("draws nothing for its parameters", net.params, still)
    ball = net_of(tmp_path, "type: 'positive_unitball'", "type: 'constant'")
    refused("positive_unitball changes what it draws", cf.Net(ball, rng=1).params, ball)


def test_a_search_that_is_stopped_leaves_no_thread_behind(tmp_path):
    import threading

    path = net_of(tmp_path, FILLERS["xavier"], outputs=4)
    net = cf.Net(path, rng=1)
    reached = []

    def stop(done, last):
        reached.append(done)
        assert last == 2**32
        if len(reached) == 2:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        cf.search_seed({"a": net.params["a"]}, path, progress=stop, seeds=range(5, 2**32))
    assert threading.active_count() == before
    assert reached[1] > reached[0] > 5


# --- every age of Caffe ----------------------------------------------------------------------------------------------

LENET = "examples/mnist/lenet_train_test.prototxt"
IMAGE = {"data": (1, 28, 28)}


def test_a_stranger_s_snapshot_gives_its_seed(golden, root):
    snapshot = golden / "real" / "lenet_iter_0_of_2018.caffemodel"
    search = cf.search_seed(snapshot, root / LENET, inputs=IMAGE)
    assert search.seed == 3778934211
    assert search.found[0].caffes == ("rc3",)
    assert (len(search.found[0].same), search.found[0].changed) == (8, {})
    assert "filled by Caffe rc3, not master" in str(search)
    assert cf.find_seed(snapshot, root / LENET, inputs=IMAGE, caffe="rc3") == 3778934211
    # held to today's Caffe alone, it tells how far its blobs are from their places, and why
    today = cf.search_seed(snapshot, root / LENET, inputs=IMAGE, caffe="master")
    assert today.seed is None
    assert today.shifted == {3778934211: {"conv2/0": 1, "ip1/0": 1, "ip2/0": 1}}
    assert "conv2/0, ip1/0, ip2/0 1 draw late" in str(today)
    assert "search again with --caffe rc3" in str(today)


@pytest.mark.parametrize("caffe", ["v0.9999", "rc", "rc2", "rc3", "1.0", "master"])
def test_every_revision_is_searched(root, caffe):
    net = cf.Net(root / LENET, rng=20180816, inputs=IMAGE, caffe=caffe)
    search = cf.search_seed(net.params, root / LENET, inputs=IMAGE)
    assert search.seed == 20180816
    assert caffe in search.found[0].caffes
    assert not search.found[0].changed


def test_a_revision_that_refuses_the_net_is_left_out(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'input: "x" input_shape { dim: 2 dim: 700 } layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "y" top: "ip"\n'
        '  inner_product_param { num_output: 9 weight_filler { type: "xavier" } } }'
    )
    net = cf.Net(path, rng=77)
    assert cf.find_seed(net.params, path) == 77
    with pytest.raises(cf.CaffeError, match="BatchNorm; it came with rc3"):
        cf.find_seed(net.params, path, caffe="rc2")


def shifted_by(tmp_path, before, after):
    """The text of a search among weights of a net that has `before` where the searched one has `after`."""
    layers = (
        'input: "x" input_shape { dim: 2 dim: 60 }\n%s\n'
        'layer { name: "a" type: "InnerProduct" bottom: "x" top: "a"\n'
        '  inner_product_param { num_output: 90 weight_filler { type: "xavier" } } }\n'
        'layer { name: "b" type: "InnerProduct" bottom: "a" top: "b"\n'
        '  inner_product_param { num_output: 80 weight_filler { type: "xavier" } } }'
    )
    for name, text in (("before", before), ("after", after)):
        (tmp_path / f"{name}.prototxt").write_text(layers % text)
    inputs = {"d": (3, 8, 8)} if '"d"' in before else None
    net = cf.Net(tmp_path / "before.prototxt", rng=31337, inputs=inputs)
    weights = {"a": net.params["a"], "b": net.params["b"]}
    search = cf.search_seed(weights, tmp_path / "after.prototxt", inputs=inputs)
    assert search.seed is None
    return search


def test_shifts_are_explained(tmp_path):
    extra = (
        'layer { name: "c" type: "InnerProduct" bottom: "x" top: "c"\n'
        '  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }'
    )
    late = shifted_by(tmp_path, extra, "")
    assert late.shifted == {31337: {"a/0": 420, "b/0": 420}}
    assert "before a/0 Caffe drew 420 more than this net does: there was a layer that draws" in str(late)
    early = shifted_by(tmp_path, "", extra)
    assert early.shifted == {31337: {"a/0": -420, "b/0": -420}}
    assert "as many as layer 'c' takes for weight xavier, so this was not drawn" in str(early)
    data = 'layer { name: "d" type: "Data" top: "d" data_param { source: "none" batch_size: 1 }%s }'
    few = shifted_by(tmp_path, data % "", data % " transform_param { mirror: true }")
    assert few.shifted == {31337: {"a/0": -2, "b/0": -2}}
    assert "so few are draws of a data layer" in str(few)
