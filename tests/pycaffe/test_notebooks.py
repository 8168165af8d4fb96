"""The well-known notebooks' lines that use caffe, on data of a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_fillers.pycaffe as caffe
from caffe_fillers.pycaffe import layers as L
from caffe_fillers.pycaffe import params as P
from caffe_fillers.pycaffe.proto import caffe_pb2


@pytest.fixture(autouse=True)
def quiet():
    caffe.init_log(2, True)
    yield
    caffe.init_log(0, True)


@pytest.fixture
def digits(tmp_path):
    """Two LMDBs of striped squares: where the stripe is says the label."""
    lmdb = pytest.importorskip("lmdb")
    random = np.random.RandomState(0)
    for name, items in (("train", 40), ("test", 20)):
        with lmdb.open(str(tmp_path / name), map_size=1 << 22) as env, env.begin(write=True) as txn:
            for i in range(items):
                pixels = random.randint(0, 60, (1, 28, 28)).astype(np.uint8)
                pixels[0, 2 + 2 * (i % 10)] = 255
                txn.put(b"%08d" % i, caffe.io.array_to_datum(pixels, label=i % 10).SerializeToString())
    return tmp_path


def lenet(lmdb, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size, backend=P.Data.LMDB, source=lmdb, transform_param=dict(scale=1.0 / 255), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=4, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool1, num_output=16, weight_filler=dict(type="xavier"))
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


def test_learning_lenet(digits):
    for name, batch in (("train", 10), ("test", 20)):
        with open(digits / f"{name}.prototxt", "w") as f:
            f.write(str(lenet(str(digits / name), batch)))
    s = caffe_pb2.SolverParameter()
    s.random_seed = 0xCAFFE
    s.train_net = str(digits / "train.prototxt")
    s.test_net.append(str(digits / "test.prototxt"))
    s.test_interval = 500
    s.test_iter.append(1)
    s.max_iter = 10000
    s.type = "SGD"
    s.base_lr = 0.02
    s.momentum = 0.9
    s.weight_decay = 5e-4
    s.lr_policy = "inv"
    s.gamma = 0.0001
    s.power = 0.75
    s.display = 1000
    s.snapshot = 5000
    s.snapshot_prefix = str(digits / "custom_net")
    s.solver_mode = caffe_pb2.SolverParameter.GPU
    with open(digits / "solver.prototxt", "w") as f:
        f.write(str(s))

    solver = caffe.get_solver(str(digits / "solver.prototxt"))
    shapes = [(k, v.data.shape) for k, v in solver.net.blobs.items()]
    assert shapes[:3] == [("data", (10, 1, 28, 28)), ("label", (10,)), ("conv1", (10, 4, 24, 24))]
    shapes = [(k, v[0].data.shape) for k, v in solver.net.params.items()]
    assert shapes[0] == ("conv1", (4, 1, 5, 5))
    solver.net.forward()
    solver.test_nets[0].forward()
    assert solver.net.blobs["data"].data[:8, 0].transpose(1, 0, 2).reshape(28, 8 * 28).max() == 1
    assert solver.net.blobs["label"].data[:8].tolist() == list(range(8))
    niter = 60
    train_loss = np.zeros(niter)
    output = np.zeros((niter, 8, 10))
    for it in range(niter):
        solver.step(1)
        train_loss[it] = solver.net.blobs["loss"].data
        solver.test_nets[0].forward(start="conv1")
        output[it] = solver.test_nets[0].blobs["score"].data[:8]
        if it % 25 == 0:
            solver.test_nets[0].forward()
            solver.test_nets[0].blobs["score"].data.argmax(1)
    assert solver.net.params["conv1"][0].diff[:, 0].any()
    assert train_loss[-1] < 0.1 * train_loss[0]
    assert not np.array_equal(output[0], output[-1])


def test_brewing_logistic_regression(tmp_path):
    h5py = pytest.importorskip("h5py")
    random = np.random.RandomState(0)
    X = random.standard_normal((200, 4))
    y = (X @ [1, -2, 0.5, 0] > 0).astype(np.float32)
    with h5py.File(tmp_path / "train.h5", "w") as f:
        f["data"] = X
        f["label"] = y
    with open(tmp_path / "train.txt", "w") as f:
        f.write(f"{tmp_path / 'train.h5'}\n" * 2)

    n = caffe.NetSpec()
    n.data, n.label = L.HDF5Data(batch_size=10, source=str(tmp_path / "train.txt"), ntop=2)
    n.ip1 = L.InnerProduct(n.data, num_output=2, weight_filler=dict(type="xavier"))
    n.accuracy = L.Accuracy(n.ip1, n.label)
    n.loss = L.SoftmaxWithLoss(n.ip1, n.label)
    path = str(tmp_path / "net.prototxt")
    with open(path, "w") as f:
        f.write(str(n.to_proto()))
    s = caffe_pb2.SolverParameter(train_net=path, test_net=[path], test_iter=[20], test_interval=100, max_iter=200)
    s.base_lr, s.lr_policy, s.gamma, s.stepsize, s.momentum = 0.1, "step", 0.1, 5000, 0.9
    s.snapshot_prefix = str(tmp_path / "train")
    with open(tmp_path / "solver.prototxt", "w") as f:
        f.write(str(s))

    caffe.set_mode_cpu()
    caffe.set_random_seed(1)
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    assert list(solver.net.blobs) == [
        *("data", "label", "label_data_1_split_0", "label_data_1_split_1"),
        *("ip1", "ip1_ip1_0_split_0", "ip1_ip1_0_split_1", "accuracy", "loss"),
    ]
    solver.solve()
    accuracy = 0
    test_iters = 20
    for _ in range(test_iters):
        solver.test_nets[0].forward()
        accuracy += solver.test_nets[0].blobs["accuracy"].data
    assert accuracy / test_iters > 0.95
    assert (tmp_path / "train_iter_200.caffemodel").exists()


def test_net_surgery(deploy_file, tmp_path):
    caffe.set_random_seed(2)
    net = caffe.Net(deploy_file, caffe.TEST)
    im = np.random.RandomState(0).uniform(0, 1, (8, 8)).astype(np.float32)
    im_input = im[np.newaxis, np.newaxis, :, :] * np.ones((1, 3, 1, 1), np.float32)
    net.blobs["data"].reshape(*im_input.shape)
    net.blobs["data"].data[...] = im_input
    net.forward()
    conv0 = net.blobs["conv"].data[0, 0]
    before = conv0.mean()
    net.params["conv"][1].data[0] += 1.0
    net.forward()
    assert conv0.mean() == pytest.approx(before + 1, abs=1e-5)

    # inner products become convolutions
    text = Path(deploy_file).read_text()
    full = text.replace("kernel_size: 8", "").replace("convolution_param", "inner_product_param")
    full = full.replace("Convolution", "InnerProduct").replace('"conv"', '"fc"')
    path = tmp_path / "fc.prototxt"
    path.write_text(full)
    dense = caffe.Net(str(path), caffe.TEST)
    fc = {pr: (dense.params[pr][0].data, dense.params[pr][1].data) for pr in ["fc"]}
    conv = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in ["conv"]}
    conv["conv"][0].flat = fc["fc"][0].flat
    conv["conv"][1][...] = fc["fc"][1]
    net.save(str(tmp_path / "full.caffemodel"))
    out = caffe.Net(deploy_file, str(tmp_path / "full.caffemodel"), caffe.TEST).forward_all(data=im_input)
    expected = dense.forward_all(data=im_input)["prob"]
    np.testing.assert_allclose(out["prob"][0].ravel(), expected[0], rtol=1e-5)
    wide = np.random.RandomState(1).uniform(0, 1, (1, 3, 12, 9)).astype(np.float32)
    net.blobs["data"].reshape(*wide.shape)
    assert net.forward_all(data=wide)["prob"][0].argmax(axis=0).shape == (5, 2)


def test_classification(deploy_file):
    net = caffe.Net(deploy_file, caffe.TEST)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(5, 3, 8, 8)
    image = np.random.RandomState(0).uniform(0, 1, (20, 30, 3))
    net.blobs["data"].data[...] = transformer.preprocess("data", image)
    output = net.forward()
    output_prob = output["prob"][0]
    assert output_prob.argmax() in (0, 1)
    assert (output["prob"] == output_prob).all()
    filters = net.params["conv"][0].data
    assert filters.transpose(0, 2, 3, 1).shape == (2, 8, 8, 3)
    assert net.blobs["conv"].data[0, :36].shape == (2, 1, 1)
    shown = transformer.deprocess("data", net.blobs["data"].data[0])
    np.testing.assert_allclose(shown, caffe.io.resize_image(image.astype(np.float32), (8, 8)), atol=1e-5)


def test_fine_tuning(deploy_file, tmp_path):
    caffe.set_random_seed(4)
    trained = caffe.Net(deploy_file, caffe.TEST)
    # a comma, as the notebook has in a name of its own
    weights = str(tmp_path / "weights.pretrained, end-to-end.caffemodel")
    trained.save(weights)
    n = caffe.NetSpec()
    n.data = L.DummyData(shape=dict(dim=[4, 3, 8, 8]), data_filler=dict(type="uniform"))
    n.label = L.DummyData(shape=dict(dim=[4]), data_filler=dict(type="constant", value=1))
    n.conv = L.Convolution(n.data, kernel_size=8, num_output=2, param=[dict(lr_mult=0)] * 2)
    learned = [dict(lr_mult=1), dict(lr_mult=2)]
    fc = L.InnerProduct(n.conv, num_output=3, param=learned, weight_filler=dict(type="gaussian", std=0.01))
    n.__setattr__("fc8_flickr", fc)
    n.probs = L.Softmax(fc)
    n.loss = L.SoftmaxWithLoss(fc, n.label)
    n.acc = L.Accuracy(fc, n.label)
    path = tmp_path / "net.prototxt"
    path.write_text(str(n.to_proto()))
    solver = tmp_path / "solver.prototxt"
    solver.write_text(str(caffe_pb2.SolverParameter(train_net=str(path), base_lr=0.1, lr_policy="fixed")))
    tuned = caffe.get_solver(str(solver))
    tuned.net.copy_from(weights)
    losses = []
    for _ in range(5):
        tuned.step(1)
        losses.append(float(tuned.net.blobs["loss"].data.copy()))
    assert losses[-1] < losses[0]
    assert np.array_equal(tuned.net.params["conv"][0].data, trained.params["conv"][0].data)
    assert tuned.net.forward(start="conv")["probs"][0].sum() == pytest.approx(1)
    test_net = caffe.Net(str(path), weights, caffe.TEST)
    accuracy = test_net.forward()["acc"]
    assert accuracy == (test_net.blobs["fc8_flickr"].data.argmax(1) == 1).mean()
