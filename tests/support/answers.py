"""What Qdrant and the channel may answer to a write, what follows, and how it is known that they do.

A row whose source is `REAL` is produced by the real server in `tests/contract/test_answers.py`; all others are played
by a scripted one, and say where they come from.
"""

from __future__ import annotations

from typing import NamedTuple

from grpc import StatusCode
from qdrant_client.grpc import UpdateStatus

from tests.support.store import COMPLETED, TOO_DEEP
from udfs.qdrant.judge import Action, Answer, Remedy

REAL = "the real Qdrant 1.16.3"
_QDRANT = "github.com/qdrant/qdrant, v1.16.3, lib/storage/src/content_manager/conversions.rs"
_WAITING = "github.com/qdrant/qdrant, v1.17.1, lib/collection/src/operations/types.rs"
_STATUS = "grpc.io/docs/guides/status-codes"
_HTTP = "github.com/grpc/grpc, doc/http-grpc-status-mapping.md, and a server that speaks HTTP/2 only"
_RATE = "Rate limiting exceeded: Write rate limit exceeded"
_NO_CONNECTION = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:6334: "
_HANDSHAKE = (
    f"{_NO_CONNECTION}Ssl handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000:SSL routines:"
    "OPENSSL_internal:"
)


class Row(NamedTuple):
    """An answer and its consequence."""

    answer: Answer
    action: Action
    source: str
    remedy: Remedy | None = None


def _ok(status: int) -> Answer:
    return Answer(StatusCode.OK, status=status)


ROWS = {
    # OK, but for the operation.
    "completed": Row(COMPLETED, Action.DONE, REAL),
    "acknowledged only": Row(_ok(UpdateStatus.Acknowledged), Action.RETRY, "the same source as `wait timed out`"),
    "clock rejected": Row(_ok(UpdateStatus.ClockRejected), Action.RETRY, "the same source as `wait timed out`"),
    "wait timed out": Row(_ok(UpdateStatus.WaitTimeout), Action.RETRY, _WAITING),
    "no status": Row(_ok(UpdateStatus.UnknownUpdateStatus), Action.RETRY, "protobuf: a field that is not there is 0"),
    "a status not known yet": Row(_ok(99), Action.RETRY, "protobuf: enums are open"),
    "an unreadable answer": Row(
        Answer(StatusCode.INTERNAL, "the answer could not be read"), Action.RETRY, "`PointsClient`, given garbage"
    ),
    # What is wrong with the request.
    "wrong size": Row(
        Answer(StatusCode.INVALID_ARGUMENT, "Wrong input: Vector dimension error: expected dim: 2, got 3"),
        Action.REFUSED,
        REAL,
    ),
    "a name that quotes a limit": Row(
        Answer(
            StatusCode.INVALID_ARGUMENT,
            "Wrong input: Not existing vector name error: Bad request: Max points count limit of 1 reached!",
        ),
        Action.REFUSED,
        REAL,
    ),
    "not to be decoded": Row(TOO_DEEP, Action.REFUSED, REAL),
    "no such collection": Row(
        Answer(StatusCode.NOT_FOUND, "Not found: Collection `nowhere` doesn't exist!"), Action.ABSENT, REAL
    ),
    # Too much at once. Qdrant itself has no limit: a payload of 100 MB was written with its limit for REST at 1 MB.
    "more than the rate limit holds": Row(
        Answer(
            StatusCode.RESOURCE_EXHAUSTED,
            f"{_RATE}, request larger than rate limiter capacity, please try to split your request",
        ),
        Action.SPLIT,
        REAL,
    ),
    "more than strict mode takes in a request": Row(
        Answer(
            StatusCode.INVALID_ARGUMENT,
            'Bad request: Limit exceeded 4 > 3 for "upsert limit". '
            'Help: Reduce the "upsert limit" parameter to or below 3.',
        ),
        Action.SPLIT,
        REAL,
    ),
    "too large for gRPC in Go": Row(
        Answer(StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5000000 vs. 4194304)"),
        Action.REFUSED,
        "github.com/grpc/grpc-go, rpc_util.go",
    ),
    "too large for gRPC in C": Row(
        Answer(StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5000000 vs. 4194304)"),
        Action.REFUSED,
        "github.com/grpc/grpc, src/core/ext/filters/message_size/message_size_filter.cc",
    ),
    "too large for gRPC in Java": Row(
        Answer(StatusCode.RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size 4194304: 5000000"),
        Action.REFUSED,
        "github.com/grpc/grpc-java, MessageDeframer.java",
    ),
    "too large for gRPC in Rust": Row(
        Answer(
            StatusCode.OUT_OF_RANGE,
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        ),
        Action.REFUSED,
        "github.com/hyperium/tonic, tonic/src/codec/decode.rs",
    ),
    "too large for nginx": Row(
        Answer(StatusCode.UNKNOWN, "Received http2 header with status: 413"),
        Action.REFUSED,
        f"nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size; {_HTTP}",
    ),
    "too large for Envoy": Row(
        Answer(StatusCode.UNKNOWN, "Payload Too Large"),
        Action.REFUSED,
        "github.com/envoyproxy/envoy, source/common/http/codes.cc and source/common/grpc/status.cc",
    ),
    # Limits in time and in space.
    "rate limit": Row(
        Answer(
            StatusCode.RESOURCE_EXHAUSTED,
            f"{_RATE}: Operation requires 8 tokens but only 2.0 were available. Retry after 36s",
            retry_after=36,
        ),
        Action.RETRY,
        REAL,
    ),
    "too many points": Row(
        Answer(StatusCode.INVALID_ARGUMENT, "Bad request: Max points count limit of 1 reached!"),
        Action.RETRY,
        REAL,
        Remedy.ROOM,
    ),
    "too many vectors": Row(
        Answer(StatusCode.INVALID_ARGUMENT, "Bad request: Max vector storage size limit of 0.0000009536743MB reached!"),
        Action.RETRY,
        REAL,
        Remedy.ROOM,
    ),
    "too much payload": Row(
        Answer(
            StatusCode.INVALID_ARGUMENT, "Bad request: Max payload storage size limit of 0.0000009536743MB reached!"
        ),
        Action.RETRY,
        REAL,
        Remedy.ROOM,
    ),
    "disk full": Row(
        Answer(
            StatusCode.INTERNAL,
            "Service internal error: No space left on device: WAL buffer size exceeds available disk space",
        ),
        Action.RETRY,
        "Qdrant 1.16.3 on a tmpfs of 110 MB, by hand: a test would have to mount one",
        Remedy.ROOM,
    ),
    # Keys.
    "no key": Row(
        Answer(StatusCode.UNAUTHENTICATED, "Must provide an API key or an Authorization bearer token"),
        Action.RETRY,
        REAL,
        Remedy.KEY,
    ),
    "wrong key": Row(Answer(StatusCode.UNAUTHENTICATED, "Invalid API key or JWT"), Action.RETRY, REAL, Remedy.KEY),
    "expired key": Row(
        Answer(StatusCode.PERMISSION_DENIED, "ExpiredSignature"),
        Action.FORBIDDEN,
        REAL,
        Remedy.KEY,
    ),
    "key that may only read": Row(
        Answer(StatusCode.PERMISSION_DENIED, "Forbidden: Global manage access is required"),
        Action.FORBIDDEN,
        REAL,
        Remedy.KEY,
    ),
    # The way there.
    "nobody listens": Row(
        Answer(
            StatusCode.UNAVAILABLE,
            f"{_NO_CONNECTION}Failed to connect to remote host: connect: Connection refused (111)",
        ),
        Action.RETRY,
        REAL,
    ),
    "TLS to a port without": Row(
        Answer(StatusCode.UNAVAILABLE, f"{_HANDSHAKE}WRONG_VERSION_NUMBER"), Action.RETRY, REAL, Remedy.TLS
    ),
    "no TLS to a port with": Row(
        Answer(
            StatusCode.UNAVAILABLE,
            f"{_NO_CONNECTION.replace('UNKNOWN', 'UNAVAILABLE')}Socket closed",
        ),
        Action.RETRY,
        REAL,
    ),
    "certificate not trusted": Row(
        Answer(StatusCode.UNAVAILABLE, f"{_HANDSHAKE}CERTIFICATE_VERIFY_FAILED"), Action.RETRY, REAL, Remedy.TLS
    ),
    "frozen": Row(Answer(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"), Action.RETRY, REAL),
    "a proxy that finds nobody": Row(
        Answer(StatusCode.UNAVAILABLE, "Received http2 header with status: 503"), Action.RETRY, _HTTP
    ),
    "a proxy that has no such path": Row(
        Answer(StatusCode.UNIMPLEMENTED, "Received http2 header with status: 404"), Action.RETRY, _HTTP
    ),
    "a proxy in trouble": Row(
        Answer(StatusCode.UNKNOWN, "Received http2 header with status: 500"), Action.RETRY, _HTTP
    ),
    # The server's own troubles.
    "a fault": Row(Answer(StatusCode.INTERNAL, "Service internal error: task panicked"), Action.RETRY, _QDRANT),
    "locked": Row(Answer(StatusCode.FAILED_PRECONDITION, "Locked"), Action.RETRY, _QDRANT),
    "checksum mismatch": Row(Answer(StatusCode.DATA_LOSS, "Checksum mismatch"), Action.RETRY, _QDRANT),
    "already there": Row(Answer(StatusCode.ALREADY_EXISTS, "Already exists"), Action.RETRY, _QDRANT),
    "too slow": Row(Answer(StatusCode.DEADLINE_EXCEEDED, "Timeout error"), Action.RETRY, _QDRANT),
    "shard unavailable": Row(Answer(StatusCode.UNAVAILABLE, "Shard unavailable"), Action.RETRY, _QDRANT),
    "cancelled on the way": Row(Answer(StatusCode.CANCELLED, "cancelled"), Action.RETRY, _STATUS),
    "aborted": Row(Answer(StatusCode.ABORTED, "aborted"), Action.RETRY, _STATUS),
    "out of some range": Row(Answer(StatusCode.OUT_OF_RANGE, "out of range"), Action.RETRY, _STATUS),
}
