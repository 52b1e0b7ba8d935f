"""The whole path without Flink, against a Qdrant that fails as a script says: what is left is what Kafka says."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import uuid
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.stack.workload import FORMATS
from tests.support.faulty import DEATHS, POISON, FaultyPoints, Step, WorkerDiedError, scripts
from tests.support.generated import several, spellings
from tests.support.packing import KafkaRecord
from tests.support.subtask import Attempt, Layout
from udfs.core.batching import BatchLimits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from udfs.core.dead_letters import DeadLetter
    from udfs.core.operations import PointId

# Five minutes is the most that hypothesis takes to make a failing example small.
pytestmark = pytest.mark.timeout(400)

PARTITIONS = 2
ENDS = ("written", "deleted", "superseded", "deadLettered")


class Kind(Enum):
    """What a message asks for, and who refuses it."""

    UPSERT = "upsert"
    DELETE = "delete"
    POISON = "refused by Qdrant alone"
    MISFIT = "refused by the collection's description"
    UNREADABLE = "refused by itself"


ACCEPTED = (Kind.UPSERT, Kind.DELETE)


class Message(NamedTuple):
    """A message on one of few points; each point is written to by one partition."""

    partition: int
    format: str
    number: int
    spelling: int
    kind: Kind

    @property
    def id(self) -> PointId:
        """The id, as Qdrant spells it."""
        place = self.number * PARTITIONS + self.partition
        return str(uuid.UUID(int=0xABCDEF << 100 | place)) if self.number % 2 else place

    @property
    def point(self) -> tuple[str, PointId]:
        """Collection and id."""
        return FORMATS[self.format].collection, self.id

    def record(self, version: int) -> KafkaRecord:
        """Return the Kafka record; the version is its offset, too."""
        written = spellings(self.id)
        names = {"collection_name": self.point[0], "id": written[self.spelling % len(written)]}
        fitting = FORMATS[self.format].make(random.Random(version))  # noqa: S311 - test data
        vector = {"unheard-of": [1]} if self.kind is Kind.MISFIT else fitting
        payload = {"version": version, **({POISON: True} if self.kind is Kind.POISON else {})}
        value = None if self.kind is Kind.DELETE else json.dumps({**names, "vector": vector, "payload": payload})
        text = "{" if self.kind is Kind.UNREADABLE else value
        return KafkaRecord(
            json.dumps(names).encode(), text.encode() if text else None, "messages", self.partition, version, {}
        )


class Plan(NamedTuple):
    """How the job runs.

    Attributes:
        limits: Those of the parse stage and of the write stage.
        pack: How many records come together, at most.
        layouts: That of each attempt.
        bundles: How long each is, and whether it ends in a checkpoint.
    """

    limits: tuple[BatchLimits, BatchLimits]
    pack: int
    layouts: Sequence[Layout]
    bundles: Sequence[tuple[int, bool]]


class Run:
    """A job that reads all messages, in as many attempts as it takes.

    Attributes:
        attempt: The last one.
        letters: The dead letters before the last checkpoint: others may have been lost with a worker.
    """

    attempt: Attempt

    def __init__(self, messages: Sequence[Message], store: FaultyPoints, plan: Plan) -> None:
        self.letters: list[DeadLetter] = []
        self._messages, self._store, self._limits, self._pack = messages, store, plan.limits, plan.pack
        self._layouts, self._bundles = itertools.cycle(plan.layouts), itertools.cycle(plan.bundles)
        self._checkpoint = self._furthest = 0

    async def finish(self) -> None:
        """Start again from the last checkpoint until everything has been read."""
        while self._checkpoint < len(self._messages):
            self.attempt = Attempt(self._store, next(self._layouts), self._limits)
            try:
                await self._read_on()
            except WorkerDiedError:
                continue
            finally:
                await self.attempt.end()

    async def _read_on(self) -> None:
        start = self._checkpoint
        while start < len(self._messages):
            length, is_checkpoint = next(self._bundles)
            end = min(start + length, len(self._messages))
            self._furthest = max(self._furthest, end)
            for at in range(start, end, self._pack):
                await self._read(range(at, min(at + self._pack, end)))
            await self.attempt.finish_bundle()
            self._check(end)
            if is_checkpoint or end == len(self._messages):
                self._checkpoint = end
                self.letters += self.attempt.letters
                self.attempt.letters = []
            start = end

    async def _read(self, offsets: Iterable[int]) -> None:
        for partition in range(PARTITIONS):
            messages = ((offset, self._messages[offset]) for offset in offsets)
            records = [message.record(offset) for offset, message in messages if message.partition == partition]
            if records:
                await self.attempt.read(records, partition)

    def _check(self, end: int) -> None:
        # What an earlier attempt has read beyond this barrier may be there already.
        if end == self._furthest:
            assert versions(self._store) == left_by(self._messages[:end]), f"after the barrier at {end}"


def versions(store: FaultyPoints) -> dict[tuple[str, PointId], int]:
    """Return which version of each point is stored."""
    return {at: point.payload["version"].integer_value for at, point in store.points.items()}


def left_by(messages: Iterable[Message]) -> dict[tuple[str, PointId], int]:
    """Return the version of each point when messages have taken effect in their order, but for those refused."""
    left: dict[tuple[str, PointId], int] = {}
    for version, message in enumerate(messages):
        if message.kind is Kind.UPSERT:
            left[message.point] = version
        elif message.kind is Kind.DELETE:
            left.pop(message.point, None)
    return left


def check_letters(letters: Iterable[DeadLetter], messages: Sequence[Message]) -> None:
    """Check that the dead letters are the refused messages; what Qdrant alone refuses may be superseded before."""
    found = {int(letter.headers["__connect.errors.offset"] or b"") for letter in letters}
    last = {message.point: at for at, message in enumerate(messages) if message.kind in ACCEPTED}
    refused = {at for at, message in enumerate(messages) if message.kind not in ACCEPTED}
    superseded = {at for at in refused if messages[at].kind is Kind.POISON and at < last.get(messages[at].point, -1)}
    assert refused - superseded <= found <= refused


def finished(messages: list[Message], script: list[Step], pauses: list[int], plan: Plan) -> Run:
    """Run a job to its end, checking every barrier, the dead letters and that no request was larger than allowed."""
    store = FaultyPoints(script, pauses)
    run = Run(messages, store, plan)
    asyncio.run(run.finish())
    check_letters(run.letters, messages)
    assert store.largest <= plan.limits[1].max_count
    return run


MESSAGES = several(
    st.builds(
        Message,
        st.integers(0, PARTITIONS - 1),
        st.just("unnamed dense") | st.sampled_from([*FORMATS]),
        st.integers(0, 1),
        st.integers(0, 6),
        st.sampled_from([Kind.UPSERT, *Kind]),
    ),
    1,
    60,
)
LIMITS = st.builds(BatchLimits, st.integers(1, 12), st.sampled_from([10**6, 2000, 1]), st.integers(1, 4))
PLANS = st.builds(
    Plan,
    st.tuples(LIMITS, LIMITS),
    st.sampled_from([1, 5, 30]),
    several(st.builds(Layout, st.none() | st.integers(1, 5), st.integers(1, 2), st.integers(1, 3)), 1, 3),
    several(st.tuples(st.integers(1, 30), st.booleans()), 1, 5),
)
PAUSES = several(st.integers(0, 4), 1, 7)


@settings(max_examples=150)
@given(MESSAGES, scripts(), PAUSES, PLANS)
def test_whatever_qdrant_answers_every_message_counts_once(
    messages: list[Message], script: list[Step], pauses: list[int], plan: Plan
) -> None:
    """At every barrier Qdrant holds what Kafka's partitions say so far, and what is read is accounted for."""
    run = finished(messages, script, pauses, plan)
    assert run.attempt.counted("read") == len(messages) == sum(map(run.attempt.counted, ENDS))
    assert run.attempt.counted("deadLettered") == len(run.letters)


@settings(max_examples=60)
@given(MESSAGES, scripts(*DEATHS), PAUSES, PLANS)
def test_whenever_workers_die_nothing_is_lost_and_the_last_write_wins(
    messages: list[Message], script: list[Step], pauses: list[int], plan: Plan
) -> None:
    """However often everything since the checkpoint is read again, by whatever lanes and subtasks."""
    finished(messages, script, pauses, plan)
