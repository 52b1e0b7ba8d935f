"""The two ends of the path in Kafka: records with everything that says where they stand, and dead letters.

Both are Flink's table connector with raw formats. PyFlink's own `KafkaSource` is value-only, dies of a tombstone with
`SimpleStringSchema` and drops it without a word with `ByteArraySchema`; the table source delivers null keys and values,
headers and offsets, and costs no more per record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pathlib import Path
from pyflink.datastream import DataStream
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Schema, TableDescriptor

from job.labels import label_sink, label_source

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
    return packs(tables, tables.from_descriptor(descriptor.build()))


def packs(tables, table):
    jvm = get_gateway().jvm
    j_table = table._j_table
    row_data = jvm.Class.forName("org.apache.flink.table.data.RowData", False, jvm.Thread.currentThread().getContextClassLoader())
    rows = tables._j_tenv.toDataStream(j_table, j_table.getResolvedSchema().toSourceRowDataType().notNull().bridgedTo(row_data))
    label_source(DataStream(rows), "kafka-source", "Kafka")
    references = get_gateway().new_array(jvm.Object, 3)
    references[0], references[1], references[2] = 500, 256 * 1024, 20
    code = (Path(__file__).parent / "PackRecords.java").read_text()
    operator = jvm.org.apache.flink.table.runtime.generated.GeneratedOperator("PackRecords", code, references, tables._j_tenv.getConfig())
    factory = jvm.org.apache.flink.table.runtime.operators.CodeGenOperatorFactory(operator)
    out = jvm.org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO
    last = rows.getTransformation()
    packed = jvm.org.apache.flink.streaming.api.transformations.OneInputTransformation(last, "pack", factory, out, last.getParallelism())
    packed.setUid("pack")
    packed.setParallelism(last.getParallelism(), False)
    env = rows.getExecutionEnvironment()
    env.addOperator(packed)
    return DataStream(jvm.org.apache.flink.streaming.api.datastream.DataStream(env, packed))


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
        .column_by_metadata("headers", DataTypes.MAP(DataTypes.STRING(), DataTypes.BYTES()), is_virtual=True)
        .build()
    )
