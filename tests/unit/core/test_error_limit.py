"""When refusals are too many: by share and number within a window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.core.error_limit import ErrorLimit, ErrorWindow

# Each: the limit, and batches of second, messages, refused, exceeded?
TIMES = {
    "nearly everything": (ErrorLimit(0.9, 10, 60), [(0, 10, 9, False), (1, 1, 1, True)]),
    "many, but a small share": (ErrorLimit(0.9, 10, 60), [(0, 100, 50, False), (1, 100, 89, False)]),
    "everything, but few": (ErrorLimit(0.9, 10, 60), [(0, 9, 9, False), (5, 1, 0, False)]),
    "share and number just reached": (ErrorLimit(0.5, 10, 60), [(0, 20, 10, True)]),
    "one below the share": (ErrorLimit(0.5, 10, 60), [(0, 21, 10, False), (1, 1, 1, True)]),
    "one below the number": (ErrorLimit(0.5, 10, 60), [(0, 9, 9, False)]),
    "any refusal at all": (ErrorLimit(0.001, 1, 60), [(0, 999, 0, False), (1, 1, 1, True)]),
    "no limit": (ErrorLimit(0.1, 0, 60), [(0, 10**6, 10**6, False)]),
    "old refusals do not count": (ErrorLimit(0.9, 10, 60), [(0, 9, 9, False), (61, 9, 9, False)]),
    "at the edge of the window they do": (ErrorLimit(0.9, 10, 60), [(0, 9, 9, False), (60, 9, 9, True)]),
    "old good messages do not count": (ErrorLimit(0.9, 10, 60), [(0, 1000, 0, False), (61, 10, 10, True)]),
    "good ones make it good again": (
        ErrorLimit(0.9, 10, 60),
        [(0, 10, 10, True), (1, 90, 0, False), (61, 9, 9, False), (62, 1, 1, True)],
    ),
}


@pytest.mark.parametrize(("limit", "batches"), TIMES.values(), ids=TIMES.keys())
def test_the_limit_is_exceeded_just_when_share_and_number_are(
    limit: ErrorLimit, batches: list[tuple[float, int, int, bool]]
) -> None:
    """Both must be reached, by what is not older than the window."""
    window = ErrorWindow(limit)
    said = [(now, messages, refused, window.add(now, messages, refused)) for now, messages, refused, _ in batches]
    assert said == batches


BATCHES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 20)), max_size=40)


@given(BATCHES, st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.integers(0, 30), st.integers(1, 60))
def test_the_window_counts_what_is_in_it(
    batches: list[tuple[int, int, int]], share: float, count: int, seconds: int
) -> None:
    """However batches follow each other, the answer is that of counting the last ones again each time."""
    window, seen, now = ErrorWindow(ErrorLimit(share, count, seconds)), [], 0
    for pause, good, refused in batches:
        now += pause
        seen.append((now, good + refused, refused))
        recent = [batch for batch in seen if batch[0] >= now - seconds]
        all_messages, all_refused = sum(batch[1] for batch in recent), sum(batch[2] for batch in recent)
        is_too_many = count > 0 and all_refused >= count and all_refused >= share * all_messages
        assert window.add(now, good + refused, refused) == is_too_many
        assert (window.messages, window.refused) == (all_messages, all_refused)
