"""Packs, as `job/PackRecords.java` makes them: `tests/flink/test_packs.py` holds that Java's have the same bytes."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class KafkaRecord(NamedTuple):
    """A record as Flink's Kafka connector reads it."""

    key: bytes | None
    value: bytes | None
    topic: str
    partition: int
    offset: int
    headers: Mapping[str, bytes | None]


def pack_of(records: Sequence[KafkaRecord]) -> bytes:
    """Return the pack of these records."""
    frames, fields = zip(*map(_packed, records), strict=True) if records else ((), ())
    return pack(">i", len(records)) + b"".join(frames) + b"".join(fields)


def _packed(record: KafkaRecord) -> tuple[bytes, bytes]:
    topic = record.topic.encode()
    headers = b"".join(_packed_header(name.encode(), value) for name, value in record.headers.items())
    lengths = (_length(record.key), _length(record.value), len(headers))
    frame = pack(">iiqiii", len(topic), record.partition, record.offset, *lengths)
    return frame, b"".join((topic, record.key or b"", record.value or b"", headers))


def _packed_header(name: bytes, value: bytes | None) -> bytes:
    return pack(">ii", len(name), _length(value)) + name + (value or b"")


def _length(field: bytes | None) -> int:
    return -1 if field is None else len(field)
