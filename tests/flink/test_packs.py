"""The operator in Java that packs records, on Flink's minicluster behind a real Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.stack.processes import wait_until
from tests.support.minicluster import Program
from tests.support.packing import KafkaRecord, pack_of
from tests.support.topics import committed, write
from udfs.core.packs import count_of, headers_of, records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scripts.stack.kafka import Kafka
    from tests.support.topics import Headers

pytestmark = pytest.mark.timeout(120)

HOUR = 3_600_000
NEVER_FULL = (1_000_000, 100_000_000)


def produce(
    kafka: Kafka, topic: str, fields: Sequence[tuple[bytes | None, bytes | None, Headers]]
) -> list[KafkaRecord]:
    """Write records of key, value and headers to a topic of one partition; return them as they are to be read."""
    write(kafka, topic, fields)
    return [KafkaRecord(key, value, topic, 0, at, headers) for at, (key, value, headers) in enumerate(fields)]


def packs_of(
    kafka: Kafka, topic: str, folder: Path, settings: Sequence[int], is_enough: Callable[[list[bytes]], bool]
) -> list[bytes]:
    """Run the job until that is so, and return its packs."""
    file = folder / "packs"

    def read() -> list[bytes]:
        return [bytes.fromhex(line) for line in file.read_text().splitlines()] if file.exists() else []

    with Program("tests.flink.jobs.packs", kafka.bootstrap, topic, str(file), *map(str, settings), folder=folder):
        wait_until(lambda: is_enough(read()), "the packs", seconds=60, every=0.2)
        return read()


def total(packs: Sequence[bytes]) -> int:
    """Return how many records there are in all packs."""
    return sum(map(count_of, packs))


def expected_packs(records: Sequence[KafkaRecord], counts: Sequence[int]) -> list[bytes]:
    """Return the packs of so many records each."""
    ends = [sum(counts[: at + 1]) for at in range(len(counts))]
    return [pack_of(records[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def test_all_is_handed_on_before_the_barrier(kafka: Kafka, tmp_path: Path) -> None:
    """When a checkpoint completes, no record before it is still being packed; and each has all its fields."""
    records = produce(
        kafka,
        "packs-at-the-barrier",
        [
            (b"key", b"value", {}),
            (None, b"a value without key", {"a": b"1", "b": None, "": b""}),
            (b"a tombstone", None, {"\N{SNOWMAN}": b"\x00\xff"}),
            (b"", b"", {}),
            (None, None, {}),
            (b"large", bytes(range(256)) * 1200, {"large": bytes(70_000)}),
        ],
    )
    topic = "packs-at-the-barrier"
    packs = packs_of(
        kafka, topic, tmp_path, (300, *NEVER_FULL, HOUR), lambda _: committed(kafka, topic) == len(records)
    )
    read = [record for pack in packs for record in records_of(pack)]
    # Not by their bytes: Flink's connector reads headers into a map without order.
    assert [KafkaRecord(key, value, *origin, headers_of(headers)) for key, value, origin, headers in read] == records
    assert total(packs) == len(records)


def test_a_pack_is_handed_on_when_it_is_full(kafka: Kafka, tmp_path: Path) -> None:
    """With so many records or so many bytes, whichever comes first, and without a checkpoint."""
    counts = [3, 1, 2, 3]
    sizes = [10, 10, 10, 1000, 600, 600, 10, 10, 10]
    records = produce(kafka, "packs-full", [(None, bytes(size), {}) for size in sizes])
    packs = packs_of(kafka, "packs-full", tmp_path, (HOUR, 3, 1000, HOUR), lambda packs: total(packs) == len(records))
    assert packs == expected_packs(records, counts)


def test_a_pack_waits_no_longer_than_it_may(kafka: Kafka, tmp_path: Path) -> None:
    """Without a barrier, and with room for more, it is handed on when its first record is so old."""
    records = produce(kafka, "packs-aged", [(None, b"alone", {})])
    packs = packs_of(kafka, "packs-aged", tmp_path, (HOUR, *NEVER_FULL, 100), bool)
    assert packs == [pack_of(records)]
