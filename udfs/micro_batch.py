"""Micro-batches that end with the checkpoint barrier: the one mechanism under both parse and write.

PyFlink has no Python sink and no end-of-bundle hook for user functions. What it has: before each barrier the Java
operator finishes the bundle, and `AsyncOperation.finish()` (pyflink/fn_execution/datastream/process/async_function/
operation.py) waits until no async element is in flight. So a stage is two functions, chained into one Python worker:

    records ─▶ Collect ── the open Batch itself, once ──▶ Handle ─▶ outputs
               (bundle's thread)                          (event loop's thread)

`Collect` appends each record to the open batch of its group. `Handle` receives the same object, waits until it is
sealed, handles it whole and returns what it makes. A batch is sealed when it is full, or when the bundle ends:
operators finish upstream first, and a gauge is read in `finish()` on the bundle's own thread, so sealing is exact.

Two stages may be chained into one operator. Then the second one's `Collect` runs on the thread that emits the outputs
of the first, and is sealed on the bundle's thread nevertheless: PyFlink counts an element of the first stage as done
only after its outputs have been taken (`emit_completed_element` in its queue.py), so when `finish()` of the first has
returned, that thread has nothing to emit, and the batches that `finish()` of the second seals are complete. While the
second has no room, the first stands still.

No other file of this project knows how batches come to end with a barrier.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast
from weakref import WeakValueDictionary

from pyflink.common import Time
from pyflink.datastream import AsyncDataStream, KeyedProcessFunction, KeyedStream, ProcessFunction
from pyflink.datastream.functions import AsyncFunction

from udfs.batches import OpenBatches
from udfs.bundles import tame_sampler
from udfs.memory import spare_memory
from udfs.outputs import Outputs, output_streams
from udfs.watchdog import end_with_task_manager

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyflink.common import TypeInformation
    from pyflink.datastream import DataStream, RuntimeContext

    from udfs.batches import Batch
    from udfs.core.batching import BatchLimits

In = TypeVar("In")
Out = TypeVar("Out")

# With `python.metric.enabled: false` there is no gauge to read, so a batch nobody has added to for so long is sealed.
# Liveness rests on it then, correctness never: what comes later opens the next batch of the group.
QUIET_SECONDS = 0.05


class Stage(ABC, Generic[In, Out]):
    """What one micro-batched stage does with its records. Copies of it go to the collector and to the handler.

    Attributes:
        limits: How large a batch gets and how many are under way.
    """

    limits: BatchLimits

    @abstractmethod
    def group_of(self, item: In) -> str:
        """Name the group of a record. Batches of one group are handled strictly one after another."""

    @abstractmethod
    def size_of(self, item: In) -> tuple[int, int]:
        """Return how many messages and about how many bytes a record counts for."""

    @abstractmethod
    async def handle(self, group: str, items: list[In]) -> Iterable[Out]:
        """Do everything with the items of one batch and return the outputs.

        When it returns, the checkpoint may pass. When it raises, the handling of every other batch is cancelled and
        the task fails before its next checkpoint.
        """

    def bytes_of(self, _output: Out) -> int:
        """Return about how many bytes an output has, if it may have many."""
        return 0

    def open(self, context: RuntimeContext) -> None:
        """Prepare on the worker, before the first batch. The context has no metrics where Python metrics are off."""


class Failure:
    """The result of a batch that failed: it raises when it is iterated.

    A handler must not raise itself. PyFlink (2.2, 2.3) completes a failed element with no output and remembers the
    exception only for the *next* element; if none comes, `finish()` returns and the barrier passes over the lost batch.
    This result instead fails the emitter before it counts the element as done, so `finish()` cannot but raise.
    """

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __iter__(self) -> Iterator[NoReturn]:
        # The emitter catches Exception only; a CancelledError would end its thread unseen and hang the barrier.
        if isinstance(self._error, Exception):
            raise self._error
        raise RuntimeError(f"the handling of a micro-batch was ended by {self._error!r}") from self._error


class _Collecting(Generic[In]):
    """Fills batches, and seals them when the bundle ends."""

    def __init__(self, stage: Stage[In, Any]) -> None:
        self._stage = stage

    def open(self, runtime_context: RuntimeContext) -> None:
        """Register the gauge whose reading is the end of the bundle."""
        self._batches = OpenBatches[In](self._stage.limits)
        metrics = runtime_context.get_metrics_group()
        if metrics is not None:
            # Of two stages in one operator Flink shows one of these: it is no account.
            metrics.add_group("qdrant").gauge("batchesSealedAtFlush", self._batches.seal_all)

    def process_element(self, value: In, _ctx: Any) -> tuple[Batch[In], ...]:
        """Put the record into its batch; emit the batch if the record opened it."""
        count, size = self._stage.size_of(value)
        opened = self._batches.add(self._stage.group_of(value), value, count, size)
        return () if opened is None else (opened,)


class Collect(_Collecting[In], ProcessFunction):
    """The collector of a stream without keys."""


class CollectKeyed(_Collecting[In], KeyedProcessFunction):
    """The collector of a keyed stream."""


class Handle(AsyncFunction, Generic[In, Out]):
    """Handles sealed batches, those of one group in their order, until the first failure."""

    def __init__(self, stage: Stage[In, Out]) -> None:
        self._stage = stage

    def open(self, runtime_context: RuntimeContext) -> None:
        """Open the stage, and prepare this process for its work and its end."""
        end_with_task_manager()
        spare_memory()
        tame_sampler()
        self._quiet_seconds = QUIET_SECONDS if runtime_context.get_metrics_group() is None else None
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._first_error: BaseException | None = None
        self._output_streams = output_streams()
        self._stage.open(runtime_context)

    async def async_invoke(self, batch: Batch[In]) -> Iterable[Out]:
        """Return the outputs of the batch, or a `Failure`; never raise."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._under_way.add(task)
        try:
            # All at once: an output made only while it is emitted could still fail, on a thread that dies of it.
            return Outputs(await self._handled(batch), self._stage.bytes_of, self._output_streams)
        except BaseException as error:  # noqa: BLE001 - see Failure
            return self._failed(error)
        finally:
            self._under_way.discard(task)
            batch.release()

    def _failed(self, error: BaseException) -> Failure:
        """Make the first error that of every batch under way, so that it is not hidden behind a slower one."""
        if self._first_error is None:
            self._first_error = error
            for other in self._under_way - {asyncio.current_task()}:
                other.cancel()
        return Failure(self._first_error)

    async def _handled(self, batch: Batch[In]) -> Iterable[Out]:
        # Coroutines start in the order of their batches and asyncio.Lock serves in the order of asking, so the lock is
        # the group's queue; it must be asked for before anything else is awaited.
        turn = self._turns.setdefault(batch.group, asyncio.Lock())
        async with turn:
            items = await batch.sealed(self._quiet_seconds)
            if self._first_error is not None:
                raise self._first_error
            return await self._stage.handle(batch.group, items)


def micro_batched(stream: DataStream, stage: Stage[Any, Any], name: str, output_type: TypeInformation) -> DataStream:
    """Run the stage over the stream in micro-batches, all of them handled whenever a checkpoint barrier passes.

    The outputs of batches leave in the order in which the batches were opened.
    """
    collector = CollectKeyed(stage) if isinstance(stream, KeyedStream) else Collect(stage)
    batches = stream.process(collector).name("batch").uid(f"{name}-collect")
    # A time-out other than 0 would start a thread per element; the handler owns its deadlines.
    handled = AsyncDataStream.ordered_wait(
        batches, Handle(stage), Time.milliseconds(0), stage.limits.max_batches, output_type
    )
    return handled.name(name).uid(name)
