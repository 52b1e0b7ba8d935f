"""The waits between attempts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from udfs.core.retry import Backoff


@given(attempt=st.integers(0, 10**6), share=st.floats(0, 1))
def test_a_wait_is_positive_and_never_above_the_cap(attempt: int, share: float) -> None:
    """However long an outage lasts, the next attempt is at most the cap away, and never at once."""
    assert 0 < Backoff(0.1, 10).seconds(attempt, share) <= 10


def test_waits_double_up_to_the_cap() -> None:
    """Without jitter: 0.1, 0.2, 0.4 … 10 s; with the most jitter, half of it."""
    backoff = Backoff(0.1, 10)
    assert [backoff.seconds(attempt, 1.0) for attempt in (0, 1, 2, 20)] == [0.1, 0.2, 0.4, 10]
    assert backoff.seconds(0, 0.0) == 0.05
