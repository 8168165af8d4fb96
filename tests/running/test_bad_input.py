"""Bad input to a net at work: one error names layer and blob; blobs, stream and sources stay usable."""

from __future__ import annotations

import warnings

import lmdb
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image

import caffe_fillers as cf
from caffe_fillers import CaffeError, schema

NET = """
layer {{ name: "input" type: "Input" top: "data" top: "label"
  input_param {{ shape {{ dim: 2 dim: 3 }} shape {{ dim: 2 }} }} }}
layer {{ name: "drop" type: "Dropout" bottom: "data" top: "d" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "d" top: "ip"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "{}" bottom: "ip" bottom: "label" top: "loss" }}
"""
GOOD = {"data": np.arange(6).reshape(2, 3) / 4, "label": [0, 3]}


def net_of(kind="SoftmaxWithLoss", **options):
    message = text_format.Parse(NET.format(kind), schema.NetParameter())
    return cf.Net(message, "TRAIN", rng=1, **options)


def passes(net, reference):
    """Check that a pass gives the same values as on a net that saw no error."""
    for _ in range(2):
        np.testing.assert_array_equal(net.forward(**GOOD)["loss"], reference.forward(**GOOD)["loss"])
        np.testing.assert_array_equal(net.blobs["d"].data, reference.blobs["d"].data)
    assert net.rng.position == reference.rng.position


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**GOOD, "data": np.zeros((2, 4))}, r"blob 'data' has shape \(2, 3\), got values of shape \(2, 4\)"),
        ({**GOOD, "data": [["a"] * 3] * 2}, "blob 'data' takes numbers, got an array of <U1"),
        ({**GOOD, "data": np.zeros((2, 3), complex)}, "blob 'data' takes numbers, got an array of complex128"),
        ({**GOOD, "data": [[1, 2], [3]]}, "blob 'data' takes an array of numbers"),
        ({**GOOD, "dat": 1}, "no blob is named 'dat'; there are data, label"),
        ({**GOOD, "start": "none"}, "no layer is named 'none'; there are input, drop, ip, loss"),
        ({**GOOD, "end": "none"}, "no layer is named 'none'"),
        ({**GOOD, "blobs": ["none"]}, "no blob is named 'none'"),
        ({**GOOD, "label": [0, 4]}, r"layer 'loss': Check failed: .* \(4 vs. 4\)\n.*bottoms: 'ip', 'label'"),
        ({**GOOD, "label": [-1, 0]}, r"layer 'loss': Check failed: label_value >= 0 \(-1 vs. 0\)\n.*'label'"),
        ({**GOOD, "label": [np.nan, 0]}, "layer 'loss': Check failed: label_value >= 0"),
    ],
)
def test_a_refused_pass_leaves_the_net_as_it_was(given, said):
    net, reference = net_of(), net_of()
    for each in (net, reference):
        each.forward(**GOOD)
    kept = {name: net.blobs[name].data.copy() for name in net.inputs}
    with pytest.raises(CaffeError, match=said):
        net.forward(**given)
    if "label" not in said:
        for name, values in kept.items():
            np.testing.assert_array_equal(net.blobs[name].data, values)
    passes(net, reference)


def test_an_input_that_was_never_given():
    net, reference = net_of(), net_of()
    with pytest.raises(CaffeError, match="layer 'input': blob 'data' was never given"):
        net.forward()
    with pytest.raises(CaffeError, match="layer 'input': blob 'label' was never given"):
        net.forward(data=GOOD["data"])
    passes(net, reference)


@pytest.mark.parametrize("kind", ["MultinomialLogisticLoss", "HingeLoss", "Accuracy", "SoftmaxWithLoss"])
def test_labels_out_of_range_name_layer_and_blob(kind):
    with pytest.raises(CaffeError, match=r"layer 'loss': Check failed: label_value < .*\n.*bottoms: 'ip', 'label'$"):
        net_of(kind).forward(**{**GOOD, "label": [0, 4]})


def test_a_row_beyond_a_table_names_layer_and_blob():
    text = """input: "i" input_shape { dim: 2 }
    layer { name: "table" type: "Embed" bottom: "i" top: "e" embed_param {
      num_output: 3 input_dim: 5 weight_filler { type: "xavier" } } }"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    with pytest.raises(CaffeError, match=r"(?s)layer 'table': .*5.*bottoms: 'i'$"):
        net.forward(i=[0, 5])
    assert net.forward(i=[0, 4])["e"].shape == (2, 3)


def test_what_is_no_number_flows_without_a_word():
    net = net_of()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(net.forward(**{**GOOD, "data": np.full((2, 3), np.nan)})["loss"])
        net.backward()
        assert np.isnan(net.params["ip"][0].diff).all()
        net.forward(**{**GOOD, "data": np.full((2, 3), np.inf)})
        net.backward()


def test_a_net_without_values_says_so():
    net = net_of(fill=False)
    for _ in range(2):
        with pytest.raises(CaffeError, match="layer 'ip': this net was built with fill=False and holds no values"):
            net.forward(**GOOD)
    with pytest.raises(CaffeError, match="fill=False"):
        net.time(1)


def test_a_batch_of_0_is_refused_where_caffe_refuses_it_and_runs_elsewhere():
    net, reference = net_of(), net_of()
    net.blobs["data"].reshape(0, 3)
    net.blobs["label"].reshape(0)
    with pytest.raises(CaffeError, match="layer 'ip': Check failed: data_"):
        net.forward(data=np.zeros((0, 3)), label=[])
    net.blobs["data"].reshape(2, 3)
    net.blobs["label"].reshape(2)
    passes(net, reference)
    text = """input: "x" input_shape { dim: 0 dim: 2 dim: 4 dim: 4 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
      num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
    layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 } }"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    assert net.forward(x=np.zeros((0, 2, 4, 4)))["p"].shape == (0, 3, 1, 1)
    net.backward(p=np.zeros((0, 3, 1, 1)))


@pytest.mark.parametrize("kind", ["EuclideanLoss", "HingeLoss", "MultinomialLogisticLoss"])
def test_losses_that_ask_for_num_take_four_axes(kind):
    # set up in Caffe too, which stops in the first pass
    target = "" if kind == "EuclideanLoss" else 'top: "t" '
    text = f"""layer {{ name: "in" type: "Input" top: "x" {target}
      input_param {{ shape {{ dim: 2 dim: 1 dim: 1 dim: 1 dim: 3 }} {"shape { dim: 2 }" if target else ""} }} }}
    layer {{ name: "loss" type: "{kind}" bottom: "x" bottom: "{"t" if target else "x"}" top: "loss" }}"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    given = {"x": np.ones((2, 1, 1, 1, 3)), **({"t": [0, 2]} if target else {})}
    with pytest.raises(CaffeError, match=r"layer 'loss': Check failed: num_axes\(\) <= 4 \(5 vs. 4\)"):
        net.forward(**given)


def test_the_second_bottom_of_a_euclidean_loss_needs_four_axes_for_its_gradient_only():
    text = """force_backward: true input: "x" input_shape { dim: 2 dim: 3 } input: "t" input_shape {
      dim: 2 dim: 3 dim: 1 dim: 1 dim: 1 }
    layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "loss" }"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    assert net.forward(x=np.ones((2, 3)), t=np.zeros((2, 3, 1, 1, 1)))["loss"] == 1.5
    with pytest.raises(CaffeError, match="legacy accessors"):
        net.backward()


def test_a_shape_that_does_not_fit_the_parameters_can_be_taken_back():
    net, reference = net_of(), net_of()
    net.blobs["data"].reshape(2, 5)
    for call in (net.reshape, lambda: net.forward(data=np.zeros((2, 5)), label=[0, 1])):
        with pytest.raises(CaffeError, match=r"layer 'ip': .*\n.*don't fit the parameters"):
            call()
    net.blobs["data"].reshape(2, 3)
    passes(net, reference)


def test_tops_count_with_the_bytes_that_are_allowed():
    # 2 x 3 values, 2 labels, 2 x 3 dropped, 2 x 4 scores, a loss; 4 x 3 weights and 4 biases; 4 bytes each
    needed = 4 * (6 + 2 + 6 + 8 + 1 + 12 + 4)
    assert net_of(max_bytes=needed).forward(**GOOD)["loss"] > 0
    net = net_of(max_bytes=needed - 1)
    with pytest.raises(
        CaffeError, match=f"the blobs of this net need {needed} bytes, more than max_bytes={needed - 1}"
    ):
        net.forward(**GOOD)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start": "none"}, "no layer is named 'none'"),
        ({"end": "none"}, "no layer is named 'none'"),
        ({"diffs": ["none"]}, "no blob is named 'none'"),
        ({"loss": [1, 2]}, r"blob 'loss' has shape \(\), got values of shape \(2,\)"),
    ],
)
def test_a_refused_backward_pass_adds_nothing(given, said):
    net = net_of()
    net.forward(**GOOD)
    net.backward()
    before = [blob.diff.copy() for blob in net.params["ip"]]
    with pytest.raises(CaffeError, match=said):
        net.backward(**given)
    for blob, kept in zip(net.params["ip"], before, strict=True):
        np.testing.assert_array_equal(blob.diff, kept)


def test_more_items_than_one():
    net = net_of()
    for given, said in (
        ({}, "got none"),
        ({"data": np.zeros((4, 3)), "label": np.zeros(3)}, r"one number of items, got \[3, 4\]"),
        ({"data": 3, "label": 1}, r"blob 'data' has shape \(2, 3\)"),
        ({"none": np.zeros(4)}, "no blob is named 'none'"),
    ):
        with pytest.raises(CaffeError, match=said):
            net.forward_all(**given)


# --- what a data layer brings ----------------------------------------------------------------------------------------


def data_net(folder):
    text = f"""
    layer {{ name: "d" type: "Data" top: "data" top: "label"
      transform_param {{ mirror: true }} data_param {{ source: "{folder}" batch_size: 2 backend: LMDB }} }}
    layer {{ name: "drop" type: "Dropout" bottom: "data" top: "data" }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
      inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}"""
    return cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)


def put(folder, datums):
    with lmdb.open(str(folder)) as environment, environment.begin(write=True) as transaction:
        for i, datum in enumerate(datums):
            transaction.put(b"%08d" % i, datum if isinstance(datum, bytes) else datum.SerializeToString())


def datum(label, width=3):
    return schema.Datum(channels=1, height=2, width=width, data=bytes(range(10, 10 + 2 * width)), label=label)


def test_a_batch_that_a_later_layer_refuses_comes_again(tmp_path):
    put(tmp_path / "db", [datum(label) for label in (0, 1, 2, 4)])
    put(tmp_path / "sound", [datum(label) for label in (0, 1, 2, 3)])
    net, reference = data_net(tmp_path / "db"), data_net(tmp_path / "sound")
    for each in (net, reference):
        each.forward()
    for _ in range(3):
        with pytest.raises(CaffeError, match=r"layer 'loss': Check failed: .*\(4 vs. 4\)"):
            net.forward()
        assert net.blobs["label"].data.tolist() == [2, 4]
    for each in (net, reference):
        each.forward(end="drop")
    np.testing.assert_array_equal(net.blobs["data"].data, reference.blobs["data"].data)
    assert net.rng.position == reference.rng.position


def test_a_record_of_another_shape_and_one_that_is_no_image(tmp_path):
    put(tmp_path / "db", [datum(0), datum(1), datum(2), datum(3, width=4)])
    net = data_net(tmp_path / "db")
    net.forward()
    kept = net.blobs["data"].data.copy()
    for _ in range(2):
        with pytest.raises(CaffeError, match=r"layer 'd': Check failed: datum_width == width \(4 vs. 3\)"):
            net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, kept)
    put(tmp_path / "other", [datum(0), datum(1), b"\xff\xff no datum"])
    net = data_net(tmp_path / "other")
    net.forward()
    with pytest.raises(CaffeError, match=r"layer 'd': .*other: a record is no Datum"):
        net.forward()


def test_a_database_that_is_cut_off(tmp_path):
    put(tmp_path / "db", [datum(i % 4) for i in range(400)])
    file = tmp_path / "db" / "data.mdb"
    whole = file.read_bytes()
    for size in (len(whole) // 2, 5000, 10, 0):
        file.write_bytes(whole[:size])
        with pytest.raises(CaffeError, match=r"layer 'd': .*db: .*(truncated|cannot be read as an LMDB)"):
            data_net(tmp_path / "db").forward()


def test_an_image_that_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    (tmp_path / "list").write_text("a.png 0\na.png 1\nb.png 2\na.png 3\n")
    text = """layer { name: "d" type: "ImageData" top: "data" top: "label"
      image_data_param { source: "list" batch_size: 2 new_height: 3 new_width: 3 } }"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    net.forward()
    for _ in range(2):
        with pytest.raises(CaffeError, match=r"layer 'd': b\.png: cannot be read as an image"):
            net.forward()
        assert net.blobs["label"].data.tolist() == [0, 1]


# --- what a stranger's text may hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blobs", "said"),
    [
        (
            "blobs { shape { dim: 2 dim: 4 } data: [1, 2, 3, 4, 5, 6, 7, 8] } blobs { shape { dim: 2 } data: [1, 2] }",
            "",
        ),
        (
            "blobs { shape { dim: 2 dim: 3 } data: [1, 2, 3, 4, 5, 6] } blobs { shape { dim: 2 } data: [1, 2] }",
            r"layer 'ip': the weight that the text holds has shape \(2, 3\), the layer takes \(2, 4\)",
        ),
        (
            "blobs { shape { dim: 2 dim: 4 } data: [1, 2, 3, 4, 5, 6, 7, 8] }",
            "layer 'ip': the layer takes 2 blobs, its text holds 1",
        ),
    ],
)
def test_blobs_of_the_text_that_the_layer_would_read_beyond(blobs, said):
    text = f"""input: "x" input_shape {{ dim: 1 dim: 4 }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ num_output: 2 }} {blobs} }}"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    if not said:
        assert net.forward(x=[[1, 0, 0, 1]])["y"].tolist() == [[6, 15]]
        return
    for _ in range(2):
        with pytest.raises(CaffeError, match=said):
            net.forward(x=np.ones((1, 4)))


def test_images_without_pixels():
    text = """force_backward: true input: "x" input_shape { dim: 1 dim: 2 dim: 5 dim: 5 }
    layer { name: "c" type: "Convolution" bottom: "x" top: "y"
      convolution_param { num_output: 4 group: 2 kernel_size: 6 bias_term: false weight_filler { type: "xavier" } } }"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    assert net.forward(x=np.zeros((1, 2, 5, 5)))["y"].shape == (1, 4, 0, 0)
    net.backward(y=np.zeros((1, 4, 0, 0)))
    assert (net.params["c"][0].diff == 0).all()
    assert (net.blobs["x"].diff == 0).all()
