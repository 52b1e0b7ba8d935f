"""From the settings people give to what Flink, the source and the workers take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job.pipeline import PipelineOptions
from job.settings import as_flink_writes
from udfs.core.batching import BatchLimits
from udfs.core.messages import ParseRules
from udfs.parse import ParseOptions
from udfs.write import WriteOptions

if TYPE_CHECKING:
    from job.settings import Settings

# Batches under way per subtask, open ones included. With more collections than this in one bundle each would get
# requests of a point or two, so it is high; what bounds memory is the bytes under way.
_MAX_BATCHES = 4096
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
    return {name: as_flink_writes(value) for name, value in values.items() if value is not None}


def pipeline_options(settings: Settings, parallelism: int) -> PipelineOptions:
    """Return what the parts of the path need to know, for a job of this parallelism."""
    count, size, in_flight = (
        settings.sink_batch_max_size,
        settings.sink_flush_buffer_size,
        settings.sink_requests_max_inflight,
    )
    # Room for the requests under way, and for one batch that fills meanwhile.
    limits = BatchLimits(count, size, _MAX_BATCHES, max_bytes_under_way=(in_flight + 1) * size)
    rules = ParseRules(settings.qdrant_collection_name, settings.sink_record_max_size)
    retry = settings.sink_retry_max_time
    return PipelineOptions(
        source=settings.connector_options,
        parse=ParseOptions(rules, settings.lanes_for(parallelism), limits),
        write=WriteOptions(
            settings.connection,
            limits,
            in_flight,
            retry_max_seconds=None if retry is None else retry.total_seconds(),
        ),
    )
