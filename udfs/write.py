"""The write stage, the sink: parcels in; acknowledged points in Qdrant when the barrier passes, and dead letters out.

A group is a collection: its batches are written strictly one after another, so an id's newer operation is never sent
before its older one is acknowledged. Unlike collections are written side by side.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pyflink.common import Row, Types

from udfs.accounts import Account
from udfs.core.dead_letters import DeadLetter, Record, unpacked
from udfs.core.parcels import AddressedParcel, operations_of
from udfs.core.refusals import CODES
from udfs.core.routing import DEAD_LETTERS, collection_of
from udfs.dead_letters import DeadLetters
from udfs.micro_batch import Stage
from udfs.qdrant.client import PointsClient
from udfs.qdrant.decode import message_of
from udfs.qdrant.delivery import Delivery
from udfs.qdrant.outage import COUNTED
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyflink.datastream import RuntimeContext

    from udfs.core.batching import BatchLimits
    from udfs.core.parcels import Parcel
    from udfs.dead_letters import DeadLetterOptions
    from udfs.qdrant.connection import Connection
    from udfs.qdrant.delivery import Points, Refused

logger = logging.getLogger(__name__)

# A DeadLetter.
_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
LETTER = Types.ROW_NAMED(["key", "value", "headers"], [_BYTES, _BYTES, Types.MAP(Types.STRING(), _BYTES)])


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What the workers need to know to write.

    Attributes:
        connection: Where Qdrant is.
        limits: The size of a micro-batch, which is the size of a request.
        max_in_flight: Requests under way at the same time from one subtask, each to another collection.
        retry: How patiently they are sent.
        dead_letters: What they look like; without them, the first refused message fails the job.
    """

    connection: Connection
    limits: BatchLimits
    max_in_flight: int
    retry: RetryOptions
    dead_letters: DeadLetterOptions | None


class WriteStage(Stage["Row", "Row"]):
    """Writes batches, and returns the dead letters when Qdrant has applied everything else.

    Args:
        options: Where, how much and how patiently.
        connect: Makes the client, once, on the event loop that uses it.
    """

    def __init__(self, options: WriteOptions, connect: Callable[[Connection], Points] = PointsClient) -> None:
        self.limits = options.limits
        self._options = options
        self._connect = connect

    def open(self, context: RuntimeContext) -> None:
        """Open the account; the connection is opened by the first batch, on the loop that uses it."""
        metrics = context.get_metrics_group()
        names = ("written", "deleted", "superseded", "deadLettered")
        self._account = Account("write", *names, codes=CODES, metrics=metrics)
        self._waits = Account("write, waiting for Qdrant", *COUNTED, metrics=metrics)
        self._dead_letters = DeadLetters(self._options.dead_letters, "write")
        logger.info("The write stage opens with %s", self._options)
        self._delivery: Delivery | None = None

    def group_of(self, row: Row) -> str:
        """Group by collection: whatever comes for it makes a batch together."""
        return collection_of(AddressedParcel(*row).address)

    def size_of(self, row: Row) -> tuple[int, int]:
        """Count the operations, or dead letters, and bytes of a parcel."""
        parcel = AddressedParcel(*row)
        return parcel.length, parcel.size

    async def handle(self, group: str, rows: list[Row]) -> Sequence[Row]:
        """Write one batch; return dead letters, in the layout of `LETTER`."""
        parcels = [AddressedParcel(*row).parcel for row in rows]
        if group == DEAD_LETTERS:
            letters = [letter for parcel in parcels for letter in unpacked(cast("bytes", parcel))]
        else:
            letters = await self._write(group, parcels)
        self._account.add_dead_letters(Counter(letter.code for letter in letters))
        return [Row(*letter) for letter in letters]

    async def _write(self, collection: str, parcels: list[Parcel | bytes]) -> list[DeadLetter]:
        operations = [operation for parcel in parcels for operation in operations_of(parcel)]
        delivered = await self._opened().deliver(collection, operations)
        letters = [self._letter(collection, refused) for refused in delivered.refused]
        self._dead_letters.check(len(operations), len(letters))
        superseded = len(operations) - delivered.written - delivered.deleted - len(letters)
        self._account.add(written=delivered.written, deleted=delivered.deleted, superseded=superseded)
        return letters

    def _letter(self, collection: str, refused: Refused) -> DeadLetter:
        # The original would have doubled what travels between the stages, for a refusal that hardly ever comes.
        key, value = message_of(collection, refused.operation)
        record = Record(key, value, {}, refused.operation.origin)
        return self._dead_letters.of(record, refused.refusal, is_rendered=True)

    def _opened(self) -> Delivery:
        if self._delivery is None:
            options = self._options
            patience = Patience(options.connection, options.retry, options.max_in_flight, self._waits.add)
            is_tolerant = options.dead_letters is not None
            self._delivery = Delivery(self._connect(options.connection), patience, is_tolerant=is_tolerant)
        return self._delivery
