"""Number of threads for layers, in the package's own C loops and in products by NumPy's BLAS."""

from __future__ import annotations

import ctypes
from _thread import allocate_lock
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
    for prefix in ("scipy_", ""):
        for suffix in ("64_", ""):
            try:
                ask = getattr(library, f"{prefix}openblas_get_num_threads{suffix}")
                give = getattr(library, f"{prefix}openblas_set_num_threads{suffix}")
                products = [getattr(library, f"{prefix}cblas_{kind}gemm{suffix}") for kind in "sd"]
            except AttributeError:
                continue
            ask.restype, give.restype, give.argtypes = ctypes.c_int, None, [ctypes.c_int]
            sgemm, dgemm = (ctypes.cast(each, ctypes.c_void_p).value or 0 for each in products)
            _core.use_blas(sgemm, dgemm, bool(suffix))
            return ask, give
    return None


_LOCK = allocate_lock()
_own: list[int] = []
"""How many threads the BLAS had, once for each pass that goes on."""


@contextmanager
def threads_for_layers(threads: int | None) -> Iterator[None]:
    """Let the loops of layers, and products of matrices, use so many threads; None is all cores.

    CAFFE_FILLERS_THREADS limits both, and products have no more than the BLAS was to use. The BLAS itself gets one:
    with more it adds in another order, and its threads stand in the way of those of the loops.
    """
    wanted, blas = _core.cores(threads), _of_blas()
    with _LOCK:
        own = _own[0] if _own else blas[0]() if blas else 1
        if blas and not _own and own > 1:
            blas[1](1)
        _own.append(own)
    before = _core.layer_threads(wanted, min(wanted, own))
    try:
        yield
    finally:
        with _LOCK:
            _own.pop()
            _core.layer_threads(*(before if _own else (1, 1)))
            if blas and not _own and own > 1:
                blas[1](own)
