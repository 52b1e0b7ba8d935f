"""A stage in PyFlink's own operation, built as in a worker process: whether what makes it fast is wired to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from apache_beam.coders.coders import WindowedValueCoder
from apache_beam.runners.common import NameContext
from apache_beam.runners.worker import operation_specs
from apache_beam.runners.worker.bundle_processor import DataOutputOperation
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.utils import windowed_value
from apache_beam.utils.counters import CounterFactory
from pyflink.common.constants import DEFAULT_OUTPUT_TAG
from pyflink.fn_execution.beam.beam_coders import PassThroughLengthPrefixCoder
from pyflink.fn_execution.beam.beam_operations import beam_operations
from pyflink.fn_execution.coders import BigIntCoder, BinaryCoder, RowCoder
from pyflink.fn_execution.datastream.process.operations import StatelessOperation

from tests.support.beam import bundle, coder, output_stream
from tests.support.worker import function_of, handler_of
from udfs.batches import Batch, Budget
from udfs.core.batching import BatchLimits
from udfs.micro_batch import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = BatchLimits(1, 1000, 8)


class Echo(Stage[bytes, bytes]):
    """Returns its items."""

    limits = LIMITS

    def group_of(self, _item: bytes) -> str:
        """Return one group for all."""
        return ""

    def size_of(self, item: bytes) -> tuple[int, int]:
        """Count one message."""
        return 1, len(item)

    async def handle(self, _group: str, items: list[bytes]) -> list[bytes]:
        """Return what came."""
        return items


@pytest.fixture
def sent(worker_process: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Return what Beam is given to send of a batch in a worker process, when the stage has ended but not its output."""
    worker_process.setattr("udfs.micro_batch.spare_memory", lambda: None)  # it would freeze this process's objects
    worker_process.setattr("udfs.micro_batch.end_with_task_manager", lambda: None)  # there is none
    sent: list[bytes] = []
    counters = CounterFactory()
    sampler = StateSampler("step", counters)
    timed = RowCoder([BigIntCoder(), BigIntCoder(), BinaryCoder()], ["timestamp", "watermark", "output"])
    windowed = WindowedValueCoder(PassThroughLengthPrefixCoder(coder(timed)))
    output = DataOutputOperation(NameContext("output"), "output", {}, counters, sampler, windowed, "output", None)
    output.set_output_stream(output_stream(sent))
    spec = operation_specs.WorkerDoFn(
        function_of(handler_of(Echo()), metrics=True), [DEFAULT_OUTPUT_TAG], None, None, []
    )
    consumers = {DEFAULT_OUTPUT_TAG: [output]}
    operation = beam_operations.StatelessFunctionOperation(
        NameContext("handle"), spec, counters, sampler, consumers, StatelessOperation, None
    )
    operation.process(windowed_value.create([(0, 0, sealed(b"item"))], -1, ()))
    operation.finish()  # waits until what the batch makes is written
    yield sent
    operation.teardown()


def sealed(item: bytes) -> Batch[bytes]:
    """Return a batch of one item, to which nothing is added."""
    budget = Budget(1000)
    budget.take(len(item))
    batch = Batch[bytes]("", 0, budget)
    batch.append(item, 1, len(item), LIMITS)
    batch.seal()
    return batch


def test_outputs_leave_before_the_bundle_ends(sent: list[bytes]) -> None:
    """PyFlink makes the stream before it opens the stage, and by itself it would wait for more."""
    assert b"item" in sent[0]


@pytest.mark.usefixtures("sent")
def test_bundles_have_no_thread_that_looks_on() -> None:
    """Opening the stage has seen to it."""
    with bundle(StateSampler("step", CounterFactory())) as threads:
        for thread in threads:
            thread.join(timeout=10)
            assert not thread.is_alive()
