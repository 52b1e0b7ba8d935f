"""Delivery to the real Qdrant: culprits are found and named in its own words, and their neighbours are written."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from qdrant_client import models

from tests.support.generated import encoded
from tests.support.operations import deep, delete, good, wrong
from tests.support.store import TOO_DEEP, connection_to
from udfs.core.operations import Delete, Upsert
from udfs.core.retry import Backoff
from udfs.core.vectors import read_vectors
from udfs.qdrant.client import PointsClient
from udfs.qdrant.delivery import Delivered, Delivery
from udfs.qdrant.judge import judge
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qdrant_client import QdrantClient

    from scripts.stack.qdrant import Qdrant

DENSE = models.VectorParams(size=2, distance=models.Distance.DOT)
WRONG_SIZE = "Qdrant said INVALID_ARGUMENT: Wrong input: Vector dimension error: expected dim: 2, got 3"

_numbers = itertools.count()


class Collection:
    """A collection of the real Qdrant, to which batches are delivered as the write stage does it."""

    def __init__(self, server: Qdrant, client: QdrantClient) -> None:
        self._server = server
        self._client = client
        self.name = f"delivery-{next(_numbers)}"

    def create(self, **config: Any) -> None:
        """Create it anew."""
        self._client.create_collection(self.name, **{"vectors_config": DENSE, **config})

    def deliver(self, operations: Sequence[Upsert | Delete]) -> Delivered:
        """Deliver one batch, with short waits."""

        async def run() -> Delivered:
            connection = connection_to(self._server)
            patience = Patience(connection, RetryOptions(Backoff(0.001, 0.01), max_seconds=30), max_in_flight=1)
            delivery = Delivery(PointsClient(connection), patience, is_tolerant=True)
            return await delivery.deliver(self.name, encoded(operations))

        return asyncio.run(run())

    def payloads(self) -> dict[int | str, Any]:
        """Return what is stored."""
        records, more = self._client.scroll(self.name, limit=1000)
        assert more is None
        return {record.id: record.payload for record in records}  # type: ignore[misc]


@pytest.fixture
def collection(qdrant: Qdrant) -> Iterator[Collection]:
    """A collection that is yet to be created."""
    with closing(qdrant.client()) as client:
        some = Collection(qdrant, client)
        yield some
        client.delete_collection(some.name)


def refused(delivered: Delivered) -> list[tuple[int | str, str, str]]:
    """Return of each refused operation its id, the code and the reason."""
    return [(found.operation.id, found.refusal.code, found.refusal.reason) for found in delivered.refused]


def test_one_point_of_the_wrong_size_leaves_its_neighbours_written(collection: Collection) -> None:
    """Of 400 points one is refused, in the server's words; the others are all there."""
    collection.create()
    delivered = collection.deliver([wrong(137) if number == 137 else good(number) for number in range(400)])
    assert refused(delivered) == [(137, "refused-by-qdrant", WRONG_SIZE)]
    assert (delivered.written, delivered.deleted) == (399, 0)
    assert collection.payloads().keys() == set(range(400)) - {137}


def test_several_culprits_leave_everything_else_in_effect(collection: Collection) -> None:
    """Wherever they stand, also beside deletes."""
    collection.create()
    collection.deliver([good(number) for number in range(300, 310)])
    culprits = {0, 1, 77, 199}
    upserts = [wrong(number) if number in culprits else good(number) for number in range(200)]
    delivered = collection.deliver([*upserts, *map(delete, range(300, 310))])
    assert {found.operation.id for found in delivered.refused} == culprits
    assert (delivered.written, delivered.deleted) == (196, 10)
    assert collection.payloads().keys() == set(range(200)) - culprits


def test_a_point_that_the_server_cannot_read_is_refused_alone(collection: Collection) -> None:
    """INTERNAL that says that the request cannot be decoded is a refusal of that one point."""
    collection.create()
    delivered = collection.deliver([deep(5) if number == 5 else good(number) for number in range(20)])
    assert refused(delivered) == [(5, "refused-by-qdrant", f"Qdrant said {judge(TOO_DEEP).reason}")]
    assert delivered.written == 19
    assert collection.payloads().keys() == set(range(20)) - {5}


def test_what_only_strict_mode_refuses_is_found(collection: Collection) -> None:
    """No description of the collection tells it: a sparse vector longer than strict mode allows."""
    strict = models.StrictModeConfig(enabled=True, sparse_config={"s": models.StrictModeSparse(max_length=2)})
    collection.create(sparse_vectors_config={"s": models.SparseVectorParams()}, strict_mode_config=strict)

    def sparse(point_id: int, length: int) -> Upsert:
        vector = {"s": {"indices": list(range(length)), "values": [1] * length}}
        return Upsert("", point_id, read_vectors(vector), {})

    delivered = collection.deliver([sparse(number, 3 if number == 7 else 2) for number in range(50)])
    ((point_id, code, reason),) = refused(delivered)
    assert (point_id, code) == (7, "refused-by-qdrant")
    assert reason.startswith("Qdrant said INVALID_ARGUMENT: ")
    assert collection.payloads().keys() == set(range(50)) - {7}


def test_a_limit_on_the_size_of_a_request_refuses_nothing(collection: Collection) -> None:
    """What strict mode calls too many points at once is sent in smaller requests."""
    collection.create(strict_mode_config=models.StrictModeConfig(enabled=True, upsert_max_batchsize=3))
    delivered = collection.deliver([good(number) for number in range(20)])
    assert (delivered.written, delivered.refused) == (20, [])


def test_the_older_operation_counts_when_the_newest_is_refused(collection: Collection) -> None:
    """Also where it is a delete."""
    collection.create()
    collection.deliver([good(1), good(2), good(3)])
    delivered = collection.deliver([good(1, 1), good(1, 2), wrong(1), delete(2), wrong(2), wrong(3), wrong(4)])
    assert [found.operation.id for found in delivered.refused] == [1, 2, 3, 4]
    assert collection.payloads() == {1: {"version": 2}, 3: {"version": 0}}
    assert (delivered.written, delivered.deleted) == (1, 1)


def test_a_missing_collection_refuses_its_batch(collection: Collection) -> None:
    """Upserts and deletes alike, with the code that the description would have given."""
    delivered = collection.deliver([good(1), delete(2)])
    said = f"Qdrant said NOT_FOUND: Not found: Collection `{collection.name}` doesn't exist!"
    assert refused(delivered) == [(1, "collection-unknown", said), (2, "collection-unknown", said)]
