"""Type checks of code that uses the package: good code passes, each line of bad code is rejected."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

import caffe_fillers

GOOD = """
from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import caffe_fillers as cf

assert_type(cf.fill((20, 1, 5, 5), "xavier", rng=1701), npt.NDArray[np.float32])
assert_type(cf.fill(500, {"type": "constant", "value": 1}), npt.NDArray[np.float32])
assert_type(cf.fill([2, 3], 'type: "msra"', dtype=np.float64), npt.NDArray[np.float64])
assert_type(cf.fill((2, 3), "msra", dtype="float64"), npt.NDArray[np.floating])

# an array in, the same array out; a blob in, the same blob out
array = np.zeros((2, 3), np.float64)
kept: np.ndarray[tuple[int, int], np.dtype[np.float64]] = cf.fill(array, "xavier")
assert_type(cf.fill(cf.Blob((2, 3)), "xavier"), cf.Blob)
assert_type(cf.xavier(cf.Blob((2, 3)), "AVERAGE", rng=1), cf.Blob)
kept = cf.gaussian(array, std=0.01, sparse=2, rng=cf.RNG(1))
assert_type(cf.he_normal(array.shape, negative_slope=0.25, threads=2), npt.NDArray[np.floating])
assert_type(cf.fans(array.shape), tuple[int, int])

rng = cf.RNG(1701, boost="1.54")
assert_type(rng.random_raw(), int)
assert_type(rng.random_raw(4), npt.NDArray[np.uint32])
assert_type(rng.uniform(), np.floating)
assert_type(rng.gaussian(0, 1, (2, 3), np.float64), npt.NDArray[np.floating])
assert_type(rng.gaussian(size=3), npt.NDArray[np.floating])
assert_type(rng.copy(), cf.RNG)

net = cf.Net(Path("net.prototxt"), "TEST", rng=rng, inputs={"data": (1, 28, 28)}, dtype=np.float64)
assert_type(net.params["conv1"][0], cf.Blob)
assert_type(net.params["conv1"][0].data, npt.NDArray[np.floating])
net.save("net.npz")
solver = cf.Solver("solver.prototxt", inputs={"data": (1, 28, 28), "data@TEST": (1, 32, 32)})
assert_type(solver.test_nets, list[cf.Net])
weights = cf.load_weights("net.npz")
assert_type(weights["conv1"], list[Any])
assert_type(cf.load_weights("net.npz", names="torch"), OrderedDict[str, npt.NDArray[np.floating]])
cf.save_weights("net.h5", weights)
cf.save_weights("net.safetensors", net.params, names="torch")
assert_type(cf.find_seed("net.npz", "net.prototxt"), int | None)


def rule(layer: cf.layers.Layer, bottoms: list[tuple[int, ...]]) -> cf.layers.Setup:
    return cf.layers.Setup(tops=[bottoms[0]])


cf.layers.register("Mine", rule)
"""

BAD = """
cf.fill("20x5", "xavier")
cf.fill((2.5, 3), "xavier")
cf.fill((2, 3), 5)
cf.fill((2, 3), "xavier", rng="1701")
cf.fill((2, 3), "xavier", seed=1701)
blob: cf.Blob = cf.fill((2, 3), "xavier")
single: npt.NDArray[np.float32] = cf.fill((2, 3), "xavier", dtype=np.float64)
cf.xavier((2, 3), "FAN_MEAN")
cf.xavier((2, 3), std=1)
cf.gaussian((2, 3), std="1")
cf.variance_scaling((2, 3), 1, "FAN_IN", "gaussian")
cf.fans("20x5")
cf.RNG("1701")
cf.RNG(1701, "1.54")
cf.RNG(1701).uniform("0", 1)
cf.Net(5)
cf.Net("net.prototxt", level="1")
cf.Net("net.prototxt", random_seed=1701)
cf.load_weights(5)
name: str = cf.find_seed("net.npz", "net.prototxt")
cf.layers.register("Mine", 5)
"""
HEAD = "import numpy as np\nimport numpy.typing as npt\n\nimport caffe_fillers as cf\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all, with what mypy keeps of NumPy from one run to the next."""
    return tmp_path_factory.mktemp("types")


def check(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    path.write_text(code, encoding="utf-8")
    options = ["--strict", "--config-file", "", "--follow-imports", "silent", "--cache-dir", "cache"]
    # mypy finds what is installed, but not by itself what is installed as editable
    home = Path(caffe_fillers.__file__).parents[1]
    env = os.environ | ({} if "site-packages" in home.parts else {"MYPYPATH": str(home)})
    command = [sys.executable, "-m", "mypy", *options, path.name]
    return subprocess.run(command, cwd=path.parent, env=env, capture_output=True, text=True)


def test_types_are_announced() -> None:
    assert (files("caffe_fillers") / "py.typed").is_file()
    assert (files("caffe_fillers") / "_core.pyi").is_file()


@pytest.mark.slow
def test_good_code_passes(folder: Path) -> None:
    done = check(folder / "good.py", GOOD)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_every_line_of_bad_code_is_rejected(folder: Path) -> None:
    done = check(folder / "bad.py", HEAD + BAD)
    wrong = {int(number) for number in re.findall(r"^bad\.py:(\d+): error", done.stdout, flags=re.MULTILINE)}
    lines = (HEAD + BAD).splitlines()
    expected = {number for number, line in enumerate(lines, 1) if number > HEAD.count("\n") and line}
    assert wrong == expected, [lines[number - 1] for number in expected - wrong] + done.stdout.splitlines()


def test_the_stub_names_what_the_module_has() -> None:
    from caffe_fillers import _core

    stub = (files("caffe_fillers") / "_core.pyi").read_text(encoding="utf-8")
    for cls, more in ((_core.RNG, {"boost", "c_rand"}), (_core.Seekers, set())):
        _, _, body = stub.partition(f"class {cls.__name__}:\n")
        body = re.split(r"^\S", body, maxsplit=1, flags=re.MULTILINE)[0]
        declared = set(re.findall(r"^    def (\w+)\(", body, flags=re.MULTILINE)) | more
        public = {name for name in vars(cls) if not name.startswith("_")}
        assert public <= declared
        assert {name for name in declared if not name.startswith("_")} <= public
    assert all(re.search(rf"^(def {name}\(|{name}: |class {name}\b)", stub, re.MULTILINE) for name in _core.__all__)
