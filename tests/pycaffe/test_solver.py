"""The solvers: made, stepped, saved and gone on with, and the same numbers as the package's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_fillers as cf
import caffe_fillers.pycaffe as caffe

KINDS = {
    caffe.SGDSolver: "SGD",
    caffe.NesterovSolver: "Nesterov",
    caffe.AdaGradSolver: "AdaGrad",
    caffe.RMSPropSolver: "RMSProp",
    caffe.AdaDeltaSolver: "AdaDelta",
    caffe.AdamSolver: "Adam",
}


@pytest.fixture(autouse=True)
def quiet():
    caffe.init_log(2, True)
    yield
    caffe.init_log(0, True)


def test_a_class_is_a_type_whatever_the_file_says(solver_file, tmp_path):
    plain = tmp_path / "plain.prototxt"
    plain.write_text(Path(solver_file).read_text().replace("momentum: 0.9", "").replace('type: "Adam"', ""))
    for kind, name in KINDS.items():
        solver = kind(str(plain))
        assert solver.param.type == name
        solver.step(1)
    assert isinstance(caffe.get_solver(solver_file), caffe.AdamSolver)
    assert isinstance(caffe.get_solver(str(plain)), caffe.SGDSolver)
    wrong = tmp_path / "wrong.prototxt"
    wrong.write_text(Path(solver_file).read_text().replace("Adam", "Adamm"))
    with pytest.raises(cf.CaffeError, match="Unknown solver type: Adamm"):
        caffe.get_solver(str(wrong))


def test_a_training_is_the_packages_own(solver_file):
    old, new = caffe.get_solver(solver_file), cf.Solver(solver_file)
    assert (old.iter, len(old.test_nets)) == (0, 1)
    old.step(2)
    new.step(2)
    assert old.iter == 2
    for name, blobs in old.net.params.items():
        assert np.array_equal(blobs[0].data, new.net.params[name][0].data)
    old.solve()
    assert old.iter == 6
    assert old.net.blobs["loss"].data == np.float32(old.wrapped.loss)


def test_test_nets_have_weights_of_their_own_until_they_share(solver_file):
    solver = caffe.SGDSolver(solver_file)
    test, train = solver.test_nets[0], solver.net
    assert not np.array_equal(test.params["ip"][0].data, train.params["ip"][0].data)
    solver.share_weights(test)
    train.params["ip"][0].data[...] = 2
    assert (test.params["ip"][0].data == 2).all()
    solver.step(1)
    assert set(test.forward()) == {"loss", "double"}


def test_snapshot_and_restore(solver_file, tmp_path):
    solver = caffe.SGDSolver(solver_file)
    solver.step(2)
    solver.snapshot()
    assert (tmp_path / "model_iter_2.caffemodel").exists()
    solver.step(2)
    after = solver.net.params["ip"][0].data.copy()
    other = caffe.SGDSolver(solver_file)
    other.restore(str(tmp_path / "model_iter_2.solverstate"))
    assert other.iter == 2
    other.step(2)
    assert np.array_equal(other.net.params["ip"][0].data, after)


def test_apply_update_and_the_rate(solver_file):
    solver = caffe.SGDSolver(solver_file)
    solver.param.weight_decay = 0
    blob = solver.net.layers[1].blobs[0]
    blob.data[...] = 0
    blob.diff[...] = 1
    assert solver.lr == pytest.approx(0.01)
    solver.apply_update()
    np.testing.assert_allclose(blob.data, -0.01, rtol=1e-6)
    solver.param.base_lr = 0.5
    assert solver.lr == 0.5
    assert solver.param.max_iter == 6


def test_callbacks(solver_file):
    solver = caffe.SGDSolver(solver_file)
    seen = []
    solver.add_callback(lambda: seen.append("start"), lambda: seen.append("gradients"))
    solver.net.before_forward(lambda i: seen.append(i))
    solver.step(1)
    assert seen == ["start", 0, 1, 2, 3, 4, 5, "gradients"]
    with pytest.raises(cf.CaffeError, match="NCCL"):
        solver.add_callback(None)


def test_log_lines_go_to_standard_error(solver_file, capsys):
    caffe.init_log(0, True)
    caffe.get_solver(solver_file).step(1)
    lines = capsys.readouterr().err
    assert "] Iteration 0, lr = 0.01\n" in lines
    assert "Testing net (#0)" in lines


def test_a_solver_that_fails_leaves_the_stream_as_it_was(solver_file, tmp_path):
    caffe.set_random_seed(5)
    before = caffe.common.stream().copy()
    wrong = tmp_path / "wrong.prototxt"
    wrong.write_text(Path(solver_file).read_text().replace("test_iter: 2", ""))
    with pytest.raises(cf.CaffeError, match="test_iter"):
        caffe.get_solver(str(wrong))
    assert caffe.common.stream().random_raw() == before.random_raw()
