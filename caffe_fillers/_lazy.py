"""Public names that are imported on first use, so that `import caffe_fillers` stays quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

__all__ = ["later"]


def later(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for `package`, which import its `modules` with those names on first use.

    A module without names is a name itself.
    """
    places = {name: module for module, names in modules.items() for name in names or (module,)}

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{places[name]}")
        found = getattr(module, name) if modules[places[name]] else module
        # the next look-up needs no call
        setattr(sys.modules[package], name, found)
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *places})

    return get, names
