"""The weights Caffe would have started training from, bit for bit."""

from __future__ import annotations

from . import _checkout

_checkout.hand_over(__name__)

from typing import TYPE_CHECKING

from . import _interpreter as _interpreter  # first, since the other imports fail in a subinterpreter
from ._core import RNG, simd
from ._lazy import later
from ._version import __version__
from .blob import Blob
from .errors import CaffeError, CaffeWarning
from .fillers import fans, fill
from .initializers import (
    bilinear,
    constant,
    gaussian,
    he_normal,
    lecun_normal,
    msra,
    positive_unitball,
    uniform,
    variance_scaling,
    xavier,
    xavier_normal,
)

if TYPE_CHECKING:
    from . import datasets, layers, ops, training
    from .copying import CopyReport
    from .deploying import deploy, train_val
    from .drawing import draw
    from .exporting import Exported, export
    from .images import prepare_image
    from .net import Net
    from .porting import BlobComparison, BlobDifference, compare_blobs, save_blobs
    from .reading import read_net, read_prototxt, read_solver, upgrade, write_prototxt
    from .seeds import FoundSeed, SeedSearch, find_seed, search_seed
    from .signals import SignalReport, signal
    from .training.snapshots import load_state
    from .training.solver import Solver
    from .weights import load_weights, save_weights
    from .weights.batchnorm import convert_batchnorm
    from .weights.comparing import Comparison, compare
    from .weights.mean import load_mean, save_mean
    from .weights.mistaken import identify

__getattr__, __dir__ = later(
    __name__,
    {
        "copying": ("CopyReport",),
        "datasets": (),
        "deploying": ("deploy", "train_val"),
        "drawing": ("draw",),
        "exporting": ("Exported", "export"),
        "images": ("prepare_image",),
        "layers": (),
        "net": ("Net",),
        "ops": (),
        "porting": ("BlobComparison", "BlobDifference", "compare_blobs", "save_blobs"),
        "reading": ("read_net", "read_prototxt", "read_solver", "upgrade", "write_prototxt"),
        "seeds": ("FoundSeed", "SeedSearch", "find_seed", "search_seed"),
        "signals": ("SignalReport", "signal"),
        "training": (),
        "training.snapshots": ("load_state",),
        "training.solver": ("Solver",),
        "weights": ("load_weights", "save_weights"),
        "weights.batchnorm": ("convert_batchnorm",),
        "weights.comparing": ("Comparison", "compare"),
        "weights.mean": ("load_mean", "save_mean"),
        "weights.mistaken": ("identify",),
    },
)

__all__ = [
    "RNG",
    "Blob",
    "BlobComparison",
    "BlobDifference",
    "CaffeError",
    "CaffeWarning",
    "Comparison",
    "CopyReport",
    "Exported",
    "FoundSeed",
    "Net",
    "SeedSearch",
    "SignalReport",
    "Solver",
    "__version__",
    "bilinear",
    "compare",
    "compare_blobs",
    "constant",
    "convert_batchnorm",
    "datasets",
    "deploy",
    "draw",
    "export",
    "fans",
    "fill",
    "find_seed",
    "gaussian",
    "he_normal",
    "identify",
    "layers",
    "lecun_normal",
    "load_mean",
    "load_state",
    "load_weights",
    "msra",
    "ops",
    "positive_unitball",
    "prepare_image",
    "read_net",
    "read_prototxt",
    "read_solver",
    "save_blobs",
    "save_mean",
    "save_weights",
    "search_seed",
    "signal",
    "simd",
    "train_val",
    "training",
    "uniform",
    "upgrade",
    "variance_scaling",
    "write_prototxt",
    "xavier",
    "xavier_normal",
]
