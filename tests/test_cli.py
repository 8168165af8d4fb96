"""The command line: outputs, exit codes, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

import caffe_fillers as cf
from caffe_fillers.cli import main

SOLVER = "examples/mnist/lenet_solver.prototxt"
NET = "examples/mnist/lenet_train_test.prototxt"
INPUT = ("--input", "data=1x28x28")


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch, root):
    monkeypatch.chdir(root)


def run(*args):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(result, *texts, code=1):
    assert result.exit_code == code
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    for text in texts:
        assert text in result.stderr
    if code == 1:
        assert len(result.stderr.strip().splitlines()) <= 2
    return result


def test_init_gives_the_bits_of_the_tutorial(tmp_path, golden):
    wanted = json.loads((golden / "mnist" / "lenet_xavier_seed1701.json").read_text())["initial_weights"]
    from hashlib import sha256

    for suffix in (".npz", ".caffemodel"):
        out = tmp_path / f"lenet{suffix}"
        result = run("init", SOLVER, *INPUT, "-o", out)
        assert result.exit_code == 0
        assert "seed 1701" in result.stdout
        weights = cf.load_weights(out)
        for blob in wanted:
            array = weights[blob["layer"]][blob["index"]]
            assert sha256(array.tobytes()).hexdigest() == blob["sha256"]


def test_init_shows_a_table_and_the_ledger():
    result = run("init", SOLVER, *INPUT, "--draws")
    row = next(line for line in result.stdout.splitlines() if line.startswith("conv2"))
    assert row.split() == ["conv2", "0", "weight", "50x20x5x5", "xavier", "500", "1250", "0.0447214"]
    assert "prefetch thread" in result.stdout
    found = json.loads(run("init", SOLVER, *INPUT, "--json").stdout)
    assert found["seed"] == 1701
    assert [draw["count"] for draw in found["draws"]] == [1, 500, 25000, 400000, 5000]
    assert found["test_nets"][0]["draws"][0]["start"] == 430501


def test_a_seed_from_entropy_is_printed_so_that_the_run_can_be_had_again(tmp_path):
    one = json.loads(run("init", NET, *INPUT, "-o", tmp_path / "a.npz", "--json").stdout)
    run("init", NET, *INPUT, "-o", tmp_path / "b.npz", "--seed", one["seed"])
    assert run("compare", tmp_path / "a.npz", tmp_path / "b.npz").exit_code == 0
    other = json.loads(run("init", NET, *INPUT, "--json").stdout)
    assert one["seed"] != other["seed"]


def test_the_level_of_the_command_replaces_a_solver_s_own(tmp_path):
    (tmp_path / "s.prototxt").write_text(
        """train_net_param {
             layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
             layer { name: "deep" type: "Silence" bottom: "x" include { min_level: 2 } }
             layer { name: "staged" type: "InnerProduct" bottom: "x" top: "y" include { stage: "a" }
                     inner_product_param { num_output: 2 } } }
           train_state { level: 2 }"""
    )
    assert [layer.name for layer in cf.Solver(tmp_path / "s.prototxt").net.layers] == ["x", "deep"]
    found = json.loads(run("init", tmp_path / "s.prototxt", "--seed", 1, "--stage", "a", "--json").stdout)
    assert [row["layer"] for row in found["blobs"]] == ["staged", "staged"]


def test_show_a_net_and_a_file(tmp_path):
    run("init", SOLVER, *INPUT, "-o", tmp_path / "lenet.npz")
    shown = json.loads(run("show", tmp_path / "lenet.npz", "--json").stdout)
    assert shown["seed"] == 1701
    row = shown["blobs"][0]
    assert (row["layer"], row["shape"], row["fan_in"]) == ("conv1", [20, 1, 5, 5], 25)
    assert row["measured"] == pytest.approx(0.2018892914, rel=1e-6)
    assert "xavier" in run("show", NET, *INPUT, "--seed", 3).stdout
    assert "conv1" in run("show", "tests/golden/mnist/lenet_iter_0.caffemodel").stdout


def test_compare_and_its_exit_codes(tmp_path):
    golden = "tests/golden/mnist/lenet_iter_0.caffemodel"
    same = run("compare", golden, SOLVER, *INPUT)
    assert (same.exit_code, same.stdout.strip()) == (0, "8 of 8 blobs are equal bit for bit")
    other = run("compare", golden, NET, *INPUT, "--seed", 1)
    assert other.exit_code == 1
    assert "conv1/0" in other.stdout
    assert json.loads(run("compare", golden, NET, *INPUT, "--seed", 1, "--json").stdout)["equal"] is False
    refused(run("compare", golden, tmp_path / "nope.npz"), "nope.npz")


def test_convert_round_trip(tmp_path):
    golden = "tests/golden/mnist/lenet_iter_0.caffemodel"
    for suffix in ("npz", "h5", "safetensors"):
        assert run("convert", golden, tmp_path / f"w.{suffix}").exit_code == 0
        assert run("convert", tmp_path / f"w.{suffix}", tmp_path / f"{suffix}.caffemodel").exit_code == 0
        assert run("compare", golden, tmp_path / f"{suffix}.caffemodel").exit_code == 0
    assert run("convert", golden, tmp_path / "torch.npz", "--names", "torch").exit_code == 0
    with np.load(tmp_path / "torch.npz") as file:
        assert file["conv1.weight"].shape == (20, 1, 5, 5)
    refused(run("convert", golden, tmp_path / "w.xyz"), ".npz")


def test_upgrade_writes_today_s_form_and_again_changes_nothing(tmp_path):
    old = "tests/golden/nets/own2__v0_types.prototxt"
    one, two = tmp_path / "one.prototxt", tmp_path / "two.prototxt"
    assert run("upgrade", old, "-o", one).exit_code == 0
    assert run("upgrade", one, "-o", two).exit_code == 0
    assert one.read_text() == two.read_text()
    assert "layers" not in one.read_text()
    solver = tmp_path / "solver.prototxt"
    solver.write_text('net: "x" solver_type: ADAM')
    assert run("upgrade", solver, "-o", two).exit_code == 0
    assert 'type: "Adam"' in two.read_text()


@pytest.mark.slow
def test_seed_finds_the_seed():
    golden = "tests/golden/mnist/lenet_iter_0.caffemodel"
    for net in (NET, SOLVER):
        found = run("seed", golden, net, *INPUT)
        assert found.stdout.splitlines()[0] == "seed 1701"
        assert found.stdout.splitlines()[-1] == "8 of 8 blobs hold their initial bits"
    assert run("seed", golden, NET, *INPUT, "--layer", "ip2", "--threads", 2).exit_code == 0
    printed = json.loads(run("seed", golden, NET, *INPUT, "--json", "--from", 1701, "--to", 1701).stdout)
    assert printed["seed"] == 1701
    assert printed["found"][0]["same"][:2] == ["conv1/0", "conv1/1"]
    missing = run("seed", golden, NET, *INPUT, "--to", "1700")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr.startswith("no seed found\nconv1/0: seeds 0 to 1700 at once")
    refused(run("seed", golden, NET, *INPUT, "--layer", "conv1/1"), "filled by constant")
    refused(run("seed", golden, NET, *INPUT, "--from", 2**32), "--from", code=2)
    refused(run("seed", golden, NET, *INPUT, "--from", 8, "--to", 7), "--from", "8 is above 7", code=2)


SMALL = """input: "data" input_shape { dim: 1 dim: 4 }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }"""


def test_a_search_tells_how_long_it_takes_and_how_to_go_on(tmp_path):
    (tmp_path / "net.prototxt").write_text(SMALL)
    run("init", tmp_path / "net.prototxt", "--seed", 4294967295, "-o", tmp_path / "net.npz")
    # what runs in a shell's background ignores Ctrl-C, and so would this
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{heed}; from caffe_fillers.cli import main; main()"
    command = [sys.executable, "-c", start, "seed", tmp_path / "net.npz", tmp_path / "net.prototxt"]
    # the machine may be too busy for a single step
    for pause in (0.1, 1, 10):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert "trying one seed after another" in process.stderr.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGINT)
            said, printed = process.communicate()
        assert process.returncode == 130
        assert said == ""
        reached = int(re.search(r"continue with --from (\d+)\n$", printed)[1])
        if reached:
            break
    assert 0 < reached < 2**32
    found = run("seed", tmp_path / "net.npz", tmp_path / "net.prototxt", "--from", 2**32 - 100000)
    assert found.stdout.startswith("seed 4294967295\n")


BAD = [
    (("init", "nope.prototxt"), "nope.prototxt"),
    (("init", "examples"), "directory"),
    (("init", NET), "--input mnist=CxHxW"),
    (("init", NET, "--input", "data=1x2"), "three dims"),
    (("init", NET, *INPUT, "--boost", "1.30"), "1.47"),
    (("init", NET, *INPUT, "--caffe", "2.0"), "v0.9999"),
    (("init", NET, *INPUT, "-o", "no/such/folder/w.npz"), "no/such/folder"),
    (("init", NET, *INPUT, "-o", "examples"), "examples"),
    (("init", NET, *INPUT, "-o", "w.xyz"), ".npz"),
    (("init", NET, *INPUT, "--weights", "nope.caffemodel"), "nope.caffemodel"),
    (("show", "nope.caffemodel"), "nope.caffemodel"),
    (("show", "README.md"), "README.md"),
    (("convert", NET, "w.npz"), "text"),
    (("upgrade", "README.md", "-o", "x.prototxt"), "README.md"),
]


@pytest.mark.parametrize(("args", "text"), BAD)
def test_bad_input_is_one_clear_error(args, text):
    refused(run(*args), text)


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nope",),
        ("init",),
        ("init", NET, "--seed", "-1"),
        ("init", NET, "--seed", "4294967296"),
        ("init", NET, "--input", "data"),
        ("init", NET, "--input", "data=1xx"),
        ("init", NET, "--phase", "train"),
        ("init", NET, "--input", "data=1", "--input", "data=2"),
        ("init", NET, "--threads", "0"),
        ("upgrade", NET),
    ],
)
def test_wrong_usage(args):
    result = run(*args)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def nested(depth):
    return "layer { " * depth + "}" * depth


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x01\x02\xff" * 1000,
        b'layer { name: "a" type: "Input" top: "x" ',
        nested(1000).encode(),
        b"input_param { " * 100_000,
        "layer { name: 'a' }".encode("utf-16"),
        b"<<<<<<< HEAD\nname: 'x'\n=======\n",
        b'name: "a\nb"',
        b'layer { name: "a" type: "Input" top: "x" } layers { name: "b" type: RELU }',
    ],
    ids=["empty", "binary", "truncated", "nested", "deep", "utf-16", "merge", "newline", "mixed"],
)
def test_broken_prototxts(tmp_path, content):
    path = tmp_path / "broken.prototxt"
    path.write_bytes(content)
    result = run("init", path, "--seed", 1)
    if content:
        refused(result, str(path))
    else:
        assert "the net has no parameters" in result.stderr


def test_a_prototxt_of_100_mb_is_refused_quickly(tmp_path):
    path = tmp_path / "large.prototxt"
    with open(path, "wb") as file:
        file.truncate(100 << 20)
    refused(run("init", path), "large.prototxt")


def test_nothing_is_left_behind_where_writing_fails(tmp_path):
    old = tmp_path / "w.npz"
    old.write_bytes(b"old")
    (tmp_path / "link.npz").symlink_to(tmp_path / "missing" / "w.npz")
    assert run("init", NET, *INPUT, "-o", tmp_path / "link.npz").exit_code == 1
    assert run("init", NET, "-o", old).exit_code == 1
    assert old.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "w.npz"]


def test_as_a_module_and_through_a_closed_pipe(root, tmp_path):
    # from elsewhere, lest the checkout be imported
    command = [sys.executable, "-m", "caffe_fillers"]
    done = subprocess.run([*command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert cf.__version__ in done.stdout
    script = f"{sys.executable} -m caffe_fillers init {root / SOLVER} --input data=1x28x28 | head -n 1"
    piped = subprocess.run(script, cwd=tmp_path, shell=True, capture_output=True, text=True, check=True)
    assert piped.stdout.startswith("layer")
    assert piped.stderr == ""


SHELL = [sys.executable, "-m", "caffe_fillers"]


def in_a_shell(script, cwd, **streams):
    """Run a line of bash in which $C is the command line, with standard output buffered as usual."""
    setting = f"unset PYTHONUNBUFFERED; C={shlex.quote(shlex.join(SHELL))}"
    return subprocess.run(["bash", "-c", f"{setting}; {script}"], cwd=cwd, text=True, **streams)


@pytest.mark.parametrize("line", ["init NET --seed 1", "init NET --seed 1 --json", "upgrade NET -o -", "show -h", "-h"])
def test_a_reader_that_has_gone_is_not_a_difference(root, tmp_path, line):
    line = line.replace("NET", str(root / "examples/mnist/lenet.prototxt"))
    done = in_a_shell(f"$C {line} | true; exit ${{PIPESTATUS[0]}}", tmp_path, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("init - --seed 1 <&-", "-: standard input is closed"),
        ("upgrade NET -o - >&-", "standard output is closed"),
        ("deploy NET -o - >&-", "standard output is closed"),
        ("init NET --seed 1 >/dev/full", "standard output cannot be written: No space left"),
        ("--help >/dev/full", "standard output cannot be written: No space left"),
    ],
)
def test_closed_and_full_streams_are_said(root, tmp_path, line, said):
    line = line.replace("NET", str(root / "examples/mnist/lenet.prototxt"))
    done = in_a_shell(f"$C {line}", tmp_path, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")


def test_ctrl_c_has_its_own_exit_code(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cf, "read_prototxt", interrupted)
    done = run("init", NET)
    assert (done.exit_code, done.stderr) == (130, "stopped\n")


def test_no_colour_off_a_terminal():
    assert "\x1b" not in run("init", SOLVER, *INPUT).stdout
    assert "\x1b" not in run("init", NET).stderr
