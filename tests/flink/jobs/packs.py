"""A job that keeps each pack: `python -m tests.flink.jobs.packs BOOTSTRAP TOPIC FILE INTERVAL RECORDS BYTES AGE`.

It has a checkpoint every INTERVAL milliseconds, and appends each pack to FILE, in a line of hexadecimal digits.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyflink.common import Types
from pyflink.table import StreamTableEnvironment

from job import environment
from job.kafka import records
from job.packing import PackLimits
from tests.support.topics import whole_topic
from udfs.core.batching import BatchLimits
from udfs.micro_batch import Stage, micro_batched

if TYPE_CHECKING:
    from collections.abc import Iterable


class Keeping(Stage[bytes, int]):
    """Appends what it gets to a file."""

    limits = BatchLimits(max_count=1, max_bytes=1, max_batches=64)

    def __init__(self, file: Path) -> None:
        self._file = file

    def group_of(self, _pack: bytes) -> str:
        """Return one group for all."""
        return ""

    def size_of(self, _pack: bytes) -> tuple[int, int]:
        """Count one message, which fills a batch."""
        return 1, 1

    async def handle(self, _group: str, items: list[bytes]) -> Iterable[int]:
        """Append the packs."""
        with self._file.open("a") as file:
            file.writelines(f"{pack.hex()}\n" for pack in items)
        return []


def main(bootstrap: str, topic: str, file: str, interval: str, *limits: str) -> None:
    """Run the job until it is ended."""
    environment.prepare_local_workers()
    options = {"parallelism.default": "1", "execution.checkpointing.interval": interval}
    stream = environment.create({**options, "restart-strategy.type": "none"}, {})
    environment.add_connector(stream, None)
    source = whole_topic(bootstrap, topic)
    packs = records(StreamTableEnvironment.create(stream), source, PackLimits(*map(int, limits)))
    micro_batched(packs, Keeping(Path(file)), "keep", Types.INT())
    stream.execute("packs")


if __name__ == "__main__":
    main(*sys.argv[1:])
