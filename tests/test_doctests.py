"""Every example in a docstring runs; every public name says what it takes, returns and raises, and shows it."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import caffe_fillers as cf

EXAMPLES = Path(__file__).parents[1] / "examples"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    [
        "caffe_fillers",
        *(m.name for m in pkgutil.walk_packages(cf.__path__, "caffe_fillers.") if "__main__" not in m.name),
    ]
)
FUNCTIONS = [name for name in cf.__all__ if inspect.isroutine(getattr(cf, name))]
CLASSES = [name for name in cf.__all__ if inspect.isclass(getattr(cf, name))]
SECTION = re.compile(r"^ *(\w[\w ]*)\n *-{3,}$", re.MULTILINE)
# what calls return; nobody makes them
RESULTS = {
    "BlobComparison",
    "BlobDifference",
    "Comparison",
    "CopyReport",
    "Exported",
    "FoundSeed",
    "SeedSearch",
    "SignalReport",
}
LAYERS = ["Layer", "Param", "Setup", "register"]


def described(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Return the definitions of a module that have a docstring, also methods of compiled classes."""
    yield module.__name__, module
    for name, thing in list(vars(module).items()):
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        yield name, thing
        if inspect.isclass(thing):
            for part, member in vars(thing).items():
                yield f"{name}.{part}", getattr(member, "__func__", member)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    report: list[str] = []
    for what, thing in described(module):
        text = getattr(thing, "__doc__", None)
        if isinstance(text, str) and ">>> " in text:
            names = dict(vars(module))
            test = doctest.DocTestParser().get_doctest(inspect.cleandoc(text), names, f"{name}.{what}", None, 0)
            runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def sections(thing: Any) -> set[str]:
    return set(SECTION.findall(inspect.getdoc(thing) or ""))


def takes_something(thing: Any) -> bool:
    return any(name != "self" for name in inspect.signature(thing).parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take_return_and_raise(name: str) -> None:
    function = getattr(cf, name)
    wanted = {"Raises", "Examples"} | ({"Parameters"} if takes_something(function) else set())
    if inspect.signature(function).return_annotation not in ("None", None):
        wanted.add("Returns")
    assert wanted <= sections(function), f"{name} lacks {wanted - sections(function)}"


@pytest.mark.parametrize("name", CLASSES)
def test_classes_say_what_they_are_made_of(name: str) -> None:
    if issubclass(getattr(cf, name), (Exception, Warning)):
        assert inspect.getdoc(getattr(cf, name))
    elif name in RESULTS:
        assert "Attributes" in sections(getattr(cf, name))
    else:
        assert {"Parameters", "Raises", "Examples"} <= sections(getattr(cf, name))


@pytest.mark.parametrize("name", CLASSES)
def test_public_methods_are_described(name: str) -> None:
    kind = getattr(cf, name)
    bare = [
        part
        for part, member in vars(kind).items()
        if not part.startswith("_")
        and (callable(member) or isinstance(member, (classmethod, property)))
        and not inspect.getdoc(getattr(member, "__func__", member))
    ]
    assert not bare


# a compiled class has no signature
WITH_PARAMETERS = [name for name in CLASSES if name != "RNG" and "Parameters" in sections(getattr(cf, name))]


@pytest.mark.parametrize("name", [*FUNCTIONS, *WITH_PARAMETERS])
def test_parameters_are_those_of_the_signature(name: str) -> None:
    thing = getattr(cf, name)
    found = [p for p in inspect.signature(thing).parameters if p != "self"]
    text = inspect.getdoc(thing) or ""
    body = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    given = body[1] if body else ""
    lines = re.findall(r"^(\S.*?)(?: : .*)?$", given, flags=re.MULTILINE)
    said = {each.strip().lstrip("*") for line in lines for each in line.split(",")}
    assert said == set(found), f"{name}: described {sorted(said)}, taken {found}"


@pytest.mark.parametrize("name", LAYERS)
def test_what_rules_are_written_in_is_described(name: str) -> None:
    assert inspect.getdoc(getattr(cf.layers, name))


def test_the_reference_can_be_imported_as_written() -> None:
    text = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    for name in names:
        pkgutil.resolve_name(name)
    assert {f"caffe_fillers.{name}" for name in (*FUNCTIONS, *CLASSES)} <= set(names)


def test_all_is_all() -> None:
    tree = ast.parse(Path(cf.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    imported = {a.asname or a.name for node in imports for a in node.names} - {"later"}
    assert {name for name in imported if name == "__version__" or not name.startswith("_")} == set(cf.__all__)
    assert all(hasattr(cf, name) for name in cf.__all__)
    assert list(cf.__all__) == sorted(cf.__all__, key=lambda name: (not name.isupper(), name.islower(), name))
