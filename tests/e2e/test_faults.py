"""Whatever breaks, the points are those of a replay in order, and the dead letters those of bad messages."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from qdrant_client import models

from scripts.stack.workload import Message, compare
from tests.e2e.faults import A_WHILE, FAULTS, End, Fault
from tests.e2e.judging import points_of
from tests.e2e.letters import BAD_ONE, letters_in, placed
from tests.e2e.topic import PARTITIONS
from tests.support.lanes import TWO_LANES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.drill import Drill
    from tests.e2e.jobs import Job

DOCS, NEW_SIZE, FIRST_NEW = "docs", 8, 10**15
MISFITS = {"vector-size", "refused-by-qdrant"}


def param(fault: Fault) -> object:
    """Return the fault as a parameter, marked if it is not for every run."""
    marks = [pytest.mark.faults, *([] if fault.is_quick else [pytest.mark.slow])]
    return pytest.param(fault, id=fault.name, marks=marks)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [param(fault) for fault in FAULTS])
def test_fault(drill: Drill, fault: Fault, say: Callable[[str], None]) -> None:
    """Under a steady load the fault changes nothing of what is there at the end, and the job ends as named."""
    check(drill, fault, say)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["Python worker killed", "TaskManager killed", "Qdrant killed, 20 s away"])
def test_fault_with_lanes(drill: Drill, name: str, say: Callable[[str], None]) -> None:
    """The same where the stream is keyed, and all tasks restart with the one that fails."""
    drill.lanes = TWO_LANES
    check(drill, next(fault for fault in FAULTS if fault.name == name), say)


def check(drill: Drill, fault: Fault, say: Callable[[str], None]) -> None:
    """Fail unless the fault leaves what is right."""
    first = drill.start()
    restarts = first.restarts()  # it may have had to wait for a TaskManager
    with drill.load():
        drill.warm_up()
        seconds = drill.strike(fault.strike)
    outcome = drill.outcome(seconds)
    say(f"{fault.name + (', with lanes' if drill.lanes else ''):40} {outcome}")
    assert outcome.is_exact
    if fault.retries:
        # What Flink tells of metrics is seconds old, and older while it waits for those of a TaskManager that is gone.
        drill.job.wait_for(drill.has_retried, "a request to have been repeated", seconds=60)
    assert end_of(drill, first, restarts) is fault.end, drill.cluster.failure(drill.job.id)


def end_of(drill: Drill, first: Job, restarts: int) -> End:
    """Return what became of the job that had been restarted so many times before."""
    if drill.job is not first:
        return End.RESUMED
    return End.RESTARTED if drill.job.restarts() > restarts else End.RUNS_ON


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(300)
def test_collection_recreated(drill: Drill, say: Callable[[str], None]) -> None:
    """Of a collection that returns with another size, all that is produced from then on is there, or rightly not."""
    drill.start()
    with drill.load():
        drill.warm_up()
        seconds = drill.strike(recreate)
        drill.job.wait_for(lambda: not drill.urgent, "the new messages to be produced")
    drill.drain(drill.job, drill.produced)
    everything = list(placed(drill.topic.name, drill.produced))
    returned = next(number for number, (_, message) in enumerate(everything) if is_new(message))
    later = [(origin, message) for origin, message in everything[returned:] if message.point[0] == DOCS]
    misfits = {origin for origin, message in later if not fits(message)}
    letters = {letter.origin: letter.code for letter in letters_in(drill.kafka, drill.letters)}
    assert {letters.get(origin) for origin in misfits} <= MISFITS
    assert not letters.keys() & {origin for origin, _ in later} - misfits
    must_hold_of(drill, [message for origin, message in later if origin not in misfits])
    say(
        f"{'collection deleted and re-created':40} {len(everything)} messages, 1 fault: of {len(later)} sent after its "
        f"return {len(misfits)} rightly dead-lettered, all others there; recovered in {seconds:.1f} s"
    )


def recreate(drill: Drill) -> None:
    """Delete a collection under load, create it with another size a little later, and send points that fit it."""
    with closing(drill.qdrant.client()) as client:
        client.delete_collection(DOCS)
        time.sleep(A_WHILE)
        client.create_collection(DOCS, models.VectorParams(size=NEW_SIZE, distance=models.Distance.DOT))
    for number in range(200):  # amid those of the old size
        body = {"collection_name": DOCS, "id": FIRST_NEW + number, "vector": [number + 0.5] * NEW_SIZE}
        point = (DOCS, FIRST_NEW + number)
        drill.urgent.append(Message(point, number % PARTITIONS, None, json.dumps(body).encode()))
        time.sleep(0.02)


def is_new(message: Message) -> bool:
    """Tell whether the message was made for the new collection."""
    collection, point_id = message.point
    return collection == DOCS and isinstance(point_id, int) and point_id >= FIRST_NEW


def fits(message: Message) -> bool:
    """Tell whether the new collection takes the message: by its vector, or because it has none."""
    vector = json.loads(message.value or b"{}").get("vector")
    return vector is None or len(vector) == NEW_SIZE


def must_hold_of(drill: Drill, written: list[Message]) -> None:
    """Fail unless the collection has what these messages leave of their points, and all others are exact."""
    good = [message for message in drill.produced if message.point[0] not in (DOCS, BAD_ONE)]
    with closing(drill.qdrant.client()) as client:
        difference = compare(client, {**points_of(good), **points_of(written)})
    # A point of the old collection may have come back by a message that was under way.
    wrongly_there = [key for key in difference.extra if key in {message.point for message in written}]
    assert (difference.missing, difference.wrong, wrongly_there) == ([], [], [])
    assert {collection for collection, _ in difference.extra} <= {DOCS}
