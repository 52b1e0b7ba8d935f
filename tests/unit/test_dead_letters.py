"""What becomes of refused messages in a stage: the end of the job, or dead letters until they are too many."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from udfs.core.dead_letters import LetterRules, Record, dead_letter
from udfs.core.error_limit import ErrorLimit
from udfs.core.failures import MessageRefusedError, TooManyRefusedError
from udfs.core.operations import Origin
from udfs.core.refusals import Refusal
from udfs.dead_letters import DeadLetterOptions, DeadLetters

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = LetterRules("my-job", 10**6)
REFUSAL = Refusal("id-negative", "id", '"id" is -4711; no')


def record(offset: int) -> Record:
    """Return a message that stands there."""
    return Record(b"key", b"value", {"mine": b"1"}, Origin("messages", 3, offset))


def letters(limit: ErrorLimit, times: Iterable[float] = repeat(0.0)) -> DeadLetters:
    """Return the dead letters of a parse stage, with a clock that shows these times."""
    return DeadLetters(DeadLetterOptions(RULES, limit), "parse", iter(times).__next__)


def test_without_dead_letters_the_first_refusal_ends_the_job() -> None:
    """It says where the message stands and why it was refused."""
    with pytest.raises(MessageRefusedError) as refused:
        DeadLetters(None, "parse").of(record(17), REFUSAL)
    assert str(refused.value) == (
        "The message at topic 'messages', partition 3, offset 17 was refused (id-negative): \"id\", the id is below"
        " zero"
    )


def test_without_dead_letters_nothing_is_counted() -> None:
    """The first refusal ends the job anyway, so there is no limit to exceed."""
    DeadLetters(None, "parse").check(1000, 0)


@pytest.mark.parametrize(("stage", "is_rendered"), [("parse", False), ("write", True)])
def test_a_refused_message_becomes_a_dead_letter(stage: str, is_rendered: bool) -> None:  # noqa: FBT001 - a table of two
    """It is that of `udfs.core.dead_letters`, by the rules of the settings, with the name of the stage."""
    options = DeadLetterOptions(RULES, ErrorLimit(0.9, 0, 60))
    letter = DeadLetters(options, stage).of(record(17), REFUSAL, is_rendered=is_rendered)
    assert letter == dead_letter(record(17), REFUSAL, stage, RULES, is_rendered=is_rendered)


def test_too_many_refusals_end_the_job() -> None:
    """The sentence has the numbers, and the last refusal as an example of what is wrong."""
    some = letters(ErrorLimit(0.9, 10, 60))
    some.check(100, 0)
    for offset in range(900, 1800):
        some.of(record(offset), REFUSAL)
    with pytest.raises(TooManyRefusedError) as too_many:
        some.check(900, 900)
    assert str(too_many.value) == (
        "900 of the last 1000 messages were refused, and errors.limit is reached: something else is wrong than single"
        " messages. The last one: The message at topic 'messages', partition 3, offset 1799 was refused"
        ' (id-negative): "id", the id is below zero'
    )


def test_refusals_long_ago_do_not_count() -> None:
    """The window moves with the stage's clock."""
    some = letters(ErrorLimit(0.9, 10, 60), [0, 61, 62])
    for _ in range(2):
        some.check(9, 9)
    with pytest.raises(TooManyRefusedError, match="18 of the last 18 messages"):
        some.check(9, 9)


def test_the_first_refusal_of_each_code_is_logged_without_values(caplog: pytest.LogCaptureFixture) -> None:
    """The log says that there are dead letters, not one line for each, and nothing that a message holds."""
    some = letters(ErrorLimit(0.9, 0, 60))
    for offset, code in enumerate(["id-negative", "id-negative", "id-type", "id-negative", "id-type"]):
        some.of(record(offset), Refusal(code, "id", '"id" is -4711; no'))
    assert [entry.getMessage() for entry in caplog.records] == [
        "First dead letter of parse with code id-negative: topic 'messages', partition 3, offset 0",
        "First dead letter of parse with code id-type: topic 'messages', partition 3, offset 2",
    ]
    assert {entry.levelname for entry in caplog.records} == {"WARNING"}
