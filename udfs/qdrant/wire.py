"""Protobuf's wire format, as far as points need it (protobuf.dev/programming-guides/encoding). Pure.

Tags come from the schema that qdrant-client brings: one in which a field is missing, or of another type, fails when
this is imported. What is kept here is bounded, since its keys come from messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    from google.protobuf.message import Message

MESSAGE = FieldDescriptor.TYPE_MESSAGE
STRING = FieldDescriptor.TYPE_STRING

_WIRE_TYPES = {
    FieldDescriptor.TYPE_BOOL: 0,
    FieldDescriptor.TYPE_ENUM: 0,
    FieldDescriptor.TYPE_INT64: 0,
    FieldDescriptor.TYPE_UINT64: 0,
    FieldDescriptor.TYPE_DOUBLE: 1,
    STRING: 2,
    MESSAGE: 2,
    FieldDescriptor.TYPE_FLOAT: 2,  # packed: no message has a single one
}
_KEPT_VARINTS = 2**14
_KEPT_HEADS = 2048
_KEPT_KEYS = 1024
_LONGEST_KEPT_KEY = 128


class _Varints(dict[int, bytes]):
    """The varint of each integer in 0…2^64-1. Those of one or two bytes are kept, others are made when asked for."""

    def __missing__(self, number: int) -> bytes:
        if number >> 64:  # as for a negative one
            raise ValueError(f"Value out of range: {number}")
        low = bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80))
        return low + self[number >> 14]


VARINTS = _Varints({number: bytes((number,)) for number in range(2**7)})
VARINTS.update({number: bytes((number & 0x7F | 0x80, number >> 7)) for number in range(2**7, _KEPT_VARINTS)})


def tag_of(message: type[Message], name: str, kind: int = MESSAGE) -> bytes:
    """Return what stands before the value of a field, which has to be of this kind in the schema."""
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.type != kind:
        raise TypeError(f"{field.full_name} is of type {field.type}, not {kind}: qdrant-client has another schema")
    return VARINTS[field.number << 3 | _WIRE_TYPES[kind]]


def sized(body: bytes) -> bytes:
    """Return a message behind its length."""
    return VARINTS[len(body)] + body


class Heads(dict[int, bytes]):
    """What stands before a body of so many bytes: tags and lengths of fields inside each other, the outermost first.

    The tag is empty of a field that is written as by `sized`, since it differs from place to place.
    """

    def __init__(self, *tags: bytes) -> None:
        super().__init__()
        self._tags = tags

    def __missing__(self, size: int) -> bytes:
        head = b""
        for tag in reversed(self._tags):
            head = tag + VARINTS[len(head) + size] + head
        if len(self) < _KEPT_HEADS:
            self[size] = head
        return head


class Keys(dict[str, bytes]):
    """What stands in an entry of a map before its value, a message, by the entry's key."""

    def __init__(self, entry: type[Message]) -> None:
        super().__init__()
        self._heads = Heads(tag_of(entry, "key", STRING))
        self._value = tag_of(entry, "value")

    def __missing__(self, key: str) -> bytes:
        text = key.encode()
        before = self._heads[len(text)] + text + self._value
        if len(text) <= _LONGEST_KEPT_KEY and len(self) < _KEPT_KEYS:
            self[key] = before
        return before
