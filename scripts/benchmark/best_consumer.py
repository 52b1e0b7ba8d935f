"""Contestant (b): the same loop with this project's own parser, encoder and client.

It tells what Flink costs: the work on a message is the job's, but there are no checkpoints, no shuffle and no JVM.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException

from scripts.benchmark.plain_consumer import BATCH, read_options, subscribed
from udfs.core.messages import ParseRules, parse_messages
from udfs.core.operations import Upsert
from udfs.core.refusals import Refusal
from udfs.qdrant.client import PointsClient
from udfs.qdrant.connection import Connection
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.judge import Action, Answer, judge

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from udfs.core.operations import PointId

    # The last operation on each id, by collection: an encoded point, or None to delete it.
    Operations = dict[str, dict[PointId, bytes | None]]

_RULES = ParseRules()


def main(argv: Sequence[str]) -> None:
    """Consume until the process is ended."""
    asyncio.run(consume(read_options(argv, __doc__)))


async def consume(options: argparse.Namespace) -> None:
    """Write batch after batch; the blocking reads hold up nobody, for nothing else happens on this loop."""
    client = PointsClient(
        Connection(options.qdrant_host, options.qdrant_port, tls=False, key_source=None, timeout_seconds=60)
    )
    consumer = subscribed(options)
    while True:
        messages = consumer.consume(BATCH, timeout=1.0)
        if messages:
            await write(client, read(messages))
            consumer.commit(asynchronous=False)


def read(messages: Iterable[Any]) -> Operations:
    """Return the last operation on each id, encoded, by collection."""
    records: list[tuple[bytes | None, bytes | None]] = []
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
        records.append((message.key(), message.value()))
    operations: Operations = defaultdict(dict)
    for operation in parse_messages(records, _RULES):
        if isinstance(operation, Refusal):
            raise TypeError(operation.reason)
        point = encode_upsert(operation) if isinstance(operation, Upsert) else None
        operations[operation.collection][operation.id] = point
    return operations


async def write(client: PointsClient, operations: Operations) -> None:
    """Write the points of each collection and return when Qdrant has applied them."""
    for collection, by_id in operations.items():
        upserts = [point for point in by_id.values() if point is not None]
        deletes = [point_id for point_id, point in by_id.items() if point is None]
        if upserts:
            _require_done(await client.upsert(collection, upserts))
        if deletes:
            _require_done(await client.delete(collection, deletes))


def _require_done(answer: Answer) -> None:
    if judge(answer).action is not Action.DONE:
        raise ConnectionError(f"Qdrant answered {answer}")


if __name__ == "__main__":
    main(sys.argv[1:])
