"""Operators keep their state whatever else of the job changes, because each has a uid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.lanes import with_and_without_lanes
from tests.support.minicluster import job_arguments, run_job
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant

pytestmark = pytest.mark.timeout(120)


@with_and_without_lanes
def test_no_operator_is_without_a_uid(lanes: tuple[str, ...], kafka: Kafka, qdrant: Qdrant, tmp_path: Path) -> None:
    """With dead letters, and so with all operators that there can be, Flink need not make one up."""
    topic = f"uids-{len(lanes)}"
    for name in (topic, f"{topic}-dead"):
        kafka.create_topic(name)
    strict = ("--flink.pipeline.auto-generate-uids=false", "--scan.bounded.mode=latest-offset")
    ended = run_job(*job_arguments(kafka, qdrant, topic), *tolerant(f"{topic}-dead"), *strict, *lanes, folder=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
