"""Jobs between servers that speak TLS, by an authority that nobody knows, and want to know with whom they speak."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from qdrant_client import models
from trustme import CA

from scripts.stack.processes import LOCALHOST
from tests.e2e.letters import create_letters_topic, letters_in
from tests.support.minicluster import run_job
from tests.support.secured import (
    PLAIN,
    SCRAM,
    SHADED,
    SecuredKafka,
    TlsQdrant,
    login,
    login_from,
    showing,
    trusting,
    write_key_store,
)
from tests.support.topics import tolerant, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trustme import LeafCert

pytestmark = pytest.mark.timeout(150)

API_KEY = "a-key-for-nobodys-eyes"
MESSAGES = 100
# By log4j, where Kafka's client fails to close a connection when the job has ended already.
COMPLAINT = "Trying to access closed classloader"


@dataclass(frozen=True)
class Servers:
    """Both servers, with certificates of one authority."""

    authority: CA
    ca_file: Path
    kafka: SecuredKafka
    qdrant: TlsQdrant


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers, with an empty collection `docs`."""
    folder, authority = tmp_path_factory.mktemp("secured"), CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    with ExitStack() as stack:
        kafka = stack.enter_context(SecuredKafka(authority.issue_cert(LOCALHOST), authority))
        qdrant = stack.enter_context(TlsQdrant(folder, authority.issue_cert(LOCALHOST), API_KEY))
        yield Servers(authority, folder / "ca.pem", kafka, qdrant)


def by_password(mechanism: str, jaas: str) -> dict[str, str]:
    """Return what a client needs that shows a password."""
    return {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.jaas.config": jaas}


def by_certificate(folder: Path, certificate: LeafCert) -> dict[str, str]:
    """Return what a client needs that shows a certificate."""
    return {"security.protocol": "SSL", **showing(write_key_store(folder / "client.pem", certificate))}


def from_file(folder: Path, mechanism: str, jaas: str) -> dict[str, str]:
    """Return what a client needs that finds its password in a file, so that it is in no job graph."""
    (folder / "jaas").write_text(jaas)
    return {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, **login_from(folder)}


def arguments(servers: Servers, properties: dict[str, str], topic: str, key_file: Path) -> list[str]:
    """Return the arguments of a job that reads the topic to its end."""
    at = servers.kafka.at[properties["security.protocol"]]
    return [
        f"--topics={topic}",
        f"--properties.bootstrap.servers={at}",
        *(f"--properties.{name}={value}" for name, value in {**trusting(servers.ca_file), **properties}.items()),
        f"--qdrant.grpc.url={servers.qdrant.https_url}",
        f"--qdrant.api.key=file:{key_file}",
        f"--qdrant.tls.ca.file={servers.ca_file}",
        "--scan.bounded.mode=latest-offset",
        "--parallelism=1",
        "--flink.restart-strategy.type=none",
    ]


WAYS = ["PLAIN", "SCRAM-SHA-512", "SCRAM-SHA-512 from a file", "mutual TLS"]


def properties_of(way: str, servers: Servers, folder: Path) -> dict[str, str]:
    """Return the properties of Kafka's client for one way to prove who it is."""
    return {
        "PLAIN": lambda: by_password("PLAIN", login(SHADED + PLAIN, "right")),
        "SCRAM-SHA-512": lambda: by_password("SCRAM-SHA-512", login(SHADED + SCRAM, "right")),
        "SCRAM-SHA-512 from a file": lambda: from_file(folder, "SCRAM-SHA-512", login(SHADED + SCRAM, "right")),
        "mutual TLS": lambda: by_certificate(folder, servers.authority.issue_cert("client.example")),
    }[way]()


@pytest.mark.parametrize("way", WAYS)
def test_a_job_gets_through(servers: Servers, tmp_path: Path, way: str) -> None:
    """Its points arrive by TLS, and so does the dead letter of a bad message, which the sink's own client writes."""
    topic = way.replace(" ", "-")
    bodies = [{"collection_name": topic, "id": number, "vector": [1, 2]} for number in range(MESSAGES)]
    bad = (None, b"no JSON")
    write(servers.kafka, topic, [*((None, json.dumps(body).encode()) for body in bodies), bad], partitions=2)
    letters = create_letters_topic(servers.kafka, f"{topic}-letters")
    (tmp_path / "key").write_text(API_KEY)
    (tmp_path / "run").mkdir()
    given = arguments(servers, properties_of(way, servers, tmp_path), topic, tmp_path / "key")
    with closing(servers.qdrant.trusting_client(servers.ca_file)) as client:
        client.create_collection(topic, models.VectorParams(size=2, distance=models.Distance.DOT))
        ended = run_job(*given, *tolerant(letters), folder=tmp_path / "run")
        assert (ended.code, ended.stderr) == (0, "")
        assert not ended.stdout or COMPLAINT in ended.stdout
        assert client.count(topic).count == MESSAGES
    assert [letter.code for letter in letters_in(servers.kafka, letters)] == ["json-unreadable"]
    assert API_KEY not in ended.flink_log
    assert 'password="right"' not in ended.flink_log
