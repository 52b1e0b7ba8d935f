"""Keeps a topic filled for a job that runs for many minutes, and empties it of what the job has committed.

The same messages come round again and again, so that Qdrant keeps no more points than a round has.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, TopicPartition

from scripts.benchmark.preload import produce
from scripts.benchmark.workloads import PARTITIONS
from scripts.stack.kafka import committed_offsets
from scripts.stack.processes import StackError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from scripts.benchmark.workloads import Workload
    from scripts.stack.kafka import Kafka

# Small, as Kafka deletes whole segments only.
TOPIC = {"segment.bytes": 2**26}
_STALLED_SECONDS = 60
_LOOK_EVERY = 1.0


@dataclass
class Backlog:
    """What a job has yet to commit.

    Attributes:
        short: With fewer messages the job may have been waiting, as it is ahead of what it has committed.
        produced: How many messages there are so far.
        read: How many of them the job had committed when that was last looked at.
    """

    short: int
    produced: int = 0
    read: int = 0
    _moved_at: float | None = None

    @property
    def left(self) -> int:
        """How many are not committed."""
        return self.produced - self.read

    def look(self, offsets: Iterable[int], now: float) -> None:
        """Note which offsets are committed; raise StackError if they say that the job was not at full speed."""
        read = sum(offsets)
        if read > self.read or self._moved_at is None:
            self.read, self._moved_at = read, now
        if self.left < self.short:
            raise StackError(f"{self.left:,} messages were left for the job, so it may not have been at full speed.")
        if now > self._moved_at + _STALLED_SECONDS:
            raise StackError(f"The job has committed nothing for {_STALLED_SECONDS} s of {self.left:,} messages.")


@dataclass
class Feeder:
    """Fills the topic of one job, which commits as consumer group of the same name.

    Args:
        kafka: Where it is.
        topic: Its name.
        workload: What it is filled with.
        points: How many messages there are in each round.
        full: With so many that are not committed, it is full.
        short: See Backlog.
    """

    kafka: Kafka
    topic: str
    workload: Workload
    points: int = 400_000
    full: int = 800_000
    short: int = 300_000

    def __post_init__(self) -> None:
        self.backlog = Backlog(self.short)

    def fill(self) -> None:
        """Fill the topic, before the job starts."""
        while self.backlog.left <= self.full:
            self._produce()

    def run(self, is_over: threading.Event) -> None:
        """Keep it filled until it is over.

        Raises:
            StackError: if the job may have been short of messages, or commits nothing for a minute.
        """
        group = {"bootstrap.servers": self.kafka.bootstrap, "group.id": self.topic, "log_level": 0}
        partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        with closing(Consumer(group)) as consumer:
            while not is_over.is_set():
                offsets = committed_offsets(consumer, partitions)
                self.backlog.look(offsets.values(), time.monotonic())
                self._forget(
                    [TopicPartition(self.topic, number, offset) for number, offset in offsets.items() if offset]
                )
                if self.backlog.left > self.full:
                    is_over.wait(_LOOK_EVERY)
                else:
                    self._produce()

    def _produce(self) -> None:
        produce(self.kafka.bootstrap, self.topic, self.workload.records(self.points))
        self.backlog.produced += self.points

    def _forget(self, committed: list[TopicPartition]) -> None:
        admin = self.kafka.admin()
        for done in admin.delete_records(committed).values() if committed else ():
            done.result(timeout=30)
