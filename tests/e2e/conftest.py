"""One Flink cluster and one Kafka for all end-to-end tests; topic, consumer group and Qdrant are each test's own."""

from __future__ import annotations

import secrets
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from scripts.stack.flink import FlinkCluster
from scripts.stack.package import build
from scripts.stack.qdrant import Qdrant
from scripts.stack.workload import create_collections
from tests.e2e.trial import Topic, Trial
from tests.support.grpc_proxy import GrpcProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.stack.kafka import Kafka

SLOTS = 3
# Flink's default is 256 MB, and each job leaves 37 MB of classes behind in its TaskManager, which nothing unloads.
METASPACE = {"taskmanager.memory.jvm-metaspace.size": "768m", "taskmanager.memory.process.size": "2400m"}


@pytest.fixture(scope="session")
def cluster() -> Iterator[FlinkCluster]:
    """One cluster; whoever kills a TaskManager adds one first, so that there are always three slots."""
    with FlinkCluster(task_managers=1, slots=SLOTS, config=METASPACE) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that users submit, built from this repository."""
    return build(tmp_path_factory.mktemp("package") / "job.zip")


@pytest.fixture
def trial(cluster: FlinkCluster, kafka: Kafka, package: Path, tmp_path: Path) -> Iterator[Trial]:
    """Everything one test needs, with an empty collection for each of the five formats."""
    # Now and then the cancellation of a job ends the TaskManager: Beam's DefaultJobBundleFactory finds its "Reference
    # count must not be negative" where two tasks share a Python process, and Flink takes that as fatal.
    if cluster.rest("/overview")["slots-total"] < SLOTS:
        cluster.add_task_manager()
    with ExitStack() as stack:
        qdrant = stack.enter_context(Qdrant())
        proxy = stack.enter_context(GrpcProxy(qdrant.grpc_url.removeprefix("http://")))
        client = stack.enter_context(closing(qdrant.client()))
        create_collections(client)
        topic = stack.enter_context(closing(Topic(kafka, f"e2e-{secrets.token_hex(4)}")))
        yield stack.enter_context(closing(Trial(cluster, topic, proxy, qdrant, client, package, tmp_path)))
