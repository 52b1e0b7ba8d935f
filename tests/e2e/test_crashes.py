"""Nothing is lost, doubled or stale after a crash, and nothing of a task outlives it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from qdrant_client import models

from scripts.stack.processes import wait_until
from scripts.stack.workload import generate
from tests.e2e.judging import in_parts, must_hold
from tests.e2e.topic import PARTITIONS
from tests.support.grpc_proxy import random_delay
from tests.support.lanes import with_and_without_lanes

if TYPE_CHECKING:
    from tests.e2e.trial import Trial

RESTARTS = 10
SPARSER = models.StrictModeConfig(enabled=True, sparse_config={"some-sparse": models.StrictModeSparse(max_length=1)})
RESTART_AT_ONCE = (
    "--flink.restart-strategy.type=fixed-delay",
    "--flink.restart-strategy.fixed-delay.delay=0 s",
    f"--flink.restart-strategy.fixed-delay.attempts={2 * RESTARTS}",
)


@pytest.mark.timeout(180)
@with_and_without_lanes
def test_kill_worker(trial: Trial, lanes: tuple[str, ...]) -> None:
    """Python workers killed in the middle of writing leave exactly the right points: none lost, stale or undeleted.

    Without lanes the worker of the other slot goes on.
    """
    workload = generate(6000, PARTITIONS)
    trial.proxy.delay = lambda: 0.1
    job = trial.submit(2, "--sink.batch.max-size=50", *lanes)
    *parts, rest = in_parts(workload.messages, 4)
    for number, part in enumerate(parts):
        trial.topic.produce(part)
        trial.wait_for_calls(job, 10)
        restarts, workers = job.restarts(), trial.cluster.python_worker_pids()
        os.kill(workers.pop(number % 2), signal.SIGKILL)
        job.wait_for_restart(restarts)
        assert lanes or set(workers) < set(trial.cluster.python_worker_pids())
    trial.topic.produce(rest)
    trial.drain(job, workload.messages)
    must_hold(trial.client, workload.points)


@pytest.mark.timeout(180)
def test_kill_task_manager(trial: Trial) -> None:
    """TaskManagers killed in the middle of writing leave exactly the right points, and no worker for over a second."""
    workload = generate(6000, PARTITIONS)
    trial.proxy.delay = lambda: 0.1
    job = trial.submit(2, "--sink.batch.max-size=50")
    *parts, rest = in_parts(workload.messages, 3)
    for part in parts:
        trial.cluster.add_task_manager()
        trial.topic.produce(part)
        trial.wait_for_calls(job, 10)
        restarts = job.restarts()
        orphans = trial.cluster.kill_busy_task_manager()
        wait_for_end(trial, orphans, seconds=1)
        job.wait_for_restart(restarts)
    trial.topic.produce(rest)
    trial.drain(job, workload.messages)
    must_hold(trial.client, workload.points)


def wait_for_end(trial: Trial, workers: set[int], seconds: float) -> None:
    """Return once none of these Python workers is left."""
    wait_until(lambda: not workers & set(trial.cluster.python_worker_pids()), "the workers to end", seconds, every=0.05)


@pytest.mark.timeout(240)
def test_no_worker_outlives_its_task(trial: Trial) -> None:
    """After ten restarts with calls to Qdrant under way, only the Python worker of the running task is left."""
    workload = generate(200, PARTITIONS)
    trial.proxy.delay = random_delay(0, 0.3, seed=1)
    # By Qdrant alone can these be refused, so when that happens, others are being written.
    trial.client.update_collection("keywords", strict_mode_config=SPARSER)
    job = trial.submit(1, *RESTART_AT_ONCE)
    trial.topic.produce(workload.messages)
    job.wait_for(lambda: job.restarts() >= RESTARTS, "ten restarts", seconds=150)
    trial.client.update_collection("keywords", strict_mode_config=models.StrictModeConfig(enabled=False))
    trial.drain(job, workload.messages)
    assert len(trial.cluster.python_worker_pids()) == 1
    must_hold(trial.client, workload.points)
