"""What an answer from Qdrant means. Pure: an answer in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grpc import StatusCode
from qdrant_client.grpc import UpdateStatus


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
    REFUSED = "refused"  # something in this request can never be written
    FATAL = "fatal"  # nothing can be written with this server or client


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action with its reason, for the log or the refusal."""

    action: Action
    reason: str = ""
    retry_after: float | None = None


# Statuses by which Qdrant speaks of the request itself (lib/api and src/tonic in qdrant/qdrant 1.16: StorageError and
# CollectionError to tonic::Status). Unlisted codes are transient: waiting harms nobody, refusing wrongly does.
_REFUSED = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,  # wrong dimension, unknown vector name, malformed operation
        StatusCode.NOT_FOUND,  # no such collection
        StatusCode.FAILED_PRECONDITION,
        StatusCode.OUT_OF_RANGE,
        StatusCode.ALREADY_EXISTS,
    }
)
_FATAL = frozenset({StatusCode.UNIMPLEMENTED})  # no Qdrant, or one too old to know the call


def judge(answer: Answer) -> Verdict:
    """Return what to do about the answer. Only `Completed` means done: with wait=true all else may still be pending."""
    if answer.code is StatusCode.OK:
        if answer.status == UpdateStatus.Completed:
            return Verdict(Action.DONE)
        return Verdict(Action.RETRY, f"Qdrant answered OK with status {_status_name(answer.status)}, not Completed")
    reason = f"{answer.code.name}: {answer.details}"
    if answer.code in _REFUSED:
        return Verdict(Action.REFUSED, reason)
    if answer.code in _FATAL:
        return Verdict(Action.FATAL, reason)
    return Verdict(Action.RETRY, reason, answer.retry_after)


def _status_name(status: int | None) -> str:
    known = UpdateStatus.DESCRIPTOR.values_by_number
    return known[status].name if status is not None and status in known else str(status)
