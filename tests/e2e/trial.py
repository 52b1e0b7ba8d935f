"""What the end-to-end tests share: one test's topic, consumer group, Qdrant and jobs, and how its outcome is judged."""

from __future__ import annotations

import json
import re
import struct
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from confluent_kafka import Consumer, TopicPartition

from scripts.stack.flink_rest import TERMINAL_STATES
from scripts.stack.kafka import JARS
from scripts.stack.processes import StackError, wait_until
from scripts.stack.workload import Message, Point, PointKey, Workload, _as_stored, compare, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

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
        # The job is RUNNING seconds before its tasks are, which first start their Python workers.
        self.wait_for(self.is_running, "every task to run")
        return job

    def is_running(self) -> bool:
        """Tell whether every task of the last job runs."""
        vertices = self.cluster.rest(f"/jobs/{self.jobs[-1]}")["vertices"]
        return all(vertex["tasks"]["RUNNING"] == vertex["parallelism"] for vertex in vertices)

    def produce(self, messages: Iterable[Message]) -> None:
        """Produce the messages and return when Kafka has them all."""
        produce(self.kafka.bootstrap, self.topic, messages)

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
        """Return the offsets that Flink committed when its last checkpoint completed, by partition."""
        partitions = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        return {place.partition: max(place.offset, 0) for place in self._consumer.committed(partitions, timeout=10)}

    def wait_for(self, is_done: Callable[[], bool], what: str, seconds: float = 60, every: float = 0.02) -> None:
        """Return as soon as `is_done()`; raise StackError with the reason if the last job ends before that."""

        def is_settled() -> bool:
            if self.cluster.job_state(self.jobs[-1]) in TERMINAL_STATES:
                raise StackError(f"The job ended during the wait for {what}.\n{self.cluster.failure(self.jobs[-1])}")
            return is_done()

        wait_until(is_settled, what, seconds, every)

    def drain(self, messages: Sequence[Message], seconds: float = 60) -> None:
        """Return once a checkpoint completed behind all messages of the topic, which are these."""
        end = Counter(message.partition for message in messages)

        def is_drained() -> bool:
            # Flink commits between two fetches, and one that finds nothing takes 10 s (KafkaPartitionSplitReader).
            self.produce(harmless_messages())
            return Counter(self.committed()) >= end

        self.wait_for(is_drained, "all messages to be committed", seconds, every=0.5)

    def wait_for_calls(self, count: int) -> None:
        """Return once so many more calls came to Qdrant, and one of them at least is still under way."""
        enough = self.proxy.calls.total() + count
        self.wait_for(lambda: self.proxy.calls.total() >= enough and self.proxy.waiting > 0, "calls to Qdrant")

    def wait_for_restart(self, number: int) -> None:
        """Return once the job was restarted so many times, and every task runs again."""
        self.wait_for(lambda: self.restarts() >= number and self.is_running(), f"restart {number}")

    def must_be_in_qdrant(self, points: dict[PointKey, Point]) -> None:
        """Fail unless there are exactly these points in Qdrant."""
        difference = compare(self.client, points)
        assert not difference, difference

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


def harmless_messages() -> list[Message]:
    """Return a message for each partition that changes nothing: the tombstone of a point that never was."""
    key = json.dumps({"collection_name": "docs", "id": 2**64 - 1}).encode()
    return [Message(("docs", 2**64 - 1), partition, key, None) for partition in range(PARTITIONS)]


def before(messages: Iterable[Message], offsets: Offsets) -> list[Message]:
    """Return the messages before these offsets, in the order in which they were produced."""
    places: Counter[int] = Counter()
    chosen = []
    for message in messages:
        if places[message.partition] < offsets[message.partition]:
            chosen.append(message)
        places[message.partition] += 1
    return chosen


def offsets_in(savepoint: str, topic: str) -> Offsets:
    """Return where a savepoint's source goes on, by partition: what was committed last may be older."""
    state = (Path(urlsplit(savepoint).path) / "_metadata").read_bytes()
    # KafkaPartitionSplitSerializer: topic, partition, offset, and the end, which Long.MIN_VALUE says there is not.
    split = re.compile(re.escape(topic.encode()) + b"(.{12})\x80" + bytes(7), re.DOTALL)
    places = [struct.unpack(">iq", match) for match in split.findall(state)]
    return {partition: offset for partition, offset in places if offset >= 0}


def in_parts(messages: Sequence[Message], count: int) -> list[Sequence[Message]]:
    """Return the messages in so many parts of about one size."""
    bounds = [len(messages) * number // count for number in range(count + 1)]
    return [messages[start:end] for start, end in pairwise(bounds)]


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
