"""What the end-to-end tests share: a topic, the job on the cluster, and Qdrant behind a proxy."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, TopicPartition

from scripts.stack.flink_rest import TERMINAL_STATES
from scripts.stack.kafka import JARS
from scripts.stack.processes import StackError, wait_until
from scripts.stack.workload import Message, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from qdrant_client import QdrantClient

    from scripts.stack.flink import FlinkCluster
    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant
    from tests.support.grpc_proxy import GrpcProxy

PARTITIONS = 4
LARGEST_MESSAGE = 32 * 2**20

Offsets = dict[int, int]


class Topic:
    """A topic, and the consumer group of the same name that the job reads it as."""

    def __init__(self, kafka: Kafka, name: str) -> None:
        kafka.create_topic(name, PARTITIONS, max_message_bytes=LARGEST_MESSAGE)
        self.name = name
        self.bootstrap = kafka.bootstrap
        self._consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": name, "log_level": 0})

    def produce(self, messages: Iterable[Message]) -> None:
        """Produce the messages and return when Kafka has them all."""
        produce(self.bootstrap, self.name, messages)

    @contextmanager
    def producing(self, messages: Iterable[Message], per_second: float) -> Iterator[list[Message]]:
        """Produce at this rate while the block runs; the list grows by each message before Kafka has it."""
        produced: list[Message] = []
        is_over = threading.Event()

        def paced() -> Iterator[Message]:
            for message in messages:
                if is_over.wait(1 / per_second):
                    return
                produced.append(message)
                yield message

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.produce, paced())
            try:
                yield produced
            finally:
                is_over.set()
                done.result()

    def committed(self) -> Offsets:
        """Return the offsets that Flink committed after its last checkpoint, by partition."""
        partitions = [TopicPartition(self.name, partition) for partition in range(PARTITIONS)]
        return {place.partition: max(place.offset, 0) for place in self._consumer.committed(partitions, timeout=10)}

    def ends(self) -> Offsets:
        """Return the offset behind the last message, by partition."""
        return {
            partition: self._consumer.get_watermark_offsets(TopicPartition(self.name, partition), timeout=10)[1]
            for partition in range(PARTITIONS)
        }

    def close(self) -> None:
        """Let go of the group."""
        self._consumer.close()


@dataclass(frozen=True)
class Job:
    """A job that was submitted."""

    cluster: FlinkCluster
    id: str

    def is_running(self) -> bool:
        """Tell whether every task runs: the job is RUNNING seconds earlier, while its Python workers start."""
        vertices = self.cluster.rest(f"/jobs/{self.id}")["vertices"]
        return all(vertex["tasks"]["RUNNING"] == vertex["parallelism"] for vertex in vertices)

    def has_ended(self) -> bool:
        """Tell whether the job will not run again."""
        return self.cluster.job_state(self.id) in TERMINAL_STATES

    def restarts(self) -> int:
        """Return how many times the job was restarted."""
        vertices = self.cluster.rest(f"/jobs/{self.id}")["vertices"]
        details = [self.cluster.rest(f"/jobs/{self.id}/vertices/{vertex['id']}") for vertex in vertices]
        return max(int(subtask["attempt"]) for vertex in details for subtask in vertex["subtasks"])

    def wait_for(self, is_done: Callable[[], bool], what: str, seconds: float = 60, every: float = 0.1) -> None:
        """Return as soon as `is_done()`; raise StackError with the reason if the job ends before that."""

        def is_settled() -> bool:
            if self.has_ended():
                raise StackError(f"The job ended during the wait for {what}.\n{self.cluster.failure(self.id)}")
            return is_done()

        wait_until(is_settled, what, seconds, every)

    def wait_for_restart(self, number: int) -> None:
        """Return once the job was restarted so many times, and every task runs again."""
        self.wait_for(lambda: self.restarts() >= number and self.is_running(), f"restart {number}")


@dataclass
class Trial:
    """One test on the shared cluster.

    Attributes:
        client: Reads what is in Qdrant, past the proxy.
        package: The zip of the job.
        folder: Where checkpoints and savepoints go.
    """

    cluster: FlinkCluster
    topic: Topic
    proxy: GrpcProxy
    qdrant: Qdrant
    client: QdrantClient
    package: Path
    folder: Path
    jobs: list[Job] = field(default_factory=list)

    def submit(self, parallelism: int, *settings: str, savepoint: str | None = None) -> Job:
        """Start the job, from a savepoint if there is one, and return once every task runs."""
        start = ["-s", savepoint] if savepoint else []
        job = self.cluster.run_job(
            [
                *start,
                "-pym",
                "job.main",
                "-pyfs",
                self.package,
                *self._arguments(),
                f"--parallelism={parallelism}",
                *settings,
            ]
        )
        self.jobs.append(Job(self.cluster, job))
        self.jobs[-1].wait_for(self.jobs[-1].is_running, "every task to run")
        return self.jobs[-1]

    def drain(self, job: Job, messages: Sequence[Message]) -> None:
        """Return once a checkpoint completed behind all messages of the topic, which are these."""
        end = Counter(message.partition for message in messages)

        def is_drained() -> bool:
            # Flink commits between two fetches, and one that finds nothing takes 10 s (KafkaPartitionSplitReader).
            self.topic.produce(harmless_messages())
            return Counter(self.topic.committed()) >= end

        job.wait_for(is_drained, "all messages to be committed", every=0.5)

    def wait_for_calls(self, job: Job, count: int) -> None:
        """Return once so many more calls came to Qdrant, and one of them at least is still under way."""
        enough = self.proxy.calls.total() + count
        job.wait_for(lambda: self.proxy.calls.total() >= enough and self.proxy.waiting > 0, "calls to Qdrant")

    def close(self) -> None:
        """Cancel what still runs, and wait until its Python workers are gone."""
        for job in self.jobs:
            if not job.has_ended():
                self.cluster.cancel(job.id)
        wait_until(lambda: not self.cluster.python_worker_pids(), "the Python workers to end with their job", 30)

    def _arguments(self) -> list[str]:
        settings = {
            "topics": self.topic.name,
            "properties.bootstrap.servers": self.topic.bootstrap,
            "properties.group.id": self.topic.name,
            "qdrant.grpc.url": self.proxy.url,
            "kafka.connector.jar": JARS / "flink-sql-connector-kafka-5.0.0-2.2.jar",
            "execution.checkpointing.interval": "500 ms",
            "execution.checkpointing.dir": self.folder / "checkpoints",
            "python.fn-execution.bundle.time": "200 ms",
            "flink.restart-strategy.exponential-delay.initial-backoff": "100 ms",
        }
        return [f"--{name}={value}" for name, value in settings.items()]


def harmless_messages() -> list[Message]:
    """Return a message for each partition that changes nothing: the tombstone of a point that never was."""
    key = json.dumps({"collection_name": "docs", "id": 2**64 - 1}).encode()
    return [Message(("docs", 2**64 - 1), partition, key, None) for partition in range(PARTITIONS)]
