"""Faults of files: kill -9 while they are written, full disks, changes while they are read.

CAFFE_FILLERS_KILLS says how many times to kill (8; `.ci/long` 200). Whatever happens, a file that was there is whole or
its successor is. A killed writer leaves `.caffe_fillers-MACHINE-PROCESS-RANDOM.tmp` beside the target at most, which
the next writer to that folder removes.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import caffe_fillers as cf
from caffe_fillers.weights import load_mean, save_mean

KILLS = int(os.environ.get("CAFFE_FILLERS_KILLS", "8"))
FORMATS = [".npz", ".caffemodel", ".h5", ".safetensors"]
COMMAND = [sys.executable, "-m", "caffe_fillers"]
needs_kill = pytest.mark.skipif(os.name != "posix", reason="NOT RUN: this system has no kill -9")


def weights(value, count=1 << 20):
    return {"a": [np.full(count, value, np.float32), np.full(3, value, np.float32)], "b": [np.full(7, float(value))]}


def check_whole(path, values):
    loaded = cf.load_weights(path)
    seen = {array.flat[0] for blobs in loaded.values() for array in blobs}
    assert len(seen) == 1
    assert seen <= values
    assert all((array == array.flat[0]).all() for blobs in loaded.values() for array in blobs)
    assert [len(blobs) for blobs in loaded.values()] == [2, 1]


def check_clean(folder, names):
    """Only the target and, of the killed, temporary files are left; the next writer removes these."""
    left = set(os.listdir(folder)) - names
    assert all(name.startswith(".caffe_fillers-") and name.endswith(".tmp") for name in left), left
    cf.save_weights(folder / "last.npz", weights(0, 5))
    assert set(os.listdir(folder)) == names | {"last.npz"}
    os.unlink(folder / "last.npz")


@needs_kill
@pytest.mark.parametrize("suffix", FORMATS)
def test_kill_while_saving(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    cf.save_weights(path, weights(0))
    program = textwrap.dedent("""
        import sys, numpy as np, caffe_fillers as cf
        sizes = ((1 << 20,), (3,))
        made = [{"a": [np.full(n, v, np.float32) for n in sizes], "b": [np.full(7, float(v))]} for v in (1, 2)]
        print("ready", flush=True)
        while True:
            for each in made:
                cf.save_weights(sys.argv[1], each)
    """)
    dice = random.Random(suffix)
    for _ in range(-(-KILLS // (2 * len(FORMATS)))):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(dice.uniform(0, 0.15))
            process.kill()
        assert process.returncode == -9
        check_whole(path, {0, 1, 2})
    check_clean(tmp_path, {path.name})


@needs_kill
@pytest.mark.parametrize("suffix", FORMATS)
def test_kill_while_converting(tmp_path, suffix):
    source, folder = tmp_path / "source.caffemodel", tmp_path / "out"
    folder.mkdir()
    path = folder / f"w{suffix}"
    cf.save_weights(source, weights(1, 1 << 22))
    cf.save_weights(path, weights(0, 1 << 22))
    program = "import sys\nfrom caffe_fillers.cli import main\nprint('ready', flush=True)\nmain(sys.argv[1:])"
    dice = random.Random(suffix)
    for _ in range(-(-KILLS // (2 * len(FORMATS)))):
        arguments = [sys.executable, "-c", program, "convert", str(source), str(path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(dice.uniform(0, 0.12))
            process.kill()
        check_whole(path, {0, 1})
        check_whole(source, {1})
    check_clean(folder, {path.name})


@pytest.fixture
def small_disk(tmp_path):
    """Mount 3 MB of memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("NOT RUN: only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk(small_disk, tmp_path, suffix):
    path, source = small_disk / f"w{suffix}", tmp_path / "source.npz"
    cf.save_weights(path, weights(0, 5))
    cf.save_weights(source, weights(1))
    before = path.read_bytes()
    with pytest.raises(cf.CaffeError, match="No space left"):
        cf.save_weights(path, weights(1))
    done = subprocess.run([*COMMAND, "convert", str(source), str(path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert path.read_bytes() == before
    assert os.listdir(small_disk) == [path.name]


def test_a_full_disk_of_prototxts_and_means(small_disk, root):
    (small_disk / "ballast").write_bytes(bytes(3 << 20 & ~4095))
    model = root / "examples" / "mnist" / "lenet_train_test.prototxt"
    with pytest.raises(cf.CaffeError, match="No space left"):
        cf.write_prototxt(small_disk / "net.prototxt", cf.read_net(model))
    with pytest.raises(cf.CaffeError, match="No space left"):
        save_mean(small_disk / "mean.binaryproto", np.ones((3, 64, 64), np.float32))
    assert os.listdir(small_disk) == ["ballast"]


@pytest.mark.parametrize("command", ["init", "convert", "upgrade"])
def test_a_target_that_is_a_directory(tmp_path, root, command):
    out = tmp_path / "out.npz"
    out.mkdir()
    model = root / "examples" / "mnist" / "lenet_train_test.prototxt"
    if command == "init":
        arguments = ["init", model, "--input", "data=1x28x28", "--seed", "1", "-o", out]
    elif command == "convert":
        cf.save_weights(tmp_path / "w.npz", weights(1, 5))
        arguments = ["convert", tmp_path / "w.npz", out]
    else:
        arguments = ["upgrade", model, "-o", out]
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert "is a directory" in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert os.listdir(out) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_changes_while_it_is_read(tmp_path, suffix):
    """It is cut, grown and overwritten in place by another thread: values or CaffeError come out, nothing else."""
    path = tmp_path / f"w{suffix}"
    cf.save_weights(path, weights(1, 1 << 18))
    whole = path.read_bytes()
    stop = threading.Event()

    def change():
        dice = random.Random(suffix)
        with open(path, "r+b", buffering=0) as file:
            while not stop.is_set():
                attack = dice.randrange(3)
                if attack == 0:
                    file.truncate(dice.randrange(len(whole)))
                elif attack == 1:
                    file.seek(dice.randrange(len(whole)))
                    file.write(dice.randbytes(100))
                else:
                    file.seek(0)
                    file.write(whole)
                time.sleep(dice.choice((0, 0.001)))

    thread = threading.Thread(target=change)
    thread.start()
    errors, started = [], time.monotonic()
    try:
        while time.monotonic() < started + (1 if errors else 20):
            try:
                cf.load_weights(path)
            except cf.CaffeError as error:
                errors.append(str(error))
    finally:
        stop.set()
        thread.join()
    assert errors
    assert all(str(path) in error for error in errors)
    path.write_bytes(whole)
    check_whole(path, {1})


def test_a_file_that_is_cut_between_two_reads(tmp_path):
    path = tmp_path / "mean.binaryproto"
    save_mean(path, np.ones((3, 64, 64), np.float32))
    for size in (0, 1, 10, path.stat().st_size - 1):
        os.truncate(path, size)
        with pytest.raises(cf.CaffeError, match=r"mean\.binaryproto"):
            load_mean(path)
        save_mean(path, np.ones((3, 64, 64), np.float32))
