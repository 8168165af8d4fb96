"""The log against one that `caffe train` wrote, whole; and against what Caffe's own parsers look for."""

from __future__ import annotations

import datetime
import json
import re
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

import caffe_fillers as cf
from caffe_fillers.training import LogFile, read_log, setup_lines

from .conftest import NET, TRAININGS

PREFIX = re.compile(r"^[IWEF](\d{4,8}) (\d\d:\d\d:\d\d\.\d{6}) +(\d+) (\S+:\d+)\] ")
RATES = re.compile(r"\(.* iter/s, .*s/")


def plain(path) -> list[str]:
    """The lines without time, process and speed."""
    return [RATES.sub("(", PREFIX.sub(r"\4] ", line)) for line in path.read_text().splitlines()]


@pytest.fixture
def logged(beside_databases):
    """A run of LeNet under Adam with its log, as `caffe-fillers train --log` writes it."""
    for name in ("lenet_adam.prototxt", "lenet_adam_solver.prototxt"):
        shutil.copy(TRAININGS / name, beside_databases)
    message = cf.read_solver("lenet_adam_solver.prototxt")
    message.train_state.level = 0
    message.train_state.stage.append("")
    solver = cf.Solver(message, beside="lenet_adam_solver.prototxt")
    with LogFile("ours.log") as log:
        for place, text in setup_lines(solver):
            log(place, text)
        solver.log = log
        solver.say("caffe.cpp:239", "Starting Optimization")
        solver.solve(iterations=5)
    return beside_databases / "ours.log", solver


def test_lines_are_caffes_in_form_and_order(logged):
    path, _ = logged
    ours, theirs = plain(path), plain(TRAININGS / "lenet_adam.log")
    # the thread that reads ahead says so when it comes to the end
    theirs = [line for line in theirs if "Restarting data prefetching" not in line]
    end = next(i for i, line in enumerate(ours) if "Snapshotting to" in line)
    assert end > 500
    assert ours[:end] == theirs[:end]
    assert ours[end:] == [
        "solver.cpp:464] Snapshotting to binary proto file lenet_adam_iter_5.caffemodel",
        "sgd_solver.cpp:284] Snapshotting solver state to binary proto file lenet_adam_iter_5.solverstate",
        "solver.cpp:327] Iteration 5, loss = 1.34736",
        "solver.cpp:332] Optimization Done.",
    ]


def test_caffes_parsers_read_it(logged):
    path, solver = logged
    lines = path.read_text().splitlines()
    # extract_seconds.py: month, day and time are cut out of the first two words of a line
    start = next(line for line in lines if "Solving" in line)
    times = []
    for line in [start, *(line for line in lines if "Iteration" in line)]:
        day, moment = line.split()[:2]
        clock, micro = moment.split(".")
        times.append(datetime.datetime(2016, int(day[1:3]), int(day[3:]), *map(int, clock.split(":")), int(micro)))
    assert times == sorted(times)
    # parse_log.py's patterns
    train = re.findall(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)", path.read_text())
    test = re.findall(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)", path.read_text())
    rates = re.findall(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)", path.read_text())
    assert [name for _, name, _ in test] == ["accuracy", "loss"]
    assert [float(value) for _, _, value in train] == [float(f"{solver.curves.loss[i]:g}") for i in range(5)]
    assert [rate for rate, _ in rates] == ["0.001"] * 5


def test_curves_come_back_from_the_log(logged):
    path, solver = logged
    curves = read_log(path)
    assert curves.loss == {i: float(f"{value:g}") for i, value in solver.curves.loss.items()}
    assert curves.lr.keys() == solver.curves.lr.keys()
    assert curves.test == {0: {0: {k: float(f"{v:g}") for k, v in solver.curves.test[0][0].items()}}}


def test_curves_of_caffes_own_log():
    curves = read_log(TRAININGS / "lenet_adam.log")
    golden = json.loads((TRAININGS / "lenet_adam.json").read_text())
    assert [curves.loss[i] for i in range(150)] == golden["loss"]
    assert [curves.lr[i] for i in range(150)] == golden["lr"]
    assert {str(i): {str(k): v for k, v in nets.items()} for i, nets in curves.test.items()} == golden["test"]


@pytest.mark.parametrize("content", ["", "nothing of a training\n"])
def test_a_file_that_is_no_log(here, content):
    (here / "a.log").write_text(content)
    with pytest.raises(cf.CaffeError, match="holds no line of a training"):
        read_log("a.log")
    with pytest.raises(cf.CaffeError, match=r"nowhere.log: cannot be read"):
        read_log("nowhere.log")


def logged_lines(solver, count=1) -> list[str]:
    lines: list[str] = []
    solver.log = lambda place, text, severity="I": lines.append(f"{severity} {place}] {text}")
    solver.step(count)
    return lines


def test_debug_info_says_what_each_layer_made(small):
    solver, plain_solver = small("display: 2 debug_info: true"), small("display: 2")
    lines = logged_lines(solver, 2)
    data = [np.abs(plain_solver.net.params[name][0].data).mean() for name in ("a", "b")]
    plain_solver.step(2)
    # looking changes nothing
    assert solver.net.params["a"][0].data.tobytes() == plain_solver.net.params["a"][0].data.tobytes()
    forward = [line for line in lines if "[Forward]" in line]
    assert [line.split(" data: ")[0] for line in forward[:4]] == [
        "I net.cpp:593]     [Forward] Layer data, top blob x",
        "I net.cpp:593]     [Forward] Layer data, top blob t",
        "I net.cpp:593]     [Forward] Layer a, top blob a",
        "I net.cpp:605]     [Forward] Layer a, param blob 0",
    ]
    said = [float(line.split(" data: ")[1]) for line in forward if "param blob 0" in line]
    np.testing.assert_allclose(said, data, rtol=1e-5)
    backward = [line for line in lines if "[Backward]" in line]
    assert [line.split(" diff: ")[0] for line in backward[:-1]] == [
        "I net.cpp:621]     [Backward] Layer loss, bottom blob b",
        "I net.cpp:621]     [Backward] Layer b, bottom blob a",
        "I net.cpp:632]     [Backward] Layer b, param blob 0",
        "I net.cpp:632]     [Backward] Layer b, param blob 1",
        "I net.cpp:632]     [Backward] Layer a, param blob 0",
        "I net.cpp:632]     [Backward] Layer a, param blob 1",
    ]
    assert backward[-1].startswith("E net.cpp:721]     [Backward] All net params (data, diff): L1 norm = (")
    assert not any("Iteration 1" in line for line in lines)
    # nothing of the second iteration, which is not displayed
    assert sum("Layer data, top blob x" in line for line in lines) == 1


def test_debug_info_looks_into_test_nets_too(small):
    settings = "test_iter: 2 test_interval: 1 display: 1"
    solver, other = small(f"{settings} debug_info: true"), small(settings)
    lines = logged_lines(solver)
    other.step(1)
    assert solver.curves.test == other.curves.test
    # two batches of the test, one of the training
    assert sum("Layer data, top blob x" in line for line in lines) == 3
    assert sum("Layer b, bottom blob a" in line for line in lines) == 1


def test_steps_and_clipping_are_said(small):
    lines = logged_lines(small('lr_policy: "multistep" gamma: 0.5 stepvalue: 1 clip_gradients: 0.01'), 2)
    assert "I sgd_solver.cpp:50] MultiStep Status: Iteration 1, step = 1" in lines
    clipped = [line for line in lines if "Gradient clipping" in line]
    assert len(clipped) == 2
    assert re.fullmatch(
        r"I sgd_solver\.cpp:99\] Gradient clipping: scaling down gradients \(L2 norm \S+ > 0\.01\) by scale factor \S+",
        clipped[0],
    )


def test_outputs_of_several_values_and_weights_are_said(small):
    net = NET.replace('bottom: "t" top: "loss"', 'bottom: "t" top: "loss" loss_weight: 2') + (
        'layer { name: "more" type: "Reduction" bottom: "b" top: "more" reduction_param { axis: 1 } }'
    )
    lines = logged_lines(small("display: 1 test_iter: 1 test_interval: 1 test_compute_loss: true", net))
    assert any(re.search(r"Train net output #0: loss = (\S+) \(\* 2 = \S+ loss\)", line) for line in lines)
    assert sum("Train net output #" in line and ": more = " in line for line in lines) == 6
    tests = [line for line in lines if line.startswith("I solver.cpp:4")]
    assert re.fullmatch(r"I solver.cpp:401\] Test loss: \S+", tests[0])
    assert tests[1].startswith("I solver.cpp:414]     Test net output #0: loss = ")


def test_why_layers_were_left_out_is_said(small):
    net = NET.replace('name: "b"', 'name: "b" exclude { stage: "x" }') + "".join(
        f'layer {{ name: "{name}" type: "Silence" bottom: "a" include {{ {rule} }} }}'
        for name, rule in (
            ("low", "min_level: 3"),
            ("high", "max_level: -1"),
            ("stage", 'stage: "s"'),
            ("not", 'not_stage: "here"'),
        )
    )
    message = 'train_state { stage: "here" }'
    text = [text for _, text in setup_lines(small(message, net)) if text.startswith("The NetState")]
    assert text == [
        "The NetState did not contain stage 'x' specified by a rule in layer b",
        "The NetState level (0) is above the min_level (3) specified by a rule in layer low",
        "The NetState level (0) is above the max_level (-1) specified by a rule in layer high",
        "The NetState did not contain stage 's' specified by a rule in layer stage",
        "The NetState contained a not_stage 'here' specified by a rule in layer not",
    ]


def test_lists_of_files_are_said(small, here):
    (here / "list.txt").write_text("one.h5\ntwo.h5 one.h5\n")
    data = 'type: "HDF5Data" top: "x" top: "t" hdf5_data_param { source: "list.txt" batch_size: 6 }'
    for name in ("one", "two"):
        with h5py.File(f"{name}.h5", "w") as file:
            file["x"], file["t"] = np.ones((6, 4), np.float32), np.ones((6, 3), np.float32)
    solver = small("", f'layer {{ name: "data" {data} }}' + NET[NET.index('layer { name: "a"') :])
    lines = [text for _, text in setup_lines(solver)]
    at = lines.index("Loading list of HDF5 filenames from: list.txt")
    assert lines[at + 1] == "Number of HDF5 files: 3"
    assert lines[at - 1] == "data -> t"


def test_how_many_images_are_skipped_is_said(small, here):
    Image.new("RGB", (2, 2)).save("a.png")
    (here / "list.txt").write_text("".join(f"a.png {label}\n" for label in range(9)))
    data = 'type: "ImageData" top: "x" top: "t" image_data_param { source: "list.txt" batch_size: 1 rand_skip: 9 }'
    solver = small("", f'layer {{ name: "data" {data} }} layer {{ name: "s" type: "Silence" bottom: "x" }}')
    lines = [text for _, text in setup_lines(solver)]
    solver.net.forward()
    first = int(solver.net.blobs["t"].data[0])
    assert first > 0
    assert lines[lines.index("A total of 9 images.") + 1] == f"Skipping first {first} data points."


def test_a_display_below_zero_counts_as_its_size(small):
    lines = logged_lines(small("display: -3"), 7)
    shown = [line.split("] ")[1] for line in lines if ", lr = " in line]
    assert shown == [f"Iteration {i}, lr = 0.05" for i in (0, 3, 6)]


@pytest.mark.parametrize(("name", "line"), [("w.caffemodel", 746), ("w.h5", 801)])
def test_files_of_weights_are_said(small, name, line):
    cf.save_weights(name, small().net.weight_set())
    settings = f'weights: "{name}" test_iter: 1 test_interval: 1'
    lines = list(setup_lines(small(settings, NET.replace('name: "b"', 'name: "other"'))))
    said = [each for each in lines if each[0] in ("solver.cpp:72", f"net.cpp:{line}")]
    assert said == [("solver.cpp:72", f"Finetuning from {name}"), (f"net.cpp:{line}", "Ignoring source layer b")] * 2


def test_layers_that_only_the_train_net_has_are_said_at_each_test(small):
    extra = 'layer { name: "aside" type: "Power" bottom: "a" top: "p" include { phase: TRAIN } }'
    lines = logged_lines(small("test_iter: 1 test_interval: 1", NET + extra), 2)
    said = ["I net.cpp:678] Ignoring source layer a_a_0_split", "I net.cpp:678] Ignoring source layer aside"]
    for i in range(2):
        at = lines.index(f"I solver.cpp:347] Iteration {i}, Testing net (#0)")
        assert lines[at + 1 : at + 3] == said
        assert "Ignoring" not in lines[at + 3]


def test_layers_that_make_another_are_said_twice(small):
    scales = "".join(
        f'layer {{ name: "{name}" type: "Scale" bottom: "a" top: "{name}" scale_param {{ bias_term: {bias} }} }}'
        for name, bias in (("with", "true"), ("without", "false"))
    )
    lines = [text for _, text in setup_lines(small("", NET + scales))]
    assert lines.count("Creating layer with") == 2
    assert lines.count("Creating layer without") == 1


@pytest.mark.parametrize(("form", "said"), [("BINARYPROTO", ["SGDSolver: restoring history"]), ("HDF5", [])])
def test_a_binary_state_is_said_to_be_restored(small, form, said):
    settings = f'snapshot_prefix: "s" snapshot_format: {form}'
    state, lines = small(settings).snapshot(), []
    solver = small(settings, NET.replace('name: "b"', 'name: "other"'))
    solver.log = lambda place, text, severity: lines.append(text)
    with pytest.warns(cf.CaffeWarning, match="holds nothing for other"):
        solver.restore(state)
    assert lines == ["Ignoring source layer b", *said]


def test_a_log_that_cannot_be_written(here):
    with pytest.raises(cf.CaffeError, match=r"nowhere/a.log: the log cannot be written"):
        LogFile("nowhere/a.log")
    with LogFile("a.log") as log:
        log("solver.cpp:1", "one")
    with LogFile("a.log", append=True) as log:
        log("solver.cpp:1", "two")
    assert [line.split("] ")[1] for line in (here / "a.log").read_text().splitlines()] == ["one", "two"]
    full = pytest.raises(cf.CaffeError, match=r"/dev/full: the log cannot be written: No space left")
    with full, LogFile("/dev/full") as log:
        log("solver.cpp:1", "one")
