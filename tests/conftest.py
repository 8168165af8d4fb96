"""What all tests share: the corpus of real prototxts, the goldens, and how a whole run is spread over the cores.

`pytest` alone uses every core where pytest-xdist is installed; with a file, a folder or `-n 0` it stays in one process.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[1]
CORPUS = Path(os.environ.get("CAFFE_FILLERS_CORPUS") or _ROOT.parent / "shared" / "corpus")
_NOT_RUN = f"no corpus at {CORPUS} (CAFFE_FILLERS_CORPUS says where; tests/get_corpus.py lays it out)"
# seconds of CPU: what takes longer is to be marked, what stays below in all its cases is not
_SLOW, _QUICK = 1.0, 0.5

_WORKER = "PYTEST_XDIST_WORKER" in os.environ
if _WORKER:
    # one thread of BLAS for each process, or they wait for each other; it is read when NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


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


# --- the run ---------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--check-slow", action="store_true", help="say which tests carry the mark `slow` wrongly, or lack it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS and not _WORKER
    if whole and config.pluginmanager.hasplugin("xdist") and config.option.numprocesses is None:
        config.option.numprocesses = "auto"
        config.option.dist = "worksteal"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # or one process is still at work on a long test when all others are done
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def _cpu() -> float:
    """Seconds of this process and of those that it started and waited for: another's load does not show."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    item.user_properties.append(("began", _cpu()))
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
        if report.when == "call":
            case = report.nodeid.partition("[")[0], "slow" in report.keywords
            longest[case] = max(longest.get(case, 0.0), dict(report.user_properties)["cpu"])
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
