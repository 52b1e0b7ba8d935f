"""Every message judged: what Qdrant, the dead letters and the counters hold is what the table of cases says."""

from __future__ import annotations

import json
import os
import signal
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from scripts.stack.workload import Message, Point, as_stored, generate
from tests.cases import CASES, PREPARATION, Case, create_collections, points_left
from tests.e2e.judging import in_parts, must_hold
from tests.e2e.letters import USUAL_LIMIT, create_letters_topic, letters_in, origins_of_bad_ones, with_bad_ones
from tests.e2e.topic import PARTITIONS
from tests.support.topics import tolerant
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Origin
from udfs.core.refusals import SAID_BY

if TYPE_CHECKING:
    from scripts.stack.kafka import Kafka
    from scripts.stack.workload import PointKey
    from tests.e2e.jobs import Job
    from tests.e2e.letters import Letter
    from tests.e2e.trial import Trial

NEIGHBOURS = 200  # good messages before each case that is refused, and behind it
HEADERS = {"of-the-producer": b"\xff\0", "empty": b""}
VECTOR = [0.5, -0.5] * 8
LEAST_TELLING = 10  # characters; shorter ones may stand in a log for other reasons
UNTOUCHED = ("", "")  # neither rendered again nor left out


@dataclass
class Traffic:
    """Cases amid good messages, and what must become of them."""

    topic: str
    messages: list[Message] = field(default_factory=list)
    points: dict[PointKey, Point] = field(default_factory=points_left)
    refused: dict[Origin, Case] = field(default_factory=dict)
    ends: Counter[int] = field(default_factory=Counter)

    def add(self, case: Case) -> None:
        """Add a case, in the partition where all of its point is, with neighbours on both sides if it is refused."""
        point = case.stored_as or ("", case.id)
        partition = zlib.crc32(repr(point).encode()) % PARTITIONS
        self._add_neighbours(partition, case)
        if case.code:
            self.refused[Origin(self.topic, partition, self.ends[partition])] = case
        self._add(Message(point, partition, case.key, case.value, HEADERS))
        self._add_neighbours(partition, case)

    def _add_neighbours(self, partition: int, case: Case) -> None:
        for _ in range(NEIGHBOURS if case.code else 0):
            point = ("docs", len(self.messages))
            body = {"collection_name": point[0], "id": point[1], "vector": VECTOR}
            self._add(Message(point, partition, None, json.dumps(body).encode()))
            self.points[point] = Point(as_stored(VECTOR), {})

    def _add(self, message: Message) -> None:
        self.messages.append(message)
        self.ends[message.partition] += 1


def traffic_of_all_cases(topic: str) -> Traffic:
    """Return every row of the table, after what its tombstones delete."""
    traffic = Traffic(topic)
    for case in [*PREPARATION, *CASES]:
        traffic.add(case)
    return traffic


@pytest.mark.timeout(240)
def test_every_case(trial: Trial, kafka: Kafka) -> None:
    """Every row of the table, amid good traffic, ends where it says, and each is counted once; neighbours are written.

    A refused message has 400 of them, far less than a batch away.
    """
    create_collections(trial.client)
    letters = create_letters_topic(kafka, f"{trial.topic.name}-letters")
    traffic = traffic_of_all_cases(trial.topic.name)
    job = trial.submit(2, *tolerant(letters))
    trial.topic.produce(traffic.messages)
    trial.drain(job, traffic.messages)
    must_hold(trial.client, traffic.points)
    found = letters_in(kafka, letters)
    assert {letter.origin: letter.code for letter in found} == {at: case.code for at, case in traffic.refused.items()}
    for letter in found:
        check(letter, traffic.refused[letter.origin])
    check_accounts(trial, job, Counter(letter.code for letter in found))
    check_logs(trial)


@pytest.mark.timeout(180)
def test_dead_letters_outlive_crashes(trial: Trial, kafka: Kafka) -> None:
    """With every tenth message bad, killed workers and TaskManagers leave every dead letter, and exactly the points."""
    create_collections(trial.client)
    letters = create_letters_topic(kafka, f"{trial.topic.name}-letters")
    trial.proxy.delay = lambda: 0.1
    job = trial.submit(2, *tolerant(letters), "--sink.batch.max-size=50")
    workload = generate(4500, PARTITIONS)
    messages = list(with_bad_ones(workload.messages))
    *parts, rest = in_parts(messages, 3)
    for part, kill in zip(parts, (kill_worker, replace_task_manager), strict=True):
        trial.topic.produce(part)
        trial.wait_for_calls(job, 10)
        restarts = job.restarts()
        kill(trial)
        job.wait_for_restart(restarts)
    trial.topic.produce(rest)
    trial.drain(job, messages)
    must_hold(trial.client, workload.points)
    # At least once: a replay may repeat one.
    assert {letter.origin for letter in letters_in(kafka, letters)} == origins_of_bad_ones(trial.topic.name, messages)


def kill_worker(trial: Trial) -> None:
    """Kill a Python worker."""
    os.kill(trial.cluster.python_worker_pids()[0], signal.SIGKILL)


def replace_task_manager(trial: Trial) -> None:
    """Kill the TaskManager of a Python worker, with another one at hand."""
    trial.cluster.add_task_manager()
    trial.cluster.kill_busy_task_manager()


def check(letter: Letter, case: Case) -> None:
    """Fail unless the dead letter carries the message as it was, or says how it had to be changed."""
    assert letter.headers.items() >= HEADERS.items() or SAID_BY[letter.code] == "qdrant"
    assert letter.text("qdrant.errors.field") == case.field or case.field is None
    assert letter.text("__connect.errors.exception.message")
    changes = letter.text("qdrant.errors.rendered"), letter.text("qdrant.errors.omitted")
    if SAID_BY[letter.code] == "qdrant":
        assert changes == ("true", "")
        assert parse_message(None, letter.value, ParseRules()) == parse_message(None, case.value, ParseRules())
    elif len(case.value or b"") > USUAL_LIMIT:
        assert changes == ("", "value")
        assert letter.key == case.key
        assert (letter.value or b"").startswith(b"Too large for this topic, which takes 1048588 bytes")
    else:
        assert changes == UNTOUCHED
        assert (letter.key, letter.value) == (case.key, case.value)


def check_accounts(trial: Trial, job: Job, codes: Counter[str]) -> None:
    """Fail unless all that was read is counted once, and each refusal by its code."""
    accounts: Counter[str] = Counter()

    def are_settled() -> bool:
        accounts.clear()
        accounts.update(trial.cluster.accounts(job.id))
        return accounts["read"] == sum(trial.topic.ends().values()) == settled(accounts)

    job.wait_for(are_settled, "the metrics to catch up", every=1)
    by_code = {name.split(".")[1]: count for name, count in accounts.items() if name.startswith("code.") and count}
    assert by_code == codes
    assert accounts["deadLettered"] == codes.total()


def check_logs(trial: Trial) -> None:
    """Fail unless the logs tell of the first refusals, and of no message what was in it."""
    log = "".join(file.read_text(errors="replace") for file in trial.cluster.log_dir.iterdir())
    assert "First dead letter of parse with code id-uuid: topic" in log
    assert "The write stage opens with WriteOptions(connection=Connection(" in log
    texts = {(case.value or b"").decode(errors="replace") for case in CASES}
    assert [text for text in texts if len(text) > LEAST_TELLING and text in log] == []


def settled(accounts: Counter[str]) -> int:
    """Return how many messages came to an end, by these accounts."""
    return sum(accounts[name] for name in ("written", "superseded", "deleted", "deadLettered"))
