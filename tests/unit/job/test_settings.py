"""What settings come out of arguments and files, which of them count, and what the rest of the job makes of them."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from job.arguments import help_text, load_settings
from job.settings import FIELDS, Settings
from udfs.qdrant.connection import Connection

if TYPE_CHECKING:
    from pathlib import Path

LEAST = ["--topics=docs", "--properties.bootstrap.servers=kafka:9092", "--qdrant.grpc.url=http://qdrant"]


def test_the_least_that_a_job_needs_has_good_defaults() -> None:
    """Three settings are enough, and the others have the documented defaults."""
    settings = load_settings(LEAST)
    assert settings.topics == ("docs",)
    assert settings.kafka_properties == {
        "bootstrap.servers": "kafka:9092",
        "group.id": "kafka-flink-qdrant",
        "auto.offset.reset": "earliest",
    }
    assert settings.scan_startup_mode == "group-offsets"
    assert (settings.sink_batch_max_size, settings.sink_flush_buffer_size) == (1000, 8 * 2**20)
    assert (settings.sink_requests_max_inflight, settings.sink_record_max_size) == (4, 16 * 2**20)
    assert (settings.sink_request_timeout, settings.sink_retry_max_time) == (timedelta(seconds=60), None)
    assert (settings.checkpoint_interval, settings.bundle_time) == (timedelta(seconds=10), timedelta(seconds=0.3))
    assert (settings.bundle_size, settings.job_name, settings.parallelism) == (10_000, "kafka-to-qdrant", None)
    assert (settings.errors_tolerance, settings.errors_deadletterqueue_topic_name) == ("none", None)
    assert (settings.errors_limit_share, settings.errors_limit_count) == (0.9, 1000)
    assert settings.errors_limit_window == timedelta(minutes=10)


@pytest.mark.parametrize("text", ["a,b", "a;b", " a , b ;"])
def test_topics_are_separated_by_comma_or_semicolon(text: str) -> None:
    """A text of topics is a list of them."""
    assert load_settings(["--topics", text, *LEAST[1:]]).topics == ("a", "b")


YAML = {
    "flat": "topics: [a, b]\nproperties.bootstrap.servers: k:1\nproperties.group.id: g\nqdrant.grpc.url: http://q\n",
    "nested": "topics: [a, b]\nproperties: {bootstrap: {servers: 'k:1'}, group.id: g}\nqdrant: {grpc.url: 'http://q'}",
    "lists": "topics:\n  - a\n  - b\nproperties:\n  bootstrap.servers: ['k:1']\n  group: {id: g}\nqdrant.grpc: {url: http://q}",
}


@pytest.mark.parametrize("text", YAML.values(), ids=YAML.keys())
def test_a_file_may_be_flat_or_nested(tmp_path: Path, text: str) -> None:
    """Dotted keys and nested mappings say the same, and a list may be a list."""
    (tmp_path / "job.yaml").write_text(text)
    expected = load_settings(
        ["--topics=a;b", "--properties.bootstrap.servers=k:1", "--properties.group.id=g", "--qdrant.grpc.url=http://q"]
    )
    assert load_settings(["--config", str(tmp_path / "job.yaml")]) == expected


def test_values_in_a_file_stay_as_they_were_typed(tmp_path: Path) -> None:
    """YAML's own readings of `no`, `010` and dates do not get at Kafka's properties."""
    (tmp_path / "job.yaml").write_text("properties: {a: no, b: 010, c: 2024-01-01, d: 1_0, e: 'null'}")
    settings = load_settings([*LEAST, f"--config={tmp_path}/job.yaml"])
    assert settings.properties == {"a": "no", "b": "010", "c": "2024-01-01", "d": "1_0", "e": "null"}


def test_options_of_flink_are_handed_on() -> None:
    """What begins with `flink.` is an option of Flink, which this job need not know."""
    settings = load_settings([*LEAST, "--flink.taskmanager.numberOfTaskSlots=2", "--flink.a.b=c"])
    assert settings.flink == {"taskmanager.numberOfTaskSlots": "2", "a.b": "c"}


LOCATIONS = {
    "/var/chk": "file:///var/chk",
    "file:///var/chk": "file:///var/chk",
    "s3://bucket/chk": "s3://bucket/chk",
    "hdfs:/chk": "hdfs:/chk",
}


@pytest.mark.parametrize(("location", "expected"), LOCATIONS.items(), ids=LOCATIONS.keys())
def test_checkpoints_go_to_a_uri_or_an_absolute_path(location: str, expected: str) -> None:
    """A place that means the same on every machine is accepted, and becomes the URI that Flink wants."""
    assert load_settings([*LEAST, "--execution.checkpointing.dir", location]).checkpoint_dir == expected


def test_arguments_win_over_the_file(tmp_path: Path) -> None:
    """What is said in both places counts as the argument says, also for Kafka's properties; the rest adds up."""
    (tmp_path / "job.yaml").write_text("lanes: 3\nparallelism: 2\nproperties: {client.id: file, linger.ms: 5}")
    settings = load_settings([*LEAST, "--config", f"{tmp_path}/job.yaml", "--lanes", "7", "--properties.client.id=me"])
    assert (settings.lanes, settings.parallelism) == (7, 2)
    assert settings.properties == {"client.id": "me", "linger.ms": "5"}


def test_environment_variables_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting comes from an argument or a file; a variable that is named like one does not count."""
    for name in ("lanes", "LANES", "parallelism", "qdrant.api.key"):
        monkeypatch.setenv(name, "5")
    assert load_settings(LEAST) == load_settings([*LEAST])
    assert load_settings(LEAST).lanes is None


def test_secrets_do_not_show_in_repr() -> None:
    """Neither where a key is nor any Kafka property named like a secret can be read in repr or str."""
    secrets = ["--properties.sasl.jaas.config=hidden1", "--properties.ssl.truststore.password=hidden2"]
    settings = load_settings([*LEAST, *secrets, "--properties.client.id=plain", "--qdrant.api.key=env:hidden3"])
    for text in (repr(settings), str(settings)):
        assert "hidden" not in text
        assert "'client.id': 'plain'" in text
    assert settings.kafka_properties["sasl.jaas.config"] == "hidden1"


def test_settings_do_not_change() -> None:
    """The settings of a job are frozen, and come out of a pickle as they went in."""
    settings = load_settings(LEAST)
    with pytest.raises(ValidationError, match="frozen"):
        settings.lanes = 3
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own


ADDRESSES = {
    "http://qdrant": Connection("qdrant", 6334, False, None, 60.0),  # noqa: FBT003
    "https://qdrant:443/": Connection("qdrant", 443, True, None, 60.0),  # noqa: FBT003
    "http://[::1]": Connection("::1", 6334, False, None, 60.0),  # noqa: FBT003
}


@pytest.mark.parametrize(("url", "connection"), ADDRESSES.items(), ids=ADDRESSES.keys())
def test_the_url_says_how_workers_reach_qdrant(url: str, connection: Connection) -> None:
    """Host, port and TLS come from the URL; the port is 6334 unless it is given."""
    assert load_settings([*LEAST[:2], "--qdrant.grpc.url", url]).connection == connection


def test_the_authority_to_trust_is_handed_on() -> None:
    """As the name of a file, which the workers read."""
    given = [*LEAST[:2], "--qdrant.grpc.url=https://qdrant", "--qdrant.tls.ca.file=/etc/ca.pem"]
    assert load_settings(given).connection.ca_file == "/etc/ca.pem"


def test_the_connector_gets_what_was_set_in_its_own_words() -> None:
    """Flink's Kafka connector is given its own options, durations in milliseconds, nothing that is unset."""
    settings = load_settings(
        [
            *(*LEAST[1:], "--topics=a,b", "--properties.client.id=me", "--scan.bounded.mode=timestamp"),
            *("--scan.bounded.timestamp-millis=17", "--scan.topic-partition-discovery.interval=90 s"),
        ]
    )
    assert settings.connector_options == {
        "topic": "a;b",
        "properties.bootstrap.servers": "kafka:9092",
        "properties.group.id": "kafka-flink-qdrant",
        "properties.auto.offset.reset": "earliest",
        "properties.client.id": "me",
        "scan.startup.mode": "group-offsets",
        "scan.bounded.mode": "timestamp",
        "scan.bounded.timestamp-millis": "17",
        "scan.topic-partition-discovery.interval": "90000",
    }
    assert "topic" not in load_settings([*LEAST[1:], "--topic-pattern=a.*"]).connector_options


@pytest.mark.parametrize("width", [80, 200])
def test_help_names_every_setting_its_default_and_its_meaning(width: int) -> None:
    """Help leaves nothing out, and its text fits the terminal."""
    text = help_text(width)
    words = " ".join(text.split())
    for name, info in FIELDS.items():
        default = "required" if info.is_required() else f"default: {info.default}" if info.default else "optional"
        assert f"--{name} ({default})" in words
        assert info.description
        assert " ".join(info.description.split()) in words
    assert all(len(line) <= width for line in text.splitlines()[1:])


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--lanes", "no number", "--help"]])
def test_help_is_printed_whatever_else_is_wrong(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` prints the settings under headings and ends with status 0."""
    with pytest.raises(SystemExit) as leaving:
        load_settings(argv)
    assert leaving.value.code == 0
    printed = capsys.readouterr().out
    assert all(heading in printed for heading in ("Source: Kafka", "Sink: Qdrant", "Job: Flink"))


def test_defaults_are_valid_by_themselves() -> None:
    """Each default, written as a user would write it, passes the checks of its own setting."""
    minimum = {"topics": "a", "properties.bootstrap.servers": "k", "qdrant.grpc.url": "http://q"}
    assert Settings.model_validate(minimum) == Settings.model_validate(
        {**minimum, **{name: info.default for name, info in FIELDS.items() if info.default and name not in minimum}}
    )
