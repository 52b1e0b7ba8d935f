"""Topics with records in them, and the settings that give a job dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer, TopicPartition

from scripts.stack.kafka import committed_offsets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scripts.stack.kafka import Kafka

    Headers = Mapping[str, bytes | None]
    # Key and value, and headers if there are any.
    Written = tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Headers]


def committed(kafka: Kafka, topic: str) -> int:
    """Return the offset up to which checkpoints of the group, named like its topic, have completed; 0 if none has."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0})
    try:
        return committed_offsets(consumer, [TopicPartition(topic, 0)])[0]
    finally:
        consumer.close()


def write(kafka: Kafka, topic: str, records: Iterable[Written], partitions: int = 1) -> None:
    """Create a topic and write the records to its partitions in turn."""
    kafka.create_topic(topic, partitions)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for number, (key, value, *headers) in enumerate(records):
        producer.produce(topic, value, key=key, partition=number % partitions, headers=dict(*headers))
    assert producer.flush(30) == 0


def tolerant(letters: str) -> tuple[str, ...]:
    """Return the settings that make dead letters, for a topic of this name, of bad messages."""
    return "--errors.tolerance=all", f"--errors.deadletterqueue.topic.name={letters}"


def whole_topic(bootstrap: str, topic: str) -> dict[str, str]:
    """Return the options of Flink's connector to read a topic from its beginning, in a group of the topic's name."""
    return {
        "topic": topic,
        "properties.bootstrap.servers": bootstrap,
        "properties.group.id": topic,
        "scan.startup.mode": "earliest-offset",
    }
