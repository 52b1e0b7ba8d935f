"""Contestant (a): the consumer that people write by hand. One process of a consumer group; start as many as you like.

Idiomatic and careful, and nothing of this project in it: batches of 1,000, the last message about an id counts, Qdrant
has applied everything before the offsets are committed. Like most, it knows nothing of rebalances: when a process joins
or leaves, a partition may get a new reader while the old one still writes, and an older version may land last.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import orjson
from confluent_kafka import Consumer, KafkaException
from qdrant_client import QdrantClient, models

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BATCH = 1000

Points = dict[str, dict[int | str, models.PointStruct | None]]


def main(argv: Sequence[str]) -> None:
    """Consume until the process is ended."""
    options = read_options(argv, __doc__)
    client = QdrantClient(
        host=options.qdrant_host,
        grpc_port=options.qdrant_port,
        prefer_grpc=True,
        timeout=60,
        check_compatibility=False,  # it would ask over REST
    )
    consumer = subscribed(options)
    while True:
        messages = consumer.consume(BATCH, timeout=1.0)
        if messages:
            write(client, read(messages))
            consumer.commit(asynchronous=False)


def read_options(argv: Sequence[str], about: str | None) -> argparse.Namespace:
    """Return where to read and where to write."""
    parser = argparse.ArgumentParser(description=about)
    for name in ("--bootstrap", "--topic", "--group", "--qdrant-host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--qdrant-port", type=int, required=True, help="that of gRPC")
    return parser.parse_args(argv)


def subscribed(options: argparse.Namespace) -> Consumer:
    """Return a consumer of the topic that commits when it is told to."""
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([options.topic])
    return consumer


def read(messages: Iterable[Any]) -> Points:
    """Return the last thing that is said about each id, by collection: a point, or None to delete it."""
    points: Points = defaultdict(dict)
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
        if message.value() is None:
            key = orjson.loads(message.key())
            points[key["collection_name"]][key["id"]] = None
        else:
            body = orjson.loads(message.value())
            point = models.PointStruct(id=body["id"], vector=vector_of(body["vector"]), payload=body["payload"])
            points[body["collection_name"]][body["id"]] = point
    return points


def vector_of(vector: Any) -> Any:
    """Return the vector of a message as qdrant-client takes it."""
    if isinstance(vector, list):
        return vector
    return {name: models.SparseVector(**part) if isinstance(part, dict) else part for name, part in vector.items()}


def write(client: QdrantClient, points: Points) -> None:
    """Write the points of each collection and return when Qdrant has applied them."""
    for collection, by_id in points.items():
        upserts = [point for point in by_id.values() if point is not None]
        deletes: list[int | str] = [point_id for point_id, point in by_id.items() if point is None]
        if upserts:
            client.upsert(collection, upserts, wait=True)
        if deletes:
            client.delete(collection, models.PointIdsList(points=[*deletes]), wait=True)


if __name__ == "__main__":
    main(sys.argv[1:])
