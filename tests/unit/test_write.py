"""The write stage without Flink: what it makes of parcels, and what it counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from pyflink.common import Row
from qdrant_client.grpc import UpdateStatus

from tests.support.generated import encoded
from tests.support.metrics import Context
from tests.support.store import NOWHERE, MemoryPoints
from udfs.core.batching import BatchLimits
from udfs.core.dead_letters import DeadLetter, LetterRules, Record, dead_letter, packed
from udfs.core.error_limit import ErrorLimit
from udfs.core.failures import MessageRefusedError, StoreError, TooManyRefusedError
from udfs.core.operations import Delete, Origin, Upsert
from udfs.core.parcels import AddressedParcel, Parcel
from udfs.core.refusals import Refusal
from udfs.core.retry import Backoff
from udfs.core.routing import DEAD_LETTERS, address
from udfs.core.vectors import read_vectors
from udfs.dead_letters import DeadLetterOptions
from udfs.qdrant.decode import message_of
from udfs.qdrant.judge import Answer
from udfs.qdrant.patience import RetryOptions
from udfs.write import WriteOptions, WriteStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from udfs.core.operations import PointId

LIMITS = BatchLimits(100, 1 << 20, 8)
LETTERS = DeadLetterOptions(LetterRules("my-job", 10**6), ErrorLimit(0.9, 0, 60))
OPTIONS = WriteOptions(
    NOWHERE, LIMITS, max_in_flight=2, retry=RetryOptions(Backoff(0.0001, 0.0002)), dead_letters=LETTERS
)
AWAY = Answer(StatusCode.UNAVAILABLE, "connection refused")


def upsert(point_id: PointId, version: int = 0, size: int = 2) -> Upsert:
    """Return a point whose payload tells its version."""
    return Upsert("docs", point_id, read_vectors([1.0] * size), {"version": version})


def row(operations: Iterable[Upsert | Delete], first_offset: int = 0) -> Row:
    """Return operations as the parse stage sends them on."""
    parcel = Parcel(encoded(operations, first_offset))
    return Row(*AddressedParcel(address("0", "docs"), len(parcel.operations), parcel.to_bytes()))


def written(
    store: MemoryPoints, batches: Sequence[list[Row]], group: str = "docs", **options: Any
) -> tuple[WriteStage, list[DeadLetter]]:
    """Handle the batches one after another, with waits too short to notice; return the dead letters, too."""
    stage = WriteStage(replace(OPTIONS, **options), connect=lambda _connection: store)

    async def run() -> list[DeadLetter]:
        stage.open(Context())
        return [DeadLetter(*letter) for batch in batches for letter in await stage.handle(group, batch)]

    return stage, asyncio.run(run())


def counted(stage: WriteStage) -> dict[str, int]:
    """Return what the stage has counted, but for what it has not."""
    return {name: total for name, total in stage._account._totals.items() if total}


OPERATIONS = st.lists(
    st.builds(lambda point_id, version: upsert(point_id, version) if version else Delete("docs", point_id),
              st.integers(1, 5), st.integers(0, 9)),
    max_size=60,
)  # fmt: skip
CUTS = st.lists(st.integers(1, 7), max_size=30)
FAILURES = st.lists(st.sampled_from([AWAY, Answer(StatusCode.OK, status=UpdateStatus.Acknowledged)]), max_size=6)


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
    stage, letters = written(store, batches)

    last = {operation.id: operation for operation in operations}
    expected = {point_id: op.payload["version"] for point_id, op in last.items() if isinstance(op, Upsert)}
    assert {point_id: p.payload["version"].integer_value for (_, point_id), p in store.points.items()} == expected
    assert sum(counted(stage).values()) == len(operations)
    assert letters == []


def test_a_batch_counts_what_became_of_each_operation() -> None:
    """Over several parcels, each id is written or deleted once; what came before is superseded."""
    first = row([upsert(1, 1), upsert(2, 1), Delete("docs", 3)])
    second = row([upsert(1, 2), upsert(3, 1), Delete("docs", 2), Delete("docs", 4)])
    store = MemoryPoints({"docs": 2})
    stage, _ = written(store, [[first, second]])
    assert store.requests == [("upsert", 2), ("delete", 2)]
    assert counted(stage) == {"written": 2, "deleted": 2, "superseded": 3}


def test_what_qdrant_refuses_is_a_dead_letter_with_the_message_rendered_again() -> None:
    """It names the message's place in Kafka and says that it is not the original; its neighbours are written."""
    store = MemoryPoints({"docs": 2})
    operations = [upsert(number, version=number, size=3 if number == 37 else 2) for number in range(1, 65)]
    stage, letters = written(store, [[row(operations, first_offset=100)]])
    (operation,) = encoded([operations[36]], 136)
    refusal = Refusal(
        "refused-by-qdrant",
        "",
        "Qdrant said INVALID_ARGUMENT: Wrong input: Vector dimension error: expected dim: 2, got 3",
    )
    record = Record(*message_of("docs", operation), {}, Origin("messages", 3, 136))
    assert letters == [dead_letter(record, refusal, "write", LETTERS.rules, is_rendered=True)]
    assert len(store.points) == 63
    assert counted(stage) == {"written": 63, "deadLettered": 1, "refused-by-qdrant": 1}


def test_without_dead_letters_what_qdrant_refuses_ends_the_job() -> None:
    """The sentence has the message's place in Kafka and Qdrant's own words."""
    store = MemoryPoints({"docs": 2})
    with pytest.raises(MessageRefusedError) as refused:
        written(store, [[row([upsert(1), upsert(2, size=3)], first_offset=135)]], dead_letters=None)
    assert str(refused.value) == (
        "The message at topic 'messages', partition 3, offset 136 was refused (refused-by-qdrant): "
        "Qdrant said INVALID_ARGUMENT: Wrong input: Vector dimension error: expected dim: 2, got 3"
    )


def test_too_many_refusals_end_the_job() -> None:
    """The write stage has a limit of its own, by the messages that it sees."""
    limited = replace(LETTERS, limit=ErrorLimit(0.9, 3, 60))
    with pytest.raises(TooManyRefusedError, match="3 of the last 3 messages were refused"):
        written(MemoryPoints({"docs": 3}), [[row([upsert(1), upsert(2), upsert(3)])]], dead_letters=limited)


def test_dead_letters_of_the_parse_stage_pass_through() -> None:
    """They are counted by their codes, and Qdrant is not even connected to."""

    def letter(code: str) -> DeadLetter:
        return DeadLetter(None, b"\xff", {"qdrant.errors.code": code.encode(), "mine": None})

    letters = [letter("id-type"), letter("key-missing"), letter("id-type")]
    there = address("3", DEAD_LETTERS)
    rows = [Row(*AddressedParcel(there, len(some), packed(some))) for some in (letters[:2], letters[2:])]
    stage = WriteStage(OPTIONS, connect=lambda _connection: pytest.fail("a connection for nothing"))

    async def run() -> list[DeadLetter]:
        stage.open(Context())
        assert [stage.group_of(row) for row in rows] == [DEAD_LETTERS] * 2
        assert [stage.size_of(row)[0] for row in rows] == [2, 1]
        return [DeadLetter(*row) for row in await stage.handle(DEAD_LETTERS, rows)]

    assert asyncio.run(run()) == letters
    assert counted(stage) == {"deadLettered": 3, "id-type": 2, "key-missing": 1}


def test_a_collection_in_trouble_leaves_the_others_their_place() -> None:
    """With room for one request at a time, a collection that waits to be tried again holds up nobody else."""
    store = MemoryPoints({"docs": 2, "other": 2}, [Answer(StatusCode.RESOURCE_EXHAUSTED, "later", retry_after=60)])
    stage = WriteStage(replace(OPTIONS, max_in_flight=1), connect=lambda _connection: store)

    async def run() -> None:
        stage.open(Context())
        waiting = asyncio.create_task(stage.handle("docs", [row([upsert(1)])]))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(stage.handle("other", [row([upsert(2)])]), timeout=5)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(run())
    assert [key for key, _ in store.points] == ["other"]


def test_a_key_that_is_not_there_ends_the_job_with_a_sentence() -> None:
    """A worker without the key says what was looked for."""
    stage = WriteStage(replace(OPTIONS, connection=replace(NOWHERE, key_source="env:NO_SUCH_KEY")))

    async def run() -> None:
        stage.open(Context())
        await stage.handle("docs", [row([upsert(1)])])

    with pytest.raises(StoreError, match="environment variable NO_SUCH_KEY, which is not set"):
        asyncio.run(run())
