"""Jobs on the cluster, as the end-to-end tests submit and watch them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scripts.stack.flink_rest import TERMINAL_STATES
from scripts.stack.kafka import CONNECTOR
from scripts.stack.processes import StackError, StackWaitError, wait_until
from scripts.stack.workload import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from scripts.stack.flink import FlinkCluster
    from tests.e2e.topic import Topic


# A worker whose task ended before it had called back waits for Beam's log service, 60 s (`FnApiLogRecordHandler`), and
# is gone after 64. It has nothing of the job yet, the watchdog included.
_WORKERS_END_WITHIN = 90


@dataclass(frozen=True)
class Job:
    """A job that was submitted."""

    cluster: FlinkCluster
    id: str

    def is_running(self) -> bool:
        """Tell whether every task runs."""
        return self.cluster.runs(self.id)

    def has_ended(self) -> bool:
        """Tell whether the job will not run again."""
        return self.cluster.job_state(self.id) in TERMINAL_STATES

    def restarts(self) -> int:
        """Return how many times tasks were restarted: without lanes, Flink restarts only those that failed."""
        vertices = self.cluster.rest(f"/jobs/{self.id}")["vertices"]
        details = [self.cluster.rest(f"/jobs/{self.id}/vertices/{vertex['id']}") for vertex in vertices]
        return sum(int(subtask["attempt"]) for vertex in details for subtask in vertex["subtasks"])

    def wait_for(self, is_done: Callable[[], bool], what: str, seconds: float = 60, every: float = 0.1) -> None:
        """Return as soon as `is_done()`; raise StackError, with the logs, if the job ends or it takes longer."""

        def is_settled() -> bool:
            self.cluster.supervise()
            if self.has_ended():
                raise StackError(f"The job ended during the wait for {what}.\n{self.cluster.failure(self.id)}")
            return is_done()

        try:
            wait_until(is_settled, what, seconds, every)
        except StackWaitError as error:
            raise StackWaitError(f"{error}\n{self.cluster.warnings()}") from None

    def wait_for_restart(self, before: int) -> None:
        """Return once more tasks were restarted than before, and every task runs again."""
        self.wait_for(lambda: self.restarts() > before and self.is_running(), f"more than {before} restarts")


@dataclass(kw_only=True)
class Runner:
    """Submits the job, over one topic and one Qdrant.

    Attributes:
        qdrant_url: Where the job finds Qdrant.
        package: The zip of the job.
        folder: Where checkpoints and savepoints go.
        properties: Those of Kafka's client, over what it takes to reach the topic.
    """

    cluster: FlinkCluster
    topic: Topic
    qdrant_url: str
    package: Path
    folder: Path
    properties: dict[str, str] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)

    def submit(self, parallelism: int, *settings: str, savepoint: str | None = None) -> Job:
        """Start the job, from a savepoint if there is one, and return once every task runs."""
        start = ["-s", savepoint] if savepoint else []
        given = [*self.arguments(), f"--parallelism={parallelism}", *settings]
        job = self.cluster.run_job([*start, "-pym", "job.main", "-pyfs", self.package, *given])
        self.jobs.append(Job(self.cluster, job))
        self.jobs[-1].wait_for(self.jobs[-1].is_running, "every task to run")
        return self.jobs[-1]

    def drain(self, job: Job, messages: Iterable[Message]) -> None:
        """Return once a checkpoint completed behind all messages of the topic, which are these."""
        end = Counter(message.partition for message in messages)

        def is_drained() -> bool:
            # Flink commits between two fetches, and one that finds nothing takes 10 s (KafkaPartitionSplitReader).
            self.topic.produce(harmless_messages(self.topic.partitions))
            return Counter(self.topic.committed()) >= end

        job.wait_for(is_drained, "all messages to be committed", every=0.5)

    def close(self) -> None:
        """Cancel what still runs, and wait until its Python workers are gone."""
        for job in self.jobs:
            if not job.has_ended():
                self.cluster.cancel(job.id)
        self.wait_for_workers_to_end()

    def wait_for_workers_to_end(self) -> None:
        """Return once no Python worker is left."""
        what = "the Python workers to end with their job"
        wait_until(lambda: not self.cluster.python_worker_pids(), what, _WORKERS_END_WITHIN)

    def arguments(self) -> list[str]:
        """Return the settings of every job, as arguments."""
        settings = {
            "topics": self.topic.name,
            "properties.bootstrap.servers": self.topic.bootstrap,
            "properties.group.id": self.topic.name,
            "qdrant.grpc.url": self.qdrant_url,
            "kafka.connector.jar": CONNECTOR,
            "execution.checkpointing.interval": "500 ms",
            "execution.checkpointing.dir": self.folder / "checkpoints",
            "python.fn-execution.bundle.time": "200 ms",
            "flink.restart-strategy.exponential-delay.initial-backoff": "100 ms",
            **{f"properties.{name}": value for name, value in self.properties.items()},
        }
        return [f"--{name}={value}" for name, value in settings.items()]


def harmless_messages(partitions: int) -> list[Message]:
    """Return a message for each partition that changes nothing: the tombstone of a point that never was."""
    key = json.dumps({"collection_name": "docs", "id": 2**64 - 1}).encode()
    return [Message(("docs", 2**64 - 1), partition, key, None) for partition in range(partitions)]
