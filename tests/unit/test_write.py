"""The write stage without Flink: what it sends, in which order, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st
from pyflink.common import Row
from qdrant_client.grpc import UpdateStatus

from tests.support.store import MemoryPoints
from udfs.core.batching import BatchLimits
from udfs.core.failures import MessageRefusedError, StoreError
from udfs.core.operations import Delete, Upsert
from udfs.core.parcels import KeyedParcel, Parcel
from udfs.core.retry import Backoff
from udfs.core.routing import write_key
from udfs.core.vectors import read_vectors
from udfs.qdrant.client import Connection
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.judge import Answer
from udfs.write import WriteOptions, WriteStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from udfs.core.operations import PointId

LIMITS = BatchLimits(100, 1 << 20, 8)
NOWHERE = Connection("qdrant.example", 6334, tls=False, key_source=None, timeout_seconds=1)
AWAY = Answer(StatusCode.UNAVAILABLE, "connection refused")


def upsert(point_id: PointId, version: int = 0, size: int = 2) -> Upsert:
    """Return a point whose payload tells its version."""
    return Upsert("docs", point_id, read_vectors([1.0] * size), {"version": version})


def row(operations: Iterable[Upsert | Delete], first_offset: int = 0) -> Row:
    """Return operations as the parse stage sends them on."""
    parcel = Parcel()
    for offset, operation in enumerate(operations, first_offset):
        point = encode_upsert(operation) if isinstance(operation, Upsert) else None
        parcel.add(operation.id, point, ("messages", 3, offset))
    return Row(*KeyedParcel(write_key("docs", 0), len(parcel), parcel.to_bytes()))


def write(store: MemoryPoints, batches: Sequence[list[Row]], **options: Any) -> WriteStage:
    """Handle the batches one after another, with waits too short to notice."""
    quick = WriteOptions(NOWHERE, LIMITS, max_in_flight=2, backoff=Backoff(0.0001, 0.0002))
    stage = WriteStage(replace(quick, **options), connect=lambda _connection: store)

    async def run() -> None:
        stage.open(None)
        for batch in batches:
            assert await stage.handle("docs", batch) == ()

    asyncio.run(run())
    return stage


OPERATIONS = st.lists(
    st.builds(lambda point_id, version: upsert(point_id, version) if version else Delete("docs", point_id),
              st.integers(1, 5), st.integers(0, 9)),
    max_size=60,
)  # fmt: skip
CUTS = st.lists(st.integers(1, 7), max_size=30)
FAILURES = st.lists(st.sampled_from([AWAY, Answer(StatusCode.OK, status=UpdateStatus.Acknowledged)]), max_size=6)


@settings(deadline=None)
@given(operations=OPERATIONS, cuts=CUTS, failures=FAILURES)
def test_what_is_left_is_the_last_operation_on_each_id(
    operations: list[Upsert | Delete], cuts: list[int], failures: list[Answer]
) -> None:
    """However operations are cut into batches, and whatever transient failures come, the last one counts."""
    rows, start = [], 0
    for cut in [*cuts, len(operations)]:
        rows.append(row(operations[start : start + cut], start))
        start += cut
    batches = [rows[index : index + 2] for index in range(0, len(rows), 2)]
    store = MemoryPoints({"docs": 2}, failures)
    stage = write(store, batches)

    last = {operation.id: operation for operation in operations}
    expected = {point_id: op.payload["version"] for point_id, op in last.items() if isinstance(op, Upsert)}
    assert {point_id: p.payload["version"].integer_value for (_, point_id), p in store.points.items()} == expected
    account = stage._account
    assert account["written"] + account["deleted"] + account["superseded"] == len(operations)


def test_upserts_and_deletes_of_a_batch_are_one_request_each() -> None:
    """A batch over several parcels becomes two requests, with each id once."""
    store = MemoryPoints({"docs": 2})
    first = row([upsert(1, 1), upsert(2, 1), Delete("docs", 3)])
    second = row([upsert(1, 2), upsert(3, 1), Delete("docs", 2), Delete("docs", 4)])
    stage = write(store, [[first, second]])
    assert store.requests == [("upsert", 2), ("delete", 2)]
    assert {name: stage._account[name] for name in ("written", "deleted", "superseded")} == {
        "written": 2,
        "deleted": 2,
        "superseded": 3,
    }


def test_a_point_that_qdrant_refuses_is_found_and_named() -> None:
    """One point of the wrong size among many ends the job with its place in Kafka and Qdrant's own words."""
    store = MemoryPoints({"docs": 2})
    operations = [upsert(number, size=3 if number == 37 else 2) for number in range(1, 65)]
    with pytest.raises(MessageRefusedError) as refused:
        write(store, [[row(operations, first_offset=100)]])
    assert str(refused.value) == (
        "The message at topic 'messages', partition 3, offset 136 was refused (refused-by-qdrant): "
        "Qdrant said INVALID_ARGUMENT: Wrong input: Vector dimension error: expected dim: 2, got 3"
    )
    assert len(store.requests) <= 2 * 7, "the culprit is found by halving"


def test_giving_up_says_how_long_it_was_tried() -> None:
    """With sink.retry.max-time set, an outage ends in an error that says what was tried and what came back."""
    store = MemoryPoints({"docs": 2}, [AWAY] * 100)
    with pytest.raises(StoreError, match=r"qdrant\.example:6334 was tried \d+ times.*max-time.*connection refused"):
        write(store, [[row([upsert(1)])]], retry_max_seconds=0.001)


def test_a_request_that_is_too_much_is_halved() -> None:
    """What Qdrant cannot take at once is sent in smaller requests, and all of it arrives."""
    too_much = Answer(StatusCode.RESOURCE_EXHAUSTED, "please try to split your request")
    store = MemoryPoints({"docs": 2}, [too_much, too_much])
    write(store, [[row([upsert(number) for number in range(1, 9)])]])
    assert store.requests == [("upsert", 8), ("upsert", 4), ("upsert", 2), ("upsert", 2), ("upsert", 4)]
    assert len(store.points) == 8


def test_one_point_that_is_too_much_is_waited_for() -> None:
    """A single point cannot be split, so it is tried again."""
    too_much = Answer(StatusCode.RESOURCE_EXHAUSTED, "slow down")
    store = MemoryPoints({"docs": 2}, [too_much] * 3)
    write(store, [[row([upsert(1)])]])
    assert store.requests == [("upsert", 1)] * 4


def test_a_collection_in_trouble_leaves_the_others_their_place() -> None:
    """With room for one request at a time, a collection that waits to be tried again holds up nobody else."""
    store = MemoryPoints({"docs": 2, "other": 2}, [Answer(StatusCode.RESOURCE_EXHAUSTED, "later", retry_after=60)])
    stage = WriteStage(WriteOptions(NOWHERE, LIMITS, max_in_flight=1), connect=lambda _connection: store)

    async def run() -> None:
        stage.open(None)
        waiting = asyncio.create_task(stage.handle("docs", [row([upsert(1)])]))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(stage.handle("other", [row([upsert(2)])]), timeout=5)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(run())
    assert [key for key, _ in store.points] == ["other"]


def test_a_key_that_is_not_there_ends_the_job_with_a_sentence() -> None:
    """A worker without the key says what was looked for."""
    stage = WriteStage(WriteOptions(replace(NOWHERE, key_source="env:NO_SUCH_KEY"), LIMITS, max_in_flight=1))

    async def run() -> None:
        stage.open(None)
        await stage.handle("docs", [row([upsert(1)])])

    with pytest.raises(StoreError, match="environment variable NO_SUCH_KEY, which is not set"):
        asyncio.run(run())
