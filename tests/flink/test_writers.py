"""Which writer a key meets, as Flink has it: the shares of writers rest on knowing that beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.minicluster import Program
from udfs.core.routing import DEAD_LETTERS, Writers, address, key_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

COLLECTIONS = ["docs", DEAD_LETTERS, "\N{SNOWMAN}", "a b.c", "x" * 255]


@pytest.mark.parametrize("writers", [Writers(3, 128), Writers(2, 5)], ids=str)
def test_every_key_brings_to_the_writer_that_it_was_chosen_for(writers: Writers, tmp_path: Path) -> None:
    """Those that were chosen, with whatever collection, and as many others."""
    keys = [*writers.key_of_each(), *map(str, range(1_000_000, 1_000_030))]
    addresses = [address(key, collection) for key in keys for collection in COLLECTIONS]
    file = tmp_path / "addresses"
    file.write_text("\n".join(addresses), "utf-8")
    with Program("tests.flink.jobs.writers", str(file), *map(str, writers), folder=tmp_path) as program:
        ended = program.ended(90)
    assert (ended.code, ended.stderr) == (0, "")
    met = {address: int(index) for index, _, address in (line.partition(" ") for line in ended.stdout.splitlines())}
    assert met == {address: writers.of(key_of(address)) for address in addresses}
    assert [met[address(key, "docs")] for key in writers.key_of_each()] == list(range(writers.subtasks))
