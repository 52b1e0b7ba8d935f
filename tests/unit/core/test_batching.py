"""How much a batch may hold."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from udfs.core.batching import BatchLimits

AMOUNTS = st.integers(0, 20)


@example(3, 5, 3, 5)
@given(st.integers(1, 9), st.integers(1, 9), AMOUNTS, AMOUNTS)
def test_a_batch_is_full_before_it_is_too_much(max_count: int, max_bytes: int, count: int, size: int) -> None:
    """A batch that has reached a limit takes no more; only one that has passed it is more than was allowed."""
    limits = BatchLimits(max_count, max_bytes, max_batches=1)
    assert limits.is_full(count, size) == limits.is_exceeded(count + 1, size + 1)
    assert limits.is_full(max_count, 0)
    assert limits.is_full(0, max_bytes)
    assert not limits.is_exceeded(max_count, max_bytes)


@given(st.integers(1, 9), st.integers(0, 99))
def test_of_the_batches_at_least_one_may_be_open(max_batches: int, following: int) -> None:
    """However few may be under way, the newest stays open until the next; the rest of them keep their number."""
    limits = BatchLimits(1, 1, max_batches)
    still_open = [sequence for sequence in range(following) if not limits.must_be_sealed(sequence, following)]
    assert still_open == list(range(max(0, following - max_batches + 1), following))
