"""The micro-batch stage on PyFlink's own queue and operations, which decide whether a barrier may pass."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyflink.datastream.functions import AsyncFunction

from tests.support.worker import Worker
from udfs.core.batching import BatchLimits
from udfs.micro_batch import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from udfs.batches import Batch

Record = tuple[str, int]
STUCK = 10**6  # the number of a record that takes a minute
POISON = 100  # the number at which a first stage fails


class Recording(Stage[Record, Record]):
    """Returns its records, after a random delay; fails at records numbered below zero as it is told to."""

    # PyFlink unpickles the stage in the worker, here the same process: what it did is kept with the class.
    running: ClassVar[Counter[str]] = Counter()
    overlaps = 0
    side_by_side = 0
    handled: ClassVar[list[Record]] = []

    def __init__(self, limits: BatchLimits, failure: Callable[[str], BaseException] = ValueError) -> None:
        self.limits = limits
        self._failure = failure

    def group_of(self, record: Record) -> str:
        """Group by the record's name."""
        return record[0]

    def size_of(self, _record: Record) -> tuple[int, int]:
        """Count one message and ten bytes."""
        return 1, 10

    async def handle(self, group: str, items: list[Record]) -> Iterable[Record]:
        """Keep count of what runs at the same time."""
        cls = Recording
        cls.overlaps += cls.running[group]
        cls.side_by_side = max(cls.side_by_side, 1 + sum(cls.running.values()))
        cls.running[group] += 1
        try:
            await asyncio.sleep(60 if (group, STUCK) in items else random.random() / 200)  # noqa: S311
            if any(number < 0 for _, number in items):
                raise self._failure("bad")
            cls.handled += items
            return items
        finally:
            cls.running[group] -= 1


class Nonsense(Stage[Record, Record]):
    """Returns what no handler should."""

    limits = BatchLimits(1, 1000, 8)

    def __init__(self, outputs: object) -> None:
        self._outputs = outputs

    def group_of(self, record: Record) -> str:
        """Group by the record's name."""
        return record[0]

    def size_of(self, _record: Record) -> tuple[int, int]:
        """Count one message and ten bytes."""
        return 1, 10

    async def handle(self, _group: str, items: list[Record]) -> Any:
        """Return what it was told to, or outputs that fail half-way."""

        def failing() -> Iterable[Record]:
            yield items[0]
            raise KeyboardInterrupt

        return failing() if self._outputs == "generator" else self._outputs


class Naive(AsyncFunction):
    """The handler one would write first: it raises."""

    def __init__(self, stage: Stage[Record, Record]) -> None:
        self._stage = stage

    async def async_invoke(self, batch: Batch[Record]) -> Iterable[Record]:
        """Handle the batch and let an exception out."""
        return await self._stage.handle(batch.group, await batch.sealed())


class First(Recording):
    """A stage with another behind it, of whose work nothing is kept: it returns its records, a moment later."""

    async def handle(self, _group: str, items: list[Record]) -> Iterable[Record]:
        """Fail at the number that it is told to, else return what came."""
        await asyncio.sleep(random.random() / 500)  # noqa: S311
        if any(number == POISON for _, number in items):
            raise self._failure("bad for the first")
        return items


@pytest.fixture(autouse=True)
def _forget() -> None:
    Recording.running = Counter()
    Recording.overlaps = Recording.side_by_side = 0
    Recording.handled = []


def queue_is_empty(worker: Worker) -> bool:
    """Tell whether PyFlink believes that nothing is in flight."""
    return bool(worker._handler._queue.is_empty())


def wait_until(condition: Callable[[], object]) -> None:
    """Wait at most five seconds."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


FAILURES = [
    pytest.param(ValueError, ValueError, id="an exception"),
    pytest.param(asyncio.CancelledError, RuntimeError, id="a cancellation"),
    pytest.param(KeyboardInterrupt, RuntimeError, id="an interrupt"),
]


@pytest.mark.parametrize(("failure", "raised"), FAILURES)
def test_a_failed_last_batch_never_lets_the_barrier_pass(failure: type[BaseException], raised: type[Exception]) -> None:
    """A batch that fails before its bundle ends, with none after it, makes the end of the bundle raise."""
    with Worker(Recording(BatchLimits(2, 1000, 8), failure)) as worker:
        worker.feed(("docs", 1))
        worker.feed(("docs", -1))  # the batch is full: it is handled, and fails, before the bundle ends
        wait_until(lambda: worker._handler._exception)
        with pytest.raises(raised):
            worker.finish_bundle()


def test_a_handler_that_raises_would_lose_the_batch() -> None:
    """The fact that the rule above rests on: PyFlink lets the barrier pass over a batch whose handler raised."""
    with Worker(Recording(BatchLimits(2, 1000, 8)), handle=Naive) as worker:
        worker.feed(("docs", 1))
        worker.feed(("docs", -1))
        wait_until(lambda: queue_is_empty(worker))
        worker.finish_bundle()
        assert worker.outputs.values == []


def test_nothing_is_handled_after_a_failure() -> None:
    """Once a batch failed, no later one of the task is written, of its own group or another's."""
    with Worker(Recording(BatchLimits(1, 1000, 8))) as worker:
        worker.feed(("docs", -1))
        wait_until(lambda: worker._handler._exception)
        for group in ("docs", "other"):
            with pytest.raises(ValueError, match="bad"):
                worker.feed((group, 1))
        assert Recording.handled == []


def test_batches_waiting_behind_a_failed_one_are_not_handled() -> None:
    """Batches already under way behind the failed one of their group end with it."""
    with Worker(Recording(BatchLimits(1, 1000, 8))) as worker:
        for number in (-1, 1, 2, 3):
            worker.feed(("docs", number))
        with pytest.raises(ValueError, match="bad"):
            worker.finish_bundle()
        assert Recording.handled == []


def test_a_failure_is_not_hidden_behind_a_slower_batch() -> None:
    """A batch that fails behind one that would take for ever fails its bundle at once, with its own reason."""
    with Worker(Recording(BatchLimits(1, 1000, 8))) as worker:
        worker.feed(("stuck", STUCK))
        worker.feed(("docs", -1))
        with pytest.raises(ValueError, match="bad"):
            worker.finish_bundle()


@pytest.mark.parametrize("outputs", [None, 7, "generator"])
def test_a_handler_that_returns_nonsense_fails_its_bundle(outputs: object) -> None:
    """What is no outputs, or raises while they are made, must not pass for a batch without outputs."""
    with Worker(Nonsense(outputs)) as worker:
        worker.feed(("docs", 1))
        with pytest.raises((TypeError, RuntimeError)):
            worker.finish_bundle()


def test_more_bytes_than_may_be_under_way() -> None:
    """Room for three records of ten bytes, and two hundred of them: the collector waits for room and none is lost."""
    records = [(f"group-{number % 7}", number) for number in range(200)]
    with Worker(Recording(BatchLimits(5, 1000, 64, max_bytes_under_way=30))) as worker:
        for record in records:
            worker.feed(record)
        worker.finish_bundle()
        assert sorted(worker.outputs.values) == sorted(records)


@pytest.mark.parametrize("metrics", [True, False], ids=["metrics on", "metrics off"])
@pytest.mark.parametrize("max_batches", [1, 2, 3])
def test_more_groups_than_may_be_in_flight(max_batches: int, *, metrics: bool) -> None:
    """Fifty open groups and room for one to three batches: the oldest are sealed early and nothing locks up."""
    records = [(f"group-{group}", number) for number in range(4) for group in range(50)]
    with Worker(Recording(BatchLimits(100, 100_000, max_batches)), metrics=metrics) as worker:
        for record in records:
            worker.feed(record)
        worker.finish_bundle()
        assert sorted(worker.outputs.values) == sorted(records)


def test_batches_of_one_group_never_run_together_and_others_do() -> None:
    """One group is handled strictly one batch after another, unlike groups side by side."""
    with Worker(Recording(BatchLimits(2, 1000, 64))) as worker:
        for number in range(40):
            for group in ("a", "b", "c"):
                worker.feed((group, number))
        worker.finish_bundle()
    assert Recording.overlaps == 0
    assert Recording.side_by_side > 1
    for group in ("a", "b", "c"):
        assert [number for name, number in Recording.handled if name == group] == list(range(40))


STEPS = st.lists(st.one_of(st.just("finish"), st.tuples(st.sampled_from("abcdef"), st.integers(0, 99))), max_size=60)


def run_bundles(worker: Worker, steps: list[Any]) -> None:
    """Feed records and end bundles as the steps say; check at each end that everything before was handled, in order."""
    Recording.handled = []
    fed: list[Record] = []
    for step in [*steps, "finish"]:
        if step != "finish":
            fed.append(step)
            worker.feed(step)
            continue
        worker.finish_bundle()
        for group in "abcdef":
            expected = [record for record in fed if record[0] == group]
            assert [record for record in Recording.handled if record[0] == group] == expected
            assert [record for record in worker.outputs.values if record[0] == group] == expected


@settings(deadline=None, max_examples=60)
@given(steps=STEPS, max_count=st.integers(1, 5), max_batches=st.integers(1, 4), metrics=st.booleans())
def test_whenever_a_bundle_ends_everything_before_is_handled(
    steps: list[Any], max_count: int, max_batches: int, *, metrics: bool
) -> None:
    """At every end of a bundle, exactly the records fed so far have been handled, each group's in their order."""
    with Worker(Recording(BatchLimits(max_count, 10_000, max_batches)), metrics=metrics) as worker:
        run_bundles(worker, steps)


@settings(deadline=None, max_examples=60)
@given(
    steps=STEPS,
    counts=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    room=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    metrics=st.booleans(),
)
def test_two_stages_in_one_operator_end_with_its_bundle(
    steps: list[Any], counts: tuple[int, int], room: tuple[int, int], *, metrics: bool
) -> None:
    """Whatever either may hold, at every end of a bundle the second stage has handled all, each group's in order."""
    first, second = (BatchLimits(count, 10_000, batches) for count, batches in zip(counts, room, strict=True))
    with Worker(First(first), Recording(second), metrics=metrics) as worker:
        run_bundles(worker, steps)


@pytest.mark.parametrize("records", [1, 2, 40], ids=lambda count: f"{count} records")
@pytest.mark.parametrize("culprit", [pytest.param(POISON, id="in the first"), pytest.param(-1, id="in the second")])
def test_a_failure_in_either_of_two_stages_fails_the_bundle(culprit: int, records: int) -> None:
    """As the only batch, as the last, and with so many that the first stage waits for room in the second."""
    small = BatchLimits(1, 1000, 2)
    with Worker(First(small), Recording(small)) as worker:

        def work() -> None:
            for number in range(1, records):
                worker.feed(("docs", number))
            worker.feed(("docs", culprit))
            for number in range(1, records if records > 2 else 1):
                worker.feed(("docs", number))
            worker.finish_bundle()

        with pytest.raises(ValueError, match="bad"):
            work()
        assert ("docs", culprit) not in Recording.handled
        assert len(Recording.handled) < records


def test_a_failure_of_the_second_stage_is_not_hidden_behind_a_full_one() -> None:
    """The first stage waits for room in the second, which waits for a batch that would take for ever."""
    small = BatchLimits(1, 1000, 2)
    with Worker(First(small), Recording(small)) as worker:
        worker.feed(("stuck", STUCK))
        worker.feed(("docs", -1))

        def work() -> None:
            for number in range(10):
                worker.feed((f"group-{number}", number))
            worker.finish_bundle()

        with pytest.raises(ValueError, match="bad"):
            work()
