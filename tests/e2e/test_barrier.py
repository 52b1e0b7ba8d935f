"""At the barrier everything is in Qdrant: the first promise, on a real cluster with real checkpoints and savepoints."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from scripts.stack.workload import compare, generate
from tests.e2e.trial import PARTITIONS, before, points_of, with_unlike_ids

if TYPE_CHECKING:
    from scripts.stack.workload import Message
    from tests.e2e.trial import Offsets, Trial

LARGEST_SAVEPOINT = 32 * 1024


def next_commit(trial: Trial, known: Offsets) -> Offsets:
    """Return the offsets committed by the next checkpoint that advances them."""
    trial.wait_for(lambda: trial.committed() != known, "a checkpoint to complete")
    return trial.committed()


def newly_before(messages: list[Message], known: Offsets, offsets: Offsets) -> list[Message]:
    """Return the messages between two commits."""
    return before(messages, offsets)


@pytest.mark.timeout(120)
def test_barrier(trial: Trial) -> None:
    """Whenever offsets are committed, every message before them is readable in Qdrant at that moment."""
    messages = with_unlike_ids(generate(4000, PARTITIONS).messages)
    rng = random.Random(1)
    trial.proxy.delay = lambda: rng.uniform(0.1, 0.3)
    trial.submit(2, "--sink.batch.max-size=100")
    import sys; sys.path.insert(0, "/tmp"); import dbg_timeline; dbg_timeline.start(trial)
    committed, judged = trial.committed(), 0
    with trial.producing(messages, per_second=300):
        while len(before(messages, committed)) < len(messages):
            committed = next_commit(trial, committed)
            assert trial.missing(before(messages, committed)) == []
            judged += 1
            import time; print(round(time.time() % 1000,3), committed, trial.proxy.calls)
    import json
    for c in trial.cluster.checkpoints(trial.jobs[-1])["history"]:
        print(c["id"], c["status"], c["trigger_timestamp"] % 1000000, c["end_to_end_duration"], c["state_size"])
    assert judged >= 8
    print("judged", judged)
