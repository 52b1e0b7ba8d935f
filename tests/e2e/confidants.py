"""A job between servers that want secrets, which it finds in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from scripts.stack.kafka import CONNECTOR
from scripts.stack.processes import wait_until
from tests.e2e.jobs import Job
from tests.e2e.letters import letters_in
from tests.support.secured import login_from, showing, trusting

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from qdrant_client import QdrantClient

    from scripts.stack.flink import FlinkCluster
    from tests.support.evidence import RecordingProxy
    from tests.support.marked import ConfidingKafka, Marked
    from tests.support.secured import TlsQdrant

SECONDS = 180  # for whatever is waited for: on a busy machine a job takes a minute to start


@dataclass
class Confidants:
    """The servers, and a cluster that is asked to run jobs between them.

    Attributes:
        folder: Where certificates, secrets and evidence are.
        package: The zip of the job.
        door: Where clients find the cluster, and what they send is recorded.
        jaas: The setting `sasl.jaas.config`; where it is found unless given.
    """

    folder: Path
    package: Path
    kafka: ConfidingKafka
    qdrant: TlsQdrant
    cluster: FlinkCluster
    door: RecordingProxy
    jaas: str = ""

    @property
    def evidence(self) -> Path:
        """Where everything is that jobs with good manners have left."""
        return self.folder / "evidence"

    def submit(self, topic: str, *settings: str) -> Job:
        """Start a job that reads this topic, by a client whose requests are recorded."""
        given = [f"--{name}={value}" for name, value in {**self._settings(), "topics": topic}.items()]
        job = ["-pym", "job.main", "-pyfs", str(self.package), *given, *settings]
        return Job(self.cluster, self.cluster.run_job(["-m", self.door.address, *job], seconds=300))

    def produce(self, topic: str, messages: Iterable[Marked]) -> None:
        """Write messages to a topic."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
        for message in messages:
            producer.produce(topic, message.value, key=message.key, headers=message.headers)
        assert producer.flush(30) == 0

    def wait_for_log(self, words: str, times: int = 1) -> None:
        """Return once the TaskManagers have logged these words so often."""

        def is_logged() -> bool:
            logs = self.cluster.log_dir.glob("*taskexecutor*.log")
            return sum(log.read_text(errors="replace").count(words) for log in logs) >= times

        wait_until(is_logged, f"{words!r} in the log", SECONDS)

    def wait_for_letters(self, topic: str, count: int) -> None:
        """Return once there are so many dead letters."""
        wait_until(lambda: len(letters_in(self.kafka, topic)) >= count, "dead letters", SECONDS, every=1)

    def show_key(self, key: str) -> None:
        """Put the API key where the jobs read it."""
        (self.folder / "secrets" / "key").write_text(key)

    def client(self) -> QdrantClient:
        """Return a client of Qdrant with the key that it wants now; the caller closes it."""
        return self.qdrant.trusting_client(self.folder / "ca.pem")

    def _settings(self) -> dict[str, object]:
        properties = {
            "bootstrap.servers": self.kafka.at["SASL_SSL"],
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            **trusting(self.folder / "ca.pem"),
            **showing(self.folder / "secrets" / "client.pem"),
            **login_from(self.folder / "secrets"),
            **({"sasl.jaas.config": self.jaas} if self.jaas else {}),
        }
        return {
            **{f"properties.{name}": value for name, value in properties.items()},
            "qdrant.grpc.url": self.qdrant.https_url,
            "qdrant.api.key": f"file:{self.folder / 'secrets' / 'key'}",
            "qdrant.tls.ca.file": self.folder / "ca.pem",
            "kafka.connector.jar": CONNECTOR,
            "parallelism": 1,
            "execution.checkpointing.interval": "1 s",
            "execution.checkpointing.dir": self.evidence / "state" / "checkpoints",
            "python.fn-execution.bundle.time": "200 ms",
        }
