"""Number of threads for layers: sets it for the package's own C loops and for NumPy's BLAS."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module

from . import _core

__all__ = ["threads_for_layers"]


@lru_cache(maxsize=1)
def _of_blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return functions to get and set the number of threads of NumPy's BLAS, or None if it can't be found."""
    try:
        # a symbol is looked for in what NumPy's own library was linked with, too
        library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    except (ImportError, OSError):
        return None
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("64_", ""):
            try:
                ask = getattr(library, f"{prefix}_get_num_threads{suffix}")
                give = getattr(library, f"{prefix}_set_num_threads{suffix}")
            except AttributeError:
                continue
            ask.restype, give.restype, give.argtypes = ctypes.c_int, None, [ctypes.c_int]
            return ask, give
    return None


@contextmanager
def threads_for_layers(threads: int | None) -> Iterator[None]:
    """Let loops and matrix products use so many threads, one after the other and never both at a time.

    None is all cores for loops, and leaves the BLAS as it is. CAFFE_FILLERS_THREADS limits both.
    """
    wanted = _core.cores(threads)
    blas = _of_blas() if threads is not None or os.environ.get("CAFFE_FILLERS_THREADS") else None
    loops, products = _core.layer_threads(wanted), 0
    try:
        if blas is not None:
            ask, give = blas
            products = ask()
            # one that was told to use fewer is not to use more
            if wanted < products:
                give(wanted)
        yield
    finally:
        _core.layer_threads(loops)
        if blas is not None and wanted < products:
            give(products)
