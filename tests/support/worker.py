"""PyFlink's own operations, chained as its worker chains them, without a JVM: what a bundle does to a stage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cloudpickle
from pyflink.common import Row, Time
from pyflink.datastream import async_retry_strategies
from pyflink.datastream.functions import AsyncFunctionDescriptor
from pyflink.fn_execution import flink_fn_execution_pb2 as pb
from pyflink.fn_execution.datastream.process.async_function.operation import AsyncOperation
from pyflink.fn_execution.datastream.process.operations import StatelessOperation

from udfs.micro_batch import Collect, Handle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from udfs.micro_batch import Stage


class Outputs:
    """What leaves the stage: it iterates results on the emitter's thread, as PyFlink's network output does."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def process_outputs(self, _windowed_value: object, results: Iterable[Row]) -> None:
        """Take the results one by one; what iterating them raises goes up, as in PyFlink."""
        for result in results:
            self.values.append(result[2])


class Worker:
    """One subtask of a stage, or of stages in one operator: collectors and handlers on PyFlink's operations and queue.

    Args:
        stages: The stages in their order; each half gets its own copy, as on a cluster.
        metrics: False plays `python.metric.enabled: false`.
        handle: Another handler than `Handle`, for showing what goes wrong without it.
    """

    def __init__(self, *stages: Stage[Any, Any], metrics: bool = True, handle: type[Any] = Handle) -> None:
        self.outputs = Outputs()
        self._collectors = [StatelessOperation(function_of(Collect(stage), metrics=metrics), None) for stage in stages]
        self._handlers = [
            AsyncOperation(function_of(handler_of(stage, handle), metrics=metrics), None) for stage in stages
        ]
        for number, handler in enumerate(self._handlers[:-1], 1):
            handler.set_output_processor(NextStage(self, number))
        self._handler = self._handlers[-1]
        self._handler.set_output_processor(self.outputs)

    def __enter__(self) -> Self:
        for operation in reversed(self._operations()):
            operation.open()
        return self

    def __exit__(self, *_exception: object) -> None:
        for operation in self._operations():
            operation.close()

    def feed(self, record: object, stage: int = 0) -> None:
        """Process one record as the bundle's thread does, or for a later stage the emitter's of the one before."""
        for batch in self._collectors[stage].process_element((0, 0, record)):
            self._handlers[stage].process_element(SimpleNamespace(), batch)

    def finish_bundle(self) -> None:
        """End the bundle, upstream first. When this returns, Flink lets the barrier pass."""
        for operation in self._operations():
            operation.finish()

    def _operations(self) -> list[Any]:
        """Return the operations, upstream first."""
        return [operation for pair in zip(self._collectors, self._handlers, strict=True) for operation in pair]


class NextStage:
    """What leaves a stage with another behind it in the same operator."""

    def __init__(self, worker: Worker, stage: int) -> None:
        self._worker, self._stage = worker, stage

    def process_outputs(self, _windowed_value: object, results: Iterable[Row]) -> None:
        """Hand the results on one by one; what that raises goes up, as in PyFlink."""
        for result in results:
            self._worker.feed(result[2], self._stage)


def handler_of(stage: Stage[Any, Any], handle: type[Any] = Handle) -> AsyncFunctionDescriptor:
    """Return the handler as `micro_batched` has PyFlink run it."""
    return AsyncFunctionDescriptor(
        handle(stage),
        Time.milliseconds(0),
        stage.limits.max_batches,
        async_retry_strategies.NO_RETRY_STRATEGY,
        AsyncFunctionDescriptor.OutputMode.ORDERED,
    )


def function_of(function: object, *, metrics: bool) -> pb.UserDefinedDataStreamFunction:
    """Return a function as PyFlink hands it to a worker."""
    return pb.UserDefinedDataStreamFunction(
        function_type=pb.UserDefinedDataStreamFunction.PROCESS,
        payload=cloudpickle.dumps(function),
        metric_enabled=metrics,
    )
