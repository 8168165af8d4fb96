"""Fields that forks add to Caffe's messages, kept with the message that contained them.

What BVLC Caffe's schema lacks rides along as the text that it was written in, under a number that no schema uses. So it
survives copies and upgrades, is written again, and is there for the rules of layers, whichever way the net came.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .encoding import as_bytes, as_text, escaped

__all__ = ["carried", "carries", "carry", "readable", "repeated", "serialized", "varint"]

_NUMBER = 2**29 - 2  # the last field number but one that protobuf allows
_BYTES = 2  # the wire type


def carry(message: Message, text: bytes) -> None:
    """Put a field that the schema lacks into the message, as the prototxt writes it."""
    message.MergeFromString(_TAG + varint(len(text)) + text)


def carried(message: Message) -> list[bytes]:
    """Return what `carry` put into the message itself, not into its inner messages."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    fields: Any = UnknownFieldSet(message)
    return [field.data for field in fields if field.field_number == _NUMBER]


def carries(message: Message) -> bool:
    """Return whether a message, or one within it, may carry fields."""
    return _TAG in message.SerializePartialToString()


def varint(value: int) -> bytes:
    """Return a whole number as protobuf writes it: seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def readable(message: Message) -> None:
    """Convert texts that protobuf returns as bytes, since they are not UTF-8; in inner messages too."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            if field.message_type.name not in ("BlobProto", "BlobShape"):
                for each in value if repeated(field) else [value]:
                    readable(each)
        elif field.type == FieldDescriptor.TYPE_STRING:
            if not repeated(field):
                if isinstance(value, bytes):
                    setattr(message, field.name, as_text(value))
            elif any(isinstance(each, bytes) for each in value):
                texts = [as_text(each) for each in value]
                message.ClearField(field.name)
                getattr(message, field.name).extend(texts)


def serialized(message: Message) -> bytes:
    """Serialize a message, with each text as the bytes that it was read from."""
    data = message.SerializePartialToString(deterministic=True)
    if not escaped(data):
        return bytes(data)
    out = bytearray()
    for field, value in message.ListFields():
        if field.cpp_type not in (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE):
            alone = type(message)()
            if repeated(field):
                getattr(alone, field.name).extend(value)
            else:
                setattr(alone, field.name, value)
            out += alone.SerializePartialToString(deterministic=True)
            continue
        for each in value if repeated(field) else [value]:
            inner = serialized(each) if field.message_type else _raw(each)
            out += varint(field.number << 3 | _BYTES) + varint(len(inner)) + inner
    unknown = type(message)()
    unknown.CopyFrom(message)
    for field, _ in message.ListFields():
        unknown.ClearField(field.name)
    return bytes(out + unknown.SerializePartialToString())


def _raw(value: str | bytes) -> bytes:
    return as_bytes(value) if isinstance(value, str) else bytes(value)


_TAG = varint(_NUMBER << 3 | _BYTES)


def repeated(field: FieldDescriptor) -> bool:
    """Return whether a field is repeated, in every version of protobuf."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(getattr(field, "label", None) == FieldDescriptor.LABEL_REPEATED)
