"""Delivery: what Qdrant takes is in it, what it refuses is found, and an outage is neither."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc
from qdrant_client.grpc import UpdateStatus

from tests.support.generated import encoded
from tests.support.operations import deep, delete, good, wrong
from tests.support.store import COMPLETED, NOWHERE, TOO_DEEP, MemoryPoints
from udfs.core.failures import MessageRefusedError, StoreError
from udfs.core.operations import Delete, Upsert
from udfs.core.refusals import Refusal
from udfs.core.retry import Backoff
from udfs.qdrant.delivery import Delivered, Delivery
from udfs.qdrant.judge import Answer, judge
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from udfs.core.operations import PointId

AWAY = Answer(StatusCode.UNAVAILABLE, "connection refused")
PENDING = Answer(StatusCode.OK, status=UpdateStatus.Acknowledged)
TOO_MUCH = Answer(StatusCode.RESOURCE_EXHAUSTED, "please try to split your request")
FAULT = Answer(StatusCode.INTERNAL, "Service internal error: task panicked")


def deliver(
    store: MemoryPoints,
    operations: Sequence[Upsert | Delete],
    *,
    max_seconds: float | None = None,
    is_tolerant: bool = True,
) -> Delivered:
    """Deliver one batch, with waits too short to notice."""

    async def run() -> Delivered:
        patience = Patience(NOWHERE, RetryOptions(Backoff(0.0001, 0.0002), max_seconds), 1)
        return await Delivery(store, patience, is_tolerant=is_tolerant).deliver("docs", encoded(operations))

    return asyncio.run(run())


def offsets(delivered: Delivered) -> list[int]:
    """Return which operations of the batch were refused."""
    return sorted(refused.operation.origin.offset for refused in delivered.refused)


def versions(store: MemoryPoints) -> dict[PointId, int]:
    """Return which version of each point is stored."""
    return {point_id: point.payload["version"].integer_value for (_, point_id), point in store.points.items()}


IDS = st.integers(0, 5)
OPERATIONS = st.lists(
    st.builds(good, IDS, st.integers(1, 99)) | st.builds(delete, IDS) | st.builds(wrong, IDS) | st.builds(deep, IDS),
    max_size=30,
)
TRANSIENT = st.lists(st.sampled_from([AWAY, PENDING, TOO_MUCH]), max_size=6)


@given(OPERATIONS, TRANSIENT)
def test_each_id_has_the_newest_operation_that_was_accepted(
    operations: list[Upsert | Delete], transient: list[Answer]
) -> None:
    """Whichever are refused: just those that are newer than it; those that are older are superseded."""
    store = MemoryPoints({"docs": 2})
    deliver(store, [good(point_id) for point_id in range(3)])
    store.fail_with(transient)
    expected, refused = versions(store), []
    for offset, operation in reversed(list(enumerate(operations))):
        if operation.id in (newer.id for newer in operations[offset + 1 :] if not is_bad(newer)):
            continue
        if is_bad(operation):
            refused.append(offset)
        elif isinstance(operation, Upsert):
            expected[operation.id] = operation.payload["version"]
        else:
            expected.pop(operation.id, None)

    delivered = deliver(store, operations)
    assert versions(store) == expected
    assert offsets(delivered) == sorted(refused)
    accepted = {operation.id: operation for operation in operations if not is_bad(operation)}
    assert delivered.written == sum(isinstance(operation, Upsert) for operation in accepted.values())
    assert delivered.deleted == sum(isinstance(operation, Delete) for operation in accepted.values())


def is_bad(operation: Upsert | Delete) -> bool:
    """Tell whether the server refuses this one, whatever comes with it."""
    return operation in (wrong(operation.id), deep(operation.id))


def test_upserts_and_deletes_are_one_request_each() -> None:
    """Of each id only the newest operation is sent."""
    store = MemoryPoints({"docs": 2})
    delivered = deliver(store, [good(1, 1), good(2, 1), delete(3), good(1, 2), good(3, 1), delete(2), delete(4)])
    assert store.requests == [("upsert", 2), ("delete", 2)]
    assert (delivered.written, delivered.deleted, delivered.refused) == (2, 2, [])


def test_nothing_is_sent_for_nothing() -> None:
    """A batch without operations asks nobody."""
    store = MemoryPoints({"docs": 2})
    assert deliver(store, []) == Delivered()
    assert store.requests == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        pytest.param(wrong, "INVALID_ARGUMENT: Wrong input: Vector dimension error: expected dim: 2, got 3", id="size"),
        pytest.param(deep, judge(TOO_DEEP).reason, id="not to be decoded"),
    ],
)
def test_a_culprit_is_found_by_halving(bad: Callable[[PointId], Upsert], said: str) -> None:
    """One point among 400 is refused in the server's own words, and its neighbours are written."""
    store = MemoryPoints({"docs": 2})
    operations = [bad(number) if number == 137 else good(number) for number in range(400)]
    delivered = deliver(store, operations)
    (refused,) = delivered.refused
    assert refused.operation.id == 137
    assert refused.refusal == Refusal("refused-by-qdrant", "", f"Qdrant said {said}")
    assert versions(store).keys() == set(range(400)) - {137}
    assert delivered.written == 399
    assert len(store.requests) <= 20


HOSTS = st.integers(1, 150).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1))))


@given(HOSTS, st.sampled_from([wrong, deep]), st.lists(st.sampled_from([AWAY, PENDING]), max_size=6))
def test_all_culprits_are_found_in_few_requests(
    host: tuple[int, set[int]], bad: Callable[[PointId], Upsert], transient: list[Answer]
) -> None:
    """Just the culprits are refused; each costs at most two requests for every halving, beside the one for all."""
    count, culprits = host
    store = MemoryPoints({"docs": 2}, transient)
    delivered = deliver(store, [bad(number) if number in culprits else good(number) for number in range(count)])
    assert offsets(delivered) == sorted(culprits)
    assert versions(store).keys() == set(range(count)) - culprits
    halvings = (count - 1).bit_length()
    assert len(store.requests) - len(transient) <= 1 + 2 * len(culprits) * halvings


class Narrow(MemoryPoints):
    """A Qdrant that takes so many points at once."""

    def __init__(self, most: int) -> None:
        super().__init__({"docs": 2})
        self._most = most

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert the points if they are few enough."""
        self.fail_with([TOO_MUCH] * (len(points) > self._most))
        return await super().upsert(collection, points)


@given(st.integers(0, 200), st.integers(1, 30))
def test_however_little_qdrant_takes_at_once_everything_arrives(count: int, most: int) -> None:
    """Requests are halved until they fit, and no further."""
    store = Narrow(most)
    assert deliver(store, [good(number) for number in range(count)]).written == count
    assert versions(store).keys() == set(range(count))
    fitting = [points for _, points in store.requests if points <= most]
    assert sum(fitting) == count
    assert count <= most or min(fitting) >= (most + 1) // 2


def test_the_older_operation_counts_when_the_newest_is_refused() -> None:
    """Also where it is a delete, and also where several of the newest are refused."""
    store = MemoryPoints({"docs": 2})
    deliver(store, [good(number) for number in range(4)])
    delivered = deliver(
        store, [delete(1), wrong(1), good(2, 5), wrong(2), wrong(2), wrong(3), good(0, 7), wrong(0), delete(0)]
    )
    assert versions(store) == {2: 5, 3: 0}
    assert offsets(delivered) == [1, 3, 4, 5]
    assert (delivered.written, delivered.deleted) == (1, 2)


def test_without_tolerance_the_first_culprit_is_raised() -> None:
    """It ends the job, so no other is looked for."""
    store = MemoryPoints({"docs": 2})
    operations = [wrong(number) if number > 400 else good(number) for number in range(1000)]
    with pytest.raises(MessageRefusedError) as refused:
        deliver(store, operations, is_tolerant=False)
    assert str(refused.value) == (
        "The message at topic 'messages', partition 3, offset 401 was refused (refused-by-qdrant): "
        "Qdrant said INVALID_ARGUMENT: Wrong input: Vector dimension error: expected dim: 2, got 3"
    )
    assert len(store.requests) <= 20


def test_a_missing_collection_refuses_its_batch_in_one_request() -> None:
    """Nothing in it can be written, so nothing is sought."""
    store = MemoryPoints({"other": 2})
    delivered = deliver(store, [good(number) for number in range(400)])
    assert store.requests == [("upsert", 400)]
    assert offsets(delivered) == list(range(400))
    assert {refused.refusal for refused in delivered.refused} == {
        Refusal(
            "collection-unknown",
            "collection_name",
            "Qdrant said NOT_FOUND: Not found: Collection `docs` doesn't exist!",
        )
    }


def test_a_missing_collection_refuses_every_operation() -> None:
    """Older ones and deletes, too: none of them has taken effect."""
    delivered = deliver(MemoryPoints({}), [good(1), delete(1), delete(2), good(1)])
    assert offsets(delivered) == [0, 1, 2, 3]


def test_a_request_that_is_too_much_is_halved() -> None:
    """What Qdrant cannot take at once is sent in smaller requests, and all of it arrives."""
    store = MemoryPoints({"docs": 2}, [TOO_MUCH, TOO_MUCH])
    deliver(store, [good(number) for number in range(8)])
    assert store.requests == [("upsert", 8), ("upsert", 4), ("upsert", 2), ("upsert", 2), ("upsert", 4)]
    assert len(store.points) == 8


def test_one_point_that_is_too_much_is_waited_for() -> None:
    """A single point cannot be split, so it is tried again."""
    store = MemoryPoints({"docs": 2}, [TOO_MUCH] * 3)
    assert deliver(store, [good(1)]).written == 1
    assert store.requests == [("upsert", 1)] * 4


@pytest.mark.parametrize(
    "operations", [[good(1)], [delete(1)], [good(1), good(2), delete(3)]], ids=["upsert", "delete", "some of both"]
)
def test_an_outage_refuses_nothing_however_long_it_is(operations: list[Upsert | Delete]) -> None:
    """The same fault again and again is no refusal where the collection takes nothing else either."""
    for length in range(40):
        store = MemoryPoints({"docs": 2}, [FAULT] * length)
        delivered = deliver(store, operations)
        assert delivered.refused == [], f"after {length} faults"
        assert delivered.written + delivered.deleted == len(operations)


def test_an_outage_of_faults_ends_when_the_time_is_over() -> None:
    """sink.retry.max-time holds for whatever kind of outage."""
    with pytest.raises(StoreError, match=r"sink\.retry\.max-time .* task panicked"):
        deliver(MemoryPoints({"docs": 2}, [FAULT] * 100_000), [good(1)], max_seconds=0.2)


class Lagging(MemoryPoints):
    """A peer that does not know of its collections yet when it is asked to write for the first times."""

    async def describe(self, collection: str) -> tuple[Answer, grpc.CollectionParams]:
        """Say what the rest of the cluster knows."""
        self.described.append(collection)
        return COMPLETED, grpc.CollectionParams()


def test_a_collection_that_is_there_after_all_is_waited_for() -> None:
    """Before a whole batch is refused for a collection that is missing, somebody else is asked for it."""
    absent = Answer(StatusCode.NOT_FOUND, "Not found: Collection `docs` doesn't exist!")
    store = Lagging({"docs": 2}, [absent] * 3)
    delivered = deliver(store, [good(1), delete(2)])
    assert (delivered.written, delivered.deleted, delivered.refused) == (1, 1, [])
    assert len(store.requests) == 5
