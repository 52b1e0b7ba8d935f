"""What each answer means."""

from __future__ import annotations

import pytest
from grpc import StatusCode
from qdrant_client.grpc import UpdateStatus

from udfs.qdrant.judge import Action, Answer, judge

ANSWERS = [
    pytest.param(Answer(StatusCode.OK, status=UpdateStatus.Completed), Action.DONE, id="completed"),
    pytest.param(Answer(StatusCode.OK, status=UpdateStatus.Acknowledged), Action.RETRY, id="only acknowledged"),
    pytest.param(Answer(StatusCode.OK, status=UpdateStatus.WaitTimeout), Action.RETRY, id="wait timed out"),
    pytest.param(Answer(StatusCode.OK, status=UpdateStatus.ClockRejected), Action.RETRY, id="clock rejected"),
    pytest.param(Answer(StatusCode.OK, status=99), Action.RETRY, id="a status not known yet"),
    pytest.param(Answer(StatusCode.OK), Action.RETRY, id="no status at all"),
    pytest.param(Answer(StatusCode.UNAVAILABLE), Action.RETRY, id="away"),
    pytest.param(Answer(StatusCode.DEADLINE_EXCEEDED), Action.RETRY, id="too slow"),
    pytest.param(Answer(StatusCode.RESOURCE_EXHAUSTED, retry_after=3), Action.RETRY, id="rate limit"),
    pytest.param(Answer(StatusCode.INTERNAL, "Too many open files"), Action.RETRY, id="internal error"),
    pytest.param(
        Answer(StatusCode.INTERNAL, "failed to decode Protobuf message: Value.kind: recursion limit reached"),
        Action.REFUSED,
        id="not to be decoded",
    ),
    pytest.param(
        Answer(StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5000000 vs. 4194304)"),
        Action.REFUSED,
        id="a proxy's limit of size",
    ),
    pytest.param(Answer(StatusCode.UNKNOWN), Action.RETRY, id="unknown error"),
    pytest.param(Answer(StatusCode.CANCELLED), Action.RETRY, id="cancelled on the way"),
    pytest.param(Answer(StatusCode.ABORTED), Action.RETRY, id="aborted"),
    pytest.param(Answer(StatusCode.UNAUTHENTICATED), Action.RETRY, id="key refused, perhaps being rotated"),
    pytest.param(Answer(StatusCode.PERMISSION_DENIED), Action.FORBIDDEN, id="key without the right, or expired"),
    pytest.param(Answer(StatusCode.INVALID_ARGUMENT), Action.REFUSED, id="wrong point"),
    pytest.param(Answer(StatusCode.NOT_FOUND), Action.ABSENT, id="no such collection"),
    pytest.param(Answer(StatusCode.UNIMPLEMENTED), Action.RETRY, id="a proxy's 404"),
    pytest.param(Answer(StatusCode.FAILED_PRECONDITION), Action.RETRY, id="a shard that is not ready"),
    pytest.param(Answer(StatusCode.RESOURCE_EXHAUSTED), Action.SPLIT, id="more points than the rate limit holds"),
]


@pytest.mark.parametrize(("answer", "action"), ANSWERS)
def test_an_answer_has_one_consequence(answer: Answer, action: Action) -> None:
    """Only `Completed` is done, and only what speaks of the request itself is refused."""
    assert judge(answer).action is action


def test_a_verdict_tells_why_and_how_long_to_wait() -> None:
    """The reason holds the server's words, for the log and the refusal; a wait that was asked for is kept."""
    verdict = judge(Answer(StatusCode.RESOURCE_EXHAUSTED, "slow down", retry_after=3))
    assert (verdict.reason, verdict.retry_after) == ("RESOURCE_EXHAUSTED: slow down", 3)
    pending = judge(Answer(StatusCode.OK, status=UpdateStatus.WaitTimeout))
    assert pending.reason == "Qdrant answered OK with status WaitTimeout, not Completed"
