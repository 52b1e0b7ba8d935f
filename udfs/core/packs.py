"""Reads the packs in which Kafka's records cross from Java to Python: many at once, as each crossing has its price.

A pack is what `job/PackRecords.java` makes, all numbers big-endian: the number of records as int32, then each record as
`_HEAD` has it, topic, key, value and headers end to end. A length of -1 is a null.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNT = Struct(">i")
# The lengths of topic, key, value and headers stand around partition and offset.
_HEAD = Struct(">iiqiii")
_HEADER = Struct(">ii")


class Packed(NamedTuple):
    """One record of Kafka.

    Attributes:
        headers: As `headers_of` reads them: hardly anybody asks for them.
    """

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    offset: int
    headers: bytes


def count_of(pack: bytes) -> int:
    """Return how many records are in the pack."""
    return int(_COUNT.unpack_from(pack)[0])


def records_of(pack: bytes) -> Iterator[Packed]:
    """Yield the records of a pack in their order."""
    at, end = _COUNT.size, len(pack)
    unpack, size = _HEAD.unpack_from, _HEAD.size
    topics: dict[bytes, str] = {}
    while at < end:
        topic_size, partition, offset, key_size, value_size, headers_size = unpack(pack, at)
        at += size
        name = pack[at : at + topic_size]
        topic = topics.get(name) or topics.setdefault(name, name.decode())
        at += topic_size
        key = value = None
        if key_size >= 0:
            key = pack[at : at + key_size]
            at += key_size
        if value_size >= 0:
            value = pack[at : at + value_size]
            at += value_size
        yield Packed(key, value, topic, partition, offset, pack[at : at + headers_size])
        at += headers_size


def headers_of(packed: bytes) -> dict[str, bytes | None]:
    """Return the headers of a record by their names."""
    headers: dict[str, bytes | None] = {}
    at = 0
    while at < len(packed):
        name_size, text_size = _HEADER.unpack_from(packed, at)
        at += _HEADER.size
        name = packed[at : at + name_size].decode()
        at += name_size
        headers[name] = None if text_size < 0 else packed[at : at + text_size]
        at += max(text_size, 0)
    return headers
