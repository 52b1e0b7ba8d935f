"""At the barrier everything is in Qdrant: the first promise, on a real cluster with real checkpoints and savepoints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from scripts.stack.workload import generate
from tests.e2e.judging import before, missing, must_hold, offsets_in, points_of, with_unlike_ids
from tests.e2e.topic import PARTITIONS
from tests.support.grpc_proxy import random_delay

if TYPE_CHECKING:
    from tests.e2e.jobs import Job
    from tests.e2e.topic import Offsets, Topic
    from tests.e2e.trial import Trial

COMMITS = 20  # each of the two source tasks makes one per checkpoint
LARGEST_SAVEPOINT = 32 * 1024


@pytest.mark.timeout(150)
def test_barrier(trial: Trial) -> None:
    """Whenever offsets are committed, every message before them is readable in Qdrant at that moment."""
    trial.proxy.delay = random_delay(0.1, 0.3, seed=1)
    job = trial.submit(2, "--sink.batch.max-size=100")
    committed = trial.topic.committed()
    with trial.topic.producing(with_unlike_ids(generate(50_000, PARTITIONS).messages), per_second=300) as produced:
        for _ in range(COMMITS):
            committed = next_commit(job, trial.topic, committed)
            assert missing(trial.client, before(produced, committed)) == []
        with trial.proxy.held():
            time.sleep(2)  # four checkpoints, if they were let through
            assert trial.proxy.waiting
            assert missing(trial.client, before(produced, trial.topic.committed())) == []


def next_commit(job: Job, topic: Topic, known: Offsets) -> Offsets:
    """Return the offsets committed by the next checkpoint that advances them."""
    offsets = known

    def is_ahead() -> bool:
        nonlocal offsets
        offsets = topic.committed()
        return offsets != known

    job.wait_for(is_ahead, "a checkpoint to advance the committed offsets", every=0.02)
    return offsets


@pytest.mark.timeout(180)
def test_savepoint_and_rescale(trial: Trial) -> None:
    """A savepoint under load is tiny, leaves nothing before its offsets unwritten, and starts three writers for one."""
    workload = generate(4000, PARTITIONS)
    trial.proxy.delay = lambda: 0.15
    job = trial.submit(1, "--sink.batch.max-size=100")
    with trial.topic.producing(workload.messages, per_second=300) as produced:
        job.wait_for(lambda: sum(trial.topic.committed().values()) > 500, "some messages to be committed")
        trial.wait_for_calls(job, 1)
        savepoint = trial.cluster.stop_with_savepoint(job.id, trial.folder / "savepoints")
    must_hold(trial.client, points_of(before(produced, offsets_in(savepoint, trial.topic.name))))
    assert size_of(savepoint) < LARGEST_SAVEPOINT
    job = trial.submit(3, "--sink.batch.max-size=100", savepoint=savepoint)
    trial.topic.produce(workload.messages[len(produced) :])
    trial.drain(job, workload.messages)
    must_hold(trial.client, workload.points)


def size_of(savepoint: str) -> int:
    """Return the bytes of everything in the savepoint's folder."""
    return sum(file.stat().st_size for file in Path(urlsplit(savepoint).path).rglob("*"))
