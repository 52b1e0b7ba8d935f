"""What an answer from Qdrant means. Pure: an answer in, a verdict out."""

from __future__ import annotations

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
    """What follows from an answer."""

    DONE = "done"  # applied and readable
    RETRY = "retry"  # the same request again, later
    SPLIT = "split"  # less at a time
    REFUSED = "refused"  # something in this request can never be written
    FORBIDDEN = "forbidden"  # the same request again, later: a key may be put right; or it is not for this collection
    ABSENT = "absent"  # there is no such collection, so nothing in this request can be written


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action with its reason, for the log or the refusal."""

    action: Action
    reason: str = ""
    retry_after: float | None = None


# By these Qdrant speaks of the request itself: a wrong dimension, an unknown vector name; no such collection. All else
# is transient, for waiting harms nobody and refusing wrongly does. FAILED_PRECONDITION is a lock or a shard that is not
# ready (StorageError to tonic::Status in qdrant 1.16), UNIMPLEMENTED is how gRPC reads a proxy's 404; that the server
# is a Qdrant was checked before the job started.
_ACTIONS = {
    StatusCode.INVALID_ARGUMENT: Action.REFUSED,
    StatusCode.NOT_FOUND: Action.ABSENT,
    StatusCode.PERMISSION_DENIED: Action.FORBIDDEN,
}

# The same in words, where the status alone says less. INTERNAL is a fault of the server's own, however often it comes:
# 1.16.3 says so to every upsert, but not to deletes, when it has no file descriptors left. But it also says so to what
# it cannot decode, such as a payload nested too deeply. RESOURCE_EXHAUSTED is a limit in time, but for proxies that
# limit the size of a message.
_REFUSING_WORDS = {
    StatusCode.INTERNAL: "failed to decode Protobuf message",
    StatusCode.RESOURCE_EXHAUSTED: "message larger than max",
}


def judge(answer: Answer) -> Verdict:
    """Return what to do about the answer. Only `Completed` means done: with wait=true all else may still be pending."""
    if answer.code is StatusCode.OK:
        if answer.status == UpdateStatus.Completed:
            return Verdict(Action.DONE)
        return Verdict(Action.RETRY, f"Qdrant answered OK with status {_status_name(answer.status)}, not Completed")
    reason = f"{answer.code.name}: {shortened(answer.details, _LONGEST_REASON)}"
    words = _REFUSING_WORDS.get(answer.code)
    if words is not None and words in answer.details:
        return Verdict(Action.REFUSED, reason)
    if answer.code is StatusCode.RESOURCE_EXHAUSTED and answer.retry_after is None:
        # Measured on 1.16.3: a request with more points than the rate limit holds, which waiting alone never helps.
        return Verdict(Action.SPLIT, reason)
    return Verdict(_ACTIONS.get(answer.code, Action.RETRY), reason, answer.retry_after)


def _status_name(status: int | None) -> str:
    known = UpdateStatus.DESCRIPTOR.values_by_number
    return known[status].name if status is not None and status in known else str(status)
