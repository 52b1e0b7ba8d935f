"""Sends one request again and again until its answer is final."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from udfs.core.failures import StoreError
from udfs.core.retry import Backoff
from udfs.qdrant.judge import judge
from udfs.qdrant.outage import Outages, Waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from udfs.qdrant.connection import Connection
    from udfs.qdrant.judge import Action, Answer, Verdict


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How patient the workers are with Qdrant.

    Attributes:
        backoff: The waits between the attempts of one request.
        max_seconds: When to give up and fail the job; None waits for ever.
    """

    backoff: Backoff = field(default_factory=Backoff)
    max_seconds: float | None = None


class Patience:
    """Sends requests to one Qdrant, so many at the same time at most, each until its answer is final.

    Args:
        connection: Which Qdrant.
        options: How patiently.
        max_in_flight: How many requests at the same time.
        count: Counts what `Outages` counts.
    """

    def __init__(
        self,
        connection: Connection,
        options: RetryOptions,
        max_in_flight: int,
        count: Callable[..., object] | None = None,
    ) -> None:
        self._address = f"{connection.host}:{connection.port}"
        self._options = options
        self._in_flight = asyncio.Semaphore(max_in_flight)
        self._outages = Outages(self._address, connection.key_source, count)

    async def settled(self, send: Callable[[], Awaitable[Answer]], what: str, final: Container[Action]) -> Verdict:
        """Send the request until its verdict is final.

        Args:
            send: Sends it once.
            what: What it is, for the log.
            final: The verdicts that end the waiting.

        Raises:
            StoreError: if that takes longer than `sink.retry.max-time`.
        """
        now = asyncio.get_running_loop().time
        request = Waiting(what, now())
        try:
            verdict = await self._repeat(send, request, final)
            self._outages.answered(request, now())
        finally:
            self._outages.given_up(request)
        return verdict

    async def _repeat(
        self, send: Callable[[], Awaitable[Answer]], request: Waiting, final: Container[Action]
    ) -> Verdict:
        now = asyncio.get_running_loop().time
        for attempt in itertools.count():
            # The place is given back while this waits: a collection in trouble must not keep the others from theirs.
            async with self._in_flight:
                verdict = judge(await send())
            if verdict.action in final:
                break
            jitter = random.random()  # noqa: S311 - no secret
            wait = verdict.retry_after or self._options.backoff.seconds(attempt, jitter)
            self._check(attempt + 1, now() - request.since, wait, verdict)
            self._outages.failed(request, verdict, now(), wait)
            await asyncio.sleep(wait)
        return verdict

    def _check(self, attempt: int, waited: float, wait: float, verdict: Verdict) -> None:
        limit = self._options.max_seconds
        if limit is not None and waited + wait > limit:
            raise StoreError(
                f"Qdrant at {self._address} was tried {attempt} times in {waited:.0f} s and sink.retry.max-time is "
                f"{limit:.0f} s. Last answer: {verdict.reason}"
            )
