"""Caffe's messages under pycaffe's names, from the package's own schema.

They are the classes of `caffe_fillers.schema`, in a descriptor pool of their own, so that a real `caffe_pb2` may be
imported in the same process. `google.protobuf.text_format` works on them.

Examples
--------
>>> from google.protobuf import text_format
>>> from caffe_fillers.pycaffe.proto import caffe_pb2
>>> solver = text_format.Parse("base_lr: 0.01 solver_mode: CPU", caffe_pb2.SolverParameter())
>>> solver.solver_mode == caffe_pb2.SolverParameter.CPU
True
>>> caffe_pb2.TEST
1
"""

from __future__ import annotations

from typing import Any

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from ... import schema

_PHASE: Any = schema.NetState.DESCRIPTOR.fields_by_name["phase"].enum_type
Phase = EnumTypeWrapper(_PHASE)
TRAIN: int = Phase.Value("TRAIN")
TEST: int = Phase.Value("TEST")
DESCRIPTOR = schema.NetState.DESCRIPTOR.file


def __getattr__(name: str) -> Any:
    try:
        return getattr(schema, name) if name in schema.names() else globals()[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: Caffe has no such message") from None


def __dir__() -> list[str]:
    return sorted(["DESCRIPTOR", "Phase", "TEST", "TRAIN", *schema.names()])
