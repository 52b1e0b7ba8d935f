"""Asks Qdrant what its collections take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from udfs.core.refusals import Refusal, refused
from udfs.qdrant.decode import schema_of
from udfs.qdrant.judge import Action

if TYPE_CHECKING:
    from qdrant_client.grpc import CollectionParams

    from udfs.core.schemas import Schema
    from udfs.qdrant.judge import Answer
    from udfs.qdrant.patience import Patience

_FINAL = frozenset({Action.DONE, Action.REFUSED, Action.ABSENT})


class Descriptions(Protocol):
    """What is needed of Qdrant: a call that answers, and never raises."""

    async def describe(self, collection: str) -> tuple[Answer, CollectionParams]:
        """Ask what the collection, or the one that this is an alias of, takes."""
        ...


class Collections:
    """The collections of one Qdrant, as they are when they are asked for."""

    def __init__(self, client: Descriptions, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def describe(self, collection: str) -> Schema | Refusal:
        """Return what the collection takes, or why it takes nothing. An outage is waited out.

        Raises:
            StoreError: if that takes longer than `sink.retry.max-time`.
        """
        params = None

        async def ask() -> Answer:
            nonlocal params
            answer, params = await self._client.describe(collection)
            return answer

        verdict = await self._patience.settled(ask, f"the description of collection {collection!r}", _FINAL)
        if verdict.action is Action.DONE and params is not None:
            return schema_of(params)
        return refused("collection-unknown", "collection_name", f"is not known to Qdrant: {verdict.reason}").refusal
