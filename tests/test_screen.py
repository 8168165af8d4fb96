"""Terminal output: tables that fit, colours, help, completion, errors for scripts."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import caffe_fillers as cf
from caffe_fillers.cli import main
from caffe_fillers.cli.output import print_table

NET = str(Path(__file__).parents[1] / "examples/mnist/lenet_train_test.prototxt")
COLUMNS = [("layer", "layer", "left"), ("a", "first", "right"), ("b", "second", "right"), ("c", "third", "right")]


def on_screen(width: int, rows: list[dict[str, object]], wide: bool = False) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    print_table(rows, COLUMNS, console=console, wide=wide)
    return file.getvalue().splitlines()


def test_numbers_are_never_cut_and_names_are_shortened_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, object]] = [
        {"layer": "inception_3a/double_3x3_reduce/bn", "a": 5.24e-09, "b": 1234567, "c": 0.5}
    ]
    heading, line = on_screen(80, rows)
    assert line.split() == ["inception_3a/double_3x3_reduce/bn", "5.24e-09", "1234567", "0.5"]
    heading, line = on_screen(40, rows)
    assert heading.split() == ["layer", "first", "second", "third"]
    assert len(line) <= 40
    assert line.split()[1:] == ["5.24e-09", "1234567", "0.5"]
    assert re.match(r"incep\w*….*/bn ", line)
    assert capsys.readouterr().out == ""
    heading, line = on_screen(31, rows)
    assert heading.split() == ["layer", "first", "second"]
    assert capsys.readouterr().out == "no room for third (--wide)\n"
    assert on_screen(5, rows)[0].strip() == "layer"


ONE_BY_ONE = """
import json, sys
from caffe_fillers.cli import main
for args in json.loads(sys.argv[1]):
    main(args, standalone_mode=False)
    print(chr(12), flush=True)
"""


def terminal(width: int, *commands: list[str]) -> list[str]:
    """Return the output of some commands on a terminal of that width."""
    parent, child = pty.openpty()
    env = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    env.pop("NO_COLOR", None)
    process_of_all = [sys.executable, "-c", ONE_BY_ONE, json.dumps(commands)]
    with subprocess.Popen(process_of_all, stdout=child, stderr=subprocess.DEVNULL, env=env) as process:
        os.close(child)
        said = b""
        while True:
            try:
                more = os.read(parent, 65536)
            except OSError:
                break
            if not more:
                break
            said += more
    os.close(parent)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r\n", "\n")
    return text.split("\f\n")[: len(commands)]


@pytest.mark.parametrize("width", [80, 120])
def test_signal_and_show_fit_a_terminal(width: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    options = [NET, "--input", "data=1x28x28", "--seed", "1"]
    *tables, wide = terminal(
        width, *([command, *options] for command in ("signal", "show", "init")), ["signal", *options, "--wide"]
    )
    for said in tables:
        rows = [line for line in said.splitlines() if re.match(r"(layer|conv\d|ip\d)\s", line)]
        assert len({len(re.split(r"\s\s+", row.strip())) for row in rows}) <= 2
        assert max(map(len, rows)) <= width
        # each number is whole: what is cut ends in dots
        assert "…" not in "".join(rows)
        assert len(rows) in (5, 9)
    assert len(tables) == 3
    assert width > 80 or "--wide" in tables[0]
    assert "variance" in wide.splitlines()[1]


def test_no_color_holds_for_errors() -> None:
    for variable, coloured in (("", True), ("1", False)):
        env = {"NO_COLOR": variable}
        said = CliRunner(env=env).invoke(main, ["init", "nope.prototxt"], color=True).stderr
        assert ("\x1b" in said) is coloured


def test_the_line_for_completion_can_be_copied() -> None:
    for width in ("80", "60"):
        said = CliRunner(env={"COLUMNS": width}).invoke(main, ["--help"], terminal_width=int(width)).stdout
        assert '\n  eval "$(_CAFFE_FILLERS_COMPLETE=bash_source caffe-fillers)"\n' in said


@pytest.mark.parametrize(("begun", "found"), [("--boost 1.5", "1.54"), ("--caffe r", "rc3"), ("--caffe m", "master")])
def test_completion(begun: str, found: str) -> None:
    words = ["caffe-fillers", "init", *begun.split()]
    env = {
        **os.environ,
        "_CAFFE_FILLERS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    program = "from caffe_fillers.cli import main; main(prog_name='caffe-fillers')"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert f"plain,{found}" in done.stdout.splitlines()


def test_errors_are_json_too() -> None:
    result = CliRunner().invoke(main, ["init", "nope.prototxt", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"error": "can't read nope.prototxt: No such file or directory", "exit_code": 1}
    assert result.stderr.startswith("error: can't read")
    result = CliRunner().invoke(main, ["init", NET, "--json", "--seed", "-1"])
    assert result.exit_code == 2
    assert "--seed" in json.loads(result.stdout)["error"]
    assert CliRunner().invoke(main, ["init", "nope.prototxt"]).stdout == ""


def test_a_net_of_zeros_draws_a_plot_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        'input: "x" input_shape { dim: 1 dim: 4 }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    with pytest.warns(cf.CaffeWarning, match="all weights of this net are 0"):
        net = cf.Net(tmp_path / "net.prototxt", rng=1)
    cf.signal(net).plot(tmp_path / "signal.html")
    assert "all weights are 0: no signal passes" in (tmp_path / "signal.html").read_text()


def test_an_npz_can_be_looped_over(tmp_path: Path) -> None:
    net = cf.Net(NET, rng=1, inputs={"data": (1, 28, 28)})
    net.save(tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as file:
        shapes = {name: file[name].shape for name in file}
        record = file["provenance.json"]
    assert shapes["conv1/0"] == (20, 1, 5, 5)
    assert (record.shape, record.dtype.kind) == ((), "U")
    assert json.loads(str(record))["seed"] == 1
    # the entry of old files is still read
    import zipfile

    with zipfile.ZipFile(tmp_path / "w.npz") as new, zipfile.ZipFile(tmp_path / "old.npz", "w") as old:
        for name in new.namelist():
            if name == "provenance.json.npy":
                old.writestr("provenance.json", str(record))
            else:
                old.writestr(name, new.read(name))
    assert cf.load_weights(tmp_path / "old.npz").source.provenance["seed"] == 1


def test_signal_keeps_its_answers_at_80_columns() -> None:
    (printed,) = terminal(80, ["signal", NET, "--input", "data=1x28x28"])
    heading = next(line for line in printed.splitlines() if line.startswith("layer "))
    for answer in ("gain", "gain back", "forward", "backward", "variance"):
        assert answer in heading, printed
    assert len(heading) <= 80
    assert re.search(r"no room for .*filler", printed)
