"""Last write wins, whatever the network does to single requests."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from scripts.stack.workload import Message
from tests.e2e.judging import must_hold, points_of
from tests.e2e.topic import PARTITIONS
from tests.support.grpc_proxy import random_delay
from tests.support.lanes import with_and_without_lanes

if TYPE_CHECKING:
    from tests.e2e.trial import Trial

VERSIONS, IDS = 20_000, 50
COLLECTIONS = ("docs", "articles", "keywords")
TOMBSTONE_SHARE = 0.1


@pytest.mark.timeout(180)
@with_and_without_lanes
def test_last_version_wins(trial: Trial, lanes: tuple[str, ...]) -> None:
    """Of 20,000 upserts and deletes of 50 ids, with requests delayed at random, the last of each id is what counts."""
    messages = versions(seed=1)
    trial.proxy.delay = random_delay(0, 0.05, seed=1)
    job = trial.submit(2, "--sink.batch.max-size=100", *lanes)
    trial.topic.produce(messages)
    trial.drain(job, messages)
    assert trial.proxy.most_waiting > 1
    must_hold(trial.client, points_of(messages))


def versions(seed: int) -> list[Message]:
    """Return versions of a few points, each newer than those before it, or a deletion."""
    rng = random.Random(seed)  # noqa: S311 - test data
    versions = []
    for number in range(VERSIONS):
        point_id, is_tombstone = rng.randrange(IDS), rng.random() < TOMBSTONE_SHARE
        versions.append(version(point_id, None if is_tombstone else {"number": number}))
    return versions


def version(point_id: int, payload: dict[str, int] | None) -> Message:
    """Return a message in the partition of its id; None deletes."""
    collection = COLLECTIONS[point_id % len(COLLECTIONS)]
    name = {"collection_name": collection, "id": point_id}
    value = None if payload is None else json.dumps({**name, "payload": payload}).encode()
    return Message((collection, point_id), point_id % PARTITIONS, json.dumps(name).encode(), value)
