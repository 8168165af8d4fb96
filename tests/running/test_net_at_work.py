"""Net at work: forward and backward in pieces, reshaped, shared, refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from google.protobuf import text_format

import caffe_fillers as cf
from caffe_fillers import schema

LENET = "examples/mnist/lenet_train_test.prototxt"
SMALL = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 dim: 9 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param {
    num_output: 5 kernel_size: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "y" inner_product_param {
    num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" }
"""


def net_of(text: str, phase: str = "TEST", **options: object) -> cf.Net:
    return cf.Net(text_format.Parse(text, schema.NetParameter()), phase, **{"rng": 5, **options})  # type: ignore[arg-type]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_forward_returns_outputs_and_what_was_asked_for():
    net = net_of(SMALL)
    out = net.forward(x=noise(4, 3, 9, 8), blobs=["p"])
    assert list(out) == ["prob", "p"]
    assert out["prob"] is net.blobs["prob"].data
    np.testing.assert_allclose(out["prob"].sum(axis=1), 1, rtol=1e-6)


def test_pieces_equal_the_whole():
    x = noise(4, 3, 9, 8)
    whole, pieces = net_of(SMALL), net_of(SMALL)
    expected = whole.forward(x=x)["prob"].copy()
    assert list(pieces.forward(end="relu", x=x)) == ["c"]
    np.testing.assert_array_equal(pieces.forward(start="pool")["prob"].view(np.uint32), expected.view(np.uint32))


def test_backward_in_pieces_equals_the_whole():
    text = "force_backward: true\n" + SMALL
    whole, pieces = net_of(text), net_of(text)
    for net in (whole, pieces):
        net.forward(x=noise(4, 3, 9, 8))
    expected = whole.backward(prob=noise(4, 6, seed=1))["x"].copy()
    assert list(pieces.backward(end="pool", prob=noise(4, 6, seed=1))) == ["c"]
    np.testing.assert_array_equal(pieces.backward(start="relu")["x"].view(np.uint32), expected.view(np.uint32))
    assert np.abs(expected).max() > 0


def test_a_batch_equals_its_items():
    net = net_of(SMALL)
    x = noise(8, 3, 9, 8)
    net.blobs["x"].reshape(8, 3, 9, 8)
    together = net.forward(x=x)["prob"].copy()
    net.blobs["x"].reshape(1, 3, 9, 8)
    for i in range(8):
        alone = net.forward(x=x[i : i + 1])["prob"]
        np.testing.assert_allclose(alone[0], together[i], rtol=2e-6)


def test_inputs_change_shape_and_parameters_stay():
    text = SMALL.split('layer { name: "ip"')[0]
    net = net_of(text)
    weight = net.params["conv"][0].data
    net.blobs["x"].reshape(1, 3, 20, 21)
    net.reshape()
    assert net.blobs["p"].shape == (1, 5, 9, 10)
    assert net.forward(x=noise(1, 3, 20, 21))["p"].shape == (1, 5, 9, 10)
    assert net.params["conv"][0].data is weight


def test_a_shape_that_does_not_fit_the_parameters_is_refused():
    net = net_of(SMALL)
    net.blobs["x"].reshape(4, 3, 20, 20)
    with pytest.raises(cf.CaffeError, match=r"layer 'ip'.*weight of shape"):
        net.forward(x=noise(4, 3, 20, 20))
    net.blobs["x"].reshape(4, 3, 9, 8)
    net.forward(x=noise(4, 3, 9, 8))


def test_forward_all_cuts_into_batches():
    net = net_of(SMALL)
    x = noise(10, 3, 9, 8)
    out = net.forward_all(x=x, blobs=["p"])
    assert out["prob"].shape == (10, 6)
    assert out["p"].shape == (10, 5, 4, 3)
    np.testing.assert_array_equal(out["prob"][4:8], net.forward(x=x[4:8])["prob"])


def test_nets_share_weights():
    first, second = net_of(SMALL), net_of(SMALL, rng=6)
    second.share_with(first)
    first.params["ip"][0].data[...] = noise(6, 60)
    x = noise(4, 3, 9, 8)
    np.testing.assert_array_equal(first.forward(x=x)["prob"], second.forward(x=x)["prob"])


def test_an_in_place_chain_holds_one_array_and_a_second_pass_allocates_nothing_large():
    net = net_of(SMALL.replace("dim: 9 dim: 8", "dim: 300 dim: 300"))
    x = noise(4, 3, 300, 300)
    for _ in range(2):
        net.forward(x=x)
    tracemalloc.start()
    net.forward(x=x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < net.blobs["c"].data.nbytes // 3


def test_gradients_of_shared_parameters_add():
    ip = 'inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_term: false }'
    text = f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
    layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" param {{ name: "w" }} {ip} }}
    layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b" param {{ name: "w" }} {ip} }}
    layer {{ name: "l" type: "EuclideanLoss" bottom: "b" bottom: "x" top: "l" }}"""
    net = net_of(text, "TRAIN")
    assert len(net.learnable) == 1
    x = noise(2, 3)
    net.forward(x=x)
    net.backward()
    w = net.params["a"][0].data
    a = x @ w.T
    db = (a @ w.T - x) / 2
    np.testing.assert_allclose(net.params["a"][0].diff, db.T @ a + (db @ w).T @ x, rtol=1e-5)
    before = net.params["a"][0].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["b"][0].diff, 2 * before, rtol=1e-6)
    net.clear_param_diffs()
    assert not net.params["a"][0].diff.any()


def test_a_shared_diff_is_seen_from_a_layer_that_has_no_gradient():
    net = net_of(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "learned" type: "InnerProduct" bottom: "x" top: "y" loss_weight: 1 param { name: "w" } '
        'inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }'
        'layer { name: "aside" type: "InnerProduct" bottom: "x" top: "z" param { name: "w" } '
        'inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }',
    )
    net.forward(x=noise(2, 3))
    net.backward()
    learned, aside = (net.params[name][0].diff for name in ("learned", "aside"))
    assert learned.any()
    np.testing.assert_array_equal(aside, learned)


def test_accuracy_may_be_part_of_a_loss_that_asks_for_no_gradient():
    text = (
        'layer { name: "in" type: "Input" top: "x" top: "t" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" '
        'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }'
        'layer { name: "a" type: "Accuracy" bottom: "y" bottom: "t" top: "a" loss_weight: -1 '
    )
    net = net_of(text + "propagate_down: false propagate_down: false }")
    net.forward(x=noise(2, 3), t=[0, 1])
    net.backward()
    net = net_of(text + "}")
    net.forward(x=noise(2, 3), t=[0, 1])
    with pytest.raises(cf.CaffeError, match="layer 'a': Accuracy has no gradient"):
        net.backward()


@pytest.mark.parametrize(
    "body",
    [
        'type: "InnerProduct" inner_product_param { num_output: 3 axis: -1 weight_filler { type: "xavier" } }',
        'type: "Pooling" pooling_param { kernel_size: 3 pad: 1 }',
        'type: "Reduction" reduction_param { axis: 2 }',
        'type: "Convolution" convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "xavier" } }',
        'type: "SPP" spp_param { pyramid_height: 1 }',
        'type: "Tile" tile_param { tiles: 2 }',
        'type: "Embed" embed_param { input_dim: 9 num_output: 3 weight_filler { type: "xavier" } }',
    ],
)
def test_a_layer_that_would_write_over_what_it_still_reads_is_refused(body):
    net = net_of(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 3 } } }'
        f'layer {{ name: "over" bottom: "x" top: "x" {body} }}'
    )
    net.blobs["x"].data[...] = 1
    with pytest.raises(cf.CaffeError, match=r"layer 'over': \w+ can't work in place"):
        net.forward()


def test_without_a_loss_nothing_flows_back_and_nothing_before_learned_layers():
    net = net_of(SMALL)
    net.forward(x=noise(4, 3, 9, 8))
    net.backward(prob=noise(4, 6))
    assert not net.params["conv"][0].diff.any()
    assert not net.blobs["x"].diff.any()


@pytest.mark.parametrize("said", ["", "param { lr_mult: 0 } " * 3])
def test_statistics_ask_for_a_gradient_unless_the_text_says_no(said):
    net = net_of(f"""layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 4 dim: 3 }} }} }}
    layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "n" {said} }}
    layer {{ name: "ip" type: "InnerProduct" bottom: "n" top: "y" loss_weight: 1 inner_product_param {{
        num_output: 2 weight_filler {{ type: "xavier" }} }} }}""")
    net.forward(x=noise(4, 3))
    net.backward()
    assert [entry.needs_backward for entry in net.tape.entries] == [False, not said, True]
    assert net.blobs["n"].diff.any() == (not said)
    assert [rate for rate, _ in net.multipliers] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
def test_a_second_bottom_without_axes_covers_none_wherever_axis_points(kind):
    net = net_of(f"""input: "x" input_shape {{ dim: 3 }} input: "s" input_shape {{ }}
    layer {{ name: "by" type: "{kind}" bottom: "x" bottom: "s" top: "y" }}""")
    assert net.forward(x=[1, 2, 4], s=3)["y"].tolist() == ([3, 6, 12] if kind == "Scale" else [4, 5, 7])


def test_propagate_down_makes_no_layer_run_backward():
    text = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "relu" type: "ReLU" bottom: "x" top: "r" propagate_down: true }
layer { name: "ip" type: "InnerProduct" bottom: "r" top: "y" propagate_down: %s loss_weight: 1
    inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }"""
    for asked in ("true", "false"):
        net = net_of(text % asked, "TRAIN")
        net.forward(x=noise(2, 3))
        net.backward()
        assert net.blobs["r"].diff.any() == (asked == "true")
        assert not net.blobs["x"].diff.any()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda net: net.forward(), "blob 'x' was never given"),
        (lambda net: net.forward(x=np.zeros((4, 3, 9, 7))), r"blob 'x' has shape \(4, 3, 9, 8\), got .*\(4, 3, 9, 7\)"),
        (lambda net: net.forward(x=np.full((4, 3, 9, 8), "a")), "blob 'x' takes numbers"),
        (lambda net: net.forward(z=1), "no blob is named 'z'; there are x, c, p, y, prob"),
        (lambda net: net.forward(end="nosuch"), "no layer is named 'nosuch'; there are in, conv"),
        (lambda net: net.backward(start="nosuch"), "no layer is named 'nosuch'"),
        (lambda net: net.forward(blobs=["nosuch"]), "no blob is named 'nosuch'"),
        (lambda net: net.forward_all(x=np.zeros(3), c=np.zeros(2)), "inputs of one number of items"),
    ],
)
def test_faults(call, text):
    net = net_of(SMALL)
    with pytest.raises(cf.CaffeError, match=text):
        call(net)
    assert np.isfinite(net.forward(x=noise(4, 3, 9, 8))["prob"]).all()


def test_a_net_without_values_does_not_run():
    net = net_of(SMALL, fill=False)
    with pytest.raises(cf.CaffeError, match=r"layer 'conv'.*fill=False"):
        net.forward(x=noise(4, 3, 9, 8))


def test_max_bytes_counts_the_tops_when_it_runs():
    net = net_of(SMALL, max_bytes=3000)
    with pytest.raises(cf.CaffeError, match="the blobs of this net need"):
        net.forward(x=noise(4, 3, 9, 8))


def test_a_batch_of_nothing_is_refused_by_the_layer_that_cannot_take_it():
    net = net_of(SMALL)
    net.blobs["x"].reshape(0, 3, 9, 8)
    with pytest.raises(cf.CaffeError, match=r"layer '\w+'.*Check failed"):
        net.forward(x=np.zeros((0, 3, 9, 8)))


def test_nan_flows_without_a_warning():
    # not through the pooling: Caffe's MAX passes NaN over
    net = net_of(SMALL.replace('bottom: "p"', 'bottom: "c"'))
    assert np.isnan(net.forward(x=np.full((4, 3, 9, 8), np.nan))["prob"]).all()


def test_a_type_that_is_not_computed_says_so():
    net = net_of(SMALL.replace('"Softmax"', '"Nothing"'), inputs={"prob": (4, 6)})
    with pytest.raises(cf.CaffeError, match="type Nothing can be set up, but is not computed here"):
        net.forward(x=noise(4, 3, 9, 8))
    assert net.forward(end="ip", x=noise(4, 3, 9, 8))["y"].shape == (4, 6)


def test_time_has_a_row_for_each_layer():
    rows = net_of(SMALL).time(2)
    assert [row["layer"] for row in rows] == ["in", "conv", "relu", "pool", "ip", "prob"]
    assert all(row["forward"] > 0 for row in rows[1:])


def test_a_port_is_compared_blob_by_blob():
    net = net_of(SMALL)
    net.forward(x=noise(4, 3, 9, 8))
    port = {name: blob.data.copy() for name, blob in net.blobs.items()}
    assert cf.compare_blobs(net, port)
    port["y"][2, 3] += 1
    port["prob"] += 1
    comparison = cf.compare_blobs(net, {**port, "p": port["p"]})
    assert not comparison
    assert comparison.first is not None
    assert (comparison.first.name, comparison.first.at) == ("y", (2, 3))
    with pytest.raises(cf.CaffeError, match="no blob named 'q'"):
        cf.compare_blobs(net, {"q": port["y"]})


def test_looking_at_the_diff_of_a_loss_changes_nothing(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'force_backward: true layer { name: "d" type: "Input" top: "x" top: "y" '
        "input_param { shape { dim: 2 } shape { dim: 2 } } }\n"
        'layer { name: "l" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "l" loss_weight: 3 }\n'
    )
    net = cf.Net(path)
    assert net.blobs["l"].diff == 3
    net.forward(x=[2, 0], y=[0, 0])
    net.backward()
    assert net.blobs["x"].diff.tolist() == [3, 0]


def test_force_backward_asks_for_gradients_of_parameters_that_do_not_learn():
    text = """input: "x" input_shape {{ dim: 2 dim: 3 }} force_backward: {} layer {{ name: "ip" type: "InnerProduct"
      bottom: "x" top: "y" param {{ lr_mult: 0 }} param {{ lr_mult: 0 }} loss_weight: 1
      inner_product_param {{ num_output: 2 weight_filler {{ type: "xavier" }} }} }}"""
    for force in (True, False):
        net = cf.Net(text_format.Parse(text.format(str(force).lower()), schema.NetParameter()), rng=1)
        net.forward(x=np.ones((2, 3)))
        net.backward()
        assert (net.params["ip"][0].diff == 2 * force).all()


def test_a_constant_of_dummy_data_is_filled_once():
    text = """layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {
      shape { dim: 3 } data_filler { type: "constant" value: 2 } data_filler { type: "uniform" } } }"""
    net = cf.Net(text_format.Parse(text, schema.NetParameter()), rng=1)
    net.blobs["a"].data[...] = 5
    net.blobs["b"].data[...] = 5
    net.forward()
    assert net.blobs["a"].data.tolist() == [5, 5, 5]
    assert (net.blobs["b"].data < 1).all()
