"""Gets Kafka and Qdrant ready for a cell: a topic that holds all its messages, and empty collections without index."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from qdrant_client import models

from scripts.benchmark.workloads import PARTITIONS
from scripts.stack.processes import StackError
from scripts.stack.workload import sparse_params

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qdrant_client import QdrantClient

    from scripts.benchmark.workloads import Record, Workload
    from scripts.stack.kafka import Kafka

_WAL_MB = 32  # Qdrant's default, for each collection
_QUEUE = 10_000  # messages in the producer, at most, but for the next hundred
_LOOK_EVERY = 100


@dataclass(frozen=True)
class Preloaded:
    """A topic that is full.

    Attributes:
        topic: Its name.
        messages: How many there are.
        bytes_per_message: Their size, keys included.
    """

    topic: str
    messages: int
    bytes_per_message: float


@contextmanager
def preloaded(kafka: Kafka, workload: Workload, count: int) -> Iterator[Preloaded]:
    """Have a topic with the first messages of the workload while the block runs: `count`, or half the memory of them.

    Of more, what was written first has been dropped from the system's cache when it is read, which is first, and it is
    the disk that is measured.
    """
    sizes = [len(record.key) + len(record.value or b"") for record in workload.records(1000)]
    mean_size = sum(sizes) / len(sizes)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    count = min(count, int(memory / 2 / mean_size))
    _require_room(kafka, count * mean_size)
    topic = f"bench-{workload.name}-{secrets.token_hex(3)}"
    with topic_of(kafka, topic, workload.partitions):
        total = produce(kafka.bootstrap, topic, workload.records(count))
        os.sync()  # or the first contestant shares the machine with gigabytes on their way to the disk
        yield Preloaded(topic, count, total / count)


@contextmanager
def topic_of(kafka: Kafka, name: str, partitions: int = PARTITIONS, **config: object) -> Iterator[str]:
    """Have an empty topic, configured so, while the block runs."""
    kafka.create_topic(name, partitions, **{"file.delete.delay.ms": 1000, **config})
    yield name
    admin = kafka.admin()
    admin.delete_topics([name])[name].result(timeout=30)


def open_producer(bootstrap: str, **config: object) -> Any:
    """Return a producer whose delivery reports tell of failures only."""
    common = {"bootstrap.servers": bootstrap, "delivery.report.only.error": True, "log_level": 0}
    return Producer({**common, **config})


def produce(bootstrap: str, topic: str, records: Iterable[Record]) -> int:
    """Produce the records as fast as Kafka takes them; return their bytes when it has them all."""
    failures: list[str] = []

    def on_delivery(error: object, _message: object) -> None:
        failures.append(str(error))

    producer = open_producer(bootstrap, **{"linger.ms": 50, "batch.size": 2**20, "queue.buffering.max.kbytes": 2**20})
    total = 0
    for number, record in enumerate(records):
        total += len(record.key) + len(record.value or b"")
        if number % _LOOK_EVERY == 0:
            _wait_for_room(producer)
        key, value = record.key, record.value
        producer.produce(topic, value=value, key=key, partition=record.partition, on_delivery=on_delivery)
    if producer.flush(120) or failures:
        raise StackError(f"Kafka did not take every message: {failures[:3]}")
    return total


def create_collections(client: QdrantClient, workload: Workload) -> None:
    """Create the workload's collections, without any index."""
    places = workload.placed()
    # With its default, a thousand write-ahead logs would take 64 GB.
    wal = models.WalConfigDiff(wal_capacity_mb=max(1, _WAL_MB // len(places)))
    for name, kind in places:
        client.create_collection(
            name,
            vectors_config=kind.vectors,
            sparse_vectors_config=sparse_params(kind.sparse),
            hnsw_config=models.HnswConfigDiff(m=0),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
            wal_config=wal,
            timeout=60,
        )


def _wait_for_room(producer: Any) -> None:
    producer.poll(0)
    while len(producer) > _QUEUE:
        producer.poll(0.01)


def _require_room(kafka: Kafka, size: float) -> None:
    """Refuse what would fill the disk: the topic, and as much again for what Qdrant makes of it."""
    free = shutil.disk_usage(kafka.home).free
    if free < 2.2 * size:
        raise StackError(
            f"{size / 1e9:.1f} GB of messages want {2.2 * size / 1e9:.1f} GB in {kafka.home.parent}, and"
            f" {free / 1e9:.1f} are free. Make room, name another folder in TMPDIR, or give fewer --seconds."
        )
