"""Who takes part, and how each is started on the same topic and the same Qdrant."""

from __future__ import annotations

import secrets
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scripts.benchmark.job_runner import running_job
from scripts.stack.processes import ROOT, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from scripts.benchmark.workloads import Workload
    from scripts.stack.kafka import Kafka
    from scripts.stack.server import PointsServer


@dataclass(frozen=True)
class Arena:
    """What a contestant is given.

    Attributes:
        kafka: Where the messages are.
        topic: In which topic.
        qdrant: Where they belong: a fresh server with empty collections, or what takes its place.
        workload: Which messages they are.
        slots: How many slots, or processes, it may have.
        package: The zip of the job.
        folder: Where it may write.
    """

    kafka: Kafka
    topic: str
    qdrant: PointsServer
    workload: Workload
    slots: int
    package: Path
    folder: Path

    @property
    def qdrant_options(self) -> list[str]:
        """Where Qdrant is, as consumers are told."""
        url = urlsplit(self.qdrant.grpc_url)
        return [f"--qdrant-host={url.hostname}", f"--qdrant-port={url.port}"]


@dataclass(frozen=True)
class Team:
    """A contestant that runs.

    Attributes:
        groups: The roles of its process groups.
        check: Raises if it has ended.
        checkpoints: Returns statistics of its checkpoints; raises if anything went wrong.
    """

    groups: Mapping[int, str]
    check: Callable[[], None]
    checkpoints: Callable[[], Mapping[str, Any]] = field(default=dict)


@dataclass(frozen=True)
class Contestant:
    """One of those that are compared.

    Attributes:
        title: What the report calls it.
        start: Starts it, and stops it when the block ends.
        adds_only: Whether it knows nothing of updates and deletes, so that each message is a point more.
    """

    title: str
    start: Callable[[Arena], AbstractContextManager[Team]]
    adds_only: bool = False

    def points_per_message(self, workload: Workload) -> float:
        """Return how many points there are more for each message."""
        return 1.0 if self.adds_only else workload.points_per_message


@contextmanager
def _job(arena: Arena) -> Iterator[Team]:
    with running_job(arena, arena.workload.job_settings) as job:
        yield Team(job.groups(), job.check, job.checkpoints)


def _consumers(module: str) -> Callable[[Arena], AbstractContextManager[Team]]:
    """Return what starts as many processes of a consumer group as there are slots."""

    @contextmanager
    def start(arena: Arena) -> Iterator[Team]:
        options = [f"--bootstrap={arena.kafka.bootstrap}", f"--topic={arena.topic}"]
        options += [f"--group={arena.topic}-{secrets.token_hex(3)}", *arena.qdrant_options]
        with _processes(arena, module, options, arena.slots) as team:
            yield team

    return start


@contextmanager
def _upserts(arena: Arena) -> Iterator[Team]:
    options = [f"--workload={arena.workload.name}", *arena.qdrant_options]
    with _processes(arena, "upserts", options, 1) as team:
        yield team


@contextmanager
def _processes(arena: Arena, module: str, options: list[str], count: int) -> Iterator[Team]:
    command = [sys.executable, "-m", f"scripts.benchmark.{module}", *options]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(Process(f"{module} {number}", command, arena.folder / f"{module}.log", cwd=ROOT))
            for number in range(count)
        ]

        def check() -> None:
            for process in processes:
                process.check()

        yield Team({process.pid: "Python" for process in processes}, check)


CONTESTANTS = {
    "job": Contestant("the job", _job),
    "plain": Contestant("(a) plain consumer", _consumers("plain_consumer")),
    "best": Contestant("(b) best consumer", _consumers("best_consumer")),
    "upserts": Contestant("(c) upserts only", _upserts, adds_only=True),
}
