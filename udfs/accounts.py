"""What a stage did, counted where it happens and read where Flink asks.

A Flink counter incremented on the event loop's thread vanishes: Beam's tracker is thread-local. So the loop counts in
plain integers, and gauges, which PyFlink reads on the bundle's thread, publish them.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyflink.metrics import MetricGroup

logger = logging.getLogger(__name__)

REPORT_SECONDS = 60.0


class Account:
    """Totals of one attempt of one subtask, from 0, shown in Flink's metrics as ``qdrant.<name>``.

    Dead letters are shown by their codes, too, as ``qdrant.code.<code>.deadLettered``: where a reporter has labels,
    ``code`` is one of them.

    Args:
        stage: The stage's name, for the log.
        names: What is counted.
        codes: The codes of dead letters.
        within: The name of a group below `qdrant` for all of it, if the other stage counts things of the same names:
            of two gauges of one name in one operator Flink shows one.
        metrics: Where it is shown; None where Python metrics are off.
        clock: Returns seconds that never go back.
    """

    def __init__(
        self,
        stage: str,
        *names: str,
        codes: Iterable[str] = (),
        within: str = "",
        metrics: MetricGroup | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage = stage
        self._totals = dict.fromkeys([*names, *codes], 0)
        self._clock = clock
        self._reported_at, self._reported = clock(), dict(self._totals)
        if metrics is not None:
            group = metrics.add_group("qdrant")
            if within:
                group = group.add_group(within)
            for name in names:
                group.gauge(name, partial(self._totals.__getitem__, name))
            for code in codes:
                group.add_group("code", code).gauge("deadLettered", partial(self._totals.__getitem__, code))

    def add_dead_letters(self, by_code: Mapping[str, int]) -> None:
        """Count dead letters, in all and by their codes."""
        self.add(deadLettered=sum(by_code.values()), **by_code)

    def add(self, **counts: int) -> None:
        """Count so many more of each, and write the totals to the log once a minute; an unknown name is an error."""
        for name, count in counts.items():
            self._totals[name] += count
        now = self._clock()
        if now - self._reported_at >= REPORT_SECONDS:
            logger.info("%s", self._report(now - self._reported_at))
            self._reported_at, self._reported = now, dict(self._totals)

    def __getitem__(self, name: str) -> int:
        return self._totals[name]

    def _report(self, seconds: float) -> str:
        shown = [f"{total} {name} (+{total - self._reported[name]})" for name, total in self._totals.items() if total]
        return f"{self._stage}, in this attempt (and in the last {seconds:.0f} s): {', '.join(shown)}"
