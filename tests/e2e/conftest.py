"""One Flink cluster and one Kafka for all end-to-end tests; each has a Qdrant, a topic and a consumer group of its own."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from scripts.stack.flink import FlinkCluster
from scripts.stack.package import build
from scripts.stack.qdrant import Qdrant
from scripts.stack.workload import create_collections
from tests.e2e.trial import Trial
from tests.support.grpc_proxy import GrpcProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.stack.kafka import Kafka


@pytest.fixture(scope="session")
def cluster() -> Iterator[FlinkCluster]:
    """One cluster; a test that adds or kills TaskManagers leaves one with three slots."""
    with FlinkCluster(task_managers=1, slots=3) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that users submit, built from this repository."""
    return build(tmp_path_factory.mktemp("package") / "job.zip")


@pytest.fixture
def trial(
    cluster: FlinkCluster, kafka: Kafka, package: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Trial]:
    """Everything one test needs, with an empty collection for each of the five formats."""
    topic = re.sub(r"[^a-z]+", "-", request.node.name)
    with Qdrant() as qdrant, closing(qdrant.client()) as client, GrpcProxy(address_of(qdrant)) as proxy:
        create_collections(client)
        with closing(Trial(cluster, kafka, proxy, client, topic, package, tmp_path)) as trial:
            yield trial


def address_of(qdrant: Qdrant) -> str:
    """Return the address of the gRPC interface as host:port."""
    return qdrant.grpc_url.removeprefix("http://")
