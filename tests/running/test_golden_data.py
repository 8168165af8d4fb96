"""Data layers against the real Caffe: what each delivers, pass after pass, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema
from caffe_fillers.weights import save_mean

RUN = Path(__file__).parents[1] / "golden" / "run"
CASES = json.loads((RUN / "data.json").read_text())


@pytest.fixture(scope="module")
def arrays():
    with np.load(RUN / "data.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def folder(arrays, tmp_path_factory):
    """A folder with the files that the goldens were measured on."""
    result = tmp_path_factory.mktemp("data")
    given = {name.removeprefix("given/"): values for name, values in arrays.items() if name.startswith("given/")}
    for name in ("bytes", "floats"):
        with lmdb.open(str(result / name)) as environment, environment.begin(write=True) as transaction:
            for i, label in enumerate(given["labels"].tolist()):
                datum = schema.Datum(channels=3, height=6, width=5, label=label)
                if name == "bytes":
                    datum.data = given["datums"][i].tobytes()
                else:
                    datum.float_data.extend(given["float_datums"][i].ravel().tolist())
                transaction.put(b"%08d" % i, datum.SerializeToString())
    save_mean(result / "mean.binaryproto", given["mean"])
    for name, rows, labels in (("one", "h1", "l1"), ("two", "h2", "l2")):
        with h5py.File(result / f"{name}.h5", "w") as file:
            file["x"], file["label"] = given[rows], given[labels]
    (result / "list.txt").write_text("one.h5\ntwo.h5\n")
    return result


@pytest.mark.parametrize("name", CASES)
def test_deliveries(name, arrays, folder, monkeypatch):
    monkeypatch.chdir(folder)
    case = CASES[name]
    net = cf.Net(text_format.Parse(case["prototxt"], schema.NetParameter()), case["phase"], rng=case["seed"])
    seen = 0
    for f in range(case["forwards"]):
        net.forward()
        for key, golden in arrays.items():
            if not key.startswith(f"{name}/{f}/"):
                continue
            blob = key.rsplit("/", 1)[1]
            ours = net.blobs[blob].data
            assert ours.shape == golden.shape
            if blob in ("ip", "drop"):  # sums of products
                assert np.abs(ours - golden).max() <= 4e-6 * np.abs(golden).max()
                np.testing.assert_array_equal(ours == 0, golden == 0)
            else:
                np.testing.assert_array_equal(ours.view(np.uint32), golden.view(np.uint32), key)
            seen += 1
    assert seen == sum(key.startswith(f"{name}/") for key in arrays)
