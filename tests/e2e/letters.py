"""The dead letters in a topic, and those that a run must have left."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from scripts.stack.workload import Message
from tests.cases import REFUSED
from udfs.core.operations import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scripts.stack.kafka import Kafka

USUAL_LIMIT = 1_048_588  # bytes, of a topic, by Kafka's default
BAD_ONE = "a bad one"
BAD = [case for case in REFUSED if len(case.value or b"") < USUAL_LIMIT]


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


def with_bad_ones(messages: Iterable[Message], every: Callable[[], int] = lambda: 10) -> Iterator[Message]:
    """Return the messages, and a bad one as every tenth, or as `every()` says at each moment."""
    bad, since = cycle(BAD), 1
    for message in messages:
        yield message
        since += 1
        if since >= every():
            case, since = next(bad), 1
            yield Message((BAD_ONE, case.id), message.partition, case.key, case.value)


def placed(topic: str, messages: Iterable[Message]) -> Iterator[tuple[Origin, Message]]:
    """Return the messages with their places in the topic, of which these are all."""
    ends: Counter[int] = Counter()
    for message in messages:
        yield Origin(topic, message.partition, ends[message.partition]), message
        ends[message.partition] += 1


def origins_of_bad_ones(topic: str, messages: Iterable[Message]) -> set[Origin]:
    """Return where the bad ones among these messages stand in the topic."""
    return {origin for origin, message in placed(topic, messages) if message.point[0] == BAD_ONE}
