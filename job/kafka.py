"""The two ends of the path in Kafka: records with everything that says where they stand, and dead letters.

Both are Flink's table connector with raw formats. PyFlink's own `KafkaSource` is value-only, dies of a tombstone with
`SimpleStringSchema` and drops it without a word with `ByteArraySchema`; the table source delivers null keys and values,
headers and offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.table import DataTypes, Schema, TableDescriptor

from job.labels import label_sink, label_source
from job.packing import PACK_LIMITS, internal_rows, packed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyflink.datastream import DataStream
    from pyflink.table import StreamTableEnvironment

    from job.packing import PackLimits

RAW = {"key.format": "raw", "key.fields": "key", "value.format": "raw", "value.fields-include": "EXCEPT_KEY"}


def records(tables: StreamTableEnvironment, options: Mapping[str, str], limits: PackLimits = PACK_LIMITS) -> DataStream:
    """Return the stream of records, each partition in its order, in packs as `udfs.core.packs` reads them.

    Args:
        tables: The table environment on top of the job's stream environment.
        options: Options of Flink's Kafka connector: topics, servers, where to start and to end.
        limits: When a pack is full.
    """
    descriptor = TableDescriptor.for_connector("kafka").schema(_schema())
    for name, value in {**RAW, **options}.items():
        descriptor = descriptor.option(name, value)
    rows = internal_rows(tables._j_tenv, tables.from_descriptor(descriptor.build()))  # noqa: SLF001
    label_source(rows, "kafka-source", "Kafka")
    return packed(rows, tables.get_config(), limits)


def send(tables: StreamTableEnvironment, letters: DataStream, options: Mapping[str, str]) -> None:
    """Write dead letters to Kafka; a checkpoint completes when it has all of those before its barrier.

    Args:
        tables: The table environment on top of the job's stream environment.
        letters: Rows of key, value and headers.
        options: Options of Flink's Kafka connector: topic and servers.
    """
    descriptor = TableDescriptor.for_connector("kafka").schema(_letter_schema(is_sink=True))
    for name, value in {**RAW, **options}.items():
        descriptor = descriptor.option(name, value)
    statements = tables.create_statement_set()
    statements.add_insert(descriptor.build(), tables.from_data_stream(letters, _letter_schema(is_sink=False)))
    statements.attach_as_datastream()
    *_, sink = tables._j_tenv.execEnv().getTransformations()  # noqa: SLF001 - attaching returns nothing
    label_sink(sink, "dead-letters", "dead letters to Kafka")


def _letter_schema(*, is_sink: bool) -> Schema:
    builder = Schema.new_builder().column("key", DataTypes.BYTES()).column("value", DataTypes.BYTES())
    headers = DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES())
    # In Kafka's terms headers are not part of the row.
    return (builder.column_by_metadata if is_sink else builder.column)("headers", headers).build()


def _schema() -> Schema:
    """Return the columns, in the order in which PackRecords.java packs them.

    NOT NULL would put two more operators behind the source, a cast and a check, for what Kafka guarantees anyway.
    """
    return (
        Schema.new_builder()
        .column("key", DataTypes.BYTES())
        .column("value", DataTypes.BYTES())
        .column_by_metadata("topic", DataTypes.STRING(), is_virtual=True)
        .column_by_metadata("partition", DataTypes.INT(), is_virtual=True)
        .column_by_metadata("offset", DataTypes.BIGINT(), is_virtual=True)
        .column_by_metadata("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()), is_virtual=True)
        .build()
    )
