"""An outage is waited out: no good message becomes a dead letter, no restart is used up, nothing is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from scripts.stack.workload import generate
from tests.e2e.judging import in_parts, must_hold
from tests.e2e.letters import create_letters_topic, letters_in
from tests.e2e.trial import PARTITIONS
from tests.support.topics import tolerant

if TYPE_CHECKING:
    from scripts.stack.kafka import Kafka
    from tests.e2e.trial import Trial

AWAY_SECONDS = 20
CHECKPOINT_TIMEOUT = "--flink.execution.checkpointing.timeout=3 s"
LONGEST_CANCEL = 10


@pytest.mark.timeout(180)
def test_qdrant_away(trial: Trial, kafka: Kafka) -> None:
    """Qdrant is killed under load and away for several checkpoint time-outs; then everything goes on by itself."""
    workload = generate(6000, PARTITIONS)
    letters = create_letters_topic(kafka, f"{trial.topic.name}-letters")
    trial.proxy.delay = lambda: 0.1
    job = trial.submit(2, "--sink.batch.max-size=100", CHECKPOINT_TIMEOUT, *tolerant(letters))
    before, meanwhile, after = in_parts(workload.messages, 3)
    trial.topic.produce(before)
    trial.wait_for_calls(job, 5)
    trial.qdrant.kill()
    trial.topic.produce(meanwhile)
    time.sleep(AWAY_SECONDS)
    trial.qdrant.start()
    trial.topic.produce(after)
    trial.drain(job, workload.messages)
    must_hold(trial.client, workload.points)
    assert trial.cluster.checkpoints(job.id)["counts"]["failed"] >= 3
    assert (job.restarts(), letters_in(kafka, letters)) == (0, [])


@pytest.mark.timeout(120)
def test_cancel_while_qdrant_is_away(trial: Trial) -> None:
    """A job that waits for Qdrant ends within seconds when it is cancelled."""
    trial.proxy.delay = lambda: 0.1
    job = trial.submit(1, "--sink.batch.max-size=100")
    trial.topic.produce(generate(2000, PARTITIONS).messages)
    trial.wait_for_calls(job, 2)
    trial.qdrant.kill()
    time.sleep(3)
    started = time.monotonic()
    trial.cluster.cancel(job.id)
    assert time.monotonic() - started < LONGEST_CANCEL
