"""The whole path, top to bottom.

    Kafka ─ records ─▶ parse ─▶ key ─▶ write ─▶ Qdrant
                         └── refused ──▶ (the same stream) ──▶ dead letters, in a later version

Both parse and write are micro-batched: whenever a checkpoint barrier has passed, everything before it is in Qdrant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyflink.common import Types

from job.kafka import records
from udfs.micro_batch import micro_batched
from udfs.parse import PARCEL, ParseOptions, ParseStage, write_key_of
from udfs.write import WriteOptions, WriteStage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyflink.datastream import DataStream
    from pyflink.table import StreamTableEnvironment


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What each part of the path needs to know."""

    source: Mapping[str, str]
    parse: ParseOptions
    write: WriteOptions


def build(tables: StreamTableEnvironment, options: PipelineOptions) -> DataStream:
    """Lay the path into the environment; return the stream of what could not be written."""
    messages = records(tables, options.source)
    parcels = micro_batched(messages, ParseStage(options.parse), "parse", PARCEL)
    keyed = parcels.key_by(write_key_of, Types.STRING())
    return micro_batched(keyed, WriteStage(options.write), "write to Qdrant", PARCEL)
