"""Asks Qdrant what its collections take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from udfs.core.refusals import Refusal, refused
from udfs.qdrant.decode import schema_of
from udfs.qdrant.judge import Action, Answer, judge

if TYPE_CHECKING:
    from qdrant_client.grpc import CollectionParams

    from udfs.core.schemas import Schema
    from udfs.qdrant.patience import Patience

_FINAL = frozenset({Action.DONE, Action.REFUSED, Action.ABSENT})
_UNKNOWN = ("collection-unknown", "is not known to Qdrant")
_FORBIDDEN = ("collection-forbidden", "is not open to this API key")


class Descriptions(Protocol):
    """What is needed of Qdrant: calls that answer, and never raise."""

    async def describe(self, collection: str) -> tuple[Answer, CollectionParams]:
        """Ask what the collection, or the one that this is an alias of, takes."""
        ...

    async def is_welcome(self) -> bool:
        """Tell whether the API key is accepted, for whatever it is good."""
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
        final = {*_FINAL}

        async def ask() -> Answer:
            nonlocal params
            final.discard(Action.FORBIDDEN)
            answer, params = await self._client.describe(collection)
            # A key that is refused is waited out, for it may be put right. One that is good, but not for this
            # collection, is what a misspelt name meets where keys are granted by collection: waiting would stop
            # everybody else. The second answer decides, as the first may have been to a key replaced since.
            if judge(answer).action is Action.FORBIDDEN and await self._client.is_welcome():
                final.add(Action.FORBIDDEN)
                answer, params = await self._client.describe(collection)
            return answer

        # Not by its name, which goes to the log: until Qdrant knows it, it is only what some message holds.
        verdict = await self._patience.settled(ask, "the description of a collection", final)
        if verdict.action is Action.DONE and params is not None:
            return schema_of(params)
        code, fault = _FORBIDDEN if verdict.action is Action.FORBIDDEN else _UNKNOWN
        return refused(code, "collection_name", f"{fault}: {verdict.reason}").refusal
