"""Change one thing in the package, run the tests that should see it, and name what none of them saw.

    python tests/mutants.py [--sample N] [--seed S] [FILE ...]

FILEs are modules, such as caffe_fillers/ops/conv.py; without them all of `TESTS`. The last line says how many of the
changes were seen. A survivor is either a hole in the tests or a change that changes nothing: read it.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[1]

RUNNING = "tests/running/test_golden_layers.py tests/running/test_net_at_work.py tests/running/test_bad_input.py"
# what is changed, and which tests should see it, the quick ones first
TESTS = {
    "caffe_fillers/ops": f"tests/running/test_golden_layers.py tests/ops {RUNNING} tests/running/test_every_type.py",
    "caffe_fillers/layers": f"{RUNNING} tests/running/test_every_type.py tests/ops/test_window_rules.py "
    "tests/test_layers.py tests/test_forks.py tests/running/test_delivering.py tests/test_golden_nets.py",
    "caffe_fillers/records": "tests/running/test_delivering.py tests/running tests/pycaffe",
    "caffe_fillers/transform.py": "tests/running",
    "caffe_fillers/running.py": f"{RUNNING} tests/running tests/training/test_golden_solvers.py",
    "caffe_fillers/porting.py": "tests/running tests/test_doctests.py",
    "caffe_fillers/images.py": "tests/running/test_run_command.py",
    "caffe_fillers/fillers.py": "tests/core tests/test_golden_nets.py tests/test_net.py",
    "caffe_fillers/signals": "tests/test_signal.py",
    "caffe_fillers/training": "tests/training/test_updates.py tests/training/test_rates.py "
    "tests/training/test_golden_solvers.py tests/test_solver.py tests/training",
}
SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "floor": "ceil", "ceil": "floor"}


def changes(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Each node with one thing changed, and what; the change is taken back when the next is asked for."""
    for node in ast.walk(tree):
        for field in ("op", "ops"):
            old = getattr(node, field, None)
            each = old[0] if isinstance(old, list) else old
            if isinstance(each, ast.USub):
                node.op = ast.UAdd()
                yield node, "-x is x"
                node.op = each
            elif type(each) in SWAPS and not (isinstance(node, ast.BinOp) and _is_type(node)):
                new = SWAPS[type(each)]()
                setattr(node, field, [new, *old[1:]] if isinstance(old, list) else new)
                yield node, f"{type(each).__name__} is {type(new).__name__}"
                setattr(node, field, old)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            old = node.value
            node.value = (not old) if isinstance(old, bool) else old + 1
            yield node, f"{old} is {node.value}"
            node.value = old
        for field in ("id", "attr"):
            old = getattr(node, field, None)
            if isinstance(old, str) and old in NAMES:
                setattr(node, field, NAMES[old])
                yield node, f"{old} is {NAMES[old]}"
                setattr(node, field, old)


def _annotations(tree: ast.Module) -> set[int]:
    """Nodes in decorators and annotations: a dataclass without slots computes the same."""
    parts: list[ast.AST] = []
    for node in ast.walk(tree):
        parts += getattr(node, "decorator_list", [])
        parts += [each for each in (getattr(node, "annotation", None), getattr(node, "returns", None)) if each]
    return {id(inner) for part in parts for inner in ast.walk(part)}


def _is_type(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.BitOr)


def code_of(tree: ast.Module) -> ast.Module:
    """The functions and classes; what stands outside is imports and names."""
    kept = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Assign))]
    return ast.Module([node for node in kept if "__all__" not in ast.unparse(node)[:8]], [])


def all_changes(path: Path) -> list[tuple[int, str]]:
    """The line and what is changed, for each change of a module, in order."""
    return [(getattr(node, "lineno", 0), what) for node, what, _ in _changed(path)]


def _changed(path: Path) -> Iterator[tuple[ast.AST, str, ast.Module]]:
    tree = ast.parse(path.read_text())
    excluded = _annotations(tree)
    for node, what in changes(code_of(tree)):
        if id(node) not in excluded:
            yield node, what, tree


def text_of(path: Path, number: int) -> str:
    """The text of a module with the change of that number."""
    _, _, tree = next(islice(_changed(path), number, None))
    return ast.unparse(tree)


def seen(folder: Path, place: Path, text: str, tests: str, seconds: int) -> bool:
    """Return whether a test fails, or the time runs out, once the module has this text."""
    target = folder / place
    before = target.read_text()
    target.write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
    command += ["-k", "not in_a_checkout"]  # a copy is none
    try:
        done = subprocess.run(
            [*command, *dict.fromkeys(tests.split())],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
        )
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seconds", type=int, default=300, help="after which a change counts as seen")
    options = parser.parse_args()
    paths = [path.resolve().relative_to(ROOT) for path in options.files]
    if not paths:
        found = (ROOT / place for place in TESTS)
        paths = sorted(
            path.relative_to(ROOT) for each in found for path in ([each] if each.is_file() else each.glob("*.py"))
        )
    dice = random.Random(options.seed)
    mutants = [(path, i, *each) for path in paths for i, each in enumerate(all_changes(ROOT / path))]
    chosen = dice.sample(mutants, min(options.sample, len(mutants)))
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="caffe_fillers-mutants-") as name:
        folder = Path(name)
        for part in ("caffe_fillers", "tests", "examples", "docs", "csrc", "benchmarks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "found"))
        for part in ("pyproject.toml", "README.md", "CHANGELOG.md", "mkdocs.yml"):
            shutil.copy(ROOT / part, folder / part)
        os.environ.setdefault("CAFFE_FILLERS_CORPUS", str(ROOT.parent / "shared" / "corpus"))
        sound: set[str] = set()
        for path, number, line, what in chosen:
            tests = next(tests for place, tests in TESTS.items() if str(path).startswith(place))
            if tests not in sound:
                # or everything would count as seen
                if seen(folder, path, (ROOT / path).read_text(), tests, 10 * options.seconds):
                    print(f"the tests of {path} fail without a change: {tests}")
                    return 1
                sound.add(tests)
            found = seen(folder, path, text_of(ROOT / path, number), tests, options.seconds)
            survivors += not found
            print(f"{path}:{line}: {what}: {'seen' if found else 'NOT SEEN'}", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} changes seen, of {len(mutants)} that there are")
    return 0


if __name__ == "__main__":
    sys.exit(main())
