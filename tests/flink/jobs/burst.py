"""A job whose stage fails at the last record of a burst: `python -m tests.flink.jobs.burst BOOTSTRAP TOPIC HANDLER`.

HANDLER is `ours`, or `raising` for the handler that one would write first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyflink.common import Types
from pyflink.table import StreamTableEnvironment

from job import environment
from job.kafka import records
from tests.support.topics import whole_topic
from udfs import micro_batch
from udfs.core.batching import BatchLimits
from udfs.core.packs import records_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from udfs.batches import Batch

OPTIONS = {
    "parallelism.default": "1",
    "execution.checkpointing.interval": "200",
    # Every attempt reads the burst again. The handler that raises may take several: it loses nothing where the bundle
    # happens to end at the moment in which the last record fails.
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.delay": "10 ms",
}


class Failing(micro_batch.Stage[bytes, int]):
    """Makes a batch of each record, all of which are larger than a pack, and fails at the one whose key is `bad`."""

    limits = BatchLimits(max_count=1, max_bytes=1000, max_batches=64, max_bytes_under_way=1000)

    def group_of(self, _pack: bytes) -> str:
        """Return one group for all."""
        return ""

    def size_of(self, _pack: bytes) -> tuple[int, int]:
        """Count one message, which fills a batch."""
        return 1, 1

    async def handle(self, _group: str, items: list[bytes]) -> Iterable[int]:
        """Fail, or return nothing."""
        if any(record.key == b"bad" for pack in items for record in records_of(pack)):
            raise ValueError("the last record is bad")
        return []


class Raising(micro_batch.Handle[Any, Any]):
    """The handler, but for its one rule: it raises."""

    async def async_invoke(self, batch: Batch[Any]) -> Iterable[Any]:
        """Handle the batch and let an exception out."""
        return list(await super().async_invoke(batch))


def main(bootstrap: str, topic: str, handler: str) -> int:
    """Run the job until it fails."""
    attempts = "1"
    if handler == "raising":
        micro_batch.Handle, attempts = Raising, "9"  # type: ignore[misc]
    environment.prepare_local_workers()
    stream = environment.create({**OPTIONS, "restart-strategy.fixed-delay.attempts": attempts}, {})
    environment.add_connector(stream, None)
    source = whole_topic(bootstrap, topic)
    packs = records(StreamTableEnvironment.create(stream), source)
    micro_batch.micro_batched(packs, Failing(), "fail", Types.INT())
    try:
        stream.execute("burst")
    except Py4JJavaError as error:
        print(error, file=sys.stderr)  # noqa: T201 - what the test reads
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
