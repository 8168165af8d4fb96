"""Number of threads for layers, in the package's own C loops and in products by NumPy's BLAS."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
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
    for prefix in ("scipy_", ""):
        for suffix in ("64_", ""):
            try:
                ask = getattr(library, f"{prefix}openblas_get_num_threads{suffix}")
                give = getattr(library, f"{prefix}openblas_set_num_threads{suffix}")
                products = [getattr(library, f"{prefix}cblas_{kind}gemm{suffix}") for kind in "sd"]
            except AttributeError:
                continue
            ask.restype, give.restype, give.argtypes = ctypes.c_int, None, [ctypes.c_int]
            sgemm, dgemm, *rest = (ctypes.cast(each, ctypes.c_void_p).value or 0 for each in (*products, ask, give))
            _core.use_blas(sgemm, dgemm, bool(suffix), *rest)
            return ask, give
    return None


def threads_for_layers(threads: int | None) -> _core.LayerThreads:
    """Return a context: in it the loops of layers, and products of matrices, use so many threads; None is all cores.

    That holds for the thread that enters it. CAFFE_FILLERS_THREADS limits both, and products have no more than the BLAS
    was to use. The BLAS itself gets one, in all threads: with more it adds in another order, and its threads stand in
    the way of those of the loops.
    """
    _of_blas()
    return _core.LayerThreads(_core.cores(threads))
