"""Jobs that end where their topics end, judged by what the real Qdrant holds then: on Flink's minicluster."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from qdrant_client import models

from scripts.stack import workload
from scripts.stack.qdrant import Qdrant
from tests.support.minicluster import job_arguments, run_job
from tests.support.topics import write

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from qdrant_client import QdrantClient

    from scripts.stack.kafka import Kafka
    from tests.support.minicluster import Ended

pytestmark = pytest.mark.timeout(150)

API_KEY = "a-key-for-nobodys-eyes"
BOUNDED = ("--scan.bounded.mode", "latest-offset")
# A message of each of these collections is more than the two requests that a writer may have under way and be filling.
TIGHT = ("--sink.flush-buffer.size", "4 kb", "--sink.requests.max-inflight", "1")
MANY = [f"many-{number}" for number in range(150)]
FILLING = "a hundred bytes or so " * 5
ROUNDS = 4

Payloads: TypeAlias = "dict[int | str | uuid.UUID, dict[str, Any] | None]"


@dataclass(frozen=True)
class Run:
    """A job that has ended, and what Qdrant held then."""

    ended: Ended
    difference: workload.Difference
    counts: dict[str, int]


def create_many(client: QdrantClient) -> None:
    """Create the many collections, each with a single segment, which is the quickest."""
    for name in MANY:
        single = models.OptimizersConfigDiff(default_segment_number=1)
        client.create_collection(name, vectors_config={}, optimizers_config=single)


@pytest.fixture(scope="module", params=["metrics", "no-metrics"])
def run(request: pytest.FixtureRequest, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One job over two topics: messages of all five formats, and messages that go round 150 collections.

    It runs once with Python's metrics and once without, where batches end by a quiet time; the API key comes from the
    environment and from a file.
    """
    folder = tmp_path_factory.mktemp("run")
    formats, many = f"formats-{request.param}", f"many-{request.param}"
    load = workload.generate(2000, partitions=3)
    kafka.create_topic(formats, 3)
    workload.produce(kafka.bootstrap, formats, load.messages)
    bodies = [
        {"collection_name": name, "id": number, "payload": {"text": FILLING}}
        for number in range(ROUNDS)
        for name in MANY
    ]
    write(kafka, many, [(None, json.dumps(body).encode()) for body in bodies], partitions=2)
    with Qdrant(api_key=API_KEY) as qdrant, closing(qdrant.client()) as client:
        workload.create_collections(client)
        create_many(client)
        more = [*BOUNDED, *TIGHT, "--qdrant.api.key=env:KEY_OF_THIS_TEST"]
        env, parallelism = {"KEY_OF_THIS_TEST": API_KEY}, 2
        if request.param == "no-metrics":
            (folder / "key").write_text(API_KEY)
            more = [*BOUNDED, *TIGHT, f"--qdrant.api.key=file:{folder}/key", "--flink.python.metric.enabled=false"]
            env, parallelism = {}, 1
        arguments = job_arguments(kafka, qdrant, formats, many, parallelism=parallelism)
        ended = run_job(*arguments, *more, folder=folder, env=env)
        counts = {name: client.count(name).count for name in MANY}
        return Run(ended, workload.compare(client, load.points), counts)


def test_all_five_formats_arrive(run: Run) -> None:
    """After points, updates and tombstones in all formats, Qdrant holds exactly what is left of them."""
    assert run.ended.code == 0, run.ended.stderr
    assert run.difference == workload.Difference()


def test_more_collections_than_may_be_under_way(run: Run) -> None:
    """Messages that go round more collections than there is room for all arrive, and nothing locks up."""
    assert run.counts == dict.fromkeys(MANY, ROUNDS)


def test_a_run_that_ends_well_is_silent(run: Run) -> None:
    """The client writes not a word, so neither the API key nor any message."""
    assert (run.ended.stdout, run.ended.stderr) == ("", "")


@pytest.mark.parametrize("run", ["no-metrics"], indirect=True)
def test_flinks_log_has_neither_the_key_nor_a_message(run: Run) -> None:
    """Flink's log, to which the workers write, holds no API key that comes from a file, and nothing of a message.

    A key from the environment is in it: Flink up to 2.3.0 logs every variable of a worker that it ends (FLINK-39572).
    """
    assert "switched from RUNNING to FINISHED" in run.ended.flink_log
    for secret in (API_KEY, "nested", "some-dense", FILLING):
        assert secret not in run.ended.flink_log


UUID = "8c6d2d5e-1f0a-4b7c-9d3e-5a6b7c8d9e0f"
EXACT_IDS = [
    pytest.param("0", 0, id="zero"),
    pytest.param("7.0", 7, id="a whole float"),
    pytest.param("9007199254740993", 2**53 + 1, id="2^53+1"),
    pytest.param("9223372036854775808", 2**63, id="2^63"),
    pytest.param("18446744073709551615", 2**64 - 1, id="2^64-1"),
    pytest.param(f'"1{UUID[1:].upper()}"', f"1{UUID[1:]}", id="a UUID in capitals"),
    pytest.param(f'"2{UUID[1:].replace("-", "")}"', f"2{UUID[1:]}", id="a UUID without hyphens"),
    pytest.param(f'"urn:uuid:3{UUID[1:]}"', f"3{UUID[1:]}", id="a UUID as URN"),
    pytest.param(f'"{{4{UUID[1:]}}}"', f"4{UUID[1:]}", id="a UUID in braces"),
]
EXACT_NUMBERS = {
    "zero": 0,
    "beyond a float": 2**53 + 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "fraction": 0.1,
    "tiny": 5e-324,
    "large float": 1e300,
    "list": [1, 1.5, -(2**53) - 1],
}
DELETED = [1, f"5{UUID[1:]}"]


def exact_records() -> Iterator[tuple[bytes | None, bytes | None]]:
    """Return messages without a collection, for each id and for others that tombstones then delete."""
    for case in EXACT_IDS:
        yield None, f'{{"id": {case.values[0]}, "payload": {json.dumps(EXACT_NUMBERS)}}}'.encode()
    # Whatever collection a message names, the setting wins.
    yield None, json.dumps({"collection_name": "elsewhere", "id": 2, "payload": {"version": 1}}).encode()
    for point_id in DELETED:
        yield None, json.dumps({"id": point_id}).encode()
        yield json.dumps({"collection_name": "elsewhere", "id": point_id}).encode(), None
    # One point in two spellings: the later message wins.
    for version, spelling in enumerate([f"6{UUID[1:]}", f"6{UUID[1:].upper()}"]):
        yield None, json.dumps({"id": spelling, "payload": {"version": version}}).encode()


@pytest.fixture(scope="module")
def exact(kafka: Kafka, qdrant: Qdrant, tmp_path_factory: pytest.TempPathFactory) -> Payloads:
    """Run a job with `qdrant.collection.name` over the exact records; return the payloads that Qdrant has, by id."""
    write(kafka, "exact", exact_records())
    with closing(qdrant.client()) as client:
        client.create_collection("exact", vectors_config={})
        more = (*BOUNDED, "--qdrant.collection.name", "exact")
        ended = run_job(*job_arguments(kafka, qdrant, "exact"), *more, folder=tmp_path_factory.mktemp("exact"))
        assert ended.code == 0, ended.stderr
        points, _ = client.scroll("exact", limit=100)
    return {point.id: point.payload for point in points}


@pytest.mark.parametrize(("_written", "stored"), EXACT_IDS)
def test_ids_and_numbers_are_stored_exactly(exact: Payloads, _written: str, stored: int | str) -> None:
    """Whatever way an id is written, Qdrant has the point under just this id, with just these numbers."""
    assert exact[stored] == EXACT_NUMBERS


def test_the_collection_of_the_settings_is_that_of_every_message(exact: Payloads) -> None:
    """With `qdrant.collection.name`, messages and tombstones need none of their own, and none that they have counts."""
    assert exact[2] == {"version": 1}
    assert exact[f"6{UUID[1:]}"] == {"version": 1}
    assert not exact.keys() & set(DELETED)
    assert len(exact) == len(EXACT_IDS) + 2
