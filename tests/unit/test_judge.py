"""What each answer means."""

from __future__ import annotations

import pytest
from grpc import StatusCode
from qdrant_client.grpc import UpdateStatus

from tests.support.answers import ROWS, Row
from udfs.qdrant.judge import Action, Answer, judge


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{name} [{row.source}]") for name, row in ROWS.items()])
def test_an_answer_has_one_consequence(row: Row) -> None:
    """Only `Completed` is done, only what speaks of the request itself is refused, and all else is waited out."""
    verdict = judge(row.answer)
    assert (verdict.action, verdict.remedy) == (row.action, row.remedy)
    assert verdict.retry_after == row.answer.retry_after


def test_every_status_has_a_row() -> None:
    """Of gRPC and of Qdrant: a status that a new version adds has to be thought about."""
    assert {row.answer.code for row in ROWS.values()} == set(StatusCode)
    assert {row.answer.status for row in ROWS.values()} >= set(UpdateStatus.values())


@pytest.mark.parametrize("code", set(StatusCode) - {StatusCode.OK}, ids=lambda code: code.name)
def test_an_answer_without_words_refuses_only_what_it_must(code: StatusCode) -> None:
    """Without a word of the message, an unlike status is an outage; OK without a status is, too."""
    actions = {
        StatusCode.INVALID_ARGUMENT: Action.REFUSED,
        StatusCode.NOT_FOUND: Action.ABSENT,
        StatusCode.PERMISSION_DENIED: Action.FORBIDDEN,
        StatusCode.RESOURCE_EXHAUSTED: Action.SPLIT,
    }
    assert judge(Answer(code)).action is actions.get(code, Action.RETRY)
    assert judge(Answer(StatusCode.OK)).action is Action.RETRY


def test_a_verdict_tells_why_and_how_long_to_wait() -> None:
    """The reason holds the server's words, for the log and the refusal; a wait that was asked for is kept."""
    verdict = judge(Answer(StatusCode.RESOURCE_EXHAUSTED, "slow down", retry_after=3))
    assert (verdict.reason, verdict.retry_after) == ("RESOURCE_EXHAUSTED: slow down", 3)
    pending = judge(Answer(StatusCode.OK, status=UpdateStatus.WaitTimeout))
    assert pending.reason == "Qdrant answered OK with status WaitTimeout, not Completed"
