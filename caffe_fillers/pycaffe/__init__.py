"""pycaffe's names over this package: ``import caffe_fillers.pycaffe as caffe``, and an old script runs as it stands."""

from __future__ import annotations

from . import io, proto
from .net_spec import NetSpec, layers, params, to_proto
from .proto.caffe_pb2 import TEST, TRAIN

__all__ = ["TEST", "TRAIN", "NetSpec", "io", "layers", "params", "proto", "to_proto"]
