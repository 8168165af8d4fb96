"""Every net and solver measured from the real Caffe: blobs, sharing, tops, position in the stream, refusals."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import prototxt, schema

NETS = Path(__file__).parent / "golden" / "nets"
BOOST = {"boost_ge_1.64": "1.74", "boost_1.56_1.63": "1.58", "boost_le_1.55": "1.54"}
GOLDENS = sorted(path.stem for path in NETS.glob("*.json"))
OWN = [name for name in GOLDENS if name.startswith("own")]
# hundreds of millions of weights
LARGE = {
    "corpus__caffe-yolo__prototxt-yolo_deploy__TEST",
    "corpus__caffe-model-zoo__VGG16-train_val__TRAIN",
    "models__bvlc_reference_caffenet__train_val__TRAIN",
}
FOREIGN = [
    pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else [])
    for name in GOLDENS
    if not name.startswith("own")
]


def load(name):
    return json.loads((NETS / f"{name}.json").read_text())


def inputs_of(golden):
    """Return the reference's inputs for its data layers. Layers of one name in both phases were given one shape."""
    inputs = {}
    for given in golden.get("data_layers", ()):
        shape = given.get("datum_shape") or given.get("image_shape") or given.get("hdf5_datasets")
        if shape:
            inputs[given["layer"]] = shape
    return inputs


@lru_cache(maxsize=1)
def text_of(path):
    """The text of a net, which is read once for the three versions of Boost."""
    return prototxt.read(path, schema.NetParameter, strict=True)


def build(golden, path, boost):
    """The nets of a golden, in the order of its results, and the stream after them."""
    rng = cf.RNG(golden["seed"], boost=BOOST[boost])
    inputs = inputs_of(golden)
    if golden["kind"] == "net":
        net = cf.Net(
            text_of(Path(path).absolute()),
            golden["phase"],
            level=golden["level"],
            stages=golden["stages"],
            rng=rng,
            inputs=inputs,
            strict=True,
        )
        return [net], rng
    message = prototxt.read(path, schema.SolverParameter, strict=True).message
    if golden["suite"] != "own2_solver":
        # these were built as `caffe train` does it
        message.train_state.level = golden["level"]
    solver = cf.Solver(message, rng=rng, inputs=inputs, strict=True)
    return [solver.net, *solver.test_nets], rng


@cache
def sha256_of_one_value(value, count):
    block = value * 2**16
    result = hashlib.sha256()
    for _ in range(count // 2**16):
        result.update(block)
    result.update(value * (count % 2**16))
    return result.hexdigest()


def sha256(array):
    """The hash of an array's bytes. Of two in five bytes it is known: they are of arrays that hold one value alone."""
    bits = array.reshape(-1).view(np.uint32)
    if len(bits) > 1000 and bits[-1] == bits[0] and (bits == bits[0]).all():
        return sha256_of_one_value(bits[:1].tobytes(), len(bits))
    return hashlib.sha256(array).hexdigest()


def observed(net, expected):
    """Return from `net` what the golden records of a net."""
    owners = {(row["layer"], row["index"]): row["shared_with"] for row in net.fills()}
    layers = []
    for layer, wanted in zip(net.layers, expected["layers"], strict=True):
        tops = []
        for name, top in zip(layer.tops, wanted.get("tops", ()), strict=True):
            blob = net.blobs.get(name)
            seen = {"name": name, "shape": list(blob.shape) if blob is not None else top["shape"]}
            if "sha256" in top:
                seen["sha256"] = sha256(blob.data)
            tops.append(seen)
        params = []
        for i, blob in enumerate(layer.blobs):
            shared = owners[layer.name, i] if "shared_with" in wanted["params"][i] else None
            params.append((i, list(blob.shape), sha256(blob.data), shared))
        layers.append((layer.name, layer.type, tops, params))
    return net.name, net.phase, layers


def wanted(expected):
    layers = []
    for layer in expected["layers"]:
        tops = [{key: top[key] for key in ("name", "shape", "sha256") if key in top} for top in layer.get("tops", ())]
        params = []
        for param in layer.get("params", ()):
            shared = param.get("shared_with")
            if isinstance(shared, dict):
                shared = f"{shared['layer']}/{shared['index']}"
            params.append((param["index"], param["shape"], param["sha256"], shared))
        layers.append((layer["layer"], layer["type"], tops, params))
    return expected["name"], expected["phase"], layers


def check_refusal(error, result):
    recorded = result["error"]
    if "protobuf_message" in result:
        line = re.search(r": (\d+):(\d+): ", result["protobuf_message"])
        assert f":{line[1]}:{line[2]}: " in str(error)
        return
    check = re.match(r"Check failed: .*?\(\S+ vs\. \S+\)|[^(]+\(layer '[^)]*\)", recorded)
    if check and "0x..." not in check[0] and "source_layer" not in check[0] and "layer_connection" not in check[0]:
        assert check[0] in str(error)
    assert len(str(error).splitlines()) <= 2 or "protobuf_message" in result


def check(name, path):
    golden = load(name)
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == golden["prototxt_sha256"]
    for boost, result in golden["results"].items():
        while isinstance(result, str):
            result = golden["results"][result.removeprefix("same as ")]
        if "error" in result:
            with pytest.raises(cf.CaffeError) as caught:
                build(golden, path, boost)
            check_refusal(caught.value, result)
            continue
        nets, rng = build(golden, path, boost)
        assert [observed(net, expected) for net, expected in zip(nets, result["nets"], strict=True)] == [
            wanted(expected) for expected in result["nets"]
        ]
        following = cf.RNG(golden["seed"], boost=BOOST[boost])
        for net, draw in zip(nets, result["next_draw"], strict=True):
            # the ledger of each net leads to where the next one begins
            following.skip(sum(entry.count for layer in net.layers for entry in layer.draws))
            assert following.copy().random_raw() == draw
        assert rng.random_raw() == result["next_draw"][-1]


@pytest.mark.parametrize("name", OWN)
def test_own_nets(name, monkeypatch):
    monkeypatch.chdir(NETS)
    check(name, load(name)["prototxt"])


@pytest.mark.parametrize("name", FOREIGN)
def test_nets_of_the_corpus(name, corpus, monkeypatch, tmp_path):
    golden = load(name)
    if golden["suite"] == "caffe":
        monkeypatch.chdir(corpus / "caffe")
        check(name, golden["origin"].split()[-1])
        return
    # a solver names its net relative to a folder that is not in the corpus
    for net in golden.get("solver_nets", ()):
        place = tmp_path / net["as"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(corpus / "files" / net["corpus_file"])
    monkeypatch.chdir(tmp_path)
    check(name, corpus / "files" / golden["corpus_file"])


def test_every_layer_type_of_bvlc_caffe_has_a_golden():
    measured = set()
    for name in GOLDENS:
        for result in load(name)["results"].values():
            if "nets" in result:
                measured.update(layer["type"] for net in result["nets"] for layer in net["layers"])
    bvlc = {name for name, rule in cf.layers.RULES.items() if not rule.fork}
    # Python layers are the user's code; the other three take any bottom as it is, and have tests of their own
    assert bvlc - measured == {"Python", "Clip", "Log", "Swish"}
