"""What an answer from Qdrant means. Pure: an answer in, a verdict out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from grpc import StatusCode
from qdrant_client.grpc import UpdateStatus

from udfs.core.refusals import shortened

_LONGEST_REASON = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request, from the server or from the channel.

    Attributes:
        code: The gRPC status.
        details: The server's or the channel's own words.
        status: What became of the operation, where ``code`` is OK (`qdrant.UpdateStatus`).
        retry_after: The seconds the server asked to wait, if it did.
    """

    code: StatusCode
    details: str = ""
    status: int | None = None
    retry_after: float | None = None


class Action(Enum):
    """What follows from an answer.

    None is fatal. A job that failed would meet the same answer when it starts again, whereas what is waited for may be
    put right meanwhile; who wants an end of it sets `sink.retry.max-time`. What no waiting can help is refused, message
    by message, and whether that ends the job is for `errors.tolerance` to say.
    """

    DONE = "done"  # applied and readable
    RETRY = "retry"  # the same request again, later
    SPLIT = "split"  # less at a time; where there is no less, the same request again, later
    REFUSED = "refused"  # something in this request can never be written: less at a time, until the culprit is alone
    FORBIDDEN = "forbidden"  # the same request again, later: a key may be put right; or it is not for this collection
    ABSENT = "absent"  # there is no such collection, so nothing in this request can be written


class Remedy(Enum):
    """What somebody has to do, because waiting alone will not help."""

    KEY = "put the API key right"
    ROOM = "make room in Qdrant, or raise its limit"
    TLS = "put the certificate of Qdrant, or the scheme of qdrant.grpc.url, right"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action with its reason, for the log or the refusal."""

    action: Action
    reason: str = ""
    retry_after: float | None = None
    remedy: Remedy | None = None


# By these Qdrant speaks of the request itself: a wrong dimension, an unknown vector name; no such collection. All else
# is transient, for waiting harms nobody and refusing wrongly does. FAILED_PRECONDITION is a lock or a shard that is not
# ready (StorageError to tonic::Status in qdrant 1.16), UNIMPLEMENTED is how gRPC reads a proxy's 404; that the server
# is a Qdrant was checked before the job started.
_ACTIONS = {
    StatusCode.INVALID_ARGUMENT: (Action.REFUSED, None),
    StatusCode.NOT_FOUND: (Action.ABSENT, None),
    StatusCode.PERMISSION_DENIED: (Action.FORBIDDEN, Remedy.KEY),
    StatusCode.UNAUTHENTICATED: (Action.RETRY, Remedy.KEY),
}

# The same in words, where the status alone says less; each where `tests/support/answers.py` says. They are looked for
# from the beginning of the details, as further on these may quote the message, which must not stop everybody.
#
# A collection that has reached a limit of strict mode is full, like a disk: the messages are good, so they wait.
# INTERNAL is a fault of the server's own, however often it comes, but for what it cannot decode. Of a request that is
# too large, a smaller one may pass; a single point that is too large never will.
_IN_WORDS = [
    (code, re.compile(words), action, remedy)
    for code, words, action, remedy in (
        (StatusCode.INVALID_ARGUMENT, r'Bad request: Limit exceeded \d+ > \d+ for "upsert limit"', Action.SPLIT, None),
        (StatusCode.INVALID_ARGUMENT, r"Bad request: Max [a-z ]+ limit of .+ reached!", Action.RETRY, Remedy.ROOM),
        (StatusCode.INTERNAL, r"Service internal error: .*No space left on device", Action.RETRY, Remedy.ROOM),
        (StatusCode.INTERNAL, r"failed to decode Protobuf message", Action.REFUSED, None),
        (StatusCode.RESOURCE_EXHAUSTED, r".*message (larger than max|exceeds maximum size)", Action.REFUSED, None),
        (StatusCode.OUT_OF_RANGE, r".*message length too large", Action.REFUSED, None),
        (StatusCode.UNKNOWN, r"Received http2 header with status: 413|Payload Too Large", Action.REFUSED, None),
        (StatusCode.UNAVAILABLE, r".*SSL_ERROR_SSL", Action.RETRY, Remedy.TLS),
    )
]


def judge(answer: Answer) -> Verdict:
    """Return what to do about the answer. Only `Completed` means done: with wait=true all else may still be pending."""
    if answer.code is StatusCode.OK:
        if answer.status == UpdateStatus.Completed:
            return Verdict(Action.DONE)
        return Verdict(Action.RETRY, f"Qdrant answered OK with status {_status_name(answer.status)}, not Completed")
    action, remedy = _consequence(answer)
    reason = f"{answer.code.name}: {shortened(answer.details, _LONGEST_REASON)}"
    return Verdict(action, reason, answer.retry_after, remedy)


def _consequence(answer: Answer) -> tuple[Action, Remedy | None]:
    for code, words, action, remedy in _IN_WORDS:
        if answer.code is code and words.match(answer.details):
            return action, remedy
    if answer.code is StatusCode.RESOURCE_EXHAUSTED and answer.retry_after is None:
        # More points than the rate limit ever holds, which waiting alone never helps.
        return Action.SPLIT, None
    return _ACTIONS.get(answer.code, (Action.RETRY, None))


def _status_name(status: int | None) -> str:
    known = UpdateStatus.DESCRIPTOR.values_by_number
    return known[status].name if status is not None and status in known else str(status)
