"""The parse stage: raw Kafka records in, parcels of encoded operations out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyflink.common import Row, Types

from udfs.accounts import Account
from udfs.core.failures import MessageRefusedError
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Origin, Upsert
from udfs.core.parcels import KeyedParcel, Parcel
from udfs.core.refusals import Refusal
from udfs.core.routing import lane_of, write_key
from udfs.micro_batch import Stage
from udfs.qdrant.encode import encode_upsert

if TYPE_CHECKING:
    from pyflink.metrics import MetricGroup

    from udfs.core.batching import BatchLimits

# A KeyedParcel.
PARCEL = Types.ROW([Types.STRING(), Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])


def write_key_of(row: Row) -> str:
    """Return collection and lane of a parcel: one id always meets one writer, and one collection can use every slot."""
    return KeyedParcel(*row).key


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What the workers need to know to parse.

    Attributes:
        rules: How a message becomes an operation.
        lanes: Into how many lanes the ids of a collection are dealt.
        limits: The size of a micro-batch.
    """

    rules: ParseRules
    lanes: int
    limits: BatchLimits


class ParseStage(Stage[Any, Row]):
    """Parses records in the order of their partitions; the first refused one fails the job."""

    def __init__(self, options: ParseOptions) -> None:
        self.limits = options.limits
        self._options = options

    def open(self, metrics: MetricGroup | None) -> None:
        """Open the account."""
        self._account = Account("read", metrics=metrics)

    def group_of(self, _record: Row) -> str:
        """Return one group for all: parsing keeps the order of the whole subtask."""
        return ""

    def size_of(self, record: Row) -> tuple[int, int]:
        """Count one message and the bytes of its key and value."""
        key, value = record[0], record[1]
        return 1, len(key or b"") + len(value or b"")

    async def handle(self, _group: str, records: list[Row]) -> list[Row]:
        """Return one row per write key, in the layout of `PARCEL`."""
        parcels: dict[str, Parcel] = {}
        for key, value, topic, partition, offset, _timestamp, _headers in records:
            outcome = parse_message(key, value, self._options.rules)
            if isinstance(outcome, Refusal):
                # The place of the dead letters: with errors.tolerance=all the refusal travels on from here.
                raise MessageRefusedError(Origin(topic, partition, offset), outcome)
            key_of_write = write_key(outcome.collection, lane_of(outcome.id, self._options.lanes))
            point = encode_upsert(outcome) if isinstance(outcome, Upsert) else None
            parcels.setdefault(key_of_write, Parcel()).add(outcome.id, point, (topic, partition, offset))
        self._account.add("read", len(records))
        return [Row(*KeyedParcel(key, len(parcel), parcel.to_bytes())) for key, parcel in parcels.items()]
