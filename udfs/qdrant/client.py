"""The only file that opens a socket to Qdrant while the job runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from qdrant_client.grpc import (
    DeletePoints,
    PointsIdsList,
    PointsSelector,
    PointsStub,
    PointStruct,
    UpsertPoints,
)

from udfs.qdrant.encode import encode_point_id
from udfs.qdrant.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from udfs.core.operations import PointId

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Two minutes, gRPC's default, is long for a server that came back.
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class Connection:
    """How a worker reaches Qdrant.

    Attributes:
        host: Host name or address.
        port: The gRPC port.
        tls: Whether to speak TLS.
        key_source: ``env:NAME`` or ``file:/path`` on the worker, or None. The key itself never enters the job graph.
        timeout_seconds: The deadline of one request.
    """

    host: str
    port: int
    tls: bool
    key_source: str | None
    timeout_seconds: float


def read_api_key(source: str) -> str:
    """Return the key that ``env:NAME`` or ``file:/path`` names.

    Raises:
        LookupError: It is not there; the text says what was looked for, never a key.
    """
    kind, _, name = source.partition(":")
    try:
        key = os.environ[name] if kind == "env" else Path(name).read_text(encoding="utf-8")
    except KeyError:
        raise LookupError(f"qdrant.api.key names the environment variable {name}, which is not set here") from None
    except OSError as error:
        raise LookupError(f"qdrant.api.key names the file {name}, which is not readable: {error.strerror}") from None
    return key.strip()


class PointsClient:
    """Sends one request at a time per call and returns its answer; never raises for what the server or network does.

    It must be made, used and closed on one event loop.
    """

    def __init__(self, connection: Connection) -> None:
        target = f"{connection.host}:{connection.port}"
        if connection.tls:
            self._channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), _OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(target, _OPTIONS)
        key = None if connection.key_source is None else read_api_key(connection.key_source)
        self._metadata = () if key is None else (("api-key", key),)
        self._timeout = connection.timeout_seconds
        self._points = PointsStub(self._channel)  # type: ignore[no-untyped-call]

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert serialised `PointStruct` messages and wait until they are applied."""
        request = UpsertPoints(
            collection_name=collection, wait=True, points=[PointStruct.FromString(point) for point in points]
        )
        return await self._answer(self._points.Upsert, request)

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete points by id and wait until they are gone."""
        selector = PointsSelector(points=PointsIdsList(ids=[encode_point_id(point_id) for point_id in ids]))
        request = DeletePoints(collection_name=collection, wait=True, points=selector)
        return await self._answer(self._points.Delete, request)

    async def close(self) -> None:
        """Close the connection; requests under way are cancelled."""
        await self._channel.close()

    async def _answer(self, call: Any, request: Any) -> Answer:
        try:
            response = await call(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return Answer(error.code(), error.details() or "", retry_after=_retry_after(error))
        return Answer(grpc.StatusCode.OK, status=response.result.status)


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == "retry-after":
            try:
                return float(value)
            except ValueError:
                return None  # an HTTP date; the ordinary back-off serves
    return None
