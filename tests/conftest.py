"""What several test files share: the corpus of real prototxts, which is not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
CORPUS = Path(os.environ.get("CAFFE_FILLERS_CORPUS") or _ROOT.parent / "shared" / "corpus")
_NOT_RUN = f"no corpus at {CORPUS} (CAFFE_FILLERS_CORPUS says where)"


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [report for report in terminalreporter.getreports("skipped") if _NOT_RUN in str(report.longrepr)]
    if left_out:
        files = len((_ROOT / "tests" / "text_corpus.tsv").read_text().splitlines()) - 1
        terminalreporter.section("corpus")
        terminalreporter.line(f"NOT RUN: {len(left_out)} tests over the corpus of {files} prototxts: {_NOT_RUN}")
