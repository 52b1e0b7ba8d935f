"""What must be in Qdrant, worked out from the messages and from how far Flink says that it came."""

from __future__ import annotations

import json
import re
import struct
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scripts.stack.workload import Point, Workload, as_stored, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qdrant_client import QdrantClient

    from scripts.stack.workload import Message, PointKey
    from tests.e2e.topic import Offsets


def must_hold(client: QdrantClient, points: dict[PointKey, Point]) -> None:
    """Fail unless there are exactly these points in Qdrant; say of each kind of fault how many there are, and a few."""
    difference = compare(client, points)
    said = {kind: (len(keys), keys[:5]) for kind, keys in vars(difference).items() if keys}
    assert said == {}


def missing(client: QdrantClient, messages: Iterable[Message]) -> list[PointKey]:
    """Return the points of these messages that are not in Qdrant at this moment."""
    wanted: dict[str, list[int | str]] = defaultdict(list)
    for message in messages:
        collection, point_id = message.point
        wanted[collection].append(point_id)
    lost: list[PointKey] = []
    for collection, ids in wanted.items():
        found = {str(record.id) for record in client.retrieve(collection, ids, with_payload=False)}
        lost += [(collection, point_id) for point_id in ids if str(point_id) not in found]
    return lost


def before(messages: Iterable[Message], offsets: Offsets) -> list[Message]:
    """Return the messages before these offsets, in the order in which they were produced."""
    places: Counter[int] = Counter()
    chosen = []
    for message in messages:
        if places[message.partition] < offsets.get(message.partition, 0):
            chosen.append(message)
        places[message.partition] += 1
    return chosen


def offsets_in(savepoint: str, topic: str) -> Offsets:
    """Return where a savepoint's source goes on, by partition; the committed offsets may be older."""
    state = (Path(urlsplit(savepoint).path) / "_metadata").read_bytes()
    # KafkaPartitionSplitSerializer: topic, partition, offset, and the end, which Long.MIN_VALUE says there is not.
    split = re.compile(re.escape(topic.encode()) + b"(.{12})\x80" + bytes(7), re.DOTALL)
    places = [struct.unpack(">iq", match) for match in split.findall(state)]
    return {partition: offset for partition, offset in places if offset >= 0}


def points_of(messages: Iterable[Message]) -> dict[PointKey, Point]:
    """Return the points that these messages leave, in this order."""
    workload = Workload()
    for message in messages:
        body = json.loads(message.value or b"{}")
        point = Point(as_stored(body.get("vector", {})), body.get("payload", {}))
        workload.add(message, None if message.value is None else point)
    return workload.points


def with_unlike_ids(messages: Iterable[Message]) -> list[Message]:
    """Return the messages that are alone with their ids."""
    chosen = list(messages)
    of_id = Counter(message.point for message in chosen)
    return [message for message in chosen if of_id[message.point] == 1]


def in_parts(messages: Sequence[Message], count: int) -> list[Sequence[Message]]:
    """Return the messages in so many parts of about one size."""
    bounds = [len(messages) * number // count for number in range(count + 1)]
    return [messages[start:end] for start, end in pairwise(bounds)]
