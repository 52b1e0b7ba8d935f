"""From runs to what is reported: medians of the rounds, and ratios to the plain consumer. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripts.benchmark.instant_store import Seen
    from scripts.benchmark.latency import Latency
    from scripts.benchmark.measure import Measured

BASELINE = "plain"
# What a user pays for; Qdrant and Kafka are the same for everybody.
CLIENT_ROLES = ("JobManager", "TaskManager", "Python")
PERCENTILES = {"p50": 50, "p99": 99, "p99_9": 99.9}
_MB = 1e6


@dataclass(frozen=True)
class Run:
    """What one contestant did in one round of one cell.

    Attributes:
        cell: The workload's name.
        contestant: The contestant's name.
        bytes_per_message: The size of the messages in Kafka.
        measured: What was seen within the window.
        checkpoints: Statistics of the job's; empty for others.
    """

    cell: str
    contestant: str
    bytes_per_message: float
    measured: Measured
    checkpoints: Mapping[str, Any]

    @property
    def rate(self) -> float:
        """Messages per second."""
        return self.measured.messages / self.measured.seconds

    def cpu_per_100k(self) -> dict[str, float]:
        """Return the CPU seconds that 100,000 messages took, by role, and `client` for those of a user's own."""
        by_role = {role: seconds * 100_000 / self.measured.messages for role, seconds in self.measured.cpu.items()}
        return {**by_role, "client": sum(by_role.get(role, 0.0) for role in CLIENT_ROLES)}

    def __str__(self) -> str:
        cpu = self.cpu_per_100k()["client"]
        ran_dry = ", when the messages ran out" if self.measured.ran_dry else ""
        return f"{self.rate:,.0f} messages/s over {self.measured.seconds:.0f} s{ran_dry}, CPU {cpu:.1f} s per 100,000"


@dataclass(frozen=True)
class Scaled:
    """What the job did with so many slots, before a store that answers at once.

    Attributes:
        slots: How many.
        lanes: The setting; None if a worker writes what it has parsed.
        run: What was measured.
        seen: What reached the store.
    """

    slots: int
    lanes: int | None
    run: Run
    seen: Seen

    @property
    def name(self) -> str:
        """What it is called to a person."""
        return f"slots: {self.slots}, lanes: {self.lanes or 'none'}"

    def as_json(self) -> dict[str, Any]:
        """Return it for the report."""
        per_request = self.seen.points / max(self.seen.requests, 1)
        about = {"cell": self.run.cell, "slots": self.slots, "lanes": self.lanes}
        return {
            **about,
            **_medians([self.run]),
            "connections": self.seen.connections,
            "points_per_request": round(per_request),
        }


def summary(runs: Iterable[Run], latencies: Iterable[Latency], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that is reported, as JSON takes it: `about`, `cells` by name, and `latency`."""
    by_cell: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_cell[run.cell][run.contestant].append(run)
    cells = {
        cell: _with_ratios({name: _medians(rounds) for name, rounds in of.items()}) for cell, of in by_cell.items()
    }
    return {**about, "cells": cells, "latency": [_latency(latency) for latency in latencies]}


def _medians(rounds: Sequence[Run]) -> dict[str, Any]:
    cpu = [run.cpu_per_100k() for run in rounds]
    return {
        "messages_per_second": round(median(run.rate for run in rounds)),
        "rounds": [round(run.rate) for run in rounds],
        "seconds": [round(run.measured.seconds, 1) for run in rounds],
        "ran_dry": any(run.measured.ran_dry for run in rounds),
        "mb_per_second": round(median(run.rate * run.bytes_per_message for run in rounds) / _MB, 1),
        "cpu_seconds_per_100k": {role: round(median(of[role] for of in cpu), 2) for role in cpu[0]},
        "peak_memory_mb": {
            role: round(median(run.measured.peak_memory[role] for run in rounds) / _MB)
            for role in rounds[0].measured.peak_memory
        },
        "checkpoints": {name: median(run.checkpoints[name] for run in rounds) for name in rounds[0].checkpoints},
    }


def _with_ratios(medians: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add to each contestant how it compares with the plain consumer, if that took part."""
    if BASELINE in medians:
        rate, cpu = _rate_and_cpu(medians[BASELINE])
        for of in medians.values():
            of["messages_ratio"] = round(_rate_and_cpu(of)[0] / rate, 2)
            of["cpu_ratio"] = round(_rate_and_cpu(of)[1] / cpu, 2)
    return medians


def _rate_and_cpu(of: Mapping[str, Any]) -> tuple[float, float]:
    # Not of zero: a contestant may be so idle in a very short window that no tick of the clock was its own.
    return max(of["messages_per_second"], 1), max(of["cpu_seconds_per_100k"]["client"], 0.01)


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "cell": latency.cell,
        "settings": latency.settings,
        "messages_per_second": round(latency.per_second),
        "markers": len(latency.seconds),
        **{f"{name}_ms": round(latency.percentile(percent) * 1000) for name, percent in PERCENTILES.items()},
    }
