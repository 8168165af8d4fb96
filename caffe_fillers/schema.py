"""Caffe's message classes: ``schema.NetParameter()``, ``schema.FillerParameter`` and all the others.

They live in a descriptor pool of their own, loaded from ``caffe.desc`` (compiled from ``proto/caffe.proto``), so
another package's ``caffe_pb2`` in the same process does not clash with them, and no generated code ties them to one
major version of protobuf.

Examples
--------
>>> from caffe_fillers import schema
>>> schema.FillerParameter(type="xavier").variance_norm == schema.enum("FillerParameter.VarianceNorm")["FAN_IN"]
True
"""

from __future__ import annotations

import os
from typing import TypeGuard

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

__all__ = ["enum", "is_message", "names"]

_POOL = descriptor_pool.DescriptorPool()
with open(os.path.join(os.path.dirname(__file__), "caffe.desc"), "rb") as _file:
    _FILE = descriptor_pb2.FileDescriptorSet.FromString(_file.read()).file[0]
_POOL.AddSerializedFile(_FILE.SerializeToString())


def names() -> list[str]:
    """Return the names of all messages, in the order of the schema."""
    return [message.name for message in _FILE.message_type]


def enum(name: str) -> dict[str, int]:
    """Return an enum's names and numbers, e.g. of ``"Phase"`` or ``"PoolingParameter.PoolMethod"``."""
    return {value.name: value.number for value in _POOL.FindEnumTypeByName(f"caffe.{name}").values}


def is_message(value: object, name: str) -> TypeGuard[Message]:
    """Return whether `value` is a message of Caffe's of that name, from this schema or another `caffe_pb2`."""
    return getattr(getattr(value, "DESCRIPTOR", None), "name", None) == name


def __getattr__(name: str) -> type[Message]:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        descriptor = _POOL.FindMessageTypeByName(f"caffe.{name}")
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: Caffe has no such message") from None
    found = message_factory.GetMessageClass(descriptor)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, *names()])
