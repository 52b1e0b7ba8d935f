"""Sends one request again and again until its answer is final."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from udfs.core.failures import StoreError
from udfs.core.retry import Backoff
from udfs.qdrant.judge import Action, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from udfs.qdrant.client import Connection
    from udfs.qdrant.judge import Answer

logger = logging.getLogger(__name__)

# With the usual back-off, these and one more take some ten seconds: longer than a restart of a shard or a full queue
# answers so.
ALIKE_ANSWERS = 7


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
    """Sends requests to one Qdrant, so many at the same time at most, each until its answer is final."""

    def __init__(self, connection: Connection, options: RetryOptions, max_in_flight: int) -> None:
        self._address = f"{connection.host}:{connection.port}"
        self._options = options
        self._in_flight = asyncio.Semaphore(max_in_flight)

    async def settled(
        self,
        send: Callable[[], Awaitable[Answer]],
        what: str,
        final: Container[Action],
        is_well: Callable[[], Awaitable[bool]] | None = None,
        alike: int = ALIKE_ANSWERS,
    ) -> Verdict:
        """Send the request until its verdict is final, or is a doubt that stays the same though all else is well.

        Args:
            send: Sends it once.
            what: What it is, for the log.
            final: The verdicts that end the waiting.
            is_well: Tells whether Qdrant is well but for this request; without it, a doubt is waited out.
            alike: How many times in a row a doubt must be there before that is asked; once more after it decides.

        Raises:
            StoreError: if that takes longer than `sink.retry.max-time`.
        """
        loop = asyncio.get_running_loop()
        started, attempt, row, last, was_well = loop.time(), 0, 0, "", False
        while True:
            # The place is given back while this waits: a collection in trouble must not keep the others from theirs.
            async with self._in_flight:
                verdict = judge(await send())
            attempt, row, last = attempt + 1, (row + 1 if verdict.reason == last else 1), verdict.reason
            # That all else is well must be known before the last answer: an outage may end between the two.
            if verdict.action in final or (row > alike and was_well):
                return verdict
            is_doubtful = verdict.action is Action.DOUBT and row >= alike
            was_well = is_doubtful and is_well is not None and await is_well()
            jitter = random.random()  # noqa: S311 - no secret
            wait = verdict.retry_after or self._options.backoff.seconds(attempt - 1, jitter)
            self._check(attempt, loop.time() - started, wait, verdict)
            logger.warning(
                "Qdrant at %s: attempt %d for %s failed, next in %.1f s: %s",
                self._address, attempt, what, wait, verdict.reason,
            )  # fmt: skip
            await asyncio.sleep(wait)

    def _check(self, attempt: int, waited: float, wait: float, verdict: Verdict) -> None:
        limit = self._options.max_seconds
        if limit is not None and waited + wait > limit:
            raise StoreError(
                f"Qdrant at {self._address} was tried {attempt} times in {waited:.0f} s and sink.retry.max-time is "
                f"{limit:.0f} s. Last answer: {verdict.reason}"
            )
