"""How much a micro-batch may hold, and how much may be under way: the numbers, apart from the mechanism."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of one stage in one subtask, each at least 1.

    Attributes:
        max_count: Messages in one batch. A single item of more messages is a batch by itself.
        max_bytes: Bytes in one batch. A single larger item is a batch by itself.
        max_batches: Batches under way at once, open ones included.
        max_bytes_under_way: Bytes in all of them together. A single larger item is let in alone.
    """

    max_count: int
    max_bytes: int
    max_batches: int
    max_bytes_under_way: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise ValueError(f"{limit.name} is {getattr(self, limit.name)}; a batch limit is at least 1")

    def is_full(self, count: int, size: int) -> bool:
        """True when a batch of that many messages and bytes takes no more."""
        return count >= self.max_count or size >= self.max_bytes

    def is_exceeded(self, count: int, size: int) -> bool:
        """True when a batch of that many messages and bytes is more than was allowed."""
        return count > self.max_count or size > self.max_bytes

    def must_be_sealed(self, sequence: int, next_sequence: int) -> bool:
        """True when the open batch ``sequence`` must be sealed before ``next_sequence`` is opened.

        Flink's queue takes ``max_batches`` elements and blocks the thread that also seals. When it blocks on
        ``next_sequence``, at least ``max_batches`` elements stand in it, so its head is no younger than
        ``next_sequence - max_batches``: with every batch up to there sealed, the head completes and the thread goes on.
        """
        return sequence <= next_sequence - self.max_batches
