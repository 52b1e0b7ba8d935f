"""The faults that a pipeline meets, each as a function that brings it about and returns when it is over."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import pytest
from qdrant_client import models

from scripts.stack.flink_rest import SavepointRefusedError
from scripts.stack.workload import FORMATS, Message, generate
from tests.e2e.drill import CHECKPOINT_TIMEOUT, LATENCY, REQUEST_TIMEOUT
from tests.e2e.letters import BAD_ONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.drill import Drill

AWAY = 20
A_WHILE = 8
LONGEST_END = 10
HUGE = 30 * 2**20
RATE_LIMIT = 120  # points a minute and collection, of 2,400 that come


class End(Enum):
    """What becomes of the job."""

    RUNS_ON = "runs on, never restarted"
    RESTARTED = "restarted by Flink"
    RESUMED = "ended, and resumed as a new job"


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: What a person calls it.
        strike: Brings it about under load, and returns when it is over.
        end: What becomes of the job.
        retries: Whether requests have to be sent again, which shows that it has hit.
        lasts: Whether a crash may come in its midst.
        is_quick: Whether it is among those that every run of the tests has.
    """

    name: str
    strike: Callable[[Drill], None]
    end: End = End.RUNS_ON
    retries: bool = False
    lasts: bool = False
    is_quick: bool = False


def kill_worker(drill: Drill) -> None:
    """Kill a Python worker."""
    restarts = drill.job.restarts()
    os.kill(drill.cluster.python_worker_pids()[0], signal.SIGKILL)
    drill.job.wait_for_restart(restarts)


def kill_task_manager(drill: Drill) -> None:
    """Kill the TaskManager of a Python worker, with another one at hand."""
    drill.cluster.add_task_manager()
    restarts = drill.job.restarts()
    drill.cluster.kill_busy_task_manager()
    drill.job.wait_for_restart(restarts)


def kill_job_manager(drill: Drill) -> None:
    """Kill the JobManager, which then knows no job any more, and resume from the retained checkpoint."""
    drill.cluster.kill_job_manager()
    drill.jobs.clear()
    drill.cluster.restart_job_manager()
    drill.wait_for_workers_to_end()
    drill.start(savepoint=drill.latest_checkpoint())


def kill_qdrant(drill: Drill) -> None:
    """Kill Qdrant, and start it again on its storage after more than three checkpoints have timed out."""
    expired = checkpoints_failed(drill)
    drill.qdrant.kill()
    time.sleep(AWAY)
    assert checkpoints_failed(drill) >= expired + 3
    drill.qdrant.start()


def kill_kafka(drill: Drill) -> None:
    """Kill Kafka, and start it again on its storage a little later."""
    drill.kafka.kill()
    time.sleep(A_WHILE)
    drill.kafka.start()


def freeze_qdrant(drill: Drill) -> None:
    """Let Qdrant stand still, its connections open, for longer than the deadline of a request."""
    drill.qdrant.freeze()
    time.sleep(2 * REQUEST_TIMEOUT + 1)
    drill.qdrant.thaw()


def rotate_key(drill: Drill) -> None:
    """Give Qdrant another key, and write it where the job looks only a little later."""
    drill.qdrant.rotate_key(secrets.token_hex())
    time.sleep(A_WHILE)
    drill.key_file.write_text(drill.qdrant.api_key or "")


def refuse_connections(drill: Drill) -> None:
    """Let nobody listen where Qdrant was."""
    with drill.wire.refused():
        time.sleep(A_WHILE)


def reset_connections(drill: Drill) -> None:
    """Reset all connections, ten times."""
    for _ in range(10):
        drill.wire.reset()
        time.sleep(0.5)


def delay_packets(drill: Drill) -> None:
    """Hold all that passes, so that no checkpoint completes in time."""
    expired = checkpoints_failed(drill)
    drill.wire.delay = REQUEST_TIMEOUT / 2 - 0.2
    drill.job.wait_for(lambda: checkpoints_failed(drill) > expired, "a checkpoint to time out")
    drill.wire.delay = LATENCY


def open_half(drill: Drill) -> None:
    """Let the connections swallow everything, without an end; only new ones work."""
    swallowed, restarts = drill.wire.swallowed, drill.job.restarts()

    def is_over() -> bool:
        # A crash in its midst ends those connections, perhaps before a request went into them.
        return drill.wire.swallowed > swallowed + 10_000 or drill.job.restarts() > restarts

    with drill.wire.half_open():
        drill.job.wait_for(is_over, "requests to be swallowed")


def cut_requests(drill: Drill) -> None:
    """Cut connections in the middle of requests."""
    cut = drill.wire.cut
    with drill.wire.cutting_requests(after=3000):
        drill.job.wait_for(lambda: drill.wire.cut >= cut + 5, "connections to be cut in requests")


def cut_answers(drill: Drill) -> None:
    """Cut connections in the middle of answers: what was asked has been done, and nobody knows."""
    cut = drill.wire.cut
    with drill.wire.cutting_answers(after=150):
        drill.job.wait_for(lambda: drill.wire.cut >= cut + 5, "connections to be cut in answers")


def limit_rate(drill: Drill) -> None:
    """Let Qdrant take less than comes, by its strict mode."""
    set_strict_mode(drill, models.StrictModeConfig(enabled=True, write_rate_limit=RATE_LIMIT))
    time.sleep(A_WHILE)
    # 1.16.3 heeds the limit of a strict mode that is off when it starts again, so it must be a high one.
    set_strict_mode(drill, models.StrictModeConfig(enabled=False, write_rate_limit=10**9))


def set_strict_mode(drill: Drill, config: models.StrictModeConfig) -> None:
    """Set the strict mode of every collection of the load."""
    with closing(drill.qdrant.client()) as client:
        for kind in FORMATS.values():
            client.update_collection(kind.collection, strict_mode_config=config)


def send_bad_messages(drill: Drill) -> None:
    """Let every tenth message be a bad one, for long enough that each kind comes."""
    usual, drill.bad_every = drill.bad_every, 10
    start = len(drill.produced)
    drill.job.wait_for(lambda: len(drill.produced) > start + 1500, "all kinds of bad messages to be produced")
    drill.bad_every = usual


def send_huge_message(drill: Drill) -> None:
    """Send one message of 30 MB, which is more than the job takes."""
    body = {"collection_name": "docs", "id": 1, "payload": {"text": "x" * HUGE}}
    drill.urgent.append(Message((BAD_ONE, "huge"), 0, None, json.dumps(body).encode()))
    drill.job.wait_for(lambda: not drill.urgent, "the message to be produced")


def cancel_in_outage(drill: Drill) -> None:
    """Cancel the job while Qdrant is away and a stop is pending; resume from its retained checkpoint afterwards."""
    drill.qdrant.kill()
    time.sleep(3)
    drill.cluster.rest(f"/jobs/{drill.job.id}/stop", "POST", {"targetDirectory": drill.folder.as_uri()})
    drill.cluster.cancel(drill.job.id, seconds=LONGEST_END)
    drill.qdrant.start()
    drill.start(savepoint=drill.latest_checkpoint())


def stop_in_outage(drill: Drill) -> None:
    """Ask for a stop while Qdrant is away: it is refused when its savepoint times out, and granted later."""
    restarts = drill.job.restarts()
    drill.qdrant.kill()
    time.sleep(3)
    started = time.monotonic()
    with pytest.raises(SavepointRefusedError, match="Checkpoint expired"):
        drill.cluster.stop_with_savepoint(drill.job.id, drill.folder / "savepoints")
    assert time.monotonic() - started < CHECKPOINT_TIMEOUT + LONGEST_END
    assert drill.job.restarts() == restarts
    drill.qdrant.start()
    drill.catch_up()
    drill.start(savepoint=drill.stop())


def rescale(drill: Drill) -> None:
    """Stop with a savepoint and go on with one, three and two subtasks."""
    for parallelism in (1, 3, 2):
        drill.start(parallelism, drill.stop())
        drill.catch_up()


def gain_partition(drill: Drill) -> None:
    """Give the topic another partition, with points of its own in it."""
    partition = drill.topic.add_partition()
    messages = generate(300, 1, seed=partition, first=10**9 * partition).messages
    drill.topic.produce(moved := [Message(m.point, partition, m.key, m.value) for m in messages])
    drill.produced.extend(moved)


def checkpoints_failed(drill: Drill) -> int:
    """Return how many checkpoints of the job have failed."""
    return int(drill.cluster.checkpoints(drill.job.id)["counts"]["failed"])


FAULTS = [
    Fault("Python worker killed", kill_worker, End.RESTARTED),
    Fault("TaskManager killed", kill_task_manager, End.RESTARTED),
    Fault("JobManager killed", kill_job_manager, End.RESUMED),
    Fault("Qdrant killed, 20 s away", kill_qdrant, retries=True, is_quick=True),
    Fault("Qdrant frozen past the deadline", freeze_qdrant, retries=True, lasts=True, is_quick=True),
    Fault("Kafka killed", kill_kafka, lasts=True),
    Fault("key wrong, then right", rotate_key, retries=True, lasts=True, is_quick=True),
    Fault("connections refused", refuse_connections, retries=True, lasts=True),
    Fault("connections reset", reset_connections, retries=True, lasts=True),
    Fault("packets delayed, a checkpoint times out", delay_packets),
    Fault("connections half-open", open_half, retries=True, lasts=True),
    Fault("connections cut inside requests", cut_requests, retries=True, lasts=True),
    Fault("connections cut inside answers", cut_answers, retries=True, lasts=True, is_quick=True),
    Fault("rate limit", limit_rate, retries=True, lasts=True),
    Fault("every tenth message bad", send_bad_messages, lasts=True),
    Fault("a message of 30 MB", send_huge_message, lasts=True),
    Fault("cancel in an outage", cancel_in_outage, End.RESUMED, is_quick=True),
    Fault("stop in an outage", stop_in_outage, End.RESUMED),
    Fault("stop with savepoint, rescale 1, 3, 2", rescale, End.RESUMED),
    Fault("topic gains a partition", gain_partition, lasts=True),
]
