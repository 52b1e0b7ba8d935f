"""A job that asks Flink where parcels go: `python -m tests.flink.jobs.writers FILE PARALLELISM MAX_PARALLELISM`.

The file has an address on each line. Each is printed with the index of the subtask that got it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment

from job.environment import prepare_local_workers
from udfs.core.parcels import AddressedParcel
from udfs.parse import PARCEL, write_key_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyflink.datastream import RuntimeContext


class Witness(KeyedProcessFunction):
    """Tells of each parcel who got it."""

    def open(self, runtime_context: RuntimeContext) -> None:
        """Remember who this is."""
        self._index = runtime_context.get_index_of_this_subtask()

    def process_element(self, value: Row, _ctx: Any) -> Iterator[str]:
        """Write the subtask and the address."""
        yield f"{self._index} {AddressedParcel(*value).address}"


def main(file: str, parallelism: str, max_parallelism: str) -> None:
    """Run the job over all addresses of the file."""
    prepare_local_workers()
    stream = StreamExecutionEnvironment.get_execution_environment()
    stream.set_parallelism(int(parallelism))
    stream.set_max_parallelism(int(max_parallelism))
    addresses = Path(file).read_text("utf-8").split("\n")
    parcels = stream.from_collection([Row(*AddressedParcel(address, 1, b"")) for address in addresses], PARCEL)
    with parcels.key_by(write_key_of, Types.STRING()).process(Witness(), Types.STRING()).execute_and_collect() as told:
        sys.stdout.writelines(f"{line}\n" for line in told)


if __name__ == "__main__":
    main(*sys.argv[1:])
