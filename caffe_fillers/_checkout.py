"""In a source checkout, import the installed package instead.

A bare ImportError would stop every reader who starts Python where the README's examples lie, right after
``pip install .``; so the import is handed over, and only where nothing is installed does the error say what to run.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

__all__ = ["hand_over"]


def hand_over(package: str) -> None:
    """Import the installed package in place of this one, if this is a checkout that was not built in place."""
    # os.path, since importing pathlib would take a large part of this package's import time
    here = os.path.dirname(os.path.abspath(__file__))
    if any(name.startswith("_core.") and name.endswith((".so", ".pyd")) for name in os.listdir(here)):
        return
    checkout = os.path.dirname(here)
    elsewhere = [path for path in sys.path if os.path.realpath(path) != os.path.realpath(checkout)]
    specs = (finder.find_spec(package, elsewhere if finder is PathFinder else None) for finder in sys.meta_path)
    spec = next(filter(None, specs), None)
    if spec is None or spec.loader is None:
        raise ImportError(f"{here} is a checkout without the compiled core: run `pip install .` in {checkout}")
    installed = module_from_spec(spec)
    sys.modules[package] = installed
    # otherwise the installed package would find this module as its own
    del sys.modules[__name__]
    spec.loader.exec_module(installed)
