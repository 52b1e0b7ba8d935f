"""The client against the real Qdrant, and the store in memory against both: the same calls, the same answers."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode
from qdrant_client import models

from scripts.stack.processes import free_port
from scripts.stack.qdrant import Qdrant
from tests.support.cases import nested
from tests.support.store import MemoryPoints, connection_to
from udfs.core.operations import Upsert
from udfs.core.vectors import read_vectors
from udfs.qdrant.client import PointsClient
from udfs.qdrant.connection import Connection
from udfs.qdrant.decode import schema_of
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.judge import Action, Answer, judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from udfs.core.schemas import Schema
    from udfs.qdrant.collections import Descriptions
    from udfs.qdrant.delivery import Points

_numbers = itertools.count()


def point(point_id: int, size: int = 2, *, levels: int = 0) -> bytes:
    """Return an encoded point with an unnamed vector, or none of size 0, and so many objects in its payload."""
    vectors = read_vectors([1.0] * size if size else None)
    return encode_upsert(Upsert("", point_id, vectors, {"n": point_id, "k": nested(levels)}))


@pytest.fixture
def collection(qdrant: Qdrant) -> Iterator[str]:
    """A collection of its own, of vectors of size 2."""
    name = f"store-{next(_numbers)}"
    with closing(qdrant.client()) as client:
        client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))
        yield name
        client.delete_collection(name)


async def written(store: Points, collection: str) -> list[Answer]:
    """Make the calls that the write stage may make, good and bad ones."""
    return [
        await store.upsert(collection, [point(1), point(2)]),
        await store.upsert(collection, [point(2), point(0)]),
        await store.upsert(collection, [point(5, size=0), point(6, levels=32)]),
        await store.delete(collection, [1, 99]),
        await store.delete(collection, [99]),
        await store.upsert(collection, [point(3), point(4, size=3)]),
        await store.upsert(collection, []),
        await store.delete(collection, []),
        await store.upsert(collection, [point(3), point(4, levels=33)]),
        await store.upsert("no-such-collection", [point(1)]),
        await store.delete("no-such-collection", [1]),
    ]


def test_the_store_in_memory_answers_as_qdrant_does(qdrant: Qdrant, collection: str) -> None:
    """Status, outcome and verdict of every write are those of the real server, and so is its own sentence."""

    async def real() -> list[Answer]:
        return await written(PointsClient(connection_to(qdrant)), collection)

    store = MemoryPoints({collection: 2})
    expected = asyncio.run(real())
    assert asyncio.run(written(store, collection)) == expected
    actions = [Action.DONE] * 5 + [Action.REFUSED] * 4 + [Action.ABSENT] * 2
    assert [judge(answer).action for answer in expected] == actions
    with closing(qdrant.client()) as client:
        records, _ = client.scroll(collection, limit=99)
    # Of a request that it refuses, the real server may have written some: here the point 3.
    stored = {point_id for _, point_id in store.points}
    assert stored <= {record.id for record in records} <= stored | {3}


def test_the_store_in_memory_describes_itself_as_qdrant_does(qdrant: Qdrant, collection: str) -> None:
    """A collection is described by its vectors, and one that is not there by the real server's own sentence."""

    async def described(store: Descriptions) -> list[tuple[Answer, Schema]]:
        answers = [await store.describe(name) for name in (collection, "no-such-collection")]
        return [(answer, schema_of(params)) for answer, params in answers]

    async def real() -> list[tuple[Answer, Schema]]:
        return await described(PointsClient(connection_to(qdrant)))

    expected = asyncio.run(real())
    assert asyncio.run(described(MemoryPoints({collection: 2}))) == expected
    assert [judge(answer).action for answer, _ in expected] == [Action.DONE, Action.ABSENT]


def test_nobody_listening_is_an_answer_and_not_an_exception() -> None:
    """A server that is away is something to wait for."""

    async def ask() -> Answer:
        client = PointsClient(Connection("127.0.0.1", free_port(), tls=False, key_source=None, timeout_seconds=2))
        return await client.upsert("docs", [point(1)])

    answer = asyncio.run(ask())
    assert answer.code is StatusCode.UNAVAILABLE
    assert judge(answer).action is Action.RETRY


def test_a_key_that_is_put_right_is_read_again(tmp_path: Path) -> None:
    """A worker whose key is refused goes on by itself once the right one is in the file."""
    file = tmp_path / "key"
    file.write_text("wrong")

    async def ask(server: Qdrant) -> list[Answer]:
        client = PointsClient(connection_to(server, f"file:{file}"))
        answers = [await client.delete("docs", [1])]
        file.write_text("right\n")
        return [*answers, await client.delete("docs", [1]), await client.delete("docs", [1])]

    with Qdrant(api_key="right") as server:
        refused, read_again, accepted = asyncio.run(ask(server))
    assert judge(refused).action is Action.RETRY
    assert judge(read_again).action is Action.RETRY
    assert accepted.code is StatusCode.NOT_FOUND, "accepted, and told that there is no such collection"


def test_a_rate_limit_smaller_than_the_batch_asks_for_smaller_requests(qdrant: Qdrant) -> None:
    """More points than the rate limit holds would be refused for ever, so the verdict is to split."""
    name = f"limited-{next(_numbers)}"
    limited = models.StrictModeConfig(enabled=True, write_rate_limit=5)
    with closing(qdrant.client()) as client:
        client.create_collection(
            name, models.VectorParams(size=2, distance=models.Distance.DOT), strict_mode_config=limited
        )

    async def ask() -> Answer:
        return await PointsClient(connection_to(qdrant)).upsert(name, [point(number) for number in range(6)])

    answer = asyncio.run(ask())
    assert answer.code is StatusCode.RESOURCE_EXHAUSTED
    assert judge(answer).action is Action.SPLIT
