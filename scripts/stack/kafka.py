"""A real Kafka broker for the demo and the tests: one KRaft node from the jars in target/jars."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from scripts.stack.processes import LOCALHOST, ROOT, Process, StackError, free_port, is_listening
from scripts.stack.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from confluent_kafka import Consumer, TopicPartition

JARS = ROOT / "target" / "jars"
CONNECTOR = JARS / "flink-sql-connector-kafka-5.0.0-2.2.jar"

# C1 alone and the serial collector: a broker that starts in seconds and leaves the cores to what is tested.
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.apache.logging.log4j.level=WARN")

# What a broker answers about a group when it has only just started.
_NOT_YET = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)

# A topic says by flush.ms, as the bench's does, how soon its records are to be on the disk. The broker looks for that
# each second here, and by its default never.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{broker},CONTROLLER://{host}:{controller}
log.dirs={storage}
auto.create.topics.enable=false
log.flush.scheduler.interval.ms=1000
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class Kafka(Server):
    """One broker on 127.0.0.1 that keeps its port and its records over `stop()`, `kill()` and `restart()`."""

    def __init__(self) -> None:
        super().__init__("Kafka")
        self._port, self._controller_port = free_port(), free_port()
        self._properties = self.home / "server.properties"
        self._java_options: tuple[str, ...] = ()

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap.servers`."""
        return f"{LOCALHOST}:{self._port}"

    def create_topic(self, name: str, partitions: int = 1, **config: object) -> None:
        """Create a topic; `max_message_bytes=2_000_000` sets its `max.message.bytes`, and so on."""
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin = self.admin()
        admin.create_topics([topic])[name].result(timeout=30)

    def grow_topic(self, name: str, partitions: int) -> None:
        """Let a topic have so many partitions, which are more than before."""
        admin = self.admin()
        admin.create_partitions([NewPartitions(name, partitions)])[name].result(timeout=30)

    def admin(self) -> AdminClient:
        """Return a new client of the broker's administration, which must outlive the futures that it returns.

        One kept over a restart would first report the old connection's end.
        """
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def _launch(self) -> Process:
        if not self._properties.exists():
            self._format()
        command = _java("kafka.Kafka", str(self._properties), options=self._java_options)
        return Process(self.name, command, log=self.log, cwd=self.home)

    def _format(self, *more: str) -> None:
        storage = self.home / "storage"
        ports = {"broker": self._port, "controller": self._controller_port}
        self._properties.write_text(_PROPERTIES.format(host=LOCALHOST, storage=storage, **ports))
        arguments = ("format", "--cluster-id", uuid.uuid4().hex[:22], "--config", str(self._properties), *more)
        with self.log.open("ab") as log:
            done = subprocess.run(_java("kafka.tools.StorageTool", *arguments), check=False, stdout=log, stderr=log)
        if done.returncode != 0:
            raise StackError(f"Kafka did not format its storage:\n{self.log.read_text(errors='replace')}")

    def _is_ready(self) -> bool:
        if not is_listening(self._port):
            return False
        try:
            self.admin().list_topics(timeout=5)
        except KafkaException:
            return False
        return True


def committed_offsets(consumer: Consumer, partitions: Sequence[TopicPartition]) -> dict[int, int]:
    """Return up to which offset the consumer's group has committed, by partition; 0 where it has committed nothing."""
    try:
        committed = consumer.committed([*partitions], timeout=30)
    except KafkaException as error:
        if error.args[0].code() not in _NOT_YET:
            raise
        return {place.partition: 0 for place in partitions}
    return {place.partition: max(place.offset, 0) for place in committed}


def _java(main_class: str, *args: str, options: Sequence[str] = ()) -> list[str]:
    return [_java_program(), *_JVM, *options, "-cp", os.pathsep.join(map(str, _broker_jars())), main_class, *args]


def _java_program() -> str:
    """Return the Java to run: that of JAVA_HOME if it is set, as Flink's scripts have it, or else the one on PATH."""
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/java" if home else shutil.which("java") or "java"


def _broker_jars() -> list[Path]:
    # Not Flink's connector, which carries a Kafka client of its own.
    jars = sorted(jar for jar in JARS.glob("*.jar") if not jar.name.startswith("flink-"))
    if not jars:
        raise StackError(f"There are no jars in {JARS}. Run scripts/test, which fetches them.")
    return jars
