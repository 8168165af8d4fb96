"""The weights Caffe would have started training from, bit for bit."""

from __future__ import annotations

from . import layers
from ._core import RNG, simd
from ._version import __version__
from .blob import Blob
from .errors import CaffeError, CaffeWarning
from .fillers import fans, fill

__all__ = ["RNG", "Blob", "CaffeError", "CaffeWarning", "__version__", "fans", "fill", "layers", "simd"]
