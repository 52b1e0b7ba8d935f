"""What the preflight says of a real Kafka: a sentence for each way to be unable to read it, or nothing."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

import pytest
from pyflink.java_gateway import get_gateway
from trustme import CA

from job.arguments import load_settings
from job.kafka_check import check_kafka
from scripts.stack.kafka import JARS
from scripts.stack.processes import LOCALHOST, free_port
from tests.support.secured import (
    PLAIN,
    SCRAM,
    SHADED,
    SecuredKafka,
    login,
    login_from,
    showing,
    trusting,
    write_key_store,
)
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from job.settings import Settings


pytestmark = pytest.mark.usefixtures("flinks_java")


def _settings(bootstrap: str, *more: str) -> Settings:
    topics = () if any(argument.startswith("--topic") for argument in more) else ("--topics=docs",)
    return load_settings(["--qdrant.grpc.url=http://x", "--properties.bootstrap.servers", bootstrap, *topics, *more])


@pytest.fixture(scope="module")
def kafka(authority: CA) -> Iterator[SecuredKafka]:
    """A broker with the topics `docs`, of four partitions, and `documents`, of one."""
    with SecuredKafka(authority.issue_cert(LOCALHOST), authority) as broker:
        broker.create_topic("docs", 4)
        broker.create_topic("documents")
        yield broker


def _kafka_faults(bootstrap: str, *more: str, slots: int = 1, seconds: int = 10) -> list[str]:
    (jar,) = JARS.glob("flink-sql-connector-kafka-*.jar")
    return check_kafka(_settings(bootstrap, f"--kafka.connector.jar={jar}", *more), slots, seconds=seconds)


def _sasl(module: str, password: str) -> tuple[str, ...]:
    return (
        "--properties.security.protocol=SASL_PLAINTEXT",
        "--properties.sasl.mechanism=PLAIN",
        f"--properties.sasl.jaas.config={login(module, password)}",
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


@pytest.mark.parametrize(
    ("topics", "slots", "warned"),
    [
        pytest.param(["--topics=docs"], 4, False, id="a partition for each"),
        pytest.param(["--topics=docs"], 5, True, id="one too many"),
        pytest.param(["--topics=docs", "--lanes=5"], 5, False, id="one to write only"),
        pytest.param(["--topics=docs,documents"], 5, False, id="of two topics"),
        pytest.param(["--topic-pattern=docs?"], 5, True, id="of a pattern"),
        pytest.param(["--topic-pattern=doc"], 5, False, id="topics that may come"),
    ],
)
def test_slots_without_a_partition_are_a_warning(
    kafka: SecuredKafka, caplog: pytest.LogCaptureFixture, topics: list[str], slots: int, *, warned: bool
) -> None:
    """They cost memory and do nothing, which is hard to see from outside."""
    with caplog.at_level(logging.WARNING, "job.kafka_check"):
        assert _kafka_faults(kafka.bootstrap, *topics, slots=slots) == []
    said = [text for text in caplog.messages if "nothing to do" in text]
    assert [text.partition(",")[0] for text in said] == (["1 of 5 slots will have nothing to do"] if warned else [])
    assert all("(partitions in all: 4)" in text for text in said)


def test_a_topic_that_is_deleted_meanwhile_is_no_fault(
    kafka: SecuredKafka, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka then describes none of the topics, and no slot is called idle."""
    monkeypatch.setattr("job.kafka_check._topics", lambda *_: {"docs", "docs-gone"})
    with caplog.at_level(logging.WARNING, "job.kafka_check"):
        assert _kafka_faults(kafka.bootstrap, "--topic-pattern=docs.*", slots=9) == []
    assert caplog.messages == []


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


class Tls(NamedTuple):
    """How a client comes to the broker by TLS, and what is said of it.

    Attributes:
        said: A part of it.
        trusted: Whose certificate the client trusts.
        shown: Whose certificate the client shows on the listener SSL; none on SASL_SSL.
        phrase: The password that it shows there.
        mechanism: How.
    """

    said: str
    trusted: str = "authority"
    shown: str | None = None
    phrase: str = "right"
    mechanism: str = "PLAIN"


TLS = {
    "nobody trusted": Tls(
        "SSL handshake failed: unable to find valid certification path to requested target. Let"
        " properties.ssl.truststore.location name",
        trusted="other",
    ),
    "no file": Tls("there is no file /no/such.pem.", trusted="/no/such.pem"),
    "wrong password": Tls("Authentication failed: Invalid username or password.", phrase="hidden"),
    "wrong password, SCRAM": Tls(
        "invalid credentials with SASL mechanism SCRAM-SHA-512.",
        phrase="hidden",
        mechanism="SCRAM-SHA-512",
    ),
    "another mechanism": Tls("'SCRAM-SHA-256' not enabled in the server, enabled", mechanism="SCRAM-SHA-256"),
    "no certificate": Tls("It wants a certificate of this client that it trusts: see properties.ssl.k", shown=""),
    "certificate of another": Tls("It wants a certificate of this client that it trusts: see proper", shown="other"),
}


@pytest.mark.parametrize("tls", TLS.values(), ids=TLS.keys())
def test_what_is_wrong_with_tls_is_said(kafka: SecuredKafka, authority: CA, tmp_path: Path, tls: Tls) -> None:
    """In Java's words, with what to do about it, and without the password."""
    authorities = {"authority": authority, "other": CA()}
    properties = trusting(tls.trusted)
    if tls.trusted in authorities:
        authorities[tls.trusted].cert_pem.write_to_path(tmp_path / "ca.pem")
        properties = trusting(tmp_path / "ca.pem")
    if tls.shown is None:
        module = SHADED + (PLAIN if tls.mechanism == "PLAIN" else SCRAM)
        properties |= {"sasl.mechanism": tls.mechanism, "sasl.jaas.config": login(module, tls.phrase)}
    elif tls.shown:
        store = write_key_store(tmp_path / "client.pem", authorities[tls.shown].issue_cert("client.example"))
        properties |= showing(store)
    listener = "SASL_SSL" if tls.shown is None else "SSL"
    given = {"security.protocol": listener, **properties}
    (fault,) = _kafka_faults(kafka.at[listener], *(f"--properties.{name}={value}" for name, value in given.items()))
    assert tls.said in fault
    assert "hidden" not in fault


BROKERS = {
    "expired": (LOCALHOST, -1, "The broker's certificate has expired."),
    "of another name": ("kafka.example", 1, "Name the host in properties.bootstrap.servers as the broker's certifica"),
}


@pytest.mark.parametrize(("name", "days", "said"), BROKERS.values(), ids=BROKERS.keys())
def test_a_brokers_bad_certificate_is_refused(authority: CA, tmp_path: Path, name: str, days: int, said: str) -> None:
    """Whoever signed it."""
    now = datetime.now(timezone.utc)
    starts, ends = now - timedelta(days=3), now + timedelta(days=days)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    given = {"security.protocol": "SSL", **trusting(tmp_path / "ca.pem")}
    with SecuredKafka(authority.issue_cert(name, not_before=starts, not_after=ends), authority) as broker:
        (fault,) = _kafka_faults(broker.at["SSL"], *(f"--properties.{name}={value}" for name, value in given.items()))
    assert said in fault


BAD_PROPERTIES = {
    "of-the-consumer": (["fetch.max.bytes=50mb"], "Invalid value 50mb for configuration fetch.max.bytes: "),
    "of-the-producer": (["compression.type=foo"], "Invalid value foo for configuration compression.type: "),
    "value": (["security.protocol=TLS"], "Invalid value TLS for configuration security.protocol: "),
    "two-that-do-not-fit": (
        ["default.api.timeout.ms=1", "request.timeout.ms=2"],
        "The specified value of default.api.timeout.ms must be no smaller than the value of request.timeout.ms",
    ),
}


@pytest.mark.parametrize(("properties", "reason"), BAD_PROPERTIES.values(), ids=BAD_PROPERTIES.keys())
def test_properties_that_kafka_does_not_take_are_said(kafka: SecuredKafka, properties: list[str], reason: str) -> None:
    """Kafka's own check of its properties is passed on, as one sentence."""
    (fault,) = _kafka_faults(kafka.bootstrap, *tolerant("documents"), *(f"--properties.{text}" for text in properties))
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


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ('required username="me" password=hid hidden;', "Value not specified for key *** in JAAS config"),
        ('required username="me" "hidden";', "Value not specified for key *** in JAAS config"),
        ("hidden required;", "Invalid login module control flag *** in JAAS config"),
    ],
)
def test_a_jaas_entry_that_cannot_be_read_is_not_shown(
    kafka: SecuredKafka, tmp_path: Path, entry: str, reason: str
) -> None:
    """Kafka quotes what it stumbles over, which may be the password, and from a file it is not among the settings."""
    (tmp_path / "jaas").write_text(f"{SHADED}{SCRAM} {entry}")
    mechanism = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"}
    properties = {**mechanism, **login_from(tmp_path)}
    (fault,) = _kafka_faults(kafka.sasl, *(f"--properties.{name}={value}" for name, value in properties.items()))
    assert reason in fault
    assert "hidden" not in fault


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
        assert check_kafka(_settings(kafka.bootstrap), slots=1) == [
            "Flink has no Kafka connector here: set kafka.connector.jar to flink-sql-connector-kafka's jar."
        ]
    finally:
        thread.setContextClassLoader(before)
