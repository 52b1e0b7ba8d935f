"""Which writer a key meets, as Flink has it: the shares of writers rest on knowing that beforehand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.minicluster import Program
from udfs.core.routing import DEAD_LETTERS, WriteKeys, Writers, write_key

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

COLLECTIONS = ["docs", DEAD_LETTERS, "größe", "\N{SNOWMAN}", "\N{MUSICAL SYMBOL G CLEF}", "a b.c", "x" * 255]


@pytest.mark.parametrize("writers", [Writers(3, 128), Writers(2, 5)], ids=str)
def test_every_key_meets_the_writer_that_it_was_chosen_for(writers: Writers, tmp_path: Path) -> None:
    """Those that parse would give its lanes, and as many others, of names in all sorts of characters."""
    keys = WriteKeys(writers.subtasks, writers)
    chosen = [keys.of_lane(collection, lane) for collection in COLLECTIONS for lane in range(writers.subtasks)]
    others = [write_key(collection, lane, 99) for collection in COLLECTIONS for lane in range(3)]
    file = tmp_path / "keys"
    file.write_text("\n".join(chosen + others), "utf-8")
    with Program("tests.flink.jobs.writers", str(file), *map(str, writers), folder=tmp_path) as program:
        ended = program.ended(90)
    assert (ended.code, ended.stderr) == (0, "")
    met = {key: int(index) for index, _, key in (line.partition(" ") for line in ended.stdout.splitlines())}
    assert met == {key: writers.of(key) for key in chosen + others}
    assert Counter(met[key] for key in chosen) == dict.fromkeys(range(writers.subtasks), len(COLLECTIONS))
