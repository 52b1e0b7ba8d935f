"""Packs records in Java before they cross to Python: each crossing has its price, whatever it carries.

A record for itself costs Flink and the worker some 20 µs at 128 dimensions, which is more than reading its JSON. Packed
by 500, it is the copying of its bytes that is left (scripts/benchmark/NOTES.md). PyFlink has no operator that does it,
so `PackRecords.java` is handed to Flink as source, and Flink compiles it where it compiles those of SQL: on each
TaskManager, by `CodeGenOperatorFactory`. There is nothing to build and no jar to ship.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from pyflink.datastream import DataStream
from pyflink.java_gateway import get_gateway

if TYPE_CHECKING:
    from pyflink.table import Table, TableConfig

_CLASS = "PackRecords"


@dataclass(frozen=True, slots=True)
class PackLimits:
    """When a pack is handed on, if no barrier comes first.

    Attributes:
        max_records: It has so many records.
        max_bytes: It has so many bytes; a single record may be larger.
        max_age_ms: Its first record has waited for so many milliseconds.
    """

    max_records: int = 500
    max_bytes: int = 256 * 1024
    max_age_ms: int = 20


PACK_LIMITS = PackLimits()


def packed(rows: Any, config: TableConfig, limits: PackLimits) -> DataStream:
    """Return the stream of packs, as `udfs.core.packs` reads them, each with records in their order.

    An operator without state, in the chain of the one before it: what it holds it hands on before a barrier passes.

    Args:
        rows: The Java stream of internal rows of key, value, topic, partition, offset and headers, as `internal_rows`
            returns it.
        config: That of the table environment.
        limits: When a pack is full.
    """
    jvm = get_gateway().jvm
    transformation = jvm.org.apache.flink.streaming.api.transformations.OneInputTransformation(
        rows.getTransformation(),
        "pack",
        _operator(config, limits),
        jvm.org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
        rows.getParallelism(),
        False,  # noqa: FBT003 - the parallelism is the job's, and may change with it
    )
    transformation.setUid("pack")
    environment = rows.getExecutionEnvironment()
    environment.addOperator(transformation)
    return DataStream(jvm.org.apache.flink.streaming.api.datastream.DataStream(environment, transformation))


def _operator(config: TableConfig, limits: PackLimits) -> Any:
    """Return the factory of the operator, whose constructor is given the limits in their order."""
    gateway = get_gateway()
    given = gateway.new_array(gateway.jvm.Object, len(astuple(limits)))
    for at, limit in enumerate(astuple(limits)):
        given[at] = limit
    source = resources.files("job").joinpath(f"{_CLASS}.java").read_text("utf-8")
    runtime = gateway.jvm.org.apache.flink.table.runtime
    generated = runtime.generated.GeneratedOperator(_CLASS, source, given, config._j_table_config)  # noqa: SLF001
    return runtime.operators.CodeGenOperatorFactory(generated)


def internal_rows(j_tables: Any, table: Table) -> Any:
    """Return the Java stream of a table's rows as Flink has them inside, all columns, not converted for Python."""
    jvm = get_gateway().jvm
    loader = jvm.Thread.currentThread().getContextClassLoader()
    row_data = jvm.Class.forName("org.apache.flink.table.data.RowData", False, loader)  # noqa: FBT003 - not initialised
    j_table = table._j_table  # noqa: SLF001 - PyFlink has no other way
    columns = j_table.getResolvedSchema().toSourceRowDataType()
    return j_tables.toDataStream(j_table, columns.notNull().bridgedTo(row_data))
