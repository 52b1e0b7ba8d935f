"""What is said and counted while requests have to be repeated. Pure, but for the log."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from udfs.qdrant.judge import Remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from udfs.qdrant.judge import Verdict

logger = logging.getLogger(__name__)

# The metrics that `Outages` counts.
COUNTED = ("retried", "waitedSeconds")


@dataclass(frozen=True, eq=False, slots=True)
class Waiting:
    """A request that may have to wait.

    Attributes:
        what: What it is, for the log.
        since: When it was sent first.
    """

    what: str
    since: float


@dataclass(slots=True)
class _Outage:
    """The time in which at least one request has to be repeated.

    Attributes:
        since: When the first of them was sent first.
        requests: Those that wait now.
        attempts: How many failed, of whichever request.
        told: What the log has of this round.
        round_ends: When the next attempt is made that the log has spoken of.
        counted: How many seconds are counted.
    """

    since: float
    requests: set[Waiting] = field(default_factory=set)
    attempts: int = 0
    told: set[str] = field(default_factory=set)
    round_ends: float = 0.0
    counted: int = 0


class Outages:
    """Speaks of one Qdrant to the log, in one line for each round of attempts, however many requests wait.

    It also counts, in the metrics ``qdrant.retried`` (of the parse stage ``qdrant.parse.retried``), attempts that had
    to be repeated, and in ``waitedSeconds`` beside them for how long there were any. Both stand still during an
    outage: PyFlink reads gauges when a bundle ends (`Operation.finish` in
    `pyflink.fn_execution.datastream.process.operations`), and it is the end of the bundle that waits. What moves
    meanwhile is Flink's own: `numberOfFailedCheckpoints` and `busyTimeMsPerSecond` of the stage.

    Args:
        address: Where Qdrant is.
        key_source: Where its key is, if it has one.
        count: Adds to the two metrics.
    """

    def __init__(self, address: str, key_source: str | None, count: Callable[..., object] | None) -> None:
        self._address = address
        self._key = f"the one at {key_source} is read again for each attempt" if key_source else "there is none"
        self._count = count
        self._outage: _Outage | None = None

    def failed(self, request: Waiting, verdict: Verdict, now: float, wait: float) -> None:
        """Take note that an attempt has failed, the next of which is made after the wait."""
        outage = self._outage = self._outage or _Outage(request.since)
        outage.requests.add(request)
        outage.attempts += 1
        self._add(outage, now, retried=1)
        if now >= outage.round_ends:
            outage.told.clear()
        # A reason that differs in its numbers only is no other one.
        reason = re.sub(r"\d+", "#", verdict.reason)
        if reason not in outage.told:
            outage.told.add(reason)
            outage.round_ends = max(outage.round_ends, now + wait)
            self._tell(outage, request, verdict, now, wait)

    def answered(self, request: Waiting, now: float) -> None:
        """Take note that the request has its answer."""
        outage = self._outage
        if outage is None or outage.requests != {request}:
            return
        self._add(outage, now)
        logger.warning(
            "Qdrant at %s answers again, after %.0f s and %d failed attempts",
            self._address, now - outage.since, outage.attempts,
        )  # fmt: skip

    def given_up(self, request: Waiting) -> None:
        """Forget the request, answered or not."""
        if self._outage is not None:
            self._outage.requests.discard(request)
            if not self._outage.requests:
                self._outage = None

    def _tell(self, outage: _Outage, request: Waiting, verdict: Verdict, now: float, wait: float) -> None:
        logger.log(
            logging.ERROR if verdict.remedy else logging.WARNING,
            "Qdrant at %s: requests waiting: %d, for %.0f s by now; next attempt in %.1f s. To %s it said %s%s",
            self._address, len(outage.requests), now - outage.since, wait, request.what, verdict.reason,
            self._advice(verdict.remedy),
        )  # fmt: skip

    def _advice(self, remedy: Remedy | None) -> str:
        if remedy is None:
            return ""
        key = f" ({self._key})" if remedy is Remedy.KEY else ""
        return f". This will not pass by itself: {remedy.value}{key}"

    def _add(self, outage: _Outage, now: float, **counts: int) -> None:
        if self._count is not None:
            seconds = int(now - outage.since)
            self._count(**counts, waitedSeconds=seconds - outage.counted)
            outage.counted = seconds
