"""From the settings people give to what Flink, the source and the workers take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job.durations import read_duration
from job.environment import DEFAULTS, RESET_THRESHOLD
from job.pipeline import PipelineOptions
from job.settings import as_flink_writes
from udfs.core.batching import BatchLimits
from udfs.core.dead_letters import LetterRules
from udfs.core.error_limit import ErrorLimit
from udfs.core.messages import ParseRules
from udfs.dead_letters import DeadLetterOptions
from udfs.parse import ParseOptions
from udfs.qdrant.patience import RetryOptions
from udfs.write import WriteOptions

if TYPE_CHECKING:
    from datetime import timedelta

    from job.settings import Settings

# Batches under way per subtask, open ones included. With more collections than this in one bundle each would get
# requests of a point or two, so it is high; what bounds memory is the bytes under way.
_MAX_BATCHES = 4096
# A vector takes about three times as many bytes as text, so what a batch is parsed into fills one request. Of those
# batches one is parsed while another fills.
_TEXT_TO_POINT = 3
_PARSED_UNDER_WAY = 2
# The system's own buffer, which grows as it is needed. With the 64 KB that Kafka's Java client asks for, a connection
# carries no more in a round trip; and beside the broker, where that takes no time, they cost Java a tenth of its CPU.
_READING = {"properties.receive.buffer.bytes": "-1"}
# An outage of Kafka is waited out, as one of Qdrant is; the producer would give up after one or two minutes.
_WAITING = {"max.block.ms": str(2**31 - 1), "delivery.timeout.ms": str(2**31 - 1)}
_OF_CONSUMERS = "interceptor.classes"  # a producer takes other ones by this name
# Those of Flink's options that are settings of this job too: name and field.
_FLINK = {
    "parallelism.default": "parallelism",
    "execution.checkpointing.interval": "checkpoint_interval",
    "execution.checkpointing.dir": "checkpoint_dir",
    "python.fn-execution.bundle.time": "bundle_time",
    "python.fn-execution.bundle.size": "bundle_size",
}


def given_flink_options(settings: Settings) -> dict[str, str]:
    """Return the Flink options that the user set: they win over those of the command line and the cluster."""
    chosen = {name: getattr(settings, field) for name, field in _FLINK.items() if field in settings.model_fields_set}
    return {**settings.flink, **{name: as_flink_writes(value) for name, value in chosen.items()}}


def default_flink_options(settings: Settings) -> dict[str, str]:
    """Return what this job would rather have than Flink's own defaults, where nobody says otherwise."""
    values = {name: getattr(settings, field) for name, field in _FLINK.items()}
    if settings.errors_tolerance == "all":
        # An attempt may take that long to find that too many are refused, and must not count as a good one.
        values[RESET_THRESHOLD] = settings.errors_limit_window + read_duration(DEFAULTS[RESET_THRESHOLD])
    return {name: as_flink_writes(value) for name, value in values.items() if value is not None}


def pipeline_options(settings: Settings, letter_max_bytes: int) -> PipelineOptions:
    """Return what the parts of the path need to know.

    Args:
        settings: What the user chose.
        letter_max_bytes: The most bytes that a dead letter may take in its topic.
    """
    count, size, in_flight = (
        settings.sink_batch_max_size,
        settings.sink_flush_buffer_size,
        settings.sink_requests_max_inflight,
    )
    # Room for the requests under way, and for one batch that fills meanwhile.
    limits = BatchLimits(count, size, _MAX_BATCHES, max_bytes_under_way=(in_flight + 1) * size)
    text = _TEXT_TO_POINT * size
    text_limits = BatchLimits(count, text, _MAX_BATCHES, max_bytes_under_way=_PARSED_UNDER_WAY * text)
    rules = ParseRules(settings.qdrant_collection_name, settings.sink_record_max_size)
    retry = RetryOptions(max_seconds=_seconds(settings.sink_retry_max_time))
    letters = _dead_letters(settings, letter_max_bytes)
    return PipelineOptions(
        source={**_READING, **settings.connector_options},
        parse=ParseOptions(rules, settings.lanes, text_limits, limits, settings.connection, retry, letters),
        write=WriteOptions(settings.connection, limits, in_flight, retry, letters),
        dead_letters=_sink(settings, letter_max_bytes),
    )


def producer_properties(settings: Settings) -> dict[str, str]:
    """Return what the producer of dead letters is given, but for the size that its topic allows."""
    given = {name: value for name, value in settings.properties.items() if name != _OF_CONSUMERS}
    # Less than all of `acks`, and a barrier would pass before Kafka has them safe.
    return {**_WAITING, **given, "bootstrap.servers": settings.bootstrap_servers, "acks": "all"}


def _dead_letters(settings: Settings, max_bytes: int) -> DeadLetterOptions | None:
    if settings.errors_deadletterqueue_topic_name is None:
        return None
    window = settings.errors_limit_window.total_seconds()
    limit = ErrorLimit(settings.errors_limit_share, settings.errors_limit_count, window)
    return DeadLetterOptions(LetterRules(settings.job_name, max_bytes), limit)


def _sink(settings: Settings, max_bytes: int) -> dict[str, str] | None:
    if settings.errors_deadletterqueue_topic_name is None:
        return None
    given = {**producer_properties(settings), "max.request.size": str(max_bytes)}
    properties = {f"properties.{name}": value for name, value in given.items()}
    return {"topic": settings.errors_deadletterqueue_topic_name, **properties}


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
