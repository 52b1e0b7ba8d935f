"""Runs contestants one after another, round by round, each on a fresh Qdrant or what takes its place."""

from __future__ import annotations

import math
import os
import secrets
import time
from collections import deque
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from scripts.benchmark.contestants import CONTESTANTS, Arena
from scripts.benchmark.feeder import TOPIC, Feeder
from scripts.benchmark.growth import measure_growth
from scripts.benchmark.instant_store import InstantStore
from scripts.benchmark.job_runner import USUAL, running_job
from scripts.benchmark.latency import SETTINGS, measure_latency
from scripts.benchmark.measure import DRY_SHARE, PointsCounter, Processes, Window, measured, watch
from scripts.benchmark.preload import create_collections, preloaded, topic_of
from scripts.benchmark.results import PERCENTILES, Run, Scaled
from scripts.stack.flink import FlinkCluster
from scripts.stack.qdrant import Qdrant
from scripts.stack.server import blamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.benchmark.latency import Latency
    from scripts.benchmark.preload import Preloaded
    from scripts.benchmark.workloads import Workload
    from scripts.stack.kafka import Kafka
    from scripts.stack.server import PointsServer

_MARGIN_SECONDS = 5  # until consumers have joined their group


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Attributes:
        warm_up: Seconds left out before a contestant is measured. With Java's first compiler alone the job is warm by
            then. The same for all, so that none finds more points in Qdrant than another at its pace.
    """

    cells: tuple[str, ...]
    rounds: int
    seconds: float
    warm_up: float
    latency_cells: tuple[str, ...]
    latency_seconds: float
    slots: int = 2
    contestants: tuple[str, ...] = tuple(CONTESTANTS)
    growth_cells: tuple[str, ...] = ()
    growth_minutes: float = 0
    scale_cells: tuple[str, ...] = ()
    scale_slots: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for the report."""
        return asdict(self)

    def messages_for(self, workload: Workload) -> int:
        """Return how many messages no contestant is expected to move in a run."""
        return round(workload.per_second * (self.warm_up + self.seconds + _MARGIN_SECONDS) / DRY_SHARE)

    def contestants_of(self, workload: Workload, number: int) -> list[str]:
        """Return who takes part in a round of a cell, in their order: each round another begins."""
        order = deque(name for name in self.contestants if name in (workload.contestants or CONTESTANTS))
        order.rotate(-number)
        return [*order]


@dataclass(frozen=True)
class Bench:
    """A plan with the servers to carry it out; `say` takes a line for a person."""

    plan: Plan
    kafka: Kafka
    package: Path
    folder: Path
    say: Callable[[str], object]

    def throughput(self, workload: Workload) -> Iterator[Run]:
        """Yield the runs of one cell: all contestants once, and then again, so that a busy minute harms them alike."""
        started = time.monotonic()
        with preloaded(self.kafka, workload, self.plan.messages_for(workload)) as messages:
            size = messages.messages * messages.bytes_per_message / 1e9
            took = time.monotonic() - started
            self.say(f"{workload.name}: {messages.messages:,} messages, {size:.1f} GB, preloaded in {took:.0f} s")
            for number in range(self.plan.rounds):
                for contestant in self.plan.contestants_of(workload, number):
                    run = self._run(contestant, workload, messages)
                    self.say(f"{workload.name}, round {number + 1}, {CONTESTANTS[contestant].title}: {run}")
                    yield run

    def latency(self, workload: Workload) -> Iterator[Latency]:
        """Yield what the job's latency is with each of the settings, on one cluster.

        Kafka writes its records to the disk each second. Left to the system, it is half a gigabyte every 30 s at 768
        dimensions, for which requests to Qdrant wait, as it has the same disk here: NOTES.md has the figures.
        """
        with FlinkCluster(slots=self.plan.slots, config=USUAL) as cluster:
            for name, settings in SETTINGS.items():
                with (
                    topic_of(self.kafka, f"bench-latency-{secrets.token_hex(3)}", **{"flush.ms": 1000}) as topic,
                    self._arena(workload, topic) as arena,
                    running_job(arena, settings, cluster) as job,
                ):
                    latency = measure_latency(arena, name, self.plan.warm_up, self.plan.latency_seconds, job.check)
                    job.checkpoints()
                times = ", ".join(f"{key} {latency.percentile(of) * 1000:.0f} ms" for key, of in PERCENTILES.items())
                self.say(f"{workload.name}, latency with {name} settings: {times}")
                yield latency

    def growth(self, workload: Workload) -> dict[str, Any]:
        """Return how the processes of the job grow at full speed."""
        with (
            topic_of(self.kafka, f"bench-growth-{secrets.token_hex(3)}", **TOPIC) as topic,
            self._arena(workload, topic) as arena,
        ):
            feeder = Feeder(self.kafka, topic, workload)
            feeder.fill()
            with running_job(arena, workload.job_settings) as job:
                growths, rate = measure_growth(feeder, job, self.plan.growth_minutes)
        for growth in growths:
            self.say(f"{workload.name}, {rate:,.0f} messages/s: {growth}")
        grown = [asdict(growth) for growth in growths]
        return {"cell": workload.name, "messages_per_second": round(rate), "processes": grown}

    def scale(self, workload: Workload) -> Iterator[Scaled]:
        """Yield what the job does with so many slots, without lanes and with as many, before an instant store."""
        scale = self.plan.scale_slots
        workload = replace(workload, partitions=math.lcm(*scale))  # as many for each slot
        # A cell's messages are for two slots, and no more slots than cores are faster.
        count = self.plan.messages_for(workload) * max(2, min(max(scale), os.cpu_count() or 1)) // 2
        with preloaded(self.kafka, workload, count) as messages:
            for slots in scale:
                for lanes in (None, slots):
                    settings = () if lanes is None else (f"--lanes={lanes}",)
                    cell, store = replace(workload, job_settings=settings), InstantStore(workload)
                    with self._arena(cell, messages.topic, store) as arena:
                        run = self._measured("job", replace(arena, slots=slots), messages)
                        scaled = Scaled(slots, lanes, run, store.seen())
                    self.say(f"{workload.name}, {scaled.name}: {scaled.run}")
                    yield scaled

    def _run(self, name: str, workload: Workload, messages: Preloaded) -> Run:
        with self._arena(workload, messages.topic) as arena:
            return self._measured(name, arena, messages)

    def _measured(self, name: str, arena: Arena, messages: Preloaded) -> Run:
        workload = arena.workload
        contestant = CONTESTANTS[name]
        preloaded_messages = None if contestant.adds_only else messages.messages
        window = Window(self.plan.warm_up, self.plan.seconds, preloaded_messages)
        with ExitStack() as stack:
            counter = stack.enter_context(closing(PointsCounter(arena.qdrant.rest_url)))
            team = stack.enter_context(contestant.start(arena))
            servers = {self.kafka.pid: "Kafka", arena.qdrant.pid: arena.qdrant.name}
            share = contestant.points_per_message(workload)
            usage = Processes({**team.groups, **servers}).usage
            samples = watch(lambda: counter() / share, usage, window, team.check)
            checkpoints = team.checkpoints()
        return Run(workload.name, name, messages.bytes_per_message, measured(samples, window), checkpoints)

    @contextmanager
    def _arena(self, workload: Workload, topic: str, store: PointsServer | None = None) -> Iterator[Arena]:
        """Have the store, or a fresh Qdrant, with empty collections, and a folder while the block runs."""
        with ExitStack() as stack:
            folder = stack.enter_context(TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True))
            server = stack.enter_context(store or Qdrant())
            stack.enter_context(blamed(server))
            if isinstance(server, Qdrant):
                with closing(server.client()) as client:
                    create_collections(client, workload)
            yield Arena(self.kafka, topic, server, workload, self.plan.slots, self.package, Path(folder))
