"""caffe-fillers train, test and curves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers.cli import main

from .conftest import NET, TRAININGS

ROOT = Path(__file__).parents[2]


def run(*args, code: int = 0):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def files(small):
    small("display: 1 test_iter: 2 test_interval: 5")
    return "solver.prototxt"


def test_train_prints_what_caffe_prints(files, here):
    lines = run("train", files, "--iterations", 6).stdout.splitlines()
    assert lines[:3] == ["Starting Optimization", "Solving small", "Learning Rate Policy: fixed"]
    assert "Iteration 0, Testing net (#0)" in lines
    assert sum(line.startswith("    Test net output #0: loss = ") for line in lines) == 2
    assert lines[-1] == "Optimization Done."
    assert (here / "solver_iter_6.solverstate").exists()


def test_train_writes_log_curves_and_picture(files, here):
    run("train", files, "--log", "a.log", "--plot", "a.png", "--json", "a.json")
    found = json.loads((here / "a.json").read_text())
    solver = cf.Solver(files)
    solver.solve()
    assert found == json.loads(json.dumps(solver.curves.to_dict()))
    assert (here / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (here / "a.log").read_text().count("Iteration 10, loss = ") == 1


def test_train_goes_on_from_a_snapshot(files, here):
    run("train", files, "--iterations", 4, "--log", "a.log")
    run("train", files, "--snapshot", "solver_iter_4.solverstate", "--log", "a.log")
    solver = cf.Solver(files)
    solver.step(10)
    model = cf.load_weights("solver_iter_10.caffemodel")
    assert model["a"][0].tobytes() == solver.net.params["a"][0].data.tobytes()
    text = (here / "a.log").read_text()
    assert "Resuming from solver_iter_4.solverstate" in text
    assert text.count("Creating Layer a\n") == 4
    shown = run("curves", "a.log").stdout
    assert "11 losses" in shown


def test_train_takes_weights_a_seed_and_a_state(files, here):
    run("train", files, "--iterations", 1)
    args = ("--iterations", 0, "--weights", "solver_iter_1.caffemodel", "--seed", 5)
    assert "there is nothing to train" in run("train", files, *args).stderr
    one, none = (cf.load_weights(f"solver_iter_{i}.caffemodel") for i in (1, 0))
    assert one["a"][0].tobytes() == none["a"][0].tobytes()
    (here / "other.prototxt").write_text(NET.replace('name: "small"', 'name: "other"'))
    assert "Solving other" in run("train", files, "--iterations", 1, "--net", "other.prototxt").stdout
    (here / "net.prototxt").write_text(NET + 'layer { name: "s" type: "Silence" bottom: "a" include { stage: "q" } }')
    run("train", files, "--iterations", 1, "--stage", "q", "--level", 2, "--log", "a.log")
    assert "Creating Layer s\n" in (here / "a.log").read_text()


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["--weights", "a", "--snapshot", "b"], 2, "Give a snapshot to resume training or weights to finetune"),
        (["--plot", "a.xyz"], 1, "must end in one of"),
        (["--plot", "nowhere/a.png"], 1, "the folder nowhere does not exist"),
        (["--json", "nowhere/a.json"], 1, "the folder nowhere does not exist"),
        (["--log", "nowhere/a.log"], 1, "the log cannot be written"),
        (["--snapshot", "nowhere"], 1, "nowhere"),
        (["--weights", "nowhere"], 1, "nowhere"),
        (["--seed", "-1"], 2, "4294967295"),
    ],
)
def test_train_refuses_before_it_begins(files, here, args, code, text):
    result = run("train", files, *args, code=code)
    assert text in result.output
    assert not [*here.glob("*.caffemodel")]


def test_threads_of_products_need_threadpoolctl(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    run("train", files, "--iterations", 1)
    refused = run("train", files, "--iterations", 1, "--blas-threads", 3, code=1)
    assert "pip install threadpoolctl, or set OPENBLAS_NUM_THREADS=3" in refused.output


def test_train_refuses_a_solver_without_a_net(here):
    (here / "solver.prototxt").write_text("max_iter: 3")
    assert "SolverParameter must specify a train net" in run("train", "solver.prototxt", code=1).output


def test_a_full_disk_stops_or_does_not(files, here):
    (here / "solver.prototxt").write_text((here / "solver.prototxt").read_text() + " snapshot: 3")
    (here / "solver_iter_3.caffemodel").mkdir()
    assert "is a directory" in run("train", files, code=1).output
    assert "the training goes on" in run("train", files, "--on-full-disk", "go-on").stderr
    assert (here / "solver_iter_10.solverstate").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_finishes_the_iteration_and_says_how_to_go_on(small, here):
    small("max_iter: 1000000 snapshot_after_train: false")
    # what runs in a shell's background ignores Ctrl-C, and so would this
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from caffe_fillers.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", "solver.prototxt", "--log", "a.log"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    while not (here / "a.log").exists() or "Solving" not in (here / "a.log").read_text():
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGHUP)
    while not [*here.glob("*.solverstate")]:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    state = said.strip().rpartition(" ")[2]
    done = int(state.removeprefix("solver_iter_").removesuffix(".solverstate"))
    assert said.strip() == (
        f"stopped after iteration {done}; go on with: caffe-fillers train solver.prototxt --snapshot {state}"
    )
    assert "Optimization stopped early." in (here / "a.log").read_text()
    solver = cf.Solver("solver.prototxt")
    solver.restore(state)
    assert solver.iter == done


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
def test_on_a_terminal_there_is_a_bar_and_a_table_of_each_test(files, here):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "caffe_fillers", "train", files]
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(command, stderr=theirs, stdout=theirs, env=env)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "10/10" in text
    assert "lr 0.05" in text
    for iteration in (0, 5, 10):
        assert f"test at iteration {iteration}\r\n" in text
    assert text.count("0  loss") == 3


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo terminal")
def test_a_pipe_gets_the_lines_though_the_errors_go_to_a_terminal(files, here):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "caffe_fillers", "train", files]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, env=env, text=True)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0
    assert done.stdout.startswith("Starting Optimization\n")
    assert "Iteration 0, lr = " in done.stdout


def test_test_scores_as_caffe_does(small, here):
    solver = small("test_iter: 3 test_interval: 100")
    solver.solve()
    lines = run("test", "net.prototxt", "--weights", "solver_iter_10.caffemodel", "--iterations", 2, "--seed", 4).stdout
    net = cf.Net("net.prototxt", "TEST", weights="solver_iter_10.caffemodel", rng=4)
    batches = [float(net.forward()["loss"]) for _ in range(2)]
    mean = f"{sum(batches) / 2:g}"
    assert lines.splitlines() == [
        *(f"Batch {i}, loss = {loss:g}" for i, loss in enumerate(batches)),
        f"Loss: {mean}",
        f"loss = {mean} (* 1 = {mean} loss)",
    ]
    args = ("test", "net.prototxt", "--weights", "solver_iter_10.caffemodel", "--iterations", 2, "--seed", 4, "--json")
    assert f"{json.loads(run(*args).stdout)['outputs']['loss'][0]:g}" == mean
    assert "nowhere" in run("test", "net.prototxt", "--weights", "nowhere", code=1).output


@pytest.mark.slow
def test_curves_reads_and_draws_logs(here):
    log = TRAININGS / "lenet_adam.log"
    text = run("curves", log, "--plot", "a.svg").stdout
    assert "0.943" in text
    assert "loss 0.0631699 at iteration 150, 151 losses" in text
    assert "<svg" in (here / "a.svg").read_text()[:1000]
    found = json.loads(run("curves", log, log, "--json").stdout)[str(log)]
    assert found["loss"][0] == [0, 2.32426]
    assert "cannot be read" in run("curves", "nowhere", code=1).output
