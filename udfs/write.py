"""The write stage, the sink: parcels in, acknowledged points in Qdrant when the barrier passes.

A group is a collection: its batches are written strictly one after another, so an id's newer operation is never sent
before its older one is acknowledged. Unlike collections are written side by side.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from udfs.accounts import Account
from udfs.core.failures import MessageRefusedError, StoreError
from udfs.core.parcels import KeyedParcel, Operation, last_per_id, operations_of
from udfs.core.refusals import Refusal
from udfs.core.retry import Backoff
from udfs.core.routing import collection_of
from udfs.micro_batch import Stage
from udfs.qdrant.client import Connection, PointsClient
from udfs.qdrant.judge import Action, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pyflink.common import Row
    from pyflink.metrics import MetricGroup

    from udfs.core.batching import BatchLimits
    from udfs.core.operations import PointId
    from udfs.qdrant.judge import Answer, Verdict

    Send = Callable[[Sequence[Operation]], Awaitable[Answer]]

logger = logging.getLogger(__name__)


class Points(Protocol):
    """What this stage needs of Qdrant: two calls that answer, and never raise, when all is applied or will not be."""

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert serialised points."""
        ...

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete points by id."""
        ...


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What the workers need to know to write.

    Attributes:
        connection: Where Qdrant is.
        limits: The size of a micro-batch, which is the size of a request.
        max_in_flight: Requests under way at the same time from one subtask, each to another collection.
        backoff: The waits between the attempts of one request.
        retry_max_seconds: When to give up and fail the job; None waits for ever.
    """

    connection: Connection
    limits: BatchLimits
    max_in_flight: int
    backoff: Backoff = field(default_factory=Backoff)
    retry_max_seconds: float | None = None


class WriteStage(Stage["Row", "Row"]):
    """Writes the last operation on each id of a batch, and returns when Qdrant has applied all of them.

    Args:
        options: Where, how much and how patiently.
        connect: Makes the client, once, on the event loop that uses it.
    """

    def __init__(self, options: WriteOptions, connect: Callable[[Connection], Points] = PointsClient) -> None:
        self.limits = options.limits
        self._options = options
        self._connect = connect

    def open(self, metrics: MetricGroup | None) -> None:
        """Open the account; the connection is opened by the first batch, on the loop that uses it."""
        self._account = Account("written", "deleted", "superseded", metrics=metrics)
        self._in_flight = asyncio.Semaphore(self._options.max_in_flight)
        self._client: Points | None = None

    def group_of(self, row: Row) -> str:
        """Group by collection; a batch per lane would make tiny requests."""
        return collection_of(KeyedParcel(*row).key)

    def size_of(self, row: Row) -> tuple[int, int]:
        """Count the operations and bytes of a parcel."""
        parcel = KeyedParcel(*row)
        return parcel.length, len(parcel.parcel)

    async def handle(self, collection: str, rows: list[Row]) -> Sequence[Row]:
        """Write one batch; what is returned are dead letters, of which there are none yet."""
        operations = [operation for row in rows for operation in operations_of(KeyedParcel(*row).parcel)]
        latest = last_per_id(operations)
        upserts = [operation for operation in latest if operation.point is not None]
        deletes = [operation for operation in latest if operation.point is None]
        # Their ids are unlike, so neither can overtake the other.
        await self._write(partial(self._upsert, collection), upserts)
        await self._write(partial(self._delete, collection), deletes)
        self._account.add("written", len(upserts))
        self._account.add("deleted", len(deletes))
        self._account.add("superseded", len(operations) - len(latest))
        return ()

    async def _write(self, send: Send, operations: Sequence[Operation]) -> None:
        """Write operations on unlike ids; if Qdrant refuses them, halve until the culprit is alone, and name it."""
        if not operations:
            return
        verdict = await self._settled(send, operations)
        if verdict.action is Action.DONE:
            return
        if len(operations) == 1:
            refusal = Refusal("refused-by-qdrant", "", f"Qdrant said {verdict.reason}")
            raise MessageRefusedError(operations[0].origin, refusal)
        middle = len(operations) // 2
        await self._write(send, operations[:middle])
        await self._write(send, operations[middle:])

    async def _settled(self, send: Send, operations: Sequence[Operation]) -> Verdict:
        """Send the request until the answer is final. Nothing newer of this collection is sent meanwhile."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        attempt = 0
        while True:
            # The place is given back while this waits: a collection in trouble must not keep the others from theirs.
            async with self._in_flight:
                verdict = judge(await send(operations))
            is_split = verdict.action is Action.SPLIT and len(operations) > 1
            if is_split or verdict.action in (Action.DONE, Action.REFUSED):
                return verdict
            wait = verdict.retry_after or self._options.backoff.seconds(attempt, random.random())  # noqa: S311 - jitter
            attempt += 1
            waited = loop.time() - started
            limit = self._options.retry_max_seconds
            if limit is not None and waited + wait > limit:
                raise StoreError(
                    f"Qdrant at {self._address} was tried {attempt} times in {waited:.0f} s and sink.retry.max-time is "
                    f"{limit:.0f} s. Last answer: {verdict.reason}"
                )
            logger.warning(
                "Qdrant at %s: attempt %d for %d operations failed, next in %.1f s: %s",
                self._address, attempt, len(operations), wait, verdict.reason,
            )  # fmt: skip
            await asyncio.sleep(wait)

    async def _upsert(self, collection: str, operations: Sequence[Operation]) -> Answer:
        return await self._connected().upsert(collection, [operation.point or b"" for operation in operations])

    async def _delete(self, collection: str, operations: Sequence[Operation]) -> Answer:
        return await self._connected().delete(collection, [operation.id for operation in operations])

    def _connected(self) -> Points:
        if self._client is None:
            try:
                self._client = self._connect(self._options.connection)
            except LookupError as error:
                raise StoreError(f"This worker cannot connect to Qdrant at {self._address}: {error}") from None
        return self._client

    @property
    def _address(self) -> str:
        return f"{self._options.connection.host}:{self._options.connection.port}"
