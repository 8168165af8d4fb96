"""A file is replaced whole or stays as it was."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from caffe_fillers import CaffeError
from caffe_fillers.files import replacing
from caffe_fillers.weights import load_weights, save_mean, save_weights

FORMATS = [".npz", ".caffemodel", ".h5", ".safetensors"]
SMALL = {"a": [np.arange(3, dtype=np.float32)]}
LARGE = {"a": [np.ones(1 << 20, np.float32)]}
MANY = {f"layer{i}": [np.ones(100, np.float32)] for i in range(3000)}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("weights", [LARGE, MANY])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix, weights):
    path = tmp_path / f"w{suffix}"
    save_weights(path, SMALL)
    before = path.read_bytes()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, old[1]))
    try:
        with pytest.raises(CaffeError, match="cannot be written") as error:
            save_weights(path, weights)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(path) in str(error.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_targets_that_cannot_be_written_are_named(tmp_path, suffix):
    (tmp_path / f"dir{suffix}").mkdir()
    with pytest.raises(CaffeError, match="is a directory"):
        save_weights(tmp_path / f"dir{suffix}", SMALL)
    with pytest.raises(CaffeError, match="does not exist"):
        save_weights(tmp_path / "none" / f"w{suffix}", SMALL)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CaffeError, match="cannot be written"):
        save_weights(tmp_path / "file" / f"w{suffix}", SMALL)
    with pytest.raises(CaffeError, match="cannot be written"):
        save_weights(tmp_path / ("x" * 300 + suffix), SMALL)
    os.mkfifo(tmp_path / f"fifo{suffix}")
    with pytest.raises(CaffeError, match="not a regular file"):
        save_weights(tmp_path / f"fifo{suffix}", SMALL)
    assert sorted(os.listdir(tmp_path)) == sorted([f"dir{suffix}", "file", f"fifo{suffix}"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_without_permission_is_refused(tmp_path, suffix):
    folder = tmp_path / "closed"
    folder.mkdir()
    save_weights(folder / f"w{suffix}", SMALL)
    program = textwrap.dedent(f"""
        import os, numpy as np
        from caffe_fillers import CaffeError
        from caffe_fillers.weights import save_weights
        import caffe_fillers.weights.npz, caffe_fillers.weights.hdf5, caffe_fillers.weights.safetensors
        import h5py, safetensors.numpy, caffe_fillers.weights.caffemodel
        if os.getuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        try:
            save_weights({str(folder / f"w{suffix}")!r}, {{"a": [np.zeros(3, np.float32)]}})
        except CaffeError as error:
            print(error)
    """)
    folder.chmod(0o555)
    for parent in [tmp_path, *[*tmp_path.parents][:2]]:
        parent.chmod(parent.stat().st_mode | 0o055)
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    folder.chmod(0o755)
    assert "cannot be written" in out
    assert os.listdir(folder) == [f"w{suffix}"]
    assert load_weights(folder / f"w{suffix}")["a"][0].tolist() == [0, 1, 2]


def test_mode_and_symbolic_link_are_kept(tmp_path):
    (tmp_path / "real").mkdir()
    path = tmp_path / "real" / "w.npz"
    save_weights(path, SMALL)
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    (tmp_path / "link.npz").symlink_to(path)
    save_weights(tmp_path / "link.npz", {"b": SMALL["a"]})
    assert (tmp_path / "link.npz").is_symlink()
    assert list(load_weights(path)) == ["b"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path / "real") == ["w.npz"]


def test_an_interrupt_leaves_no_file(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")

    def interrupted():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_the_working_directory_and_long_names_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_weights("w.npz", SMALL)
    name = "x" * (255 - len(".safetensors")) + ".safetensors"
    save_weights(name, SMALL)
    save_mean("m.npy", np.ones((3, 1, 1)))
    assert sorted(os.listdir()) == sorted(["w.npz", name, "m.npy"])


def test_a_large_file_is_replaced(tmp_path):
    weights = {"a": [np.arange(20 << 20, dtype=np.float32)]}
    for _ in range(2):
        save_weights(tmp_path / "w.caffemodel", weights)
    assert np.array_equal(load_weights(tmp_path / "w.caffemodel")["a"][0], weights["a"][0])
    assert os.listdir(tmp_path) == ["w.caffemodel"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_kill_leaves_the_old_file_or_the_new(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    save_weights(path, SMALL)
    program = textwrap.dedent(f"""
        import numpy as np
        from caffe_fillers.weights import save_weights
        print("ready", flush=True)
        n = 0
        while True:
            n += 1
            save_weights({str(path)!r}, {{"a": [np.full(1 << 20, n, np.float32)]}})
    """)
    for wait in (0.0, 0.013, 0.029):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            import time

            time.sleep(0.05 + wait)
            process.kill()
        values = load_weights(path)["a"][0]
        assert values.size == 3 or (values == values[0]).all()
    # what the killed ones left is gone after the next
    (tmp_path / ".caffe_fillers-other-1-ab.tmp").write_text("another machine's")
    save_weights(path, SMALL)
    assert sorted(os.listdir(tmp_path)) == [".caffe_fillers-other-1-ab.tmp", path.name]
