"""The weights Caffe would have started training from, bit for bit."""

from __future__ import annotations

from . import layers
from ._core import RNG, simd
from ._version import __version__
from .blob import Blob
from .errors import CaffeError, CaffeWarning
from .fillers import fans, fill
from .net import Net
from .solver import Solver

__all__ = [
    "RNG",
    "Blob",
    "CaffeError",
    "CaffeWarning",
    "Net",
    "Solver",
    "__version__",
    "fans",
    "fill",
    "layers",
    "simd",
]
