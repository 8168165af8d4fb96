"""The weights Caffe would have started training from, bit for bit."""

from __future__ import annotations

from . import layers
from ._core import RNG, simd
from ._version import __version__
from .blob import Blob
from .errors import CaffeError, CaffeWarning
from .fillers import fans, fill
from .net import Net
from .reading import read_net, read_solver, upgrade, write_prototxt
from .seeds import find_seed
from .solver import Solver
from .weights import load_weights, save_weights
from .weights.compare import compare
from .weights.mean import load_mean

__all__ = [
    "RNG",
    "Blob",
    "CaffeError",
    "CaffeWarning",
    "Net",
    "Solver",
    "__version__",
    "compare",
    "fans",
    "fill",
    "find_seed",
    "layers",
    "load_mean",
    "load_weights",
    "read_net",
    "read_solver",
    "save_weights",
    "simd",
    "upgrade",
    "write_prototxt",
]
