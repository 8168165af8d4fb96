"""pycaffe's names over this package: ``import caffe_fillers.pycaffe as caffe``, and an old script runs as it stands."""

from __future__ import annotations

from . import proto
from .net_spec import NetSpec, layers, params, to_proto
from .proto.caffe_pb2 import TEST, TRAIN

__all__ = ["TEST", "TRAIN", "NetSpec", "layers", "params", "proto", "to_proto"]
