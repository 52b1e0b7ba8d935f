"""Reads packs: many records of Kafka in one piece, because every crossing from Java to Python has its price.

The layout is that of `job/PackRecords.java`, which makes them. All numbers are big-endian, and the length of a null is
-1:

    int32 count, then for each record a frame: int32 length of the topic, int32 partition, int64 offset, int32 lengths
    of key, value and headers; then for each record: topic, key, value, headers

    headers, for each: int32 length of the name, int32 length of the value; name, value
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from udfs.core.operations import Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNT = Struct(">i")
_FRAME = Struct(">iiqiii")
_HEADER = Struct(">ii")


class PackedRecord(NamedTuple):
    """One record of Kafka.

    Attributes:
        headers: As `headers_of` reads them; only dead letters need them.
    """

    key: bytes | None
    value: bytes | None
    origin: Origin
    headers: bytes


def count_of(pack: bytes) -> int:
    """Return how many records there are in the pack."""
    return int(_COUNT.unpack_from(pack)[0])


def records_of(pack: bytes) -> Iterator[PackedRecord]:
    """Yield the records of the pack in their order."""
    topics: dict[bytes, str] = {}
    at = _COUNT.size + count_of(pack) * _FRAME.size
    for topic_size, partition, offset, key_size, value_size, headers_size in _FRAME.iter_unpack(pack[_COUNT.size : at]):
        key_at = at + topic_size
        value_at = key_at + key_size if key_size > 0 else key_at
        headers_at = value_at + value_size if value_size > 0 else value_at
        topic = pack[at:key_at]
        at = headers_at + headers_size
        yield PackedRecord(
            None if key_size < 0 else pack[key_at:value_at],
            None if value_size < 0 else pack[value_at:headers_at],
            Origin(topics.get(topic) or topics.setdefault(topic, topic.decode()), partition, offset),
            pack[headers_at:at],
        )


def headers_of(packed: bytes) -> dict[str, bytes | None]:
    """Return the values of a record's headers by their names."""
    headers: dict[str, bytes | None] = {}
    at = 0
    while at < len(packed):
        name_size, value_size = _HEADER.unpack_from(packed, at)
        value_at = at + _HEADER.size + name_size
        end = value_at + max(value_size, 0)
        name = packed[at + _HEADER.size : value_at].decode()
        headers[name] = None if value_size < 0 else packed[value_at:end]
        at = end
    return headers
