"""What a good message becomes."""

from __future__ import annotations

import pickle

from udfs.core.operations import Delete, Origin, Upsert
from udfs.core.vectors import Dense


def test_an_origin_reads_like_a_place_in_kafka() -> None:
    """Logs and dead letters name a record by topic, partition and offset."""
    assert str(Origin("docs", 3, 17)) == "topic 'docs', partition 3, offset 17"


def test_operations_survive_pickling() -> None:
    """What Flink may carry between processes arrives equal."""
    operations = [Origin("docs", 3, 17), Upsert("docs", 1, {"": Dense(b"\0\0\0\0")}, {"a": [1]}), Delete("docs", 2)]
    assert pickle.loads(pickle.dumps(operations)) == operations  # noqa: S301 - our own bytes
