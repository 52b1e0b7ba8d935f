"""A job without the chaining that micro-batches need, past job.main's check: `python -m tests.flink.jobs.unchained`.

Of the two options it is the second that keeps the halves of a stage together: with the first alone switched off, Flink
2.3 still runs both in one Python worker, as one operator.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError
from pyflink.common import Types

from job import environment
from udfs.core.batching import BatchLimits
from udfs.micro_batch import Stage, micro_batched

if TYPE_CHECKING:
    from collections.abc import Iterable


class Passing(Stage[int, int]):
    """Returns its numbers."""

    limits = BatchLimits(max_count=10, max_bytes=1000, max_batches=4, max_bytes_under_way=1000)

    def group_of(self, _number: int) -> str:
        """Return one group for all."""
        return ""

    def size_of(self, _number: int) -> tuple[int, int]:
        """Count one message of one byte."""
        return 1, 1

    async def handle(self, _group: str, items: list[int]) -> Iterable[int]:
        """Return the numbers."""
        return items


OPTIONS = {
    "pipeline.operator-chaining.enabled": "false",
    "python.operator-chaining.enabled": "false",
    "restart-strategy.type": "none",
    "parallelism.default": "1",
}


def main() -> int:
    """Run the job until it fails, or has printed its numbers."""
    environment.prepare_local_workers()
    stream = environment.create(OPTIONS, {})
    numbers = stream.from_collection(list(range(3)), Types.INT())
    micro_batched(numbers, Passing(), "pass", Types.INT()).print()
    try:
        stream.execute("unchained")
    except Py4JJavaError as error:
        print(error, file=sys.stderr)  # noqa: T201 - what the test reads
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
