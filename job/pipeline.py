"""The whole path, top to bottom.

    Kafka ─ packs ─▶ parse ─▶ (key) ─▶ write ─▶ Qdrant
                       └── refused ──▶ (the same way) ──▶ dead letters ─▶ Kafka

Both parse and write are micro-batched: whenever a checkpoint barrier has passed, everything before it is in Qdrant or
in the dead letters. The messages of a partition keep their order either way: without lanes one worker writes what it
has parsed, collection by collection; with lanes the key is that of a writer, by collection and a lane of the id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyflink.common import Types

from job.kafka import records, send
from job.labels import label_key
from udfs.micro_batch import micro_batched
from udfs.parse import PARCEL, ParseOptions, ParseStage, write_key_of
from udfs.write import LETTER, WriteOptions, WriteStage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyflink.table import StreamTableEnvironment


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What each part of the path needs to know."""

    source: Mapping[str, str]
    parse: ParseOptions
    write: WriteOptions
    dead_letters: Mapping[str, str] | None


def build(tables: StreamTableEnvironment, options: PipelineOptions) -> None:
    """Lay the path into the environment."""
    packs = records(tables, options.source)
    parcels = micro_batched(packs, ParseStage(options.parse), "parse", PARCEL)
    if options.parse.lanes is not None:
        parcels = parcels.key_by(write_key_of, Types.STRING())
        label_key(parcels, "key")
    letters = micro_batched(parcels, WriteStage(options.write), "write", LETTER)
    if options.dead_letters is not None:
        send(tables, letters, options.dead_letters)
