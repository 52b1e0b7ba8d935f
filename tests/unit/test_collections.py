"""What is made of Qdrant's descriptions, and of answers that are none."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import pytest
from grpc import StatusCode
from qdrant_client import grpc

from tests.support.store import NOWHERE, MemoryPoints
from udfs.core.failures import StoreError
from udfs.core.refusals import Refusal
from udfs.core.retry import Backoff
from udfs.core.schemas import VectorConfig
from udfs.core.vectors import Dense
from udfs.qdrant.collections import Collections
from udfs.qdrant.judge import Answer
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from udfs.core.schemas import Schema

QUICK = RetryOptions(Backoff(0.0001, 0.0002))
FAULT = Answer(StatusCode.INTERNAL, "panicked")
UNAVAILABLE = Answer(StatusCode.UNAVAILABLE, "connection refused")


class Recovering(MemoryPoints):
    """A server that gives these answers before it is well again."""

    def __init__(self, answers: Iterable[Answer]) -> None:
        super().__init__({"docs": 2})
        self._first = deque(answers)

    async def describe(self, collection: str) -> tuple[Answer, grpc.CollectionParams]:
        """Fail, or say what the collection takes."""
        if self._first:
            return self._first.popleft(), grpc.CollectionParams()
        return await super().describe(collection)


def describe(server: MemoryPoints, collection: str, options: RetryOptions = QUICK) -> Schema | Refusal:
    """Ask for one collection."""

    async def ask() -> Schema | Refusal:
        return await Collections(server, Patience(NOWHERE, options, 1)).describe(collection)

    return asyncio.run(ask())


def test_a_description_is_a_schema() -> None:
    """What the collection takes, by the name of each vector."""
    assert describe(MemoryPoints({"docs": 2}), "docs") == {"": VectorConfig(Dense, 2)}


def test_a_collection_that_is_not_there_is_refused_in_the_servers_words() -> None:
    """It is no outage, so nobody waits."""
    server = MemoryPoints({"docs": 2})
    assert describe(server, "x") == Refusal(
        "collection-unknown",
        "collection_name",
        '"collection_name" is not known to Qdrant: NOT_FOUND: Not found: Collection `x` doesn\'t exist!',
    )
    assert server.described == ["x"]


def test_a_name_that_the_server_does_not_take_is_unknown_too() -> None:
    """What cannot be the name of a collection is none."""
    refusal = describe(Recovering([Answer(StatusCode.INVALID_ARGUMENT, "name too long")]), "docs")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.reason.partition(": ")[2]) == (
        "collection-unknown",
        "INVALID_ARGUMENT: name too long",
    )


@pytest.mark.parametrize("answer", [UNAVAILABLE, FAULT], ids=["away", "a fault of its own"])
def test_an_outage_is_waited_out(answer: Answer) -> None:
    """However often the same answer comes, nobody is refused for it."""
    assert describe(Recovering([answer] * 50), "docs") == {"": VectorConfig(Dense, 2)}


def test_an_outage_that_is_too_long_ends_the_job() -> None:
    """The time limit is that of writes."""
    with pytest.raises(StoreError, match=r"qdrant\.example:6334 was tried \d+ times .* connection refused"):
        describe(Recovering([UNAVAILABLE] * 1000), "docs", RetryOptions(QUICK.backoff, max_seconds=0.001))


def test_the_name_of_a_collection_is_not_told_until_it_is_known_to_be_one(caplog: pytest.LogCaptureFixture) -> None:
    """Until then it is what some message holds, and the log of an outage is no place for that."""
    describe(Recovering([UNAVAILABLE]), "docs")
    assert "To the description of a collection it said UNAVAILABLE" in caplog.messages[0]
    assert not [line for line in caplog.messages if "docs" in line]
