"""Modules import only modules below them: arrows run down."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "caffe_fillers"

# from the ground up: a package imports only packages listed before it
PACKAGES = (
    "encoding",
    "errors",
    "_version",
    "_interpreter",
    "_lazy",
    "_checkout",
    "arrays",
    "checks",
    "revisions",
    "files",
    "_core",
    "blas",
    "schema",
    "carried",
    "blob",
    "ops",
    "records",
    "images",
    "transform",
    "prototxt",
    "upgrading",
    "sources",
    "reading",
    "weights",
    "fillers",
    "initializers",
    "layers",
    "graph",
    "sharing",
    "planning",
    "filling",
    "ledger",
    "running",
    "copying",
    "net",
    "deploying",
    "porting",
    "drawing",
    "datasets",
    "training",
    "signals",
    "exporting",
    "seeds",
    "pycaffe",
    "__init__",
    "cli",
    "__main__",
)
# third-party modules that a package may import without an extra
LIBRARIES = {"numpy", "google", "caffe_fillers"}


def room_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> list[tuple[str, int]]:
    """Every module that a file imports, at its top or inside a function, and the line."""
    folder = path.parent.relative_to(ROOT).parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(folder[: len(folder) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            if module == "caffe_fillers":
                # a name of caffe_fillers: a package, or what __init__ offers
                found += [
                    (f"caffe_fillers.{alias.name}" if alias.name in PACKAGES else "caffe_fillers.__init__", node.lineno)
                    for alias in node.names
                ]
            else:
                found.append((module, node.lineno))
    return [("caffe_fillers.__init__" if name == "caffe_fillers" else name, line) for name, line in found]


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_its_place():
    assert {room_of(path) for path in MODULES} <= set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_run_down(path):
    mine = PACKAGES.index(room_of(path))
    for module, line in imports(path):
        if module.startswith("caffe_fillers."):
            package = module.split(".")[1]
            assert PACKAGES.index(package) <= mine, f"{path}:{line} imports {module}, which stands above it"


def test_operations_know_numpy_and_arrays_only():
    operations = sorted((PACKAGE / "ops").glob("*.py"))
    assert operations
    for path in operations:
        for module, line in imports(path):
            top = module.split(".")[0]
            if top == "caffe_fillers":
                assert module.split(".")[1] in ("ops", "arrays", "errors", "checks", "_core", "_lazy"), (
                    f"{path}:{line} imports {module}"
                )
            else:
                assert top not in ("google", "h5py", "lmdb", "PIL"), f"{path}:{line} imports {module}"


def test_the_command_line_uses_public_names_alone():
    commands = sorted((PACKAGE / "cli").glob("*.py"))
    assert commands
    for path in commands:
        for module, line in imports(path):
            if module.startswith("caffe_fillers."):
                package = module.split(".")[1]
                assert package in ("cli", "__init__", "errors"), f"{path}:{line} imports {module}"


def test_the_c_core_knows_no_python():
    sources = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".c", ".h", ".inc")]
    assert sources
    for path in sources:
        text = path.read_text()
        assert "Python.h" not in text, path
        for call in ("malloc(", "calloc(", "realloc("):
            assert call not in text, f"{path} allocates"


def test_an_import_loads_what_fillers_need_alone():
    code = (
        "import sys, numpy, google.protobuf.message_factory, google.protobuf.descriptor_pb2\n"
        "before = set(sys.modules); import caffe_fillers as cf; print(*sorted(set(sys.modules) - before))\n"
        "cf.layers.register, cf.Net, cf.ops.ReLU"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[1] for name in done.stdout.split() if name.startswith("caffe_fillers.")}
    lower = PACKAGES[: PACKAGES.index("initializers") + 1]
    assert loaded <= set(lower), "the rest is named in caffe_fillers/__init__.py and loaded when it is asked for"
    assert not loaded & {"prototxt", "sources", "weights", "files", "ops", "records"}, loaded


# --- what a module offers ---------------------------------------------------------------------------------------------


@cache
def offered(path: Path) -> list[str] | None:
    """A module's `__all__`, read from its text, or None without one; `[*a.__all__, *b.__all__]` is followed."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["__all__"]:
            if isinstance(node.value, ast.List) and all(isinstance(each, ast.Constant) for each in node.value.elts):
                return [each.value for each in node.value.elts]
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            return list(importlib.import_module(module).__all__)
    return None


@cache
def file_of(module: str) -> Path | None:
    base = ROOT / Path(*module.split("."))
    return next(
        (path for path in (base.with_suffix(".py"), base / "__init__.py", base.with_suffix(".pyi")) if path.is_file()),
        None,
    )


@cache
def has_getattr(path: Path) -> bool:
    return "def __getattr__" in path.read_text()


def names_taken(path: Path) -> list[tuple[str, str, int]]:
    """Each name that a file imports from a module of the package: the module, the name, the line."""
    folder = path.parent.relative_to(ROOT).parts
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = ".".join(folder[: len(folder) - node.level + 1]) if node.level else ""
        module = ".".join(filter(None, (base, node.module)))
        if module.split(".")[0] == "caffe_fillers":
            found += [(module, alias.name, node.lineno) for alias in node.names if alias.name != "*"]
    return found


READERS = [
    path
    for folder in ("caffe_fillers", "docs", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
]


def test_what_is_imported_is_offered():
    """A name that starts with an underscore is its module's own; every other that a file takes is in `__all__`."""
    wrong = []
    for path in READERS:
        for module, name, line in names_taken(path):
            source = file_of(module)
            if source is None or source.suffix == ".pyi" or source == path or file_of(f"{module}.{name}") is not None:
                continue  # compiled, or itself a module
            names = offered(source)
            if has_getattr(source):
                names = [*(names or []), *dir(importlib.import_module(module))]  # the messages of the schema
            if name.startswith("_") and not name.startswith("__"):
                wrong.append(f"{path.relative_to(ROOT)}:{line} takes {name}, which is {module}'s own")
            elif names is not None and name not in names and not name.startswith("__"):
                wrong.append(f"{path.relative_to(ROOT)}:{line} takes {name}, which is not in __all__ of {module}")
            elif names is None and not name.startswith("__"):
                wrong.append(f"{path.relative_to(ROOT)}:{line} takes {name} from {module}, which has no __all__")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_offered_is_there(path):
    names = offered(path) or []
    if path.name == "__main__.py" or not names:
        return
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    assert sorted(names) == sorted(set(names))
    assert not [name for name in names if not hasattr(module, name)]


# what a person may say of a net, of a fill or of a file's images; a kernel and its twin, which take the same
MANY_PARAMETERS = {
    "net.py:__init__",
    "training/solver.py:__init__",
    "seeds/search.py:search_seed",
    "initializers.py:variance_scaling",
    "datasets.py:images",
}


def test_a_function_fits_on_a_screen():
    """Without its docstring no function has more than 60 lines, and none but those named more than 8 parameters."""
    long, many = [], set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            said = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            lines = node.end_lineno - node.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)
            if lines > 60:
                long.append(f"{path}:{node.lineno} {node.name}: {lines} lines")
            if len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs) > 8:
                many.add(f"{path.relative_to(PACKAGE).as_posix()}:{node.name}")
    assert not long, "\n".join(long)
    assert many == MANY_PARAMETERS
