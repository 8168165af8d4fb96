"""Every example of the README, CONTRIBUTING and docs/ runs and prints what it shows; every link leads somewhere.

A page is run from top to bottom in a directory of its own that holds a copy of examples/: its ```python blocks in one
namespace, its ```console blocks as a shell does. A ```text block that follows a ```python block at once is what that
one prints. In what is shown, `...` stands for anything. A comment right above a block keeps it from running, and says
why: <!-- not run: REASON -->; <!-- needs: MODULE --> skips it where the module is not installed. Set-up commands (pip,
git) are CI's own.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from caffe_fillers.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LANGUAGES = {"python", "console", "text", "prototxt", "toml", "c", "sh", "json"}
SET_UP = ("pip ", "git ", "python -m venv", "python3 -m venv", "cd ", ". ")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block: where it stands, its language, its text and the remark above it."""

    page: str
    line: int
    language: str
    text: str
    remark: str


def blocks(page: Path) -> list[Block]:
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    fence, start, indent, above = "", 0, 0, ""
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if not fence and bare.startswith("```"):
            fence, start, indent = bare, number, len(line) - len(line.lstrip())
        elif fence and bare == "```":
            text = "\n".join(each[indent:] for each in lines[start : number - 1])
            found.append(Block(page.relative_to(ROOT).as_posix(), start, fence[3:].strip(), text, above))
            fence, above = "", ""
        elif not fence and bare:
            above = bare
    assert not fence, f"{page}:{start}: a block without an end"
    return found


def not_run(block: Block) -> bool:
    reason = re.fullmatch(r"<!-- not run: (.+) -->", block.remark)
    needs = re.fullmatch(r"<!-- needs: (\w+) -->", block.remark)
    return bool(reason) or (needs is not None and importlib.util.find_spec(needs[1]) is None)


def differs(shown: str, printed: str) -> bool:
    return not doctest.OutputChecker().check_output(shown.strip() + "\n", printed.strip() + "\n", FLAGS)


def run_python(block: Block, names: dict[str, object], shown: str | None) -> None:
    place = f"{block.page}:{block.line}"
    # so that an error names the page's line
    source = "\n" * block.line + block.text + "\n"
    if ">>> " not in block.text:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(source, block.page, "exec"), names)
        if shown is not None and differs(shown, printed.getvalue()):
            pytest.fail(f"{place}\n--- shown\n{shown}\n--- printed\n{printed.getvalue()}")
        return
    test = doctest.DocTestParser().get_doctest(source, names, place, block.page, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    runner.run(test, out=report.append, clear_globs=False)
    names.update(test.globs)
    assert not runner.failures, "".join(report)


def transcript(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it shows."""
    steps: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        elif steps and steps[-1][0].endswith("\\"):
            steps[-1] = (steps[-1][0][:-1] + line.strip(), [])
        elif steps:
            steps[-1][1].append(line)
    assert steps, "a console block starts with '$ '"
    return [(command, "\n".join(shown)) for command, shown in steps]


def run_command(command: str) -> tuple[str, int]:
    """Run a command and return its output and exit code; our own need no shell or new interpreter unless piped."""
    env = {"COLUMNS": "110", "NO_COLOR": "1", "MPLBACKEND": "agg"}
    name, *args = shlex.split(command)
    if name == "caffe-fillers" and not set(command) & set("|<>;&$*`"):
        result = CliRunner().invoke(main, args, prog_name=name, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output, result.exit_code
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, env=os.environ | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout, done.returncode


def run_console(block: Block) -> None:
    for command, shown in transcript(block.text):
        if command.startswith(SET_UP):
            continue
        printed, code = run_command(command)
        place = f"{block.page}:{block.line}: $ {command}"
        if not shown.strip():
            assert code == 0, f"{place}\n{printed}"
        elif differs(shown, printed):
            pytest.fail(f"{place}\n--- shown\n{shown}\n--- printed, exit code {code}\n{printed}")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_run_and_print_what_they_show(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, object] = {"__name__": "__main__"}
    found = blocks(page)
    for block, following in itertools.zip_longest(found, found[1:]):
        if block.language not in ("python", "console") or not_run(block):
            continue
        if block.language == "python":
            result = following is not None and following.language == "text" and not following.remark
            run_python(block, names, following.text if following is not None and result else None)
        else:
            run_console(block)


def test_blocks_are_of_known_languages() -> None:
    wrong = [
        f"{b.page}:{b.line}: {b.language!r}" for page in PAGES for b in blocks(page) if b.language not in LANGUAGES
    ]
    assert not wrong


# --- links -----------------------------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    """The page without its code."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = set()
    for heading in re.findall(r"^#+ +(.+?)(?: +\{.*\})?$", text, flags=re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        found.add(re.sub(r"[\s-]+", "-", plain))
    return found | set(re.findall(r"\{ *#([\w.-]+) *\}", text)) | set(re.findall(r'id="([\w.-]+)"', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(<?([^)\s>]+)>?\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    assert not dead, f"{page}: dead links {dead}"


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [
        page.name for page in PAGES if page.parent != ROOT and page.relative_to(ROOT / "docs").as_posix() not in menu
    ]
    assert not missing


def test_nothing_shown_names_a_machine() -> None:
    for page in PAGES:
        found = re.findall(r"/(?:home|root|work|Users|tmp)/\S*", page.read_text(encoding="utf-8"))
        assert not found, f"{page}: {found}"
