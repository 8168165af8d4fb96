"""Exports a net as a script that needs only NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..._version import __version__
from ...errors import CaffeError
from ...files import replacing
from ...net import Net
from ...ops import Operation
from ..plan import Entry, Plan
from .writing import Script, quoted

__all__ = ["export_source"]

# without its inputs it prints its docstring, which tells how to run it
_MAIN = """
if __name__ == "__main__":
    if len(sys.argv) != 1 + {inputs}:
        sys.exit(__doc__)
    for name, value in forward(*map(np.load, sys.argv[1:])).items():
        print(name, value.shape, value.reshape(-1)[:10])
"""


def export_source(net: Net, plan: Plan, path: Path) -> list[Path]:
    """Write the plan of a net as a script, and its parameters beside it; return both files."""
    if path.stem in ("numpy", "sys", "pathlib"):
        raise CaffeError(f"{path}: a script of this name would hide a module that it imports; give it another name")
    script = _script(net, plan)
    text = _text(net, plan, script, path)
    beside = path.with_suffix(".npz")
    total = sum(array.nbytes for array in script.parameters.values())
    with replacing(beside, total) as parameters, replacing(path) as temporary:
        with open(parameters, "wb") as file:
            np.savez(file, **script.parameters)  # type: ignore[arg-type,unused-ignore]
        temporary.write_text(text)
    return [path, beside]


def _load_calls() -> Callable[[Operation, Script, Entry], None]:
    """Return the function that writes a layer, after every class of operation has registered its own."""
    from . import moves  # noqa: F401
    from .calls import write

    return write


def _script(net: Net, plan: Plan) -> Script:
    """Return all statements. They are written twice, since variables must not have the names of functions."""
    write = _load_calls()

    blobs = list(dict.fromkeys(value.blob for value in plan.values()))
    taken = {"p", "np", "sys", "Path", "forward", "blobs", "file", "name", "value", "part", "state"}
    for _ in range(2):
        script = Script(net.dtype)
        script.name_blobs(blobs, taken)
        for entry in plan.entries:
            write(entry.operation, script, entry)
        taken |= script.sources.taken()
    script.sources.need("numpy", local="np")
    script.sources.need("sys")
    script.sources.need("pathlib", "Path")
    return script


def _text(net: Net, plan: Plan, script: Script, path: Path) -> str:
    imports, definitions = script.sources.text()
    inputs = [script.var(value) for value in plan.inputs]
    body = [
        f"def forward({', '.join([*inputs, 'blobs=False'])}):",
        '    """The outputs by name, for inputs of the shapes below; with `blobs` every blob."""',
        *(
            f"    {name} = np.asarray({name}, np.{script.dtype})  # {'x'.join(map(str, value.shape)) or '1'}"
            for name, value in zip(inputs, plan.inputs, strict=True)
        ),
        *script.lines,
        "    if blobs:",
        *_returned(script, plan, list(plan.finals), "        "),
        *_returned(script, plan, [value.blob for value in plan.outputs], "    "),
    ]
    load = "with np.load(Path(__file__).with_suffix('.npz')) as file:\n    p = dict(file)".replace("'", '"')
    main = _MAIN.format(inputs=len(inputs)).strip("\n")
    parts = [_head(net, plan, script, path), imports, load, definitions, "\n".join(body), main]
    text = "\n\n".join(parts[:3]) + "\n\n" + "\n\n".join("\n" + part for part in parts[3:] if part) + "\n"
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _head(net: Net, plan: Plan, script: Script, path: Path) -> str:
    name = quoted(net.name)[1:-1] if net.name else "A net of Caffe"
    arguments = " ".join(f"{script.var(value)}.npy" for value in plan.inputs)
    source = f", from the prototxt of sha256\n{net.source.sha256}" if net.source.sha256 else ""
    return (
        f'"""{name}, forward, in NumPy alone. Its parameters are in {quoted(path.with_suffix(".npz").name)[1:-1]}.\n\n'
        f"    python {quoted(path.name)[1:-1]} {arguments}\n\n"
        f'Written by caffe_fillers {__version__}{source}.\n"""'
    ).replace("\\", "\\\\")


def _returned(script: Script, plan: Plan, names: list[str], indent: str) -> list[str]:
    """Return a return statement for a dict of blobs."""
    items = []
    for name in names:
        value = plan.finals[name]
        items.append(f"{quoted(name)}: {script.var(value)}")
    line = f"{indent}return {{{', '.join(items)}}}"
    if len(line) <= 120:
        return [line]
    return [f"{indent}return {{", *(f"{indent}    {item}," for item in items), f"{indent}}}"]
