"""The dead letters in a topic, and those that a run must have left."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from udfs.core.operations import Origin

if TYPE_CHECKING:
    from scripts.stack.kafka import Kafka


class Letter(NamedTuple):
    """A record of the dead letters' topic."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def origin(self) -> Origin:
        """Where the message was read that this is about."""
        topic, partition, offset = (self.text(f"__connect.errors.{name}") for name in ("topic", "partition", "offset"))
        return Origin(topic, int(partition), int(offset))

    @property
    def code(self) -> str:
        """Why it was refused."""
        return self.text("qdrant.errors.code")

    def text(self, header: str) -> str:
        """Return a header as text, empty if it is not there."""
        return self.headers.get(header, b"").decode()


def create_letters_topic(kafka: Kafka, name: str) -> str:
    """Create a topic for dead letters, with Kafka's usual limit of a megabyte, and return its name."""
    kafka.create_topic(name)
    return name


def letters_in(kafka: Kafka, topic: str) -> list[Letter]:
    """Return all dead letters that are in the topic now."""
    partition = TopicPartition(topic, 0, 0)
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0, "enable.auto.commit": False}
    with closing(Consumer(settings)) as consumer:
        consumer.assign([partition])
        end = consumer.get_watermark_offsets(partition, timeout=10)[1]
        records = consumer.consume(end, timeout=30)
    assert len(records) == end
    return [Letter(record.key(), record.value(), dict(record.headers() or [])) for record in records]
