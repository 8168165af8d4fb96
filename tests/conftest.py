"""Fixtures of all tests: the corpus of real prototxts, the goldens, and the distribution of a run over the cores.

`pytest` alone uses every core where pytest-xdist is installed; with a file, a folder or `-n 0` it stays in one process.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import caffe_fillers as cf

_ROOT = Path(__file__).parents[1]
CORPUS = Path(os.environ.get("CAFFE_FILLERS_CORPUS") or _ROOT.parent / "shared" / "corpus")
_NOT_RUN = f"no corpus at {CORPUS} (CAFFE_FILLERS_CORPUS says where; tests/get_corpus.py lays it out)"
# seconds of CPU: what takes longer is to be marked, what stays below in all its cases is not. What lies between may be
# either, for beside other work the same test takes up to twice as long.
_SLOW, _QUICK = 2.0, 0.2

_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if _WORKER:
    # one thread of BLAS for each process, or they wait for each other; it is read when NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _keep_memory() -> None:
    """Let the C library keep what is freed for the next test: the system fills all that it hands out with zeros first.

    Arrays hold values of earlier tests then, and not zeros, where a test reads what nobody wrote.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # another C library than glibc
    trim_threshold, mmap_max = -1, -4
    mallopt(trim_threshold, -1)  # never
    mallopt(mmap_max, 0)


_keep_memory()


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder with index.tsv, files/ and caffe/, or skip the test and say so in the summary."""
    if not (CORPUS / "index.tsv").is_file():
        pytest.skip(_NOT_RUN)
    return CORPUS


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder with README.md, examples/ and tests/."""
    return _ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of the values measured from the real Caffe."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that makes a folder once for all processes of a run; who comes second waits for it."""
    import fcntl

    base = tmp_path_factory.getbasetemp()
    base = base.parent if _WORKER else base

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        result = base / f"once-{name}"
        with open(base / f"once-{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not result.exists():
                unfinished = base / f"once-{name}-{os.getpid()}"
                unfinished.mkdir()
                make(unfinished)
                unfinished.rename(result)
        return result

    return folder


def _measured_parameters(net: cf.Net) -> None:
    """Write the parameters that the goldens of whole nets were measured with."""
    import numpy as np

    k = 0
    for layer in net.layers:
        for i, blob in enumerate(layer.blobs):
            r = np.random.RandomState(1000 + k)
            k += 1
            shape = blob.shape
            if layer.type == "BatchNorm":
                # all three were drawn each time, one of them was taken
                values = (0.1 * r.standard_normal(shape), 0.5 + r.uniform(0, 1, shape), np.full(shape, 2.0))[i]
            elif layer.type == "Scale":
                values = (0.5 + r.uniform(0, 1, shape), 0.1 * r.standard_normal(shape))[i]
            elif layer.type == "PReLU":
                values = 0.25 * (0.5 + r.uniform(0, 1, shape))
            elif i == 0 and len(shape) >= 2:
                values = r.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
            else:
                values = 0.1 * r.standard_normal(shape)
            blob.data[...] = np.asarray(values, np.float32)


@pytest.fixture(scope="session")
def whole_net(request: pytest.FixtureRequest, corpus: Path, golden: Path) -> tuple[cf.Net, dict[str, Any]]:
    """Return a net of the corpus after the forward pass that Caffe was measured in, and what was measured.

    Held to Caffe and exported it is the same net, and with its name as the parameter it runs once for both.
    """
    import numpy as np

    import caffe_fillers as cf

    name = request.param
    case = json.loads((golden / "run" / "nets.json").read_text())[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*all weights of this net are 0")
        net = cf.Net(corpus / name if name.startswith("caffe/") else corpus / "files" / name, "TEST", rng=1)
    for blob, shape in case["inputs"].items():
        net.blobs[blob].reshape(*shape)
    net.reshape()
    _measured_parameters(net)
    for j, blob in enumerate(net.inputs):
        target = net.blobs[blob]
        target.data[...] = np.random.RandomState(j).standard_normal(target.shape)
    net.forward()
    return net, case


# --- the run ---------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--check-slow", action="store_true", help="say which tests carry the mark `slow` wrongly, or lack it"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Where Python is told to write no bytecode, let those that the tests start share some in pytest's own folder.

    They are more than a hundred, and each would compile the package.
    """
    if sys.dont_write_bytecode and not _WORKER and hasattr(config, "cache"):
        with contextlib.suppress(OSError):
            os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS and not _WORKER
    if whole and config.pluginmanager.hasplugin("xdist") and config.option.numprocesses is None:
        config.option.numprocesses = "auto"
        config.option.dist = "worksteal"


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Collect tests without the collector of garbage, which then leaves them alone: each has a dozen objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first in each process, or one is still at work on them when all others are done.

    pytest-xdist gives each process as many tests in a row, and takes from the end of one's row for another.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    items.clear()
    for processes in range(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), 0, -1):
        long, all_in_all = len(slow) // processes, (len(slow) + len(quick)) // processes
        items += [*slow[:long], *quick[: all_in_all - long]]
        del slow[:long], quick[: all_in_all - long]


def _cpu() -> float:
    """Seconds of this process and of those that it started and waited for: another's load does not show."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    item.user_properties.append(("began", _cpu()))
    # what these take is in whichever of them comes first
    item.user_properties.append(("shared", "whole_net" in getattr(item, "fixturenames", ())))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    try:
        return (yield)
    finally:
        item.user_properties.append(("cpu", _cpu() - dict(item.user_properties)["began"]))


def _wrong_marks(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Every test function whose mark says something else than the clock; of its cases the longest counts."""
    longest: dict[tuple[str, bool], float] = {}
    for report in reports:
        seen = dict(report.user_properties)
        if report.when == "call" and not seen["shared"]:
            case = report.nodeid.partition("[")[0], "slow" in report.keywords
            longest[case] = max(longest.get(case, 0.0), seen["cpu"])
    return [
        f"{name}: {seconds:.1f} s, {'marked' if marked else 'not marked'} slow"
        for (name, marked), seconds in sorted(longest.items(), key=lambda each: -each[1])
        if (seconds < _QUICK if marked else seconds > _SLOW)
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.option.check_slow and reporter is not None:
        wrong = _wrong_marks(reporter.getreports("passed"))
        reporter.ensure_newline()
        for line in wrong:
            reporter.write_line(line)
        session.exitstatus = session.exitstatus or int(bool(wrong))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [report for report in terminalreporter.getreports("skipped") if _NOT_RUN in str(report.longrepr)]
    if left_out:
        files = len((_ROOT / "tests" / "text_corpus.tsv").read_text().splitlines()) - 1
        terminalreporter.section("corpus")
        terminalreporter.line(f"NOT RUN: {len(left_out)} tests over the corpus of {files} prototxts: {_NOT_RUN}")
