"""The hand-over between the thread that collects and the thread that handles."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import sys
import threading
import weakref
from collections import deque
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.generated import several
from udfs.batches import Batch, Budget, ChainingError, OpenBatches
from udfs.core.batching import BatchLimits
from udfs.micro_batch import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOMY = BatchLimits(max_count=10**6, max_bytes=10**9, max_batches=10**6, max_bytes_under_way=10**9)


@pytest.fixture(autouse=True)
def _switch_threads_often() -> Iterator[None]:
    """Let Python change threads every microsecond instead of every 5 ms: a race that is there shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def sealed_items(batch: Batch[int]) -> list[int]:
    """Return what a handler gets of the batch; it must be sealed."""
    return asyncio.run(asyncio.wait_for(batch.sealed(), timeout=5))


@settings(deadline=None, max_examples=200)
@given(
    items=st.lists(st.integers(0, 3), min_size=1, max_size=300),
    seals=st.lists(st.integers(0, 20), max_size=40),
    max_count=st.integers(1, 20),
)
def test_no_record_is_lost_doubled_or_late_when_another_thread_seals(
    items: list[int], seals: list[int], max_count: int
) -> None:
    """Every record is in exactly one batch, in its group's order, however a second thread seals meanwhile."""
    batches: list[Batch[tuple[int, int]]] = []
    taken: dict[int, list[tuple[int, int]]] = {}
    open_batches = OpenBatches[tuple[int, int]](BatchLimits(max_count, 10_000, 3))
    start = threading.Barrier(2)

    def seal_at_random() -> None:
        start.wait()
        for choice in seals:
            if batches:
                # Sealing and reading at once, as the quiet time does on the event loop's thread.
                victim = batches[choice % len(batches)]
                victim.seal()
                taken[victim.sequence] = asyncio.run(victim.sealed())[:]

    with ThreadPoolExecutor(1) as other:
        sealing = other.submit(seal_at_random)
        start.wait()
        for number, group in enumerate(items):
            opened = open_batches.add(str(group), (group, number), 1, 1)
            if opened is not None:
                batches.append(opened)
        sealing.result()
    open_batches.seal_all()

    contents = {batch.sequence: asyncio.run(batch.sealed()) for batch in batches}
    for sequence, seen in taken.items():
        assert seen == contents[sequence], "a record landed in a batch already taken"
    for group in set(items):
        handled = [item for batch in batches if batch.group == str(group) for item in contents[batch.sequence]]
        assert handled == [(group, number) for number, g in enumerate(items) if g == group]
    assert all(1 <= len(content) <= max_count for content in contents.values())


def test_appending_and_sealing_collide_without_loss() -> None:
    """Of records appended in a tight loop, those accepted are those handed over, at the very moment of the seal."""
    rounds = [Batch[int]("docs", sequence, Budget(10**9)) for sequence in range(2_000)]
    accepted: list[int] = []

    def append_until_sealed() -> None:
        for batch in rounds:
            number = 0
            while batch.append(number, 1, 1, ROOMY):
                number += 1
            accepted.append(number)

    appending = threading.Thread(target=append_until_sealed)
    appending.start()
    handed_over = []
    for batch in rounds:
        while not batch._items:
            pass
        batch.seal()
        handed_over.append(len(batch._sealed.result()))
    appending.join()
    assert handed_over == accepted


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(0, 50)), max_size=200), st.integers(1, 6))
def test_the_queue_never_blocks_on_an_open_head(records: list[tuple[int, int, int]], max_batches: int) -> None:
    """When a batch is opened, whatever stands max_batches before it is sealed: a full queue always moves on."""
    limits = BatchLimits(7, 100, max_batches)
    open_batches = OpenBatches[int](limits)
    batches: list[Batch[int]] = []
    for group, count, size in records:
        opened = open_batches.add(str(group), 0, count, size)
        if opened is None:
            continue
        batches.append(opened)
        for old in batches[:-max_batches]:
            assert old._sealed.done()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([(1, 10)] * 7, [3, 3, 1], id="by count"),
        pytest.param([(1, 60)] * 4, [1, 1, 1, 1], id="by bytes, next would exceed"),
        pytest.param([(1, 50)] * 4, [2, 2], id="by bytes, exactly full"),
        pytest.param([(1, 500), (1, 10)], [1, 1], id="a record larger than the limit goes alone"),
        pytest.param([(1, 10), (1, 500), (1, 10)], [1, 1, 1], id="and takes nobody along"),
        pytest.param([(2, 10), (2, 10)], [1, 1], id="parcels are not torn"),
    ],
)
def test_a_batch_keeps_its_limits(sizes: list[tuple[int, int]], expected: list[int]) -> None:
    """A batch holds at most max_count messages and max_bytes bytes, unless a single record is more."""
    open_batches = OpenBatches[int](BatchLimits(3, 100, 64))
    batches = [opened for count, size in sizes if (opened := open_batches.add("docs", 0, count, size))]
    open_batches.seal_all()
    assert [len(sealed_items(batch)) for batch in batches] == expected


@given(several(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 60)), 0, 60),
       st.integers(1, 9), st.integers(1, 200))  # fmt: skip
def test_batches_are_as_large_as_they_may_be(
    records: list[tuple[int, int, int]], max_count: int, max_bytes: int
) -> None:
    """Each group's records are in its batches, in their order; none has more than it may, nor room for the next."""
    open_batches = OpenBatches[tuple[int, int, int]](BatchLimits(max_count, max_bytes, 10**6))
    batches = [opened for record in records if (opened := open_batches.add(str(record[0]), record, *record[1:]))]
    open_batches.seal_all()
    for group in range(3):
        held = [batch._sealed.result(0) for batch in batches if batch.group == str(group)]
        assert [item for items in held for item in items] == [record for record in records if record[0] == group]
        assert all(len(items) == 1 or fits(items, max_count, max_bytes) for items in held)
        assert not any(fits([*items, after[0]], max_count, max_bytes) for items, after in itertools.pairwise(held))


def fits(items: list[tuple[int, int, int]], max_count: int, max_bytes: int) -> bool:
    """Tell whether these records have no more messages and bytes than that."""
    return sum(count for _, count, _ in items) <= max_count and sum(size for *_, size in items) <= max_bytes


@given(st.integers(1, 100), st.lists(st.integers(0, 150), max_size=30), st.lists(st.booleans(), max_size=30))
def test_no_more_bytes_are_under_way_than_may_be(limit: int, sizes: list[int], returns: list[bool]) -> None:
    """What fits is let in at once, and what does not is not, unless nothing else is under way."""
    budget, under_way = Budget(limit), deque[int]()
    for size, is_returning in itertools.zip_longest(sizes, returns, fillvalue=False):
        if is_returning and under_way:
            budget.give_back(under_way.popleft())
        has_room = sum(under_way) == 0 or sum(under_way) + size <= limit
        assert budget.take(size) == has_room
        under_way.extend([size] if has_room else [])


def test_sealing_all_counts_and_leaves_nothing_open() -> None:
    """At the end of a bundle every open batch is sealed, and the gauge says how many there were."""
    open_batches = OpenBatches[int](ROOMY)
    batches = [open_batches.add(group, 1, 1, 1) for group in ("a", "b")]
    assert open_batches.seal_all() == 2
    assert open_batches.seal_all() == 0
    assert [sealed_items(batch) for batch in batches if batch] == [[1], [1]]
    assert open_batches.add("a", 2, 1, 1) is not None


def test_a_quiet_batch_is_sealed_without_metrics() -> None:
    """Where no gauge is read, a batch is sealed once nobody added to it for the quiet time, and not before."""

    async def trickle() -> list[int]:
        batch = Batch[int]("docs", 0, Budget(10**9))
        batch.append(0, 1, 1, ROOMY)
        waiting = asyncio.create_task(batch.sealed(quiet_seconds=0.2))
        for number in range(1, 6):
            await asyncio.sleep(0.05)
            assert batch.append(number, 1, 1, ROOMY), "sealed although records kept coming"
        return await asyncio.wait_for(waiting, timeout=5)

    assert asyncio.run(trickle()) == [0, 1, 2, 3, 4, 5]


def test_a_batch_refuses_to_be_pickled_and_says_why() -> None:
    """A batch that would leave its process fails with a sentence that names the settings to change."""
    with pytest.raises(ChainingError, match=r"not chained.*pipeline\.operator-chaining\.enabled"):
        pickle.dumps(Batch[int]("docs", 0, Budget(10**9)))


def test_a_batch_shows_sizes_only() -> None:
    """PyFlink puts a batch into error texts, so its text holds no message and no collection."""
    batch = Batch[str]("secret-collection", 7, Budget(10**9))
    batch.append("secret message", 1, 14, ROOMY)
    assert repr(batch) == "<Batch 7: 1 messages, 14 bytes>"


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        pytest.param(ValueError("bad"), ValueError, id="an exception as it is"),
        pytest.param(asyncio.CancelledError(), RuntimeError, id="a cancellation as an exception"),
        pytest.param(KeyboardInterrupt(), RuntimeError, id="an interrupt as an exception"),
    ],
)
def test_a_failure_is_true_and_raises_when_iterated(error: BaseException, raised: type[Exception]) -> None:
    """PyFlink skips results that are false, so a failure must be true; its emitter catches Exception only."""
    failure = Failure(error)
    assert failure
    with pytest.raises(raised):
        list(failure)


@pytest.mark.parametrize("name", ["max_count", "max_bytes", "max_batches", "max_bytes_under_way"])
def test_a_limit_below_one_is_refused(name: str) -> None:
    """Limits of zero would mean that nothing ever moves."""
    with pytest.raises(ValueError, match=f"{name} is 0"):
        BatchLimits(**{"max_count": 1, "max_bytes": 1, "max_batches": 1, "max_bytes_under_way": 1, name: 0})


def test_the_bytes_under_way_are_bounded_and_what_is_waited_for_is_sealed() -> None:
    """The collector waits for room only after it has sealed everything, and goes on when a batch is let go."""
    open_batches = OpenBatches[int](BatchLimits(100, 1000, 100, max_bytes_under_way=100))
    first = open_batches.add("a", 1, 1, 60)
    second = open_batches.add("b", 2, 1, 40)
    assert first is not None
    assert second is not None
    with ThreadPoolExecutor(1) as collector:
        blocked = collector.submit(open_batches.add, "c", 3, 1, 60)
        assert sealed_items(first) == [1]
        assert sealed_items(second) == [2]
        second.release()
        with pytest.raises(futures.TimeoutError):  # not the built-in one before Python 3.11
            blocked.result(timeout=0.1)
        first.release()
        assert blocked.result(timeout=5) is not None


def test_a_record_larger_than_all_the_room_is_let_in_alone() -> None:
    """A record that can never fit waits until nothing else is under way, and then goes."""
    open_batches = OpenBatches[int](BatchLimits(100, 1000, 100, max_bytes_under_way=100))
    first = open_batches.add("a", 1, 1, 500)
    assert first is not None
    with ThreadPoolExecutor(1) as collector:
        second = collector.submit(open_batches.add, "a", 2, 1, 500)
        assert sealed_items(first) == [1]
        first.release()
        batch = second.result(timeout=5)
        assert batch is not None
        assert batch.append(3, 1, 0, ROOMY)


def test_a_batch_that_was_let_go_takes_no_more() -> None:
    """A failed handler lets go of a batch that is still open: later records of its group open another."""
    open_batches = OpenBatches[int](ROOMY)
    first = open_batches.add("a", 1, 1, 1)
    assert first is not None
    first.release()
    assert open_batches.add("a", 2, 1, 1) is not None


def test_a_batch_that_was_let_go_keeps_nothing() -> None:
    """Flink's queue has it until those before it have left, and its bytes no longer count."""
    record = {1}
    kept = weakref.ref(record)
    batch = Batch[set[int]]("docs", 0, Budget(10**9))
    batch.append(record, 1, 1, BatchLimits(1, 1, 1))
    batch.seal()
    del record
    batch.release()
    assert kept() is None


def test_cancelling_who_waits_leaves_the_batch_alone() -> None:
    """The cancellation of a handler does not reach into the batch, which the collector may be sealing."""

    async def cancelled_while_waiting(batch: Batch[int]) -> None:
        waiting = asyncio.create_task(batch.sealed())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    batch = Batch[int]("docs", 0, Budget(10**9))
    asyncio.run(cancelled_while_waiting(batch))
    assert batch.append(1, 1, 1, ROOMY)
    batch.seal()
    assert sealed_items(batch) == [1]
