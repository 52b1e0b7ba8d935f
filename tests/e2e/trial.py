"""What the end-to-end tests share: one test's topic, consumer group, Qdrant and jobs, and how its outcome is judged."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, TopicPartition

from scripts.stack.flink_rest import TERMINAL_STATES
from scripts.stack.kafka import JARS
from scripts.stack.processes import StackError, wait_until
from scripts.stack.workload import Message, Point, PointKey, Workload, _as_stored, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from qdrant_client import QdrantClient

    from scripts.stack.flink import FlinkCluster
    from scripts.stack.kafka import Kafka
    from tests.support.grpc_proxy import GrpcProxy

CONNECTOR = JARS / "flink-sql-connector-kafka-5.0.0-2.2.jar"
PARTITIONS = 4

Offsets = dict[int, int]


@dataclass
class Trial:
    """One test on the shared cluster, with a topic and a consumer group of its own and a Qdrant behind a proxy.

    Attributes:
        package: The zip of the job.
        folder: Where its checkpoints and savepoints go.
        client: Reads what is in Qdrant, past the proxy.
    """

    cluster: FlinkCluster
    kafka: Kafka
    proxy: GrpcProxy
    client: QdrantClient
    topic: str
    package: Path
    folder: Path
    jobs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kafka.create_topic(self.topic, PARTITIONS)
        self._consumer = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": self.topic, "log_level": 0})

    def submit(self, parallelism: int, *settings: str, savepoint: str | None = None) -> str:
        """Start the job and return its id once it runs."""
        start = ["-s", savepoint] if savepoint else []
        ours = {
            "topics": self.topic,
            "properties.bootstrap.servers": self.kafka.bootstrap,
            "properties.group.id": self.topic,
            "qdrant.grpc.url": self.proxy.url,
            "kafka.connector.jar": CONNECTOR,
            "parallelism": parallelism,
            "execution.checkpointing.interval": "500 ms",
            "execution.checkpointing.dir": self.folder / "checkpoints",
            "python.fn-execution.bundle.time": "200 ms",
            "flink.restart-strategy.exponential-delay.initial-backoff": "100 ms",
        }
        arguments = [f"--{name}={value}" for name, value in ours.items()]
        job = self.cluster.run_job([*start, "-pym", "job.main", "-pyfs", self.package, *arguments, *settings])
        self.jobs.append(job)
        self.cluster.wait_for(job, "RUNNING")
        return job

    def produce(self, messages: Iterable[Message]) -> None:
        """Produce the messages and return when Kafka has them all."""
        produce(self.kafka.bootstrap, self.topic, messages)

    @contextmanager
    def producing(self, messages: Sequence[Message], per_second: float) -> Iterator[None]:
        """Produce the messages one by one while the block runs, and wait for the last of them at its end."""
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.produce, paced(messages, per_second))
            yield
            done.result()

    def committed(self) -> Offsets:
        """Return the offsets that Flink committed when its last checkpoint completed, by partition."""
        partitions = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        return {place.partition: max(place.offset, 0) for place in self._consumer.committed(partitions, timeout=10)}

    def wait_for(self, is_done: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Return as soon as `is_done()`; raise StackError with the reason if the last job ends before that."""

        def is_settled() -> bool:
            if self.cluster.job_state(self.jobs[-1]) in TERMINAL_STATES:
                raise StackError(f"The job ended during the wait for {what}.\n{self.cluster.failure(self.jobs[-1])}")
            return is_done()

        wait_until(is_settled, what, seconds, every=0.02)

    def wait_until_committed(self, messages: Sequence[Message], seconds: float = 60) -> None:
        """Return once a checkpoint completed behind all of the messages."""
        end = Counter(message.partition for message in messages)
        self.wait_for(lambda: Counter(self.committed()) >= end, "all messages to be committed", seconds)

    def wait_for_writing(self) -> None:
        """Return while calls to Qdrant are under way."""
        self.wait_for(lambda: self.proxy.waiting > 0, "a call to Qdrant")

    def missing(self, messages: Iterable[Message]) -> list[PointKey]:
        """Return the points of these messages that are not in Qdrant at this moment."""
        wanted: dict[str, list[int | str]] = defaultdict(list)
        for message in messages:
            wanted[message.point[0]].append(message.point[1])
        lost = []
        for collection, ids in wanted.items():
            found = {str(record.id) for record in self.client.retrieve(collection, ids, with_payload=False)}
            lost += [(collection, point_id) for point_id in ids if str(point_id) not in found]
        return lost

    def restarts(self) -> int:
        """Return how many times the last job was restarted."""
        vertices = self.cluster.rest(f"/jobs/{self.jobs[-1]}")["vertices"]
        details = [self.cluster.rest(f"/jobs/{self.jobs[-1]}/vertices/{vertex['id']}") for vertex in vertices]
        return max(int(subtask["attempt"]) for vertex in details for subtask in vertex["subtasks"])

    def close(self) -> None:
        """Cancel what still runs, and wait until its Python workers are gone."""
        self._consumer.close()
        for job in self.jobs:
            if self.cluster.job_state(job) not in TERMINAL_STATES:
                self.cluster.cancel(job)
        wait_until(lambda: not self.cluster.python_worker_pids(), "the Python workers to end with their job", 10)


def paced(messages: Iterable[Message], per_second: float) -> Iterator[Message]:
    """Yield the messages at this rate."""
    started = time.monotonic()
    for number, message in enumerate(messages):
        time.sleep(max(0.0, started + number / per_second - time.monotonic()))
        yield message


def before(messages: Iterable[Message], offsets: Offsets) -> list[Message]:
    """Return the messages before these offsets, in the order in which they were produced."""
    places: Counter[int] = Counter()
    chosen = []
    for message in messages:
        if places[message.partition] < offsets[message.partition]:
            chosen.append(message)
        places[message.partition] += 1
    return chosen


def with_unlike_ids(messages: Iterable[Message]) -> list[Message]:
    """Return the messages that are alone with their ids."""
    chosen = list(messages)
    of_id = Counter(message.point for message in chosen)
    return [message for message in chosen if of_id[message.point] == 1]


def points_of(messages: Iterable[Message]) -> dict[PointKey, Point]:
    """Return the points that these messages leave, in this order."""
    workload = Workload()
    for message in messages:
        body = json.loads(message.value or b"{}")
        point = Point(_as_stored(body.get("vector", {})), body.get("payload", {}))
        workload.add(message, None if message.value is None else point)
    return workload.points
