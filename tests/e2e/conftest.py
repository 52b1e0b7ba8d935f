"""One Flink cluster and one Kafka for all end-to-end tests; topic, consumer group and Qdrant are each test's own."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import Kafka
from scripts.stack.package import build
from scripts.stack.qdrant import Qdrant
from scripts.stack.workload import create_collections
from tests.e2e.drill import open_drill
from tests.e2e.topic import Topic
from tests.e2e.trial import Trial
from tests.support.grpc_proxy import GrpcProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.drill import Drill

SLOTS = 3
# Flink's default is 256 MB, and each job leaves 37 MB of classes behind in its TaskManager, which nothing unloads.
METASPACE = {"taskmanager.memory.jvm-metaspace.size": "768m", "taskmanager.memory.process.size": "2656m"}


@pytest.fixture(scope="session")
def cluster() -> Iterator[FlinkCluster]:
    """One cluster; whoever kills a TaskManager adds one first, so that there are always three slots."""
    with FlinkCluster(task_managers=1, slots=SLOTS, config=METASPACE) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that users submit, built from this repository."""
    return build(tmp_path_factory.mktemp("package") / "job.zip")


@pytest.fixture(scope="session")
def mortal_kafka() -> Iterator[Kafka]:
    """A broker that may be killed, and is there again when the test ends."""
    with Kafka() as server:
        yield server


@pytest.fixture
def drill(cluster: FlinkCluster, mortal_kafka: Kafka, package: Path, tmp_path: Path) -> Iterator[Drill]:
    """A job under a steady load, for a test that breaks something."""
    cluster.supervise()
    with open_drill(cluster, mortal_kafka, package, tmp_path) as opened:
        yield opened


@pytest.fixture
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Write a line between pytest's own, whether or not a test's output is captured."""
    plugins: Any = pytestconfig.pluginmanager

    def write(line: str) -> None:
        with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
            plugins.get_plugin("terminalreporter").write_line(line)

    return write


@pytest.fixture
def trial(cluster: FlinkCluster, kafka: Kafka, package: Path, tmp_path: Path) -> Iterator[Trial]:
    """Everything one test needs, with an empty collection for each of the five formats."""
    cluster.supervise()
    with ExitStack() as stack:
        qdrant = stack.enter_context(Qdrant())
        proxy = stack.enter_context(GrpcProxy(qdrant.grpc_url.removeprefix("http://")))
        client = stack.enter_context(closing(qdrant.client()))
        create_collections(client)
        topic = stack.enter_context(closing(Topic(kafka, f"e2e-{secrets.token_hex(4)}")))
        yield stack.enter_context(
            closing(
                Trial(
                    cluster=cluster,
                    topic=topic,
                    qdrant_url=proxy.url,
                    package=package,
                    folder=tmp_path,
                    proxy=proxy,
                    qdrant=qdrant,
                    client=client,
                )
            )
        )
