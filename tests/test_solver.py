"""Solver: seeds, order, sharing, and what the goldens don't say."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_fillers as cf

SOLVER = "examples/mnist/lenet_solver.prototxt"
DATA = {"data": (1, 28, 28)}


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch, root):
    monkeypatch.chdir(root)


def test_the_file_s_seed_counts_unless_another_is_given():
    assert cf.Solver(SOLVER, inputs=DATA).seed == 1701
    assert cf.Solver(SOLVER, inputs=DATA, rng=7).seed == 7
    message = cf.read_solver(SOLVER)
    message.ClearField("random_seed")
    one, two = (cf.Solver(message, beside=SOLVER, inputs=DATA) for _ in range(2))
    assert (one.net.params["ip1"][0].data != two.net.params["ip1"][0].data).any()
    # the number drawn from entropy gives the same again
    again = cf.Solver(message, beside=SOLVER, inputs=DATA, rng=one.seed)
    assert (one.net.params["ip1"][0].data == again.net.params["ip1"][0].data).all()


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"type": "AdaGrad", "momentum": 0.9}, "0 == this->param_.momentum() (0 vs. 0.9)"),
        ({"type": "RMSProp", "rms_decay": 1}, "this->param_.rms_decay() < 1 (1 vs. 1)"),
        ({"type": "Sgd"}, "Unknown solver type: Sgd"),
        ({"average_loss": 0, "test_interval": 0}, "param_.average_loss() >= 1 (0 vs. 1) average_loss should be"),
    ],
)
def test_refusals_name_the_solver(fields, text):
    message = cf.read_solver(SOLVER)
    for name, value in fields.items():
        setattr(message, name, value)
    if "type" in fields and fields["type"] == "RMSProp":
        message.momentum = 0
    with pytest.raises(cf.CaffeError) as caught:
        cf.Solver(message, beside=SOLVER, inputs=DATA, fill=False)
    assert str(caught.value).startswith(f"{SOLVER}: ")
    assert text in str(caught.value)


@pytest.mark.parametrize(("written", "used"), [(2**32 + 5, 5), (0, 0), (2**40, 0)])
def test_a_seed_in_the_file_wraps(written, used):
    message = cf.read_solver(SOLVER)
    message.random_seed = written
    assert cf.Solver(message, beside=SOLVER, inputs=DATA, fill=False).seed == used


def test_a_negative_seed_in_the_file_is_entropy():
    message = cf.read_solver(SOLVER)
    message.random_seed = -3
    seeds = {cf.Solver(message, beside=SOLVER, inputs=DATA, fill=False).seed for _ in range(3)}
    assert len(seeds) == 3


def test_the_test_net_draws_after_the_train_net_until_it_shares():
    solver = cf.Solver(SOLVER, inputs=DATA)
    trained, tested = solver.net.params["conv1"][0], solver.test_nets[0].params["conv1"][0]
    assert (trained.data != tested.data).any()
    solver.share()
    assert np.shares_memory(trained.data, tested.data)


def test_nets_are_found_beside_the_solver(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    assert cf.Solver(root / SOLVER, inputs=DATA, fill=False).net.name
    (tmp_path / "solver.prototxt").write_text('net: "nowhere.prototxt" test_iter: 1 test_interval: 1')
    with pytest.raises(cf.CaffeError, match="nowhere") as caught:
        cf.Solver("solver.prototxt")
    assert "working directory" in str(caught.value)


def test_a_stream_that_was_passed_in_is_given_back_on_failure():
    rng = cf.RNG(5)
    with pytest.raises(cf.CaffeError):
        cf.Solver(SOLVER, rng=rng, inputs={"data@TRAIN": (1, 28, 28)})
    assert rng.position == 0
    cf.Solver(SOLVER, rng=rng, inputs=DATA)
    assert rng.position == 861002


def test_weights_of_the_solver_are_copied(tmp_path):
    source = cf.Solver(SOLVER, inputs=DATA).net
    source.save(tmp_path / "w.caffemodel")
    message = cf.read_solver(SOLVER)
    message.weights.append(str(tmp_path / "w.caffemodel"))
    solver = cf.Solver(message, beside=SOLVER, inputs=DATA, rng=9)
    for net in (solver.net, *solver.test_nets):
        assert (net.params["ip2"][0].data == source.params["ip2"][0].data).all()


def test_readers_of_rc3_are_counted_over_all_nets():
    solver = cf.Solver(SOLVER, inputs=DATA, caffe="rc3")
    assert [draw.what for draw in solver.net.layers[0].draws] == ["reader thread", "prefetch thread"]
    message = cf.read_solver(SOLVER)
    net = cf.read_net("examples/mnist/lenet_train_test.prototxt")
    for layer in net.layer[:2]:
        layer.data_param.source = "one"
        del layer.include[1:]
    message.ClearField("net")
    message.net_param.CopyFrom(net)
    solver = cf.Solver(message, inputs=DATA, caffe="rc3")
    assert [draw.what for draw in solver.test_nets[0].layers[0].draws] == ["prefetch thread"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "num_train_nets >= 1 (0 vs. 1)"),
        ('net: "a" train_net: "b"', "num_train_nets <= 1 (2 vs. 1)"),
        ('train_net: "a" test_iter: 1', "num_test_nets (1 vs. 0)"),
        ('net: "a" test_iter: 1', "test_interval() > 0 (0 vs. 0)"),
        ('net: "a" type: "sgd"', "Unknown solver type: sgd"),
        ('net: "a" type: "SGD" solver_type: ADAM', "solver_type"),
        ('net: "a" average_loss: 0', "average_loss() >= 1 (0 vs. 1)"),
    ],
)
def test_refusals(tmp_path, text, expected):
    path = tmp_path / "solver.prototxt"
    path.write_text(text)
    with pytest.raises(cf.CaffeError) as caught:
        cf.Solver(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_sharing_finds_the_first_layer_of_a_name_in_the_test_net(tmp_path):
    layer = (
        'layer {{ name: "{}" type: "InnerProduct" bottom: "x" top: "{}" '
        'inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}'
    )
    head = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }'
    for name, layers in (("train", ["a", "b"]), ("test", ["a", "a"])):
        text = head + "".join(layer.format(each, f"{each}{i}") for i, each in enumerate(layers))
        (tmp_path / f"{name}.prototxt").write_text(text)
    path = tmp_path / "solver.prototxt"
    path.write_text('train_net: "train.prototxt" test_net: "test.prototxt" test_iter: 1 test_interval: 1')
    solver = cf.Solver(path, rng=1)
    _, first, second = solver.test_nets[0].layers
    solver.share()
    assert np.shares_memory(first.blobs[0].data, solver.net.params["a"][0].data)
    assert not np.shares_memory(second.blobs[0].data, solver.net.params["a"][0].data)


@pytest.mark.parametrize("name", ["n" * 300 + ".prototxt", "a/" + "n" * 5000])
def test_a_name_that_no_file_can_have_is_not_there(tmp_path, name):
    path = tmp_path / "solver.prototxt"
    path.write_text(f'net: "{name}" base_lr: 0.1')
    with pytest.raises(cf.CaffeError, match="which does not exist"):
        cf.Solver(path)
