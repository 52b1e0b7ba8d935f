"""A steady load on the running job, under which things break, and the comparison with what must be left."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from scripts.stack.flink_rest import SavepointRefusedError
from scripts.stack.qdrant import Qdrant
from scripts.stack.workload import Mix, compare, create_collections, generate
from tests import cases
from tests.e2e.jobs import Job, Runner
from tests.e2e.judging import points_of
from tests.e2e.letters import BAD_ONE, create_letters_topic, letters_in, origins_of_bad_ones, with_bad_ones
from tests.e2e.topic import PARTITIONS, Topic
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scripts.stack.flink import FlinkCluster
    from scripts.stack.kafka import Kafka
    from scripts.stack.workload import Message

PER_SECOND = 200
MIX = Mix(updates=0.4, of_last=100)  # so that two versions of a point are often under way together
BAD_EVERY = 50
LATENCY = 0.02  # seconds each way, so that requests are under way at any moment
BLOCK = 5000
CHECKPOINT_TIMEOUT = 4
REQUEST_TIMEOUT = 3
SETTINGS = (
    "--sink.batch.max-size=50",
    f"--sink.request.timeout={REQUEST_TIMEOUT} s",
    f"--flink.execution.checkpointing.timeout={CHECKPOINT_TIMEOUT} s",
    "--scan.topic-partition-discovery.interval=1 s",
    # A drill that lasts has more crashes than the night of any production.
    "--flink.restart-strategy.exponential-delay.attempts-before-reset-backoff=1000",
)


@dataclass(frozen=True)
class Outcome:
    """What a drill left, against what the messages say that it must leave."""

    messages: int
    faults: int
    missing: int
    extra: int
    wrong: int
    dead_lettered: int
    letters_missing: int
    letters_extra: int
    seconds: float

    @property
    def is_exact(self) -> bool:
        """Whether points and dead letters are exactly those expected."""
        return not (self.missing or self.extra or self.wrong or self.letters_missing or self.letters_extra)

    def __str__(self) -> str:
        return (
            f"{self.messages} messages, {self.faults} faults: {self.missing} missing, {self.extra} extra, "
            f"{self.wrong} wrong; {self.dead_lettered} dead-lettered, {self.letters_missing} missing, "
            f"{self.letters_extra} extra; recovered in {self.seconds:.1f} s"
        )


@dataclass(kw_only=True)
class Drill(Runner):
    """One job under load, and all that can break around it.

    Attributes:
        kafka: May be killed, so it is no other test's.
        qdrant: May be killed, frozen, and given another key.
        wire: What the job's connections to Qdrant go through.
        letters: The topic of the dead letters.
        key_file: Where the job finds the API key.
        produced: Every message so far, in the order in which they were produced.
        urgent: Messages to be produced before the load goes on.
        bad_every: Of so many messages of the load one is bad.
        lanes: The setting of that name, if the stream is to be keyed.
        injected: How many faults there were.
    """

    kafka: Kafka
    qdrant: Qdrant
    wire: TcpProxy
    letters: str
    key_file: Path
    produced: list[Message] = field(default_factory=list)
    urgent: deque[Message] = field(default_factory=deque)
    bad_every: int = BAD_EVERY
    lanes: tuple[str, ...] = ()
    injected: int = 0

    @property
    def job(self) -> Job:
        """The job that was submitted last."""
        return self.jobs[-1]

    def start(self, parallelism: int = 2, savepoint: str | None = None) -> Job:
        """Start the job, from a savepoint or checkpoint if there is one, and return once every task runs."""
        key = f"--qdrant.api.key=file:{self.key_file}"
        return self.submit(parallelism, *SETTINGS, key, *tolerant(self.letters), *self.lanes, savepoint=savepoint)

    @contextmanager
    def load(self, seed: int = 1) -> Iterator[None]:
        """Produce at a steady rate while the block runs: mixed formats, updates, deletes, and bad messages."""
        with self.topic.producing(self._messages(seed), PER_SECOND) as produced:
            self.produced = produced
            yield

    def warm_up(self) -> None:
        """Wait until the job is at work: its Python workers start seconds after its tasks run."""
        self.job.wait_for(lambda: sum(self.topic.committed().values()) > PER_SECOND, "the first messages to be written")

    def strike(self, *faults: Callable[[Drill], None]) -> float:
        """Bring the faults about; return the seconds from their end until a checkpoint covered all produced by then."""
        self.injected += len(faults)
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(fault, self) for fault in faults]:
                done.result()
        return self.catch_up()

    def catch_up(self) -> float:
        """Wait until a checkpoint completed behind all that was produced until now; return the seconds it took."""
        started = time.monotonic()
        end = Counter(message.partition for message in self.produced)

        def is_behind() -> bool:
            try:
                return Counter(self.topic.committed()) >= end
            except KafkaException:  # not quite back yet
                return False

        self.job.wait_for(is_behind, "the job to catch up", seconds=120)
        return time.monotonic() - started

    def has_retried(self) -> bool:
        """Tell whether a request to Qdrant had to be sent again, since the job started or was restarted."""
        accounts = self.cluster.accounts(self.job.id)
        return accounts["retried"] + accounts["parse.retried"] > 0

    def stop(self) -> str:
        """Stop the job and return its savepoint; ask again while Flink refuses, as it may on a busy machine."""
        for _ in range(4):
            with suppress(SavepointRefusedError):
                return self.cluster.stop_with_savepoint(self.job.id, self.folder / "savepoints")
            self.job.wait_for(self.job.is_running, "every task to run")
        return self.cluster.stop_with_savepoint(self.job.id, self.folder / "savepoints")

    def latest_checkpoint(self) -> str:
        """Return the newest completed checkpoint of the newest job that has one."""
        completed = (self.folder / "checkpoints").glob("*/chk-*/_metadata")
        return max(completed, key=lambda file: file.stat().st_mtime).parent.as_uri()

    def outcome(self, seconds: float) -> Outcome:
        """Drain the topic and compare what is left with what must be."""
        self.drain(self.job, self.produced)
        good = [message for message in self.produced if message.point[0] != BAD_ONE]
        with closing(self.qdrant.client()) as client:
            difference = compare(client, points_of(good))
        found = {letter.origin for letter in letters_in(self.kafka, self.letters)}
        expected = origins_of_bad_ones(self.topic.name, self.produced)
        return Outcome(
            messages=len(self.produced),
            faults=self.injected,
            missing=len(difference.missing),
            extra=len(difference.extra),
            wrong=len(difference.wrong),
            dead_lettered=len(found),
            letters_missing=len(expected - found),
            letters_extra=len(found - expected),
            seconds=seconds,
        )

    def _messages(self, seed: int) -> Iterator[Message]:
        for message in with_bad_ones(_endless(seed), lambda: self.bad_every):
            while self.urgent:
                yield self.urgent.popleft()
            yield message


def _endless(seed: int) -> Iterator[Message]:
    """Return messages without end, made in blocks, each with points of its own."""
    for number in count():
        first = BLOCK * number
        yield from generate(BLOCK, PARTITIONS, seed + first, first=first, mix=MIX).messages


@contextmanager
def open_drill(cluster: FlinkCluster, kafka: Kafka, package: Path, folder: Path) -> Iterator[Drill]:
    """Make a drill on this cluster, with a topic and a Qdrant of its own and the collections of all messages."""
    name, key_file = f"drill-{secrets.token_hex(4)}", folder / "key"
    with ExitStack() as stack:
        qdrant = stack.enter_context(Qdrant(api_key=secrets.token_hex()))
        key_file.write_text(qdrant.api_key or "")
        wire = stack.enter_context(TcpProxy(qdrant.grpc_url.removeprefix("http://")))
        wire.delay = LATENCY
        with closing(qdrant.client()) as client:
            create_collections(client)
            cases.create_collections(client)
        drill = Drill(
            cluster=cluster,
            topic=stack.enter_context(closing(Topic(kafka, name))),
            qdrant_url=wire.url,
            package=package,
            folder=folder,
            kafka=kafka,
            qdrant=qdrant,
            wire=wire,
            letters=create_letters_topic(kafka, f"{name}-letters"),
            key_file=key_file,
        )
        yield stack.enter_context(closing(drill))
