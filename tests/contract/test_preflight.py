"""What the preflight says of real servers: a sentence for each way to be unable to reach them, or nothing."""

from __future__ import annotations

import logging
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from pyflink.java_gateway import get_gateway
from qdrant_client import models

from job.arguments import load_settings
from job.kafka_check import check_kafka
from job.qdrant_check import check_qdrant
from scripts.stack.kafka import JARS
from scripts.stack.processes import LOCALHOST, free_port
from scripts.stack.qdrant import Qdrant
from tests.support.secured import PLAIN, SecuredKafka, TlsQdrant
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trustme import CA

    from job.settings import Settings

SHADED = "org.apache.flink.kafka.shaded."


def _settings(*, url: str = "http://nowhere", bootstrap: str = "nowhere:1", more: tuple[str, ...] = ()) -> Settings:
    topics = () if any(argument.startswith("--topic") for argument in more) else ("--topics=docs",)
    servers = ("--qdrant.grpc.url", url, "--properties.bootstrap.servers", bootstrap)
    return load_settings([*servers, *topics, *more])


@pytest.fixture(scope="module")
def qdrant() -> Iterator[Qdrant]:
    """A server that wants the key `right`, with a collection `docs` and an alias `alias`."""
    with Qdrant(api_key="right") as server:
        client = server.client()
        client.create_collection("docs", vectors_config={})
        client.close()
        yield server


@pytest.fixture(scope="module", autouse=True)
def _gateway() -> None:
    """Start Flink's JVM, whose process PyFlink leaves to itself with a warning at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        get_gateway()


@pytest.fixture(scope="module")
def kafka(authority: CA) -> Iterator[SecuredKafka]:
    """A broker with the topics `docs` and `documents`."""
    with SecuredKafka(authority.issue_cert(LOCALHOST), authority) as broker:
        broker.create_topic("docs")
        broker.create_topic("documents")
        yield broker


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The right key, in a variable."""
    monkeypatch.setenv("PREFLIGHT_KEY", "right")
    return ("--qdrant.api.key=env:PREFLIGHT_KEY",)


def test_a_reachable_qdrant_has_no_faults(qdrant: Qdrant, key: tuple[str, ...], tmp_path: Path) -> None:
    """With the right address and key, from a variable or a file, there is nothing to say."""
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=key)) == []
    (tmp_path / "key").write_text("right\n")
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=(f"--qdrant.api.key=file:{tmp_path}/key",))) == []


@pytest.mark.parametrize("more", [(), ("--qdrant.api.key=env:PREFLIGHT_KEY",)], ids=["no-key", "with-key"])
def test_the_rest_port_is_recognised(qdrant: Qdrant, key: tuple[str, ...], more: tuple[str, ...]) -> None:
    """Who gives the REST port, with or without a key, is told of the gRPC port."""
    assert key
    (fault,) = check_qdrant(_settings(url=qdrant.rest_url, more=more))
    assert fault == (
        f"{qdrant.rest_url} is Qdrant's REST port: qdrant.grpc.url needs the gRPC port, which usually is"
        f" http://{LOCALHOST}:6334."
    )


def test_a_missing_key_is_asked_for(qdrant: Qdrant) -> None:
    """A server that wants a key is no server to start with without one."""
    assert check_qdrant(_settings(url=qdrant.grpc_url)) == [
        f"Qdrant at {qdrant.grpc_url} wants an API key: set qdrant.api.key to `env:NAME` or `file:/absolute/path`."
    ]


def test_a_wrong_key_is_said_without_showing_it(qdrant: Qdrant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused key is named by its place only."""
    monkeypatch.setenv("PREFLIGHT_KEY", "hidden")
    (fault,) = check_qdrant(_settings(url=qdrant.grpc_url, more=("--qdrant.api.key=env:PREFLIGHT_KEY",)))
    assert fault.startswith(f"Qdrant at {qdrant.grpc_url} does not accept the API key that is at env:PREFLIGHT_KEY: ")
    assert "hidden" not in fault


@pytest.mark.parametrize(
    ("text", "said"), [("", "there is no key"), ("hid\nden", "no key, or one that cannot be sent")]
)
def test_an_unusable_key_is_said_without_showing_it(qdrant: Qdrant, tmp_path: Path, text: str, said: str) -> None:
    """An empty file, or one with more than a key, is no key; gRPC's own error would show it."""
    (tmp_path / "key").write_text(text)
    (fault,) = check_qdrant(_settings(url=qdrant.grpc_url, more=(f"--qdrant.api.key=file:{tmp_path}/key",)))
    assert said in fault
    assert "hid" not in fault


@pytest.mark.parametrize("source", ["env:PREFLIGHT_NO_KEY", "file:/preflight/no/key"])
def test_a_key_that_only_the_workers_have_is_a_fault(qdrant: Qdrant, source: str) -> None:
    """Without the key this check can show nothing, so it says that the key is needed here, too."""
    (fault,) = check_qdrant(_settings(url=qdrant.grpc_url, more=(f"--qdrant.api.key={source}",)))
    assert source.partition(":")[2] in fault
    assert fault.endswith("This check needs it where the job is started, too, not on the workers only.")


def test_nobody_listening_is_said() -> None:
    """An address where nothing answers is said, with the address."""
    url = f"http://{LOCALHOST}:{free_port()}"
    assert check_qdrant(_settings(url=url)) == [
        f"Nothing answers at {url}: check qdrant.grpc.url, and that Qdrant is running."
    ]


class Other(BaseHTTPRequestHandler):
    """A web server with a title that is not Qdrant's."""

    def do_GET(self) -> None:
        """Answer as Qdrant's REST port does, but for the title."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"title": "another server"}')


def test_another_server_is_said_in_grpcs_words() -> None:
    """A web server that is no Qdrant is not taken for one's REST port."""
    with HTTPServer((LOCALHOST, 0), Other) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{LOCALHOST}:{server.server_port}"
        (fault,) = check_qdrant(_settings(url=url))
        server.shutdown()
    assert fault.startswith(f"Qdrant at {url} does not answer: UNAVAILABLE, ")


def test_https_to_a_port_without_tls_is_recognised(qdrant: Qdrant, key: tuple[str, ...]) -> None:
    """Who asks for TLS in vain is told to write http."""
    url = qdrant.grpc_url.replace("http", "https")
    assert check_qdrant(_settings(url=url, more=key)) == [
        f"The port of {url} speaks no TLS: write {qdrant.grpc_url} for qdrant.grpc.url."
    ]


def test_http_to_a_port_with_tls_is_recognised(tls_qdrant: TlsQdrant) -> None:
    """Who leaves out TLS is told to write https."""
    url = tls_qdrant.grpc_url
    assert check_qdrant(_settings(url=url)) == [
        f"The port of {url} speaks TLS: write {url.replace('http', 'https')} for qdrant.grpc.url."
    ]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_rest_port_with_tls_is_recognised(tls_qdrant: TlsQdrant, scheme: str) -> None:
    """Of the two things that are wrong, the answer mends both at once."""
    (fault,) = check_qdrant(_settings(url=tls_qdrant.rest_url.replace("http", scheme)))
    assert fault.endswith(f"needs the gRPC port, which usually is https://{LOCALHOST}:6334.")


def test_the_collection_asked_for_must_exist(qdrant: Qdrant, key: tuple[str, ...]) -> None:
    """A collection for every message must be there, by its name or an alias; its neighbours are named."""
    client = qdrant.client()
    alias = models.CreateAlias(collection_name="docs", alias_name="alias")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.close()
    for name in ("docs", "alias"):
        assert check_qdrant(_settings(url=qdrant.grpc_url, more=(*key, f"--qdrant.collection.name={name}"))) == []
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=(*key, "--qdrant.collection.name=dogs"))) == [
        "Qdrant has no collection 'dogs', which qdrant.collection.name asks for: did you mean docs?"
    ]
    assert check_qdrant(_settings(url=qdrant.grpc_url, more=(*key, "--qdrant.collection.name=zzz"))) == [
        "Qdrant has no collection 'zzz', which qdrant.collection.name asks for: there is docs."
    ]


def _kafka_faults(bootstrap: str, *more: str, seconds: int = 10) -> list[str]:
    (jar,) = JARS.glob("flink-sql-connector-kafka-*.jar")
    return check_kafka(_settings(bootstrap=bootstrap, more=(f"--kafka.connector.jar={jar}", *more)), seconds)


def _sasl(module: str, password: str) -> tuple[str, ...]:
    return (
        "--properties.security.protocol=SASL_PLAINTEXT",
        "--properties.sasl.mechanism=PLAIN",
        f'--properties.sasl.jaas.config={module} required username="me" password="{password}";',
    )


def test_a_reachable_kafka_has_no_faults(kafka: SecuredKafka) -> None:
    """With the right servers and a topic that exists, there is nothing to say; the same with a password."""
    assert _kafka_faults(kafka.bootstrap) == []
    assert _kafka_faults(kafka.sasl, *_sasl(SHADED + PLAIN, "right")) == []


def test_each_missing_topic_is_named_with_its_neighbours(kafka: SecuredKafka) -> None:
    """Topics that do not exist are all said, with those that may be meant."""
    assert _kafka_faults(kafka.bootstrap, "--topics=dogs,docs,zzz") == [
        f"Kafka at {kafka.bootstrap} has no topic 'dogs' that this client may see: did you mean docs?",
        f"Kafka at {kafka.bootstrap} has no topic 'zzz' that this client may see: there is docs, documents.",
    ]


def test_a_missing_topic_for_dead_letters_is_said(kafka: SecuredKafka) -> None:
    """It must be there before the first message is refused, for then it would be too late."""
    assert _kafka_faults(kafka.bootstrap, *tolerant("documents")) == []
    assert _kafka_faults(kafka.bootstrap, *tolerant("docments")) == [
        f"Kafka at {kafka.bootstrap} has no topic 'docments' that this client may see: did you mean documents or docs?"
    ]
    assert len(_kafka_faults(kafka.bootstrap, "--topics=x", *tolerant("y"))) == 2


@pytest.mark.parametrize(("pattern", "warned"), [("doc.*", 0), ("doc", 1)])
def test_a_pattern_without_topics_is_a_warning(
    kafka: SecuredKafka, caplog: pytest.LogCaptureFixture, pattern: str, warned: int
) -> None:
    """A pattern must fit a whole name; one that fits none may do so later, so the job may start."""
    with caplog.at_level(logging.WARNING, "job.kafka_check"):
        assert _kafka_faults(kafka.bootstrap, f"--topic-pattern={pattern}") == []
    assert len([record for record in caplog.records if record.name == "job.kafka_check"]) == warned


def test_a_wrong_password_is_said_without_showing_it(kafka: SecuredKafka) -> None:
    """A refused login gives Kafka's reason, and no word of the password."""
    (fault,) = _kafka_faults(kafka.sasl, *_sasl(SHADED + PLAIN, "hidden"))
    assert fault == (
        f"Kafka at {kafka.sasl} cannot be used with these properties: Authentication failed: Invalid username or"
        " password."
    )


def test_a_login_module_that_is_not_relocated_is_recognised(kafka: SecuredKafka) -> None:
    """Who copies Kafka's documentation is told how the class is called in Flink's connector."""
    (fault,) = _kafka_faults(kafka.sasl, *_sasl(PLAIN, "hidden"))
    assert fault.endswith(f"No LoginModule found for {PLAIN}, which in Flink's connector is {SHADED}{PLAIN}.")


BAD_PROPERTIES = {
    "value": (["security.protocol=TLS"], "Invalid value TLS for configuration security.protocol: "),
    "two-that-do-not-fit": (
        ["default.api.timeout.ms=1", "request.timeout.ms=2"],
        "The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms",
    ),
}


@pytest.mark.parametrize(("properties", "reason"), BAD_PROPERTIES.values(), ids=BAD_PROPERTIES.keys())
def test_properties_that_kafka_does_not_take_are_said(kafka: SecuredKafka, properties: list[str], reason: str) -> None:
    """Kafka's own check of its properties is passed on, as one sentence."""
    (fault,) = _kafka_faults(kafka.bootstrap, *(f"--properties.{text}" for text in properties))
    assert reason in fault
    assert not fault.endswith("..")


def test_kafkas_words_are_passed_on_without_secrets(kafka: SecuredKafka) -> None:
    """Where Kafka's own message shows a property that is named like a secret, or a part of one, ours does not."""
    keystore = ("--properties.ssl.keystore.location=/hidden", "--properties.ssl.keystore.password=hidden")
    (fault,) = _kafka_faults(kafka.bootstrap, "--properties.security.protocol=SSL", *keystore)
    assert "Failed to load SSL keystore *** of type JKS" in fault
    assert "hidden" not in fault
    (fault,) = _kafka_faults(kafka.sasl, *_sasl("hidden", "hidden"))
    assert fault.endswith("No LoginModule found for ***.")


@pytest.mark.parametrize("tls", [False, True], ids=["no-broker", "tls-to-a-plain-port"])
def test_no_answer_is_said_in_time(kafka: SecuredKafka, tls: bool) -> None:  # noqa: FBT001 - a table of two
    """Servers that do not answer are named, with what else may be the cause, within the time given."""
    bootstrap = kafka.bootstrap if tls else f"{LOCALHOST}:{free_port()}"
    (fault,) = _kafka_faults(bootstrap, *(["--properties.security.protocol=SSL"] if tls else []), seconds=2)
    assert fault.startswith(f"Kafka does not answer at {bootstrap} within 2 s: check properties.bootstrap.servers, and")


def test_a_missing_connector_is_said(kafka: SecuredKafka) -> None:
    """Where neither the setting nor Flink's lib folder has the connector, the setting is named."""
    thread = get_gateway().jvm.Thread.currentThread()
    before = thread.getContextClassLoader()
    thread.setContextClassLoader(get_gateway().jvm.ClassLoader.getSystemClassLoader())
    try:
        assert check_kafka(_settings(bootstrap=kafka.bootstrap)) == [
            "Flink has no Kafka connector here: set kafka.connector.jar to flink-sql-connector-kafka's jar."
        ]
    finally:
        thread.setContextClassLoader(before)
