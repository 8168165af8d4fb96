"""BatchNorm of five blobs, as NVIDIA's and Intel's forks have it, and BVLC Caffe's with a Scale behind it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers.cli import main

NET = """
input: "x" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }
  param { lr_mult: 1 } param { lr_mult: 2 }
  batch_norm_param { use_global_stats: true scale_bias: true scale_filler { value: 0.5 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "r" }
"""


@pytest.fixture
def five(tmp_path: Path) -> Path:
    (tmp_path / "five.prototxt").write_text(NET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        net = cf.Net(tmp_path / "five.prototxt", rng=1)
    for i, blob in enumerate(net.params["bn"]):
        blob.data[...] = np.arange(1, blob.count() + 1) + 10 * i
    net.save(tmp_path / "five.caffemodel")
    return tmp_path


def run(folder: Path, text: str, code: int = 0) -> str:
    args = [str(folder / word) if "." in word else word for word in text.split()]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result.stderr


def test_split_and_merge_with_the_prototxt(five: Path) -> None:
    run(five, "convert five.caffemodel three.caffemodel --batchnorm split -n five.prototxt -o three.prototxt")
    three = cf.load_weights(five / "three.caffemodel")
    assert {name: len(blobs) for name, blobs in three.items()} == {"c": 2, "bn": 3, "bn_scale": 2}
    assert three["bn_scale"][0].tolist() == [31, 32, 33, 34]
    # BVLC Caffe reads both, and they fit
    net = cf.Net(five / "three.prototxt", strict=True, rng=1)
    assert (net.params["bn_scale"][0].data == 0.5).all()
    assert [spec.lr_mult for spec in net.layer_dict["bn_scale"].message.param] == [1, 2]
    assert net.copy_from(five / "three.caffemodel").copied == ["c", "bn", "bn_scale"]
    run(five, "convert three.caffemodel again.caffemodel --batchnorm merge -n three.prototxt -o again.prototxt")
    run(five, "compare five.caffemodel again.caffemodel")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        again = cf.Net(five / "again.prototxt", rng=1)
    assert [blob.shape for blob in again.params["bn"]] == [(4,), (4,), (1,), (4,), (4,)]
    assert (again.params["bn"][3].data == 0.5).all()


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".safetensors", ".caffemodel"])
def test_from_every_format(five: Path, suffix: str) -> None:
    run(five, f"convert five.caffemodel five{suffix}")
    run(five, f"convert five{suffix} three{suffix} --batchnorm split")
    run(five, f"convert three{suffix} again{suffix} --batchnorm merge")
    run(five, f"compare five.caffemodel again{suffix}")


def test_torch_takes_five_blobs(five: Path) -> None:
    run(five, "convert five.caffemodel three.caffemodel --batchnorm split")
    named = cf.load_weights(five / "five.caffemodel", names="torch")
    other = cf.load_weights(five / "three.caffemodel", names="torch")
    assert list(named) == list(other)
    for name, array in named.items():
        assert array.tobytes() == other[name].tobytes()
    assert named["bn.weight"].tolist() == [31, 32, 33, 34]
    assert named["bn.running_mean"].tolist() == [value / np.float32(21) for value in np.arange(1, 5, dtype=np.float32)]


def test_what_can_t_be_converted(five: Path) -> None:
    printed = run(five, "convert five.caffemodel x.caffemodel --batchnorm merge", 1)
    assert "no BatchNorm with a Scale right behind it" in printed
    run(five, "convert five.caffemodel three.caffemodel --batchnorm split -n five.prototxt -o three.prototxt")
    assert "no BatchNorm of five blobs" in run(five, "convert three.caffemodel x.caffemodel --batchnorm split", 1)
    assert "give both, or none" in run(
        five, "convert five.caffemodel x.caffemodel --batchnorm split -n five.prototxt", 2
    )
    assert "are for --batchnorm" in run(five, "convert five.caffemodel x.caffemodel -n five.prototxt", 2)
    # a Scale whose BatchNorm others read too
    text = (five / "three.prototxt").read_text()
    head, scale = text.split('  name: "bn_scale"')
    scale = scale.replace('top: "c"', 'top: "s"', 1)
    (five / "three.prototxt").write_text(f'{head}  name: "bn_scale"{scale}')
    printed = run(five, "convert three.caffemodel x.caffemodel --batchnorm merge -n three.prototxt -o x.prototxt", 1)
    assert "is not the only one that reads 'c'" in printed
    assert not (five / "x.caffemodel").exists()
