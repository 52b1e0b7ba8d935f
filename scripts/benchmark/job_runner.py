"""The job as users have it: on a standalone cluster with the shipped configuration, submitted as a zip."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import CONNECTOR
from scripts.stack.processes import StackError, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.benchmark.contestants import Arena


# Flink's own, which the local stack shortens for tests that wait for what they say.
USUAL = {"heartbeat.interval": "10 s", "heartbeat.timeout": "50 s", "metrics.fetcher.update-interval": "10 s"}


@dataclass(frozen=True)
class RunningJob:
    """A job whose tasks all run."""

    cluster: FlinkCluster
    id: str

    def groups(self) -> dict[int, str]:
        """Return the roles of the cluster's process groups."""
        job_manager, *task_managers = self.cluster.pids()
        return {job_manager: "JobManager", **dict.fromkeys(task_managers, "TaskManager")}

    def check(self) -> None:
        """Raise StackError, with the reason, if the job has failed or is being restarted."""
        if (state := self.cluster.job_state(self.id)) != "RUNNING":
            raise StackError(f"The job is {state}.\n{self.cluster.failure(self.id)}")

    def checkpoints(self) -> dict[str, Any]:
        """Return how many checkpoints there were, and how many milliseconds they took.

        Raises:
            StackError: if the job failed or was restarted: then nothing that was measured counts.
        """
        if failure := self.cluster.failure(self.id):
            raise StackError(f"The job failed or was restarted.\n{failure}")
        answer = self.cluster.checkpoints(self.id)
        took = answer["summary"]["end_to_end_duration"]
        return {
            "completed": answer["counts"]["completed"],
            "failed": answer["counts"]["failed"],
            "p50_ms": round(_number(took["p50"])),
            "max_ms": round(_number(took["max"])),
        }

    def is_running(self) -> bool:
        """Tell whether every task runs; raise StackError with the reason if one failed."""
        if failure := self.cluster.failure(self.id):
            raise StackError(f"The job failed.\n{failure}")
        return self.cluster.runs(self.id)


@contextmanager
def running_job(
    arena: Arena, settings: Sequence[str] = (), cluster: FlinkCluster | None = None
) -> Iterator[RunningJob]:
    """Have the job run, on a cluster of its own or on this one, in which it is cancelled in the end."""
    if cluster is None:
        with FlinkCluster(slots=arena.slots, config=USUAL) as own:
            yield submit(own, arena, settings)
        return
    job = submit(cluster, arena, settings)
    try:
        yield job
    finally:
        cluster.cancel(job.id)


def submit(cluster: FlinkCluster, arena: Arena, settings: Sequence[str]) -> RunningJob:
    """Submit the job with what it must be told, and these; return once every task runs."""
    required = {
        "topics": arena.topic,
        "properties.bootstrap.servers": arena.kafka.bootstrap,
        "properties.group.id": arena.topic,
        "scan.startup.mode": "earliest-offset",  # the rounds before have committed offsets for this group
        "qdrant.grpc.url": arena.qdrant.grpc_url,
        "kafka.connector.jar": CONNECTOR,
        "parallelism": arena.slots,
        "execution.checkpointing.interval": "5 s",
        "execution.checkpointing.dir": (arena.folder / "checkpoints").as_uri(),
    }
    given = [f"--{name}={value}" for name, value in required.items()]
    job = RunningJob(cluster, cluster.run_job(["-pym", "job.main", "-pyfs", arena.package, *given, *settings]))
    wait_until(job.is_running, "every task to run", seconds=120, every=0.2)
    return job


def _number(value: object) -> float:
    """Return a statistic as a number: Flink says "NaN" before there is one."""
    return float(str(value)) if str(value) != "NaN" else 0.0
