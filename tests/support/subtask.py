"""The stages as Flink runs them, on one event loop and without Flink: what an attempt does between two barriers."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.metrics import Context, Metrics
from tests.support.packing import pack_of
from tests.support.store import NOWHERE, MemoryPoints
from udfs.core.dead_letters import DeadLetter, LetterRules
from udfs.core.error_limit import ErrorLimit
from udfs.core.messages import ParseRules
from udfs.core.retry import Backoff
from udfs.dead_letters import DeadLetterOptions
from udfs.micro_batch import Collect, Handle, Stage
from udfs.parse import ParseOptions, ParseStage, write_key_of
from udfs.qdrant.patience import RetryOptions
from udfs.write import WriteOptions, WriteStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pyflink.common import Row

    from tests.support.packing import KafkaRecord
    from udfs.core.batching import BatchLimits

_QUICK = RetryOptions(Backoff(1e-6, 2e-6))
_LETTERS = DeadLetterOptions(LetterRules("my-job", 10**6), ErrorLimit(1, 0, 60))


class Subtask:
    """One subtask of a stage: its collector, its handler, and between them a queue as Flink's, in order and bounded.

    It must be made and used on one event loop.

    Args:
        stage: Which stage.
        subtasks: How many of them it is told there are.
    """

    def __init__(self, stage: Stage[Any, Row], subtasks: int = 1) -> None:
        self._metrics = Metrics()
        self._room = stage.limits.max_batches
        self._collector, self._handler = Collect(stage), Handle(stage)
        context = Context(self._metrics, subtasks)
        self._collector.open(context)
        self._handler.open(context)
        self._queue: deque[asyncio.Task[Iterable[Row]]] = deque()

    async def take(self, item: Row | bytes) -> list[Row]:
        """Take a pack, or a parcel, and return what had to leave the queue for it."""
        outputs: list[Row] = []
        for batch in self._collector.process_element(item, None):
            while len(self._queue) >= self._room:
                outputs += await self._queue.popleft()
            self._queue.append(asyncio.create_task(self._handler.async_invoke(batch)))
        return outputs

    async def finish_bundle(self) -> list[Row]:
        """Return the rest of the outputs, when nothing is under way any more."""
        self.read("batchesSealedAtFlush")
        outputs: list[Row] = []
        while self._queue:
            outputs += await self._queue.popleft()
        return outputs

    async def end(self) -> None:
        """End at once, whatever is under way."""
        for task in self._queue:
            task.cancel()
        await asyncio.gather(*self._queue, return_exceptions=True)

    def read(self, gauge: str) -> int:
        """Return what Flink shows under this name, or 0 where this stage has none."""
        return self._metrics.gauges.get(f"qdrant.{gauge}", lambda: 0)()


class Layout(NamedTuple):
    """How an attempt is laid out: lanes, and subtasks of each stage; without lanes each parser has its own writer."""

    lanes: int | None
    parsers: int
    writers: int


class Attempt:
    """The whole path in one attempt of a job, from records to dead letters.

    Args:
        store: The Qdrant that all write to.
        layout: How many do.
        limits: Those of the parse stage and of the write stage.

    Attributes:
        letters: The dead letters that have left.
    """

    def __init__(self, store: MemoryPoints, layout: Layout, limits: tuple[BatchLimits, BatchLimits]) -> None:
        parse = ParseOptions(ParseRules(), layout.lanes, *limits, NOWHERE, _QUICK, _LETTERS)
        write = WriteOptions(NOWHERE, limits[1], max_in_flight=2, retry=_QUICK, dead_letters=_LETTERS)
        self._is_keyed = layout.lanes is not None
        writers = layout.writers if self._is_keyed else layout.parsers
        self._parsers = [Subtask(ParseStage(parse, lambda _: store), writers) for _ in range(layout.parsers)]
        self._writers = [Subtask(WriteStage(write, lambda _: store)) for _ in range(writers)]
        self.letters: list[DeadLetter] = []

    async def read(self, records: Sequence[KafkaRecord], partition: int) -> None:
        """Bring in records of a partition in one pack; each partition has one parser."""
        parser = partition % len(self._parsers)
        await self._write(parser, await self._parsers[parser].take(pack_of(records)))
        await asyncio.sleep(0)

    async def finish_bundle(self) -> None:
        """Flush as before a barrier, upstream first."""
        for number, parser in enumerate(self._parsers):
            await self._write(number, await parser.finish_bundle())
        for writer in self._writers:
            self._keep(await writer.finish_bundle())

    async def end(self) -> None:
        """End every worker at once."""
        for subtask in (*self._parsers, *self._writers):
            await subtask.end()

    def counted(self, name: str) -> int:
        """Return the sum of a metric over all subtasks."""
        return sum(subtask.read(name) for subtask in (*self._parsers, *self._writers))

    async def _write(self, parser: int, rows: Iterable[Row]) -> None:
        for row in rows:
            # Any stable function of the key will do for Flink's own.
            keyed = zlib.crc32(write_key_of(row).encode()) % len(self._writers)
            self._keep(await self._writers[keyed if self._is_keyed else parser].take(row))

    def _keep(self, rows: Iterable[Row]) -> None:
        self.letters += [DeadLetter(*row) for row in rows]
