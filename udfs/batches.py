"""The hand-over of records between the two threads of a micro-batched stage. Knows threads, but not Flink."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from udfs.core.batching import BatchLimits

In = TypeVar("In")


class ChainingError(RuntimeError):
    """A batch was about to leave the process in which it is being filled."""


class Budget:
    """The bytes that may be under way at once: taken by the thread that collects, given back when they are handled."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> bool:
        """Take so many bytes if they fit, or if nothing else is under way; return whether that was so."""
        with self._changed:
            fits = self._fits(size)
            self._taken += size if fits else 0
            return fits

    def wait_and_take(self, size: int) -> None:
        """Take so many bytes as soon as they fit."""
        with self._changed:
            self._changed.wait_for(lambda: self._fits(size))
            self._taken += size

    def give_back(self, size: int) -> None:
        """Return bytes that are no longer under way."""
        with self._changed:
            self._taken -= size
            self._changed.notify()

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self._limit


class Batch(Generic[In]):
    """The records of one group, handed from the thread that collects to the thread that handles.

    Nothing is appended after the batch was sealed, whichever thread seals it, and nobody reads it before.
    """

    __slots__ = ("_budget", "_count", "_items", "_lock", "_sealed", "_size", "group", "sequence")

    def __init__(self, group: str, sequence: int, budget: Budget) -> None:
        self.group = group
        self.sequence = sequence
        self._budget = budget
        self._items: list[In] = []
        self._count = 0
        self._size = 0
        self._lock = threading.Lock()
        self._sealed: Future[list[In]] = Future()

    def append(self, item: In, count: int, size: int, limits: BatchLimits) -> bool:
        """Take the item and return True, or return False if the batch is sealed or the item is too much for it."""
        with self._lock:
            too_much = bool(self._items) and limits.is_exceeded(self._count + count, self._size + size)
            if too_much or self._sealed.done():
                return False
            self._items.append(item)
            self._count += count
            self._size += size
            return True

    def is_full(self, limits: BatchLimits) -> bool:
        """True when the batch takes no more."""
        return limits.is_full(self._count, self._size)

    def seal(self) -> None:
        """Close the batch for good and wake who waits for it. Any thread may call it, any number of times."""
        with self._lock:
            if not self._sealed.done():
                self._sealed.set_result(self._items)

    async def sealed(self, quiet_seconds: float | None = None) -> list[In]:
        """Wait until the batch is sealed and return its items.

        Args:
            quiet_seconds: Seal it here once nothing was appended for that long; None leaves it to the collector.
        """
        # Shielded, because the cancellation of who waits must not reach the future that the collector will set.
        sealed = asyncio.shield(asyncio.wrap_future(self._sealed))
        while quiet_seconds is not None and not sealed.done():
            seen = len(self._items)
            await asyncio.wait({sealed}, timeout=quiet_seconds)
            if len(self._items) == seen:
                self.seal()
        return await sealed

    def release(self) -> None:
        """Let go of the records, handled or not, so that others may take their room. To be called once."""
        self.seal()
        # Flink's queue keeps the batch until those before it have left.
        self._items.clear()
        self._budget.give_back(self._size)

    def __repr__(self) -> str:
        """Sizes only: PyFlink puts this into error texts."""
        return f"<Batch {self.sequence}: {self._count} messages, {self._size} bytes>"

    def __reduce__(self) -> NoReturn:
        raise ChainingError(
            "A micro-batch was about to be serialised, so the two halves of its stage are not chained into one Python "
            "worker and its records would be lost. Set pipeline.operator-chaining.enabled and "
            "python.operator-chaining.enabled to true, and leave the parallelism of single operators alone."
        )


class OpenBatches(Generic[In]):
    """The batches that still take records, one per group.

    Used by the thread that collects, and by the bundle's thread at the end of the bundle, which are the same or take
    turns; never by both at a time.

    A batch is sealed when it is full, when it is one of too many, or when there is no room for another record: whoever
    waits for room has sealed everything first, so that what is waited for can be handled.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._budget = Budget(limits.max_bytes_under_way)
        self._open: dict[str, Batch[In]] = {}  # oldest first
        self._next_sequence = 0

    def add(self, group: str, item: In, count: int, size: int) -> Batch[In] | None:
        """Put the item into the open batch of its group; return the batch if it had to be opened for it."""
        if not self._budget.take(size):
            self.seal_all()
            self._budget.wait_and_take(size)
        batch = self._open.get(group)
        opened = None
        if batch is None or not batch.append(item, count, size, self._limits):
            batch = opened = self._opened(group)
            batch.append(item, count, size, self._limits)
        if batch.is_full(self._limits):
            self._seal(group)
        return opened

    def seal_all(self) -> int:
        """Seal every open batch; return how many there were."""
        sealed = len(self._open)
        for group in list(self._open):
            self._seal(group)
        return sealed

    def _opened(self, group: str) -> Batch[In]:
        self._seal(group)
        self._seal_too_old()
        batch = self._open[group] = Batch[In](group, self._next_sequence, self._budget)
        self._next_sequence += 1
        return batch

    def _seal_too_old(self) -> None:
        while self._open:
            group, oldest = next(iter(self._open.items()))
            if not self._limits.must_be_sealed(oldest.sequence, self._next_sequence):
                return
            self._seal(group)

    def _seal(self, group: str) -> None:
        batch = self._open.pop(group, None)
        if batch is not None:
            batch.seal()
