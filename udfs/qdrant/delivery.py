"""Brings operations into Qdrant, and finds those that it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from grpc import StatusCode

from udfs.core.failures import MessageRefusedError
from udfs.core.parcels import Histories, Operation
from udfs.core.refusals import Refusal
from udfs.qdrant.collections import Descriptions
from udfs.qdrant.judge import Action, Answer, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from udfs.core.operations import PointId
    from udfs.qdrant.judge import Verdict
    from udfs.qdrant.patience import Patience

    Send = Callable[[Sequence[Operation]], Awaitable[Answer]]

_FINAL = frozenset({Action.DONE, Action.REFUSED, Action.ABSENT})
_FINAL_FOR_MANY = _FINAL | {Action.SPLIT}


class Points(Descriptions, Protocol):
    """What is needed of Qdrant: calls that answer, and never raise, when all is applied or will not be."""

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert serialised points."""
        ...

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete points by id."""
        ...


class Refused(NamedTuple):
    """An operation that Qdrant does not take."""

    operation: Operation
    refusal: Refusal


@dataclass
class Delivered:
    """What became of the operations of one batch.

    Attributes:
        written: How many upserts are in Qdrant.
        deleted: How many deletes are.
        refused: The operations that are not.
    """

    written: int = 0
    deleted: int = 0
    refused: list[Refused] = field(default_factory=list)


class Delivery:
    """Brings batches into one collection each; those of one collection must come one after another.

    Args:
        points: Where to.
        patience: How patiently.
        is_tolerant: Whether refused operations are found and returned; otherwise the first one found is raised.
    """

    def __init__(self, points: Points, patience: Patience, *, is_tolerant: bool) -> None:
        self._points = points
        self._patience = patience
        self._is_tolerant = is_tolerant

    async def deliver(self, collection: str, operations: Sequence[Operation]) -> Delivered:
        """Bring in the last operation on each id that Qdrant takes, and return when it has applied them all.

        An operation is superseded only by one that was accepted: when the newest is refused, the one before it counts.

        Raises:
            MessageRefusedError: if one is refused, and that is not tolerated.
        """
        histories, delivered = Histories(operations), Delivered()
        newest = histories.newest()
        while newest:
            refused = await self._send(collection, newest)
            lost = {found.operation.id for found in refused}
            accepted = [operation for operation in newest if operation.id not in lost]
            written = sum(operation.point is not None for operation in accepted)
            delivered.written += written
            delivered.deleted += len(accepted) - written
            delivered.refused += refused
            newest = histories.without([found.operation for found in refused])
        return delivered

    async def _send(self, collection: str, operations: Sequence[Operation]) -> list[Refused]:
        """Send operations on unlike ids, so that no request can overtake another; return those that are refused."""
        refused = []
        for send, part in (
            (self._upsert, [operation for operation in operations if operation.point is not None]),
            (self._delete, [operation for operation in operations if operation.point is None]),
        ):
            if part:
                refused += await self._isolate(collection, partial(send, collection), part)
        return refused

    async def _isolate(self, collection: str, send: Send, operations: Sequence[Operation]) -> list[Refused]:
        """Send operations; if they are refused, halve until each culprit is alone."""
        # Nothing newer of this collection is sent meanwhile.
        what = f"{len(operations)} operations of collection {collection!r}"
        final = _FINAL if len(operations) == 1 else _FINAL_FOR_MANY
        verdict = await self._patience.settled(partial(send, operations), what, final)
        if verdict.action is Action.DONE:
            return []
        if verdict.action is Action.ABSENT:
            return self._refuse(operations, Refusal("collection-unknown", "collection_name", _said(verdict)))
        if len(operations) == 1:
            return self._refuse(operations, Refusal("refused-by-qdrant", "", _said(verdict)))
        middle = len(operations) // 2
        first = await self._isolate(collection, send, operations[:middle])
        return first + await self._isolate(collection, send, operations[middle:])

    def _refuse(self, operations: Sequence[Operation], refusal: Refusal) -> list[Refused]:
        if not self._is_tolerant:
            raise MessageRefusedError(operations[0].origin, refusal)
        return [Refused(operation, refusal) for operation in operations]

    async def _upsert(self, collection: str, operations: Sequence[Operation]) -> Answer:
        answer = await self._points.upsert(collection, [operation.point or b"" for operation in operations])
        return await self._confirmed(collection, answer)

    async def _delete(self, collection: str, operations: Sequence[Operation]) -> Answer:
        answer = await self._points.delete(collection, [operation.id for operation in operations])
        return await self._confirmed(collection, answer)

    async def _confirmed(self, collection: str, answer: Answer) -> Answer:
        """Return the answer, unless it says that there is no such collection and there is one.

        In a cluster a peer may say so that has not caught up yet, which is to be waited out.
        """
        if judge(answer).action is not Action.ABSENT:
            return answer
        description, _ = await self._points.describe(collection)
        is_there = judge(description).action is Action.DONE
        return Answer(StatusCode.UNAVAILABLE, f"{answer.details} But it exists.") if is_there else description


def _said(verdict: Verdict) -> str:
    return f"Qdrant said {verdict.reason}"
