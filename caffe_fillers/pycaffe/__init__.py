"""pycaffe's interface to this package. With ``import caffe_fillers.pycaffe as caffe`` old scripts run unchanged."""

from __future__ import annotations

import importlib
import sys

from ..errors import CaffeError
from . import common, io, proto
from .classifier import Classifier
from .common import (
    NCCL,
    Timer,
    has_nccl,
    init_log,
    layer_type_list,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from .detector import Detector
from .layer import Layer
from .net import Net
from .net_spec import NetSpec, layers, params, to_proto
from .proto.caffe_pb2 import TEST, TRAIN
from .solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "common",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "stand_in",
    "to_proto",
]

# the version of Caffe whose pycaffe this is
__version__ = "1.0.0"


def stand_in() -> None:
    """Let ``import caffe`` find this package from now on, in the modules of others too.

    For scripts of several files, which then stay as they are.

    Raises
    ------
    CaffeError
        If another caffe is imported already.

    Examples
    --------
    >>> import sys
    >>> import caffe_fillers.pycaffe
    >>> caffe_fillers.pycaffe.stand_in()
    >>> from caffe.proto import caffe_pb2
    >>> caffe_pb2.Datum.__name__
    'Datum'
    >>> for name in [name for name in sys.modules if name.split(".")[0] == "caffe"]:
    ...     del sys.modules[name]
    """
    here = sys.modules[__name__]
    if sys.modules.get("caffe", here) is not here:
        raise CaffeError("another caffe is imported already: call stand_in before anything imports caffe")
    for name in ("classifier", "coord_map", "detector", "draw", "io", "net_spec", "proto", "proto.caffe_pb2"):
        sys.modules[f"caffe.{name}"] = importlib.import_module(f"{__name__}.{name}")
    sys.modules["caffe"] = here


def __getattr__(name: str) -> object:
    if name in ("_caffe", "pycaffe"):
        raise CaffeError(f"caffe.{name}, a module inside pycaffe, is not supported: use the names in caffe itself")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
