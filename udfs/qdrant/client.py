"""The only file that opens a socket to Qdrant while the job runs."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
from grpc import StatusCode
from qdrant_client.grpc import (
    CollectionParams,
    CollectionsStub,
    DeletePoints,
    GetCollectionInfoRequest,
    ListCollectionsRequest,
    PointsIdsList,
    PointsOperationResponse,
    PointsSelector,
    PointsStub,
    UpdateStatus,
)

from udfs.core.failures import StoreError
from udfs.qdrant.encode import encode_point_id, join_upserts
from udfs.qdrant.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from udfs.core.operations import PointId
    from udfs.qdrant.connection import Connection

logger = logging.getLogger(__name__)

# The answers to a key that is missing, wrong, or without the right.
UNWELCOME = (StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED)
_LONGEST_RETRY_AFTER = 300.0
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Two minutes, gRPC's default, is long for a server that came back.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A connection that swallows everything, as by a firewall that forgot it, ends after 20 s without a byte and 20 s
    # without an answer to a ping. The kernel would take a quarter of an hour. There is none while there are answers or
    # no requests, and a proxy that finds three pings in silence too many (grpc.io/docs/guides/keepalive) gets two.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),
    # It would find how large answers may be, and these are small. While such a ping is under way the other one is kept
    # back, and of 60 connections that were reset inside an answer, 14 were found to be so only later.
    ("grpc.http2.bdp_probe", 0),
)


class PointsClient:
    """Sends requests and returns their answers; never raises for what the server or the network does.

    It must be made and used on one event loop. The connection ends with the process.

    Raises:
        StoreError: When it is made, if the key or the certificates are not where the connection says.
    """

    def __init__(self, connection: Connection) -> None:
        asyncio.get_running_loop().set_exception_handler(_without_false_alarms)
        self._connection = connection
        try:
            self._metadata = connection.metadata()
            self._channel = _channel(connection)
        except LookupError as error:
            raise StoreError(f"This worker cannot connect to Qdrant at {connection.target}: {error}") from None
        # Upserts leave as the bytes that the parse stage made: decoding and encoding them again would take 27 times as
        # long at 768 dimensions.
        self._upsert: Any = self._channel.unary_unary(
            "/qdrant.Points/Upsert", response_deserializer=PointsOperationResponse.FromString
        )
        self._delete = PointsStub(self._channel).Delete  # type: ignore[no-untyped-call]
        collections = CollectionsStub(self._channel)  # type: ignore[no-untyped-call]
        self._get, self._list = collections.Get, collections.List

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert points, each as `encode_upsert` made it, and wait until they are applied."""
        return await self._answer(self._upsert, join_upserts(collection, points))

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete points by id and wait until they are gone."""
        selector = PointsSelector(points=PointsIdsList(ids=[encode_point_id(point_id) for point_id in ids]))
        request = DeletePoints(collection_name=collection, wait=True, points=selector)
        return await self._answer(self._delete, request)

    async def describe(self, collection: str) -> tuple[Answer, CollectionParams]:
        """Ask what the collection, or the one that this is an alias of, takes: it counts where the answer is done."""
        answer, response = await self._call(self._get, GetCollectionInfoRequest(collection_name=collection))
        if response is None:
            return answer, CollectionParams()
        return replace(answer, status=UpdateStatus.Completed), response.result.config.params

    async def is_welcome(self) -> bool:
        """Tell whether the API key is accepted, for whatever it is good: this list holds what it gives access to."""
        answer, _ = await self._call(self._list, ListCollectionsRequest())
        return answer.code is StatusCode.OK

    async def _answer(self, call: Any, request: Any) -> Answer:
        answer, response = await self._call(call, request)
        return answer if response is None else replace(answer, status=response.result.status)

    async def _call(self, call: Any, request: Any) -> tuple[Answer, Any]:
        """Return the answer of the channel and the response of the server, None if there is none."""
        try:
            response = await call(request, timeout=self._connection.timeout_seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in UNWELCOME:
                self._read_key_again()
            return Answer(error.code(), error.details() or "", retry_after=_retry_after(error)), None
        if response is None:  # gRPC's way to say that it could not read the answer
            return Answer(StatusCode.INTERNAL, "the answer could not be read"), None
        return Answer(StatusCode.OK), response

    def _read_key_again(self) -> None:
        try:
            self._metadata = self._connection.metadata()
        except LookupError as error:
            logger.warning("The API key could not be read again, the old one is kept: %s", error)


def _without_false_alarms(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # gRPC wakes every event loop of the process for each event, and this is what those raise that come too late:
    # github.com/grpc/grpc/issues/25364. Each stage has a loop, so there are hundreds a minute.
    if not isinstance(context.get("exception"), BlockingIOError):
        loop.default_exception_handler(context)


def _channel(connection: Connection) -> grpc.aio.Channel:
    credentials = connection.credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(connection.target, _OPTIONS)
    return grpc.aio.secure_channel(connection.target, credentials, _OPTIONS)


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """Return the seconds that the server asks to wait; None if it asks for none, or for none that make sense."""
    values = [value for key, value in error.trailing_metadata() or () if key == "retry-after"]
    try:
        seconds = float(values[0])
    except (IndexError, ValueError):
        return None
    return seconds if 0 < seconds <= _LONGEST_RETRY_AFTER else None
