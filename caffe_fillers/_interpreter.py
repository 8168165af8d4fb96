"""Refuses to be imported in a subinterpreter, because NumPy can't serve two interpreters at once."""

from __future__ import annotations

import importlib
import sys


def _is_main() -> bool:
    try:
        interpreters = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    except ImportError:
        return True
    return bool(interpreters.get_current() == interpreters.get_main())


if not _is_main():
    raise ImportError("caffe_fillers does not work in a subinterpreter, since NumPy does not: use threads or processes")
