"""What a stage counts: kept in plain integers, shown in Flink's metrics and once a minute in the log."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.metrics import Metrics
from udfs.accounts import Account


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def account(clock: Clock, metrics: Any = None) -> Account:
    """Return an account of three things and two codes."""
    names = ("written", "deleted", "deadLettered")
    return Account("write", *names, codes=["id-type", "id-uuid"], metrics=metrics, clock=clock)


def test_totals_start_at_nothing_and_add_up() -> None:
    """What is counted is there at once; what was never counted is 0."""
    some = account(Clock())
    some.add(written=2, deleted=1)
    some.add(written=3)
    assert [some[name] for name in ("written", "deleted", "deadLettered")] == [5, 1, 0]


def test_a_name_that_is_not_counted_is_an_error() -> None:
    """A slip in a name must not count into the void."""
    with pytest.raises(KeyError, match="wirtten"):
        account(Clock()).add(wirtten=1)


def test_dead_letters_count_in_all_and_by_code() -> None:
    """The codes add up to the total, also in the metrics, where the code is the value of a label."""
    metrics = Metrics()
    some = account(Clock(), metrics)
    some.add_dead_letters({"id-type": 2, "id-uuid": 1})
    some.add_dead_letters({"id-type": 3})
    some.add_dead_letters({})
    assert [some[name] for name in ("deadLettered", "id-type", "id-uuid")] == [6, 5, 1]
    assert metrics.gauges["qdrant.deadLettered"]() == 6
    assert metrics.gauges["qdrant.code.id-type.deadLettered"]() == 5


def test_a_code_that_is_not_there_is_an_error() -> None:
    """There is one list of codes."""
    with pytest.raises(KeyError, match="id-typo"):
        account(Clock()).add_dead_letters({"id-typo": 1})


def test_gauges_show_the_totals() -> None:
    """Flink reads every total by its name below `qdrant`, as it is at that moment."""
    metrics = Metrics()
    some = account(Clock(), metrics)
    some.add(written=2)
    assert {name: read() for name, read in metrics.gauges.items()} == {
        "qdrant.written": 2,
        "qdrant.deleted": 0,
        "qdrant.deadLettered": 0,
        "qdrant.code.id-type.deadLettered": 0,
        "qdrant.code.id-uuid.deadLettered": 0,
    }
    some.add(written=3)
    assert metrics.gauges["qdrant.written"]() == 5


def test_the_log_has_totals_and_increments_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A line says what there is in all and what is new since the line before; what never happened is not in it."""
    caplog.set_level("INFO")
    clock = Clock()
    some = account(clock)
    for seconds in (0, 59.9, 60, 61, 119.9, 150, 209.9, 230):
        clock.now = 1000 + seconds
        some.add(written=10, deleted=1 if seconds > 60 else 0)
    assert [entry.getMessage() for entry in caplog.records] == [
        "write, in this attempt (and in the last 60 s): 30 written (+30)",
        "write, in this attempt (and in the last 90 s): 60 written (+30), 3 deleted (+3)",
        "write, in this attempt (and in the last 80 s): 80 written (+20), 5 deleted (+2)",
    ]


def test_what_is_as_it_was_is_still_in_the_line(caplog: pytest.LogCaptureFixture) -> None:
    """A total that does not move is told from one that never was."""
    caplog.set_level("INFO")
    clock = Clock()
    some = account(clock)
    some.add(written=1)
    some.add_dead_letters({"id-type": 1})
    for _ in range(2):
        clock.now += 60
        some.add(written=1)
    assert caplog.messages[-1].endswith("3 written (+1), 1 deadLettered (+0), 1 id-type (+0)")
