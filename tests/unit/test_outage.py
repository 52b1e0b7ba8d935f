"""What the log and the metrics tell of an outage: a line for each round, however many requests wait."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode
from pyflink.common import Row

from tests.support.generated import encoded
from tests.support.metrics import Context, Metrics
from tests.support.operations import good
from tests.support.packing import KafkaRecord, pack_of
from tests.support.store import NOWHERE, MemoryPoints
from udfs.core.batching import BatchLimits
from udfs.core.messages import ParseRules
from udfs.core.parcels import AddressedParcel, Parcel
from udfs.core.retry import Backoff
from udfs.core.routing import address
from udfs.parse import ParseOptions, ParseStage
from udfs.qdrant.judge import Action, Answer, Remedy, Verdict
from udfs.qdrant.outage import Outages, Waiting
from udfs.qdrant.patience import RetryOptions
from udfs.write import WriteOptions, WriteStage

if TYPE_CHECKING:
    from qdrant_client.grpc import CollectionParams

    from udfs.micro_batch import Stage

AWAY = Verdict(Action.RETRY, "UNAVAILABLE: connection refused")
WRONG_KEY = Verdict(Action.RETRY, "UNAUTHENTICATED: Invalid API key", remedy=Remedy.KEY)
FULL = Verdict(Action.RETRY, "INVALID_ARGUMENT: Max points count limit of 9 reached!", remedy=Remedy.ROOM)


class Counts(Counter[str]):
    """What was counted."""

    def add(self, **counts: int) -> None:
        """Count so many more."""
        self.update(counts)


def outages(key_source: str | None = None, counts: Counts | None = None) -> Outages:
    """Return what speaks of one Qdrant."""
    return Outages("qdrant.example:6334", key_source, None if counts is None else counts.add)


def test_requests_that_fail_together_share_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """It says where, how many wait, for how long, when the next attempt is, what was asked and what came back."""
    some = outages()
    requests = [Waiting(f"request {number}", since=100.0) for number in range(3)]
    for now, wait in ((101.0, 5.0), (106.0, 10.0)):
        for late, request in enumerate(requests):
            some.failed(request, AWAY, now + late / 10, wait)
    said = "To request 0 it said UNAVAILABLE: connection refused"
    assert caplog.messages == [
        f"Qdrant at qdrant.example:6334: requests waiting: 1, for 1 s by now; next attempt in 5.0 s. {said}",
        f"Qdrant at qdrant.example:6334: requests waiting: 3, for 6 s by now; next attempt in 10.0 s. {said}",
    ]


def test_another_reason_has_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Once in a round, and not for other numbers in it; the round lasts until the latest attempt that was told."""
    some = outages()
    first, second = Waiting("a", 0.0), Waiting("b", 0.0)
    for port in range(5):
        some.failed(first, Verdict(Action.RETRY, f"UNAVAILABLE: port {port}"), 1.0, 7.0)
        some.failed(second, Verdict(Action.RETRY, "DEADLINE_EXCEEDED: "), 1.0, 5.0)
    some.failed(second, Verdict(Action.RETRY, "DEADLINE_EXCEEDED: "), 6.0, 7.0)
    assert len(caplog.messages) == 2
    some.failed(second, Verdict(Action.RETRY, "DEADLINE_EXCEEDED: "), 8.0, 7.0)
    assert len(caplog.messages) == 3


@pytest.mark.parametrize(
    ("verdict", "key_source", "advice"),
    [
        (WRONG_KEY, "env:KEY", "put the API key right (the one at env:KEY is read again for each attempt)"),
        (WRONG_KEY, None, "put the API key right (there is none)"),
        (FULL, "env:KEY", "make room in Qdrant, or raise its limit"),
    ],
    ids=["wrong key", "no key", "full"],
)
def test_what_does_not_pass_by_itself_is_an_error(
    caplog: pytest.LogCaptureFixture, verdict: Verdict, key_source: str | None, advice: str
) -> None:
    """The line is loud and says what to do; of a key it names the place."""
    outages(key_source).failed(Waiting("a", 0.0), verdict, 1.0, 5.0)
    (line,) = caplog.records
    assert line.levelno == logging.ERROR
    assert line.getMessage().endswith(f"{verdict.reason}. This will not pass by itself: {advice}")


def test_the_end_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """It comes with the last answer that was waited for, and tells how long it took and how many attempts."""
    some = outages()
    first, second = Waiting("a", 10.0), Waiting("b", 12.0)
    some.failed(first, AWAY, 13.0, 5.0)
    some.failed(second, AWAY, 14.0, 5.0)
    some.failed(first, AWAY, 18.0, 5.0)
    caplog.clear()
    for request in (second, first):
        some.answered(request, 33.0)
        some.given_up(request)
    assert caplog.messages == ["Qdrant at qdrant.example:6334 answers again, after 23 s and 3 failed attempts"]


def test_who_gives_up_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A request that was cancelled or has no time left is no sign that Qdrant is back, and is not waited for."""
    some = outages()
    first, second = Waiting("a", 0.0), Waiting("b", 0.0)
    some.failed(first, AWAY, 1.0, 5.0)
    some.failed(second, AWAY, 1.0, 5.0)
    caplog.clear()
    some.given_up(first)
    assert caplog.messages == []
    some.answered(second, 5.0)
    assert len(caplog.messages) == 1


def test_without_trouble_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """A request that has its answer at once is no news, also while another waits."""
    caplog.set_level("INFO")
    some = outages()
    some.answered(Waiting("a", 0.0), 1.0)
    assert caplog.messages == []
    some.failed(Waiting("b", 0.0), AWAY, 2.0, 5.0)
    caplog.clear()
    some.answered(Waiting("c", 2.0), 3.0)
    assert caplog.messages == []


def test_attempts_and_seconds_are_counted_once() -> None:
    """However many requests wait at the same time, and in the next outage anew; parts of seconds are left out."""
    counts = Counts()
    some = outages(counts=counts)
    for start in (0.0, 100.0):
        first, second = Waiting("a", start), Waiting("b", start)
        for late in (0.4, 1.4, 2.4):
            some.failed(first, AWAY, start + late, 1.0)
            some.failed(second, AWAY, start + late, 1.0)
        for request in (first, second):
            some.answered(request, start + 3.9)
            some.given_up(request)
    assert counts == {"retried": 12, "waitedSeconds": 6}


class Away(MemoryPoints):
    """A store that is away for the first two requests."""

    def __init__(self) -> None:
        away = Answer(StatusCode.UNAVAILABLE, "connection refused")
        super().__init__({"docs": 2}, [away, away])

    async def describe(self, collection: str) -> tuple[Answer, CollectionParams]:
        """Say what the collection takes, but for the first two times."""
        _, params = answer = await super().describe(collection)
        return (self._answers.popleft(), params) if self._answers else answer


LIMITS, RETRY = BatchLimits(100, 1 << 20, 8), RetryOptions(Backoff(0.0001, 0.0002))
PARSE = ParseOptions(ParseRules(), 1, LIMITS, LIMITS, NOWHERE, RETRY, dead_letters=None)
WRITE = WriteOptions(NOWHERE, LIMITS, 1, RETRY, dead_letters=None)
PARCEL = Parcel(encoded([good(1)]))
MESSAGE = KafkaRecord(None, b'{"collection_name": "docs", "id": 1, "vector": [1, 1]}', "messages", 0, 0, {})


@pytest.mark.parametrize(
    ("stage", "item", "within"),
    [
        pytest.param(ParseStage(PARSE, lambda _connection: Away()), pack_of([MESSAGE]), "parse.", id="parse"),
        pytest.param(
            WriteStage(WRITE, lambda _connection: Away()),
            Row(*AddressedParcel(address("0", "docs"), 1, PARCEL.to_bytes())),
            "",
            id="write",
        ),
    ],
)
def test_both_stages_show_what_was_repeated(stage: Stage[Any, Any], item: Row | bytes, within: str) -> None:
    """In Flink's metrics, beside what became of the messages, each by a name that the other has not."""
    metrics = Metrics()

    async def run() -> None:
        stage.open(Context(metrics))
        await stage.handle("docs", [item])

    asyncio.run(run())
    assert metrics.gauges[f"qdrant.{within}retried"]() == 2
    assert metrics.gauges[f"qdrant.{within}waitedSeconds"]() == 0
