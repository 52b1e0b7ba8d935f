"""What a stage did, counted where it happens and read where Flink asks.

A Flink counter incremented on the event loop's thread vanishes: Beam's tracker is thread-local. So the loop counts in
plain integers, and gauges, which PyFlink reads on the bundle's thread, publish them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyflink.metrics import MetricGroup


class Account:
    """Totals of one attempt of one subtask, from 0, shown as ``qdrant.<name>`` in Flink's metrics."""

    def __init__(self, *names: str, metrics: MetricGroup | None) -> None:
        self._totals = dict.fromkeys(names, 0)
        if metrics is not None:
            group = metrics.add_group("qdrant")
            for name in names:
                group.gauge(name, partial(self._totals.__getitem__, name))

    def add(self, name: str, count: int) -> None:
        """Count ``count`` more; an unknown name is an error."""
        self._totals[name] += count

    def __getitem__(self, name: str) -> int:
        return self._totals[name]
