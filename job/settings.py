"""What a user can set, with every default and meaning: one frozen model, made by `job.arguments.load_settings`.

The order of the fields is that of `--help`, and a rule on several settings stands at the last of them (see job.rules).
"""

from __future__ import annotations

import re
from collections.abc import Iterator  # noqa: TC003 - pydantic resolves the annotations of its hooks
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
)

from job import readers, rules
from job.durations import read_duration, read_size
from udfs.qdrant.connection import Connection

_SECRET = re.compile(r"password|secret|key|token|jaas|credential", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Say whether the value of a setting of this name is kept out of every text."""
    return _SECRET.search(name) is not None


def _at_least(least: str) -> AfterValidator:
    def check(duration: timedelta) -> timedelta:
        if duration < read_duration(least):
            raise ValueError(f"give {least} or more")
        return duration

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1)]
# As many as Java's integers hold.
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Millis = Annotated[int, Field(ge=0, le=2**63 - 1)]
# A request may hold a full buffer and one more record, and protobuf ends at 2 GiB.
Size = Annotated[int, BeforeValidator(read_size), Field(ge=1, lt=1024**3)]
Duration = Annotated[timedelta, BeforeValidator(read_duration)]
Pattern = Annotated[Text, AfterValidator(readers.check_pattern)]
Topic = Annotated[str, AfterValidator(readers.check_topic)]
Offsets = Annotated[str, AfterValidator(readers.check_offsets)]


def _setting(name: str, meaning: str, default: Any = ...) -> Any:
    """Return a field that users know by `name`. Defaults are written as users would write them."""
    return Field(alias=name, description=meaning, default=default)


class Settings(BaseModel):
    """The settings of one job, valid by themselves and together."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, str_strip_whitespace=True, hide_input_in_errors=True
    )

    topics: Annotated[tuple[str, ...], BeforeValidator(readers.read_topics)] = _setting(
        "topics", "Topics to read, separated by comma or semicolon; a list in YAML. Either this or topic-pattern.", ""
    )
    topic_pattern: Annotated[Pattern | None, AfterValidator(rules.one_of_topics_and_pattern)] = _setting(
        "topic-pattern", "Regular expression for the names of the topics to read, later ones too.", None
    )
    bootstrap_servers: Text = _setting("properties.bootstrap.servers", "Kafka's addresses, as host:port,host:port.")
    group_id: Text = _setting(
        "properties.group.id", "Consumer group that offsets are committed for at checkpoints.", "kafka-flink-qdrant"
    )
    auto_offset_reset: Literal["earliest", "latest", "none"] = _setting(
        "properties.auto.offset.reset", "Where to start in a partition for which the group has no offset.", "earliest"
    )
    properties: dict[str, str] = _setting(
        "properties.*",
        "Any other property of the Kafka client, as it is. For reading, `receive.buffer.bytes` is -1 unless given; for"
        " dead letters `acks` is always all.",
        {},
    )
    scan_startup_mode: Literal["group-offsets", "earliest-offset", "latest-offset", "timestamp", "specific-offsets"] = (
        _setting(
            "scan.startup.mode",
            "Where a job without a savepoint starts: group-offsets (where the group's last checkpoint left off),"
            " earliest-offset, latest-offset, timestamp or specific-offsets.",
            "group-offsets",
        )
    )
    scan_startup_timestamp_millis: Annotated[Millis | None, rules.needed_by("scan.startup.mode", "timestamp")] = (
        _setting("scan.startup.timestamp-millis", "For scan.startup.mode=timestamp: milliseconds since 1970.", None)
    )
    scan_startup_specific_offsets: Annotated[Offsets | None, rules.offsets_needed_by("scan.startup.mode")] = _setting(
        "scan.startup.specific-offsets",
        "For scan.startup.mode=specific-offsets and one topic: partition:0,offset:42;partition:1,offset:300.",
        None,
    )
    scan_bounded_mode: Literal["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"] = (
        _setting(
            "scan.bounded.mode",
            "Where the job ends: unbounded (never), latest-offset (what is there at the start), group-offsets,"
            " timestamp or specific-offsets.",
            "unbounded",
        )
    )
    scan_bounded_timestamp_millis: Annotated[
        Millis | None, rules.needed_by("scan.bounded.mode", "timestamp"), AfterValidator(rules.not_before_startup)
    ] = _setting("scan.bounded.timestamp-millis", "For scan.bounded.mode=timestamp: milliseconds since 1970.", None)
    scan_bounded_specific_offsets: Annotated[Offsets | None, rules.offsets_needed_by("scan.bounded.mode")] = _setting(
        "scan.bounded.specific-offsets", "For scan.bounded.mode=specific-offsets and one topic, as at the start.", None
    )
    scan_topic_partition_discovery_interval: Duration = _setting(
        "scan.topic-partition-discovery.interval",
        "How often to look for new topics and partitions; 0 is never.",
        "5 min",
    )
    qdrant_grpc_url: Annotated[Text, AfterValidator(readers.read_url)] = _setting(
        "qdrant.grpc.url", "Qdrant's gRPC port: http://HOST:PORT, or https:// for TLS. Without a port it is 6334."
    )
    qdrant_api_key: Annotated[str, AfterValidator(readers.check_key_source)] | None = _setting(
        "qdrant.api.key",
        "Where the workers find the API key: env:NAME or file:/absolute/path. Never the key itself.",
        None,
    )
    qdrant_tls_ca_file: (
        Annotated[str, AfterValidator(readers.check_absolute_path), AfterValidator(rules.of_use_with_tls)] | None
    ) = _setting(
        "qdrant.tls.ca.file",
        "File on client and workers with the certificates, in PEM, to trust for https://; those that gRPC comes with"
        " unless given.",
        None,
    )
    qdrant_collection_name: Text | None = _setting(
        "qdrant.collection.name", "Collection for every message, whatever collection_name the message has.", None
    )
    sink_batch_max_size: Count = _setting("sink.batch.max-size", "Points in one request, at most.", "1000")
    sink_flush_buffer_size: Size = _setting(
        "sink.flush-buffer.size", "Bytes of points that make a request full.", "8 mb"
    )
    sink_requests_max_inflight: Count = _setting(
        "sink.requests.max-inflight", "Requests that each writer may have under way at once.", "4"
    )
    sink_record_max_size: Size = _setting(
        "sink.record.max-size", "Bytes of one message; a larger one is refused.", "16 mb"
    )
    sink_request_timeout: Annotated[Duration, _at_least("1 s")] = _setting(
        "sink.request.timeout", "Deadline of one request to Qdrant.", "60 s"
    )
    sink_retry_max_time: Annotated[Duration | None, AfterValidator(rules.not_shorter_than_a_request)] = _setting(
        "sink.retry.max-time",
        "How long to wait out an outage of Qdrant before the job fails; for ever unless given.",
        None,
    )
    lanes: Count | None = _setting(
        "lanes",
        "How many writers share each collection, dealt out by id; unless given, each worker writes what it has parsed.",
        None,
    )
    errors_tolerance: Literal["none", "all"] = _setting(
        "errors.tolerance",
        "What to do about a message that cannot be written: none (the job fails with the reason) or all (it becomes a"
        " dead letter).",
        "none",
    )
    errors_deadletterqueue_topic_name: Annotated[
        Topic | None, rules.needed_by("errors.tolerance", "all"), AfterValidator(rules.not_read)
    ] = _setting(
        "errors.deadletterqueue.topic.name",
        "For errors.tolerance=all: an existing topic of the same Kafka for the dead letters.",
        None,
    )
    errors_limit_share: Annotated[float, Field(gt=0, le=1)] = _setting(
        "errors.limit.share",
        "The job fails when this share of the messages, or more, was refused within the window,",
        "0.9",
    )
    errors_limit_count: Annotated[int, Field(ge=0)] = _setting(
        "errors.limit.count",
        "and so many of them at least; both are counted by each subtask for itself. 0 is no limit.",
        "1000",
    )
    errors_limit_window: Annotated[Duration, _at_least("1 s")] = _setting(
        "errors.limit.window", "The time that the limit looks back.", "10 min"
    )
    job_name: Text = _setting("job.name", "Name of the job in Flink.", "kafka-to-qdrant")
    parallelism: Count | None = _setting(
        "parallelism", "Parallelism of the job, Flink's own default unless given.", None
    )
    checkpoint_interval: Annotated[timedelta, BeforeValidator(readers.read_checkpoint_interval)] = _setting(
        "execution.checkpointing.interval", "Time between checkpoints.", "10 s"
    )
    checkpoint_dir: Annotated[Text, AfterValidator(readers.check_location)] | None = _setting(
        "execution.checkpointing.dir", "URI or absolute path for checkpoints, Flink's own default unless given.", None
    )
    bundle_time: Annotated[Duration, _at_least("1 ms")] = _setting(
        "python.fn-execution.bundle.time", "How often unfilled batches are written.", "300 ms"
    )
    bundle_size: Count = _setting(
        "python.fn-execution.bundle.size",
        "Packs, of up to 500 messages each, after which batches are written even if not full.",
        "10000",
    )
    flink: dict[str, str] = _setting("flink.*", "Any other option of Flink, handed on as with `flink run -D`.", {})
    kafka_connector_jar: Annotated[FilePath, AfterValidator(Path.absolute)] | None = _setting(
        "kafka.connector.jar", "Flink's SQL connector for Kafka, unless it is in Flink's lib folder already.", None
    )

    @property
    def kafka_properties(self) -> dict[str, str]:
        """Everything that the Kafka client is given."""
        own = {"bootstrap.servers": self.bootstrap_servers, "group.id": self.group_id}
        return {**self.properties, **own, "auto.offset.reset": self.auto_offset_reset}

    @property
    def connector_options(self) -> dict[str, str]:
        """What Flink's Kafka connector is given: what to read, from where, and up to where."""
        given = {str(info.alias): getattr(self, name) for name, info in Settings.model_fields.items()}
        scan = {name: value for name, value in given.items() if name.startswith("scan.") and value is not None}
        what = {"topic-pattern": self.topic_pattern} if self.topic_pattern else {"topic": ";".join(self.topics)}
        properties = {f"properties.{name}": value for name, value in self.kafka_properties.items()}
        return {**what, **properties, **{name: as_flink_writes(value) for name, value in scan.items()}}

    @property
    def connection(self) -> Connection:
        """How the workers reach Qdrant."""
        url = urlsplit(self.qdrant_grpc_url)
        host, port, is_tls = url.hostname or "", url.port or 0, url.scheme == "https"
        timeout = self.sink_request_timeout.total_seconds()
        return Connection(host, port, is_tls, self.qdrant_api_key, timeout, self.qdrant_tls_ca_file)

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Hide what is or may be a secret."""
        for field, value in super().__repr_args__():
            name = field or ""
            if isinstance(value, dict):
                yield name, {key: "***" if is_secret(key) else text for key, text in value.items()}
            else:
                yield name, "***" if is_secret(name) and value else value


FIELDS = {str(info.alias): info for info in Settings.model_fields.values()}


def as_flink_writes(value: object) -> str:
    """Return the value as Flink reads it: a duration in milliseconds, without a unit as `bundle.time` takes none."""
    return str(value // timedelta(milliseconds=1) if isinstance(value, timedelta) else value)
