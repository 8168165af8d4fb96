"""A net at work uses as many threads as it was told to; any number of them gives the same bits."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers import CaffeError, _core, blas
from caffe_fillers.ops import relu

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 16 dim: 90 dim: 90 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "dw" type: "Convolution" bottom: "norm" top: "dw"
        convolution_param { num_output: 16 group: 16 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""


LEARNS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 16 dim: 60 dim: 60 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
layer { name: "tiles" type: "Convolution" bottom: "data" top: "tiles"
        convolution_param { num_output: 32 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "one" type: "Convolution" bottom: "tiles" top: "one"
        convolution_param { num_output: 64 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "five" type: "Convolution" bottom: "one" top: "five"
        convolution_param { num_output: 40 kernel_size: 5 group: 2 weight_filler { type: "xavier" } } }
layer { name: "up" type: "Deconvolution" bottom: "five" top: "up"
        convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "up" top: "pool" pooling_param { pool: MAX kernel_size: 4 stride: 4 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
        inner_product_param { num_output: 900 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


def outputs(tmp_path, threads):
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "net.prototxt").write_text(NET)
    net = cf.Net(tmp_path / "net.prototxt", "TEST", rng=1, threads=threads)
    net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal(net.blobs["data"].shape)
    return net.forward()["dw"].copy()


def test_any_number_of_threads_gives_the_same_bits(tmp_path):
    one = outputs(tmp_path, 1)
    for threads in (2, 3, 8, None):
        assert np.array_equal(one.view(np.uint32), outputs(tmp_path, threads).view(np.uint32))


def trained(tmp_path, threads):
    (tmp_path / "net.prototxt").write_text(LEARNS)
    net = cf.Net(tmp_path / "net.prototxt", "TRAIN", rng=1, threads=threads)
    given = np.random.default_rng(0)
    net.blobs["data"].data[...] = given.standard_normal(net.blobs["data"].shape)
    net.blobs["label"].data[...] = given.integers(0, 900, 4)
    net.forward()
    net.backward()
    return {
        f"{name}[{i}]": array.copy()
        for name, blobs in net.params.items()
        for i, blob in enumerate(blobs)
        for array in (blob.diff,)
    } | {"loss": net.blobs["loss"].data.copy(), "up": net.blobs["up"].data.copy()}


def test_any_number_of_threads_learns_the_same_bits(tmp_path):
    """With products large enough to be shared, forward and backward."""
    one = trained(tmp_path, 1)
    for threads in (2, 3, None):
        many = trained(tmp_path, threads)
        assert one.keys() == many.keys()
        for name, array in one.items():
            assert array.any()
            assert array.tobytes() == many[name].tobytes(), name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT RUN: this system does not fork")
def test_a_forked_process_has_threads_of_its_own(tmp_path):
    one = outputs(tmp_path, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of every fork with threads
        child = os.fork()
    if child == 0:
        same = outputs(tmp_path, 2).tobytes() == one.tobytes()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_passes_at_the_same_time(tmp_path):
    """One of them has the threads, the other goes on alone; afterwards all is as it was."""
    one = outputs(tmp_path, 1)
    before = _core.layer_threads(1), blas_threads()
    _core.layer_threads(*before[0])
    with ThreadPoolExecutor(3) as pool:
        for each in pool.map(lambda i: outputs(tmp_path / str(i), 2), range(6)):
            assert each.tobytes() == one.tobytes()
    assert (_core.layer_threads(*before[0]), blas_threads()) == before


@pytest.fixture
def two_of_blas():
    """NumPy's BLAS with two threads; a function that asks how many it has."""
    found = blas._of_blas()
    if found is None:
        pytest.skip("NOT RUN: NumPy's BLAS here has no number of threads to set")
    ask, give = found
    before = ask()
    give(2)
    yield ask
    give(before)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="NOT RUN: this system has no timer that sends a signal")
def test_ctrl_c_at_any_place_leaves_the_numbers_of_threads_as_they_were(two_of_blas):
    def interrupt(*_):
        raise KeyboardInterrupt

    def run(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            with blas.threads_for_layers(2):
                pass

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(300):
            with pytest.raises(KeyboardInterrupt):
                run(1e-4 + i * 1e-6)
            assert two_of_blas() == 2
            assert _core.layer_threads(1) == (1, 1)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT RUN: this system does not fork")
def test_a_forked_process_is_in_no_pass_of_another_thread(two_of_blas):
    inside, over = threading.Event(), threading.Event()

    def run():
        with blas.threads_for_layers(2):
            inside.set()
            over.wait()

    thread = threading.Thread(target=run)
    thread.start()
    inside.wait()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of every fork with threads
            child = os.fork()
        if child == 0:
            os._exit(0 if two_of_blas() == 2 and _core.layer_threads(1) == (1, 1) else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        over.set()
        thread.join()
    assert two_of_blas() == 2


def test_a_pass_has_its_own_number_of_threads_whatever_other_threads_run(two_of_blas):
    with blas.threads_for_layers(3), ThreadPoolExecutor(1) as pool:

        def inside(threads):
            with blas.threads_for_layers(threads):
                return _core.layer_threads(threads)[0], two_of_blas()

        assert pool.submit(inside, 1).result() == (1, 1)
        assert pool.submit(inside, 5).result() == (5, 1)
        assert _core.layer_threads(3)[0] == 3
    assert two_of_blas() == 2


def blas_threads():
    found = blas._of_blas()
    return found and found[0]()


def test_the_environment_limits_loops(monkeypatch):
    monkeypatch.setenv("CAFFE_FILLERS_THREADS", "2")
    with blas.threads_for_layers(7):
        assert _core.layer_threads(2)[0] == 2
    monkeypatch.setenv("CAFFE_FILLERS_THREADS", "many")
    with pytest.raises(CaffeError, match="CAFFE_FILLERS_THREADS=many"), blas.threads_for_layers(7):
        pass


def test_products_have_no_more_threads_than_numpys_blas_which_gets_its_number_back(monkeypatch):
    monkeypatch.delenv("CAFFE_FILLERS_THREADS", raising=False)
    found = blas._of_blas()
    if found is None:
        pytest.skip("NOT RUN: NumPy's BLAS here has no number of threads to set")
    ask, give = found
    before = ask()
    try:
        give(2)
        for threads, products in ((None, min(2, _core.cores(None))), (1, 1), (2, 2), (7, 2)):
            with blas.threads_for_layers(threads):
                assert ask() == 1
                assert _core.product_threads() == products
                with blas.threads_for_layers(1):
                    assert _core.product_threads() == ask() == 1
                assert _core.product_threads() == products
                assert ask() == 1
            assert ask() == 2
            assert _core.layer_threads(1) == (1, 1)
        with pytest.raises(ZeroDivisionError), blas.threads_for_layers(1):
            raise ZeroDivisionError
        assert ask() == 2
        monkeypatch.setenv("CAFFE_FILLERS_THREADS", "1")
        with blas.threads_for_layers(2):
            assert _core.product_threads() == 1
        monkeypatch.delenv("CAFFE_FILLERS_THREADS")
        give(1)
        with blas.threads_for_layers(2):
            assert _core.product_threads() == 1
        assert ask() == 1
    finally:
        give(before)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="NOT RUN: threads are not files here")
def test_threads_stay_on_the_processor_that_the_user_gives_them_later():
    me, x = threading.get_native_id(), np.ones((4, 100_000), np.float32)
    processors = os.sched_getaffinity(0)

    def run():
        with blas.threads_for_layers(3):
            for _ in range(30):
                relu(x, out=x)

    def allowed():
        return {int(task): os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}

    run()
    before, one = allowed(), {min(processors)}
    try:
        os.sched_setaffinity(0, one)
        run()
        time.sleep(0.05)  # until the threads rest: one that is moving itself now would overwrite what is given
        # a thread that keeps itself to this very processor can't tell the user's wish from its own
        told = [task for task, given in allowed().items() if task != me and given != one]
        for task in told:
            os.sched_setaffinity(task, one)
        run()
        time.sleep(0.05)
        assert all(allowed()[task] == one for task in told)
    finally:
        for task, given in before.items():
            os.sched_setaffinity(task, given)
