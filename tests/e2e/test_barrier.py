"""At the barrier everything is in Qdrant: the first promise, on a real cluster with real checkpoints and savepoints."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from scripts.stack.workload import generate
from tests.e2e.trial import PARTITIONS, before, points_of, with_unlike_ids

if TYPE_CHECKING:
    from tests.e2e.trial import Offsets, Trial

COMMITS = 20  # each of the two source tasks makes one per checkpoint
LARGEST_SAVEPOINT = 32 * 1024


@pytest.mark.timeout(120)
def test_barrier(trial: Trial) -> None:
    """Whenever offsets are committed, every message before them is readable in Qdrant at that moment."""
    rng = random.Random(1)
    trial.proxy.delay = lambda: rng.uniform(0.1, 0.3)
    trial.submit(2, "--sink.batch.max-size=100")
    committed = trial.committed()
    with trial.producing(with_unlike_ids(generate(50_000, PARTITIONS).messages), per_second=300) as produced:
        for _ in range(COMMITS):
            committed = next_commit(trial, committed)
            assert trial.missing(before(produced, committed)) == []
        with trial.proxy.held():
            time.sleep(2)  # four checkpoints, if they were let through
            assert trial.proxy.waiting
            assert trial.missing(before(produced, trial.committed())) == []


def next_commit(trial: Trial, known: Offsets) -> Offsets:
    """Return the offsets committed by the next checkpoint that advances them."""
    offsets = known

    def is_ahead() -> bool:
        nonlocal offsets
        offsets = trial.committed()
        return offsets != known

    trial.wait_for(is_ahead, "a checkpoint to advance the committed offsets")
    return offsets


@pytest.mark.timeout(180)
def test_savepoint_and_rescale(trial: Trial) -> None:
    """A savepoint under load is tiny, leaves nothing before its offsets unwritten, and starts three writers for one."""
    workload = generate(4000, PARTITIONS)
    trial.proxy.delay = lambda: 0.15
    job = trial.submit(1, "--sink.batch.max-size=100")
    with trial.producing(workload.messages, per_second=300) as produced:
        trial.wait_for(lambda: sum(trial.committed().values()) > 500, "some messages to be committed")
        trial.wait_for_calls(1)
        savepoint = trial.cluster.stop_with_savepoint(job, trial.folder / "savepoints")
    trial.must_be_in_qdrant(points_of(before(produced, offsets_in(savepoint, trial.topic))))
    size = sum(file.stat().st_size for file in Path(urlsplit(savepoint).path).rglob("*"))
    print("SAVEPOINT", size, offsets_in(savepoint, trial.topic), trial.committed(), len(produced))
    assert size < LARGEST_SAVEPOINT
    trial.submit(3, "--sink.batch.max-size=100", savepoint=savepoint)
    trial.produce(workload.messages[len(produced) :])
    trial.drain(workload.messages)
    trial.must_be_in_qdrant(workload.points)
