"""The source: Kafka's records with key, value and everything that says where they stand.

It is Flink's table connector with raw formats, turned into a stream. PyFlink's own `KafkaSource` is value-only, dies
of a tombstone with `SimpleStringSchema` and drops it without a word with `ByteArraySchema`; the table source delivers
null keys and values, headers and offsets, and costs no more per record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyflink.table import DataTypes, Schema, TableDescriptor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyflink.datastream import DataStream
    from pyflink.table import StreamTableEnvironment

RAW = {"key.format": "raw", "key.fields": "key", "value.format": "raw", "value.fields-include": "EXCEPT_KEY"}


def records(tables: StreamTableEnvironment, options: Mapping[str, str]) -> DataStream:
    """Return the stream of records, each partition in its order.

    Args:
        tables: The table environment on top of the job's stream environment.
        options: Options of Flink's Kafka connector: topics, servers, where to start and to end.
    """
    descriptor = TableDescriptor.for_connector("kafka").schema(_schema())
    for name, value in {**RAW, **options}.items():
        descriptor = descriptor.option(name, value)
    return tables.to_data_stream(tables.from_descriptor(descriptor.build()))


def _schema() -> Schema:
    """Return the columns, in the order in which udfs.parse unpacks them.

    NOT NULL would put two more operators behind the source, a cast and a check, for what Kafka guarantees anyway.
    """
    return (
        Schema.new_builder()
        .column("key", DataTypes.BYTES())
        .column("value", DataTypes.BYTES())
        .column_by_metadata("topic", DataTypes.STRING(), is_virtual=True)
        .column_by_metadata("partition", DataTypes.INT(), is_virtual=True)
        .column_by_metadata("offset", DataTypes.BIGINT(), is_virtual=True)
        .column_by_metadata("timestamp", DataTypes.TIMESTAMP_LTZ(3), is_virtual=True)
        .column_by_metadata("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()), is_virtual=True)
        .build()
    )
