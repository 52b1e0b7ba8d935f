"""The topic that the job of an end-to-end test reads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, TopicPartition

from scripts.stack.kafka import committed_offsets
from scripts.stack.workload import Message, produce

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scripts.stack.kafka import Kafka

PARTITIONS = 4
LARGEST_MESSAGE = 32 * 2**20

Offsets = dict[int, int]


class Topic:
    """A topic, and the consumer group of the same name that the job reads it as."""

    def __init__(self, kafka: Kafka, name: str) -> None:
        kafka.create_topic(name, PARTITIONS, max_message_bytes=LARGEST_MESSAGE)
        self.name = name
        self.bootstrap = kafka.bootstrap
        self.partitions = PARTITIONS
        self._kafka = kafka
        self._consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name, "log_level": 0})

    def add_partition(self) -> int:
        """Give the topic one more partition, and return its number."""
        self.partitions += 1
        self._kafka.grow_topic(self.name, self.partitions)
        return self.partitions - 1

    def produce(self, messages: Iterable[Message]) -> None:
        """Produce the messages and return when Kafka has them all."""
        produce(self.bootstrap, self.name, messages)

    @contextmanager
    def producing(self, messages: Iterable[Message], per_second: float) -> Iterator[list[Message]]:
        """Produce at this rate while the block runs; the list grows by each message before Kafka has it."""
        produced: list[Message] = []
        is_over = threading.Event()

        def paced() -> Iterator[Message]:
            for message in messages:
                if is_over.wait(1 / per_second):
                    return
                produced.append(message)
                yield message

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.produce, paced())
            try:
                yield produced
            finally:
                is_over.set()
                done.result()

    def committed(self) -> Offsets:
        """Return the offsets that Flink committed after its last checkpoint, by partition."""
        partitions = [TopicPartition(self.name, partition) for partition in range(self.partitions)]
        return committed_offsets(self._consumer, partitions)

    def ends(self) -> Offsets:
        """Return the offset behind the last message, by partition."""
        return {
            partition: self._consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=10)[1]
            for partition in range(self.partitions)
        }

    def close(self) -> None:
        """Let go of the group."""
        self._consumer.close()
