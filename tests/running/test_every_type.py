"""Every type that runs is held to a value measured from Caffe, to a numerical derivative, or, of data, an oracle."""

from __future__ import annotations

import ast
import json
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema
from caffe_fillers.layers import RULES

TESTS = Path(__file__).parents[1]
IMAGE = (2, 4, 3, 2)

# type, its fields, its bottoms' shapes, which of them have a gradient
DERIVATIVES = [
    ("Add", "", [IMAGE, (4, 1, 2)], "01"),
    ("Mul", "", [IMAGE, (4, 1, 2)], "01"),
    ("Axpy", "", [(2, 4, 1, 1), IMAGE, IMAGE], "012"),
    ("BN", "bn_param { scale_filler { value: 2 } shift_filler { value: 1 } }", [IMAGE], "0"),
    ("BN", "bn_param { slope_filler { value: 2 } bias_filler { value: 1 } }", [IMAGE], "0"),
    (
        "ConvolutionDepthwise",
        'convolution_param { kernel_size: 2 weight_filler { type: "gaussian" } }',
        [IMAGE],
        "0",
    ),
    (
        "DepthwiseConvolution",
        'convolution_param { num_output: 4 group: 4 kernel_size: 2 pad: 1 weight_filler { type: "gaussian" } }',
        [IMAGE],
        "0",
    ),
    ("HardSwish", "", [IMAGE], "0"),
    ("ReLU6", "", [IMAGE], "0"),
    ("Interp", "interp_param { height: 5 width: 3 }", [IMAGE], "0"),
    ("LSTMUnit", "", [(1, 3, 2), (1, 3, 8), (1, 3)], "01"),
    ("Normalize", "norm_param { across_spatial: false channel_shared: false scale_filler { value: 2 } }", [IMAGE], "0"),
    ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", [IMAGE], "0"),
    ("ROIPooling", "roi_pooling_param { pooled_w: 2 pooled_h: 1 spatial_scale: 1 }", [IMAGE, "rois"], "0"),
    ("ROI_POOLING", "roi_pooling_param { pooled_w: 2 pooled_h: 1 spatial_scale: 1 }", [IMAGE, "rois"], "0"),
    ("Reorg", "reorg_param { stride: 2 }", [(1, 4, 2, 4)], "0"),
    ("ShuffleChannel", "shuffle_channel_param { group: 2 }", [IMAGE], "0"),
    ("Squeeze", "", [(2, 1, 3, 1)], "0"),
    ("Transpose", "transpose_param { dim: 0 dim: 2 dim: 3 dim: 1 }", [IMAGE], "0"),
    ("Transpose", "transpose_param { dim: 3 dim: 0 dim: 2 dim: 1 }", [IMAGE], "0"),
    ("Upsample", "upsample_param { scale: 2 }", [IMAGE], "0"),
]
# types whose tops are data, and the tests that hold them to an oracle
ORACLES = {
    "ImageData": "test_delivering.py::test_images_of_a_list",
    "MemoryData": "test_delivering.py::test_memory",
    "WindowData": "test_delivering.py::test_windows",
    "HDF5Output": "test_data.py::test_hdf5_output_writes_one_batch_and_nothing_over",
    "PriorBox": "test_sizes_and_regions.py::test_prior_boxes",
    "Python": "test_python_layers.py::test_forward_backward_and_parameters",
    "AnnotatedData": "test_every_type.py::test_data_layers_of_forks_run_on_what_is_written_to_them",
    "DenseImageData": "test_every_type.py::test_data_layers_of_forks_run_on_what_is_written_to_them",
    "ImageSegData": "test_every_type.py::test_data_layers_of_forks_run_on_what_is_written_to_them",
    "ImageLabelmapData": "test_every_type.py::test_data_layers_of_forks_run_on_what_is_written_to_them",
}
OF_FORKS = runpy.run_path(str(TESTS / "test_forks.py"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def net_of(kind: str, fields: str, bottoms: list[tuple[int, ...]], tops: int = 1) -> cf.Net:
    """One layer between inputs, in doubles, with every gradient."""
    text = "force_backward: true "
    for i, shape in enumerate(bottoms):
        dims = " ".join(f"dim: {dim}" for dim in shape)
        text += f'layer {{ name: "in{i}" type: "Input" top: "b{i}" input_param {{ shape {{ {dims} }} }} }} '
    ends = "".join(f'bottom: "b{i}" ' for i in range(len(bottoms))) + "".join(f'top: "t{i}" ' for i in range(tops))
    text += f'layer {{ name: "it" type: "{kind}" {ends} {fields} }}'
    Path("net.prototxt").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cf.CaffeWarning)
        return cf.Net("net.prototxt", rng=1, dtype=np.float64)


def golden_types() -> set[str]:
    """The types of the layers whose values were measured."""
    found = set()
    for name in ("layers", "data"):
        for case in json.loads((TESTS / "golden" / "run" / f"{name}.json").read_text()).values():
            message = text_format.Parse(case["prototxt"], schema.NetParameter())
            found |= {layer.type for layer in message.layer}
    return found


def test_every_type_that_runs_is_held_to_something():
    held = golden_types() | {kind for kind, *_ in DERIVATIVES} | set(ORACLES)
    runs = {name for name, rule in RULES.items() if rule.runs and rule.fork != "user"}
    assert runs - held == set(), "these run, and nothing says that they are right"
    assert held - runs == set()
    for place in ORACLES.values():
        file, name = place.split("::")
        (path,) = TESTS.rglob(file)
        tree = ast.parse(path.read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, place


@pytest.mark.parametrize(("kind", "fields", "shapes", "with_gradient"), DERIVATIVES)
def test_gradients_through_the_net(kind, fields, shapes, with_gradient):
    tops = 2 if kind == "LSTMUnit" else 1
    net = net_of(kind, fields, [(3, 5) if shape == "rois" else shape for shape in shapes], tops)
    random = np.random.default_rng(5)
    for name in net.inputs:
        blob = net.blobs[name].data
        # no two alike, and none at a corner
        blob[...] = (random.permutation(blob.size).reshape(blob.shape) - blob.size / 2 + 0.3) * 0.31
    if shapes[-1] == "rois":
        net.blobs["b1"].data[...] = [[0, 0, 0, 1, 2], [1, 1, 0, 1, 1], [0, 0, 1, 1, 2]]
    if kind == "LSTMUnit":
        net.blobs["b2"].data[...] = [[1, 0, 1]]
    blobs = {f"blob {i}": blob for i, blob in enumerate(net.layer_dict["it"].blobs)}
    if kind == "BN" and "slope" in fields:
        blobs = {name: blobs[name] for name in ("blob 0", "blob 1")}  # the others are statistics
    blobs |= {f"b{i}": net.blobs[f"b{i}"] for i in map(int, with_gradient)}
    net.forward()
    weights = {f"t{i}": random.uniform(0.5, 1.5, net.blobs[f"t{i}"].shape) for i in range(tops)}
    statistics = [blob.data.copy() for blob in net.layer_dict["it"].blobs]

    def loss():
        for blob, kept in zip(net.layer_dict["it"].blobs[2:], statistics[2:], strict=True):
            blob.data[...] = kept
        return sum(float((net.forward()[name] * each).sum()) for name, each in weights.items())

    loss()
    net.backward(**weights)
    gradients = {name: blob.diff.copy() for name, blob in blobs.items()}
    for name, blob in blobs.items():
        flat, expected = blob.data.reshape(-1), np.empty(blob.shape).reshape(-1)
        for i, value in enumerate(flat.copy()):
            flat[i] = value + 1e-5
            above = loss()
            flat[i] = value - 1e-5
            expected[i] = (above - loss()) / 2e-5
            flat[i] = value
        limit = 1e-6 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(gradients[name].reshape(-1), expected, rtol=0, atol=limit, err_msg=name)


@pytest.mark.parametrize("kind", sorted(OF_FORKS["FORKS"] - {"AnnotatedData"}))
def test_what_the_table_says_of_forks_is_so(kind):
    found = set()
    for name, bottoms, fields, tops in OF_FORKS["SHAPES"]:
        if name == kind:
            net = net_of(kind, fields, bottoms, len(tops))
            found.add(net.steps[-1].setup.operation is not None)
    # of some only one form is computed here
    assert (True in found) == RULES[kind].runs


def test_a_type_that_is_only_set_up_says_so():
    net = net_of("CenterLoss", "center_loss_param { num_output: 10 }", [(4, 2), (4,)])
    with pytest.raises(cf.CaffeError, match="layer 'it': type CenterLoss can be set up, but is not computed here"):
        net.forward(b0=np.zeros((4, 2)), b1=np.zeros(4))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("AnnotatedData", "data_param { batch_size: 2 }"),
        ("DenseImageData", "dense_image_data_param { batch_size: 2 new_height: 3 new_width: 4 }"),
        ("ImageLabelmapData", "image_data_param { batch_size: 2 new_height: 3 new_width: 4 }"),
        ("ImageSegData", "image_data_param { batch_size: 2 new_height: 3 new_width: 4 }"),
        ("OfAStranger", ""),
    ],
)
def test_data_layers_of_forks_run_on_what_is_written_to_them(kind, fields):
    text = f'layer {{ name: "d" type: "{kind}" top: "x" top: "y" {fields} }} '
    text += 'layer { name: "twice" type: "Power" bottom: "x" top: "z" power_param { scale: 2 } }'
    Path("net.prototxt").write_text(text)
    shapes = {"x": (2, 3, 3, 4), "y": (2, 1, 3, 4)} if kind == "OfAStranger" else {"x": (3, 3, 4)}
    net = cf.Net("net.prototxt", rng=1, inputs=shapes if kind in ("OfAStranger", "AnnotatedData") else None)
    with pytest.raises(cf.CaffeError, match="blob 'x' was never given"):
        net.forward()
    net.blobs["x"].data[...] = 3
    net.blobs["y"].data[...] = 1
    assert (net.forward()["z"] == 6).all()
