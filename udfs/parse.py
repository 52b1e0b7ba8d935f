"""The parse stage: packs of raw Kafka records in; parcels of encoded operations, and of dead letters, out."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pyflink.common import Row, Types

from udfs.accounts import Account
from udfs.core.dead_letters import DeadLetter, Record, packed
from udfs.core.operations import Upsert
from udfs.core.packs import count_of, headers_of, records_of
from udfs.core.parcels import AddressedParcel, Operation, Parcel, in_parcels
from udfs.core.refusals import Refusal
from udfs.core.routing import DEAD_LETTERS, HERE, Addresses, Writers, key_of
from udfs.dead_letters import DeadLetters
from udfs.intake import Intake
from udfs.micro_batch import Stage
from udfs.qdrant.client import PointsClient
from udfs.qdrant.collections import Collections
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.outage import COUNTED
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pyflink.datastream import RuntimeContext

    from udfs.core.batching import BatchLimits
    from udfs.core.messages import ParseRules
    from udfs.dead_letters import DeadLetterOptions
    from udfs.qdrant.collections import Descriptions
    from udfs.qdrant.connection import Connection

    Place: TypeAlias = tuple[str, int]
    """A collection and a lane."""

logger = logging.getLogger(__name__)

# An AddressedParcel, as it travels; one that stays in its worker holds operations as they are, which no type describes.
PARCEL = Types.ROW([Types.STRING(), Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
_DESCRIPTIONS_IN_FLIGHT = 1


def write_key_of(row: Row) -> str:
    """Return the key of a parcel's writer, which collection and lane have chosen: one id always meets one writer."""
    return key_of(AddressedParcel(*row).address)


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What the workers need to know to parse.

    Attributes:
        rules: How a message becomes an operation.
        lanes: How many writers share a collection; None if each worker writes what it has parsed.
        limits: The size of a micro-batch.
        parcels: How much leaves in one piece: what a request takes.
        connection: Where the collections are described.
        retry: How patiently they are asked for.
        dead_letters: What they look like; without them, the first refused message fails the job.
    """

    rules: ParseRules
    lanes: int | None
    limits: BatchLimits
    parcels: BatchLimits
    connection: Connection
    retry: RetryOptions
    dead_letters: DeadLetterOptions | None


class ParseStage(Stage[bytes, Row]):
    """Parses records in the order of their partitions, and judges them by the collections they are for.

    Args:
        options: By which rules.
        connect: Makes the client, once, on the event loop that uses it.
    """

    def __init__(self, options: ParseOptions, connect: Callable[[Connection], Descriptions] = PointsClient) -> None:
        self.limits = options.limits
        self._options = options
        self._connect = connect

    def open(self, context: RuntimeContext) -> None:
        """Open the account; the connection is opened by the first batch, on the loop that uses it."""
        metrics = context.get_metrics_group()
        self._account = Account("parse", "read", metrics=metrics)
        self._waits = Account("parse, waiting for Qdrant", *COUNTED, within="parse", metrics=metrics)
        self._dead_letters = DeadLetters(self._options.dead_letters, "parse")
        lanes, writers = self._options.lanes, HERE
        if lanes is not None:
            # Both stages have the job's parallelism.
            writers = Writers(context.get_number_of_parallel_subtasks(), context.get_max_number_of_parallel_subtasks())
        self._addresses = Addresses(lanes or 1, writers)
        logger.info("The parse stage opens with %s and %s", self._options, writers)
        self._intake: Intake | None = None

    def group_of(self, _pack: bytes) -> str:
        """Return one group for all: parsing keeps the order of the whole subtask."""
        return ""

    def size_of(self, pack: bytes) -> tuple[int, int]:
        """Count the messages and bytes of a pack."""
        return count_of(pack), len(pack)

    def bytes_of(self, row: Row) -> int:
        """Count the bytes of a parcel."""
        return AddressedParcel(*row).size

    async def handle(self, _group: str, packs: list[bytes]) -> list[Row]:
        """Return a row for each parcel, in the layout of `PARCEL`."""
        operations: defaultdict[Place, list[Operation]] = defaultdict(list)
        letters: list[DeadLetter] = []
        for number, pack in enumerate(packs):
            # By itself, so that what its messages were read into is still in the processor's cache to be encoded.
            letters += await self._parse(pack, operations, is_continued=number > 0)
        read = sum(map(count_of, packs))
        self._dead_letters.check(read, len(letters))
        self._account.add(read=read)
        return [*self._rows(operations), *self._rows_of_letters(letters)]

    async def _parse(
        self, pack: bytes, operations: defaultdict[Place, list[Operation]], *, is_continued: bool
    ) -> list[DeadLetter]:
        """Add what a pack asks for to the operations, which are known by their places; return the dead letters."""
        records = [*records_of(pack)]
        pairs = [(key, value) for key, value, _, _ in records]
        outcomes = await self._opened().judge(pairs, is_continued=is_continued)
        letters: list[DeadLetter] = []
        for (key, value, origin, headers), outcome in zip(records, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                record = Record(key, value, headers_of(headers), origin)
                letters.append(self._dead_letters.of(record, outcome))
                continue
            place = outcome.collection, self._addresses.lane_of(outcome.id)
            point = encode_upsert(outcome) if isinstance(outcome, Upsert) else None
            operations[place].append(Operation(outcome.id, point, origin))
        return letters

    def _rows(self, operations: Mapping[Place, list[Operation]]) -> Iterator[Row]:
        """Yield them in parcels, as bytes if they travel."""
        for place, of_place in operations.items():
            for part in in_parcels(of_place, self._options.parcels):
                parcel = Parcel(part)
                carried = parcel if self._options.lanes is None else parcel.to_bytes()
                yield Row(*AddressedParcel(self._addresses.of(*place), len(part), carried))

    def _rows_of_letters(self, letters: list[DeadLetter]) -> Iterator[Row]:
        """Yield dead letters by the way that everything goes, so that the same barrier is behind them."""
        for parcel in in_parcels(letters, self._options.parcels):
            # Anywhere, as they have no order to keep.
            yield Row(*AddressedParcel(self._addresses.of_any(DEAD_LETTERS), len(parcel), packed(parcel)))

    def _opened(self) -> Intake:
        if self._intake is None:
            options = self._options
            patience = Patience(options.connection, options.retry, _DESCRIPTIONS_IN_FLIGHT, self._waits.add)
            self._intake = Intake(options.rules, Collections(self._connect(options.connection), patience).describe)
        return self._intake
