"""The benchmark's contestants do the work that they are measured by: every message comes to be in Qdrant."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition

from scripts.benchmark import upserts
from scripts.benchmark.contestants import CONTESTANTS, Arena
from scripts.benchmark.feeder import TOPIC, Feeder
from scripts.benchmark.instant_store import InstantStore, Seen
from scripts.benchmark.measure import PointsCounter, Processes
from scripts.benchmark.preload import create_collections, produce, topic_of
from scripts.benchmark.workloads import BLOCK, LIFETIME, PARTITIONS, WORKLOADS, id_text
from scripts.stack.processes import wait_until
from scripts.stack.qdrant import Qdrant
from scripts.stack.workload import Point, as_stored, compare
from tests.support.store import connection_to
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Upsert
from udfs.qdrant.client import PointsClient
from udfs.qdrant.decode import schema_of
from udfs.qdrant.encode import encode_upsert

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.benchmark.workloads import Workload
    from scripts.stack.kafka import Kafka
    from scripts.stack.server import PointsServer
    from scripts.stack.workload import PointKey

COUNT = (LIFETIME + 15) * BLOCK  # some updates and deletes, in other batches than what they are about


@pytest.fixture
def own_qdrant() -> Iterator[Qdrant]:
    """A server of the test's own, for the benchmark's collections are called as those of other tests are."""
    with Qdrant() as server:
        yield server


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["plain", "best"])
def test_a_consumer_brings_in_every_message(name: str, kafka: Kafka, own_qdrant: Qdrant, tmp_path: Path) -> None:
    """Two processes leave just the points of a mix of all formats with updates and deletes, and cost CPU as Python."""
    workload = WORKLOADS["mix"]
    expected = points_left_by(workload, COUNT)
    with ExitStack() as stack:
        client = stack.enter_context(closing(own_qdrant.client()))
        counter = stack.enter_context(closing(PointsCounter(own_qdrant.rest_url)))
        create_collections(client, workload)
        topic = stack.enter_context(topic_of(kafka, f"bench-{name}"))
        arena = Arena(kafka, topic, own_qdrant, workload, slots=2, package=tmp_path, folder=tmp_path)
        team = stack.enter_context(CONTESTANTS[name].start(arena))
        wait_until(lambda: has_members(kafka, topic, 2), "both to have partitions", seconds=60)
        produce(kafka.bootstrap, topic, workload.records(COUNT))
        wait_until(lambda: counter() == len(expected), "all points", seconds=60)
        wait_until(lambda: not compare(client, expected), "the last updates", seconds=20)
        cpu, memory = Processes(team.groups).usage()
    assert len(team.groups) == 2
    assert cpu["Python"] > 0
    assert memory["Python"] > 2**20


def test_upserts_only_bring_in_every_point(own_qdrant: Qdrant) -> None:
    """Each request of each thread adds as many points as it has."""
    workload, url = WORKLOADS["128"], urlsplit(own_qdrant.grpc_url)
    with closing(own_qdrant.client()) as client:
        create_collections(client, workload)
        upserts.main(["--workload=128", f"--qdrant-host={url.hostname}", f"--qdrant-port={url.port}", "--requests=2"])
        assert client.count("docs").count == 2 * upserts.THREADS * upserts.POINTS


@pytest.mark.timeout(60)
@pytest.mark.parametrize("cell", ["128", "mix"])
def test_a_store_that_answers_at_once_answers_as_qdrant_does(cell: str, own_qdrant: Qdrant) -> None:
    """It describes the collections in the same way, is done with what it is given, and counts as many new points."""
    workload = WORKLOADS[cell]
    with closing(own_qdrant.client()) as client:
        create_collections(client, workload)
    with InstantStore(workload) as store:
        real, instant = (asyncio.run(conversation(server, workload)) for server in (own_qdrant, store))
        with (
            closing(PointsCounter(own_qdrant.rest_url)) as count,
            closing(PointsCounter(store.rest_url)) as instant_count,
        ):
            counts = [count(), instant_count()]
        seen = store.seen()
    requests = len(workload.placed())
    assert real == instant
    assert seen == Seen(points=2 * requests, requests=requests, connections=1)
    assert counts == [seen.points] * 2


async def conversation(server: PointsServer, workload: Workload) -> list[object]:
    """Return what a worker is told about each collection, and when it upserts two points and deletes another."""
    client = PointsClient(connection_to(server))
    heard: list[object] = [await client.is_welcome()]
    for name, kind in workload.placed():
        messages = [
            b'{"collection_name":%b,"id":%b' % (orjson.dumps(name), id_text(kind, number)) + kind.tails[number]
            for number in range(2)
        ]
        points = [parse_message(None, message, ParseRules()) for message in messages]
        answer, params = await client.describe(name)
        heard += [answer, schema_of(params)]
        heard.append(await client.upsert(name, [encode_upsert(point) for point in points if isinstance(point, Upsert)]))
        heard.append(await client.delete(name, [10**6]))
    return heard


@pytest.mark.timeout(60)
def test_a_feeder_fills_up_what_was_committed_and_lets_kafka_forget_it(kafka: Kafka) -> None:
    """Nothing else is lost: not a message of a partition that the job is slow with."""
    is_over = threading.Event()
    with (
        topic_of(kafka, "bench-feeder", **TOPIC) as topic,
        closing(Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic, "log_level": 0})) as job,
        ThreadPoolExecutor(1) as pool,
    ):
        feeder = Feeder(kafka, topic, WORKLOADS["128"], points=400, full=1000, short=100)
        feeder.fill()
        assert feeder.backlog.produced == 1200
        committed = [0, 100, 0, 300]
        job.commit(offsets=places(topic, committed), asynchronous=False)
        feeding = pool.submit(feeder.run, is_over)
        try:
            wait_until(lambda: feeding.done() or starts(job, topic) == committed, "Kafka to forget", seconds=30)
        finally:
            is_over.set()
        feeding.result()
    assert (feeder.backlog.read, feeder.backlog.produced) == (400, 1600)


def places(topic: str, offsets: list[int]) -> list[TopicPartition]:
    """Return the offsets in all partitions, as Kafka's client takes them."""
    return [TopicPartition(topic, *place) for place in enumerate(offsets)]


def starts(consumer: Consumer, topic: str) -> list[int]:
    """Return the offset of the first message that each partition still has."""
    return [consumer.get_watermark_offsets(place, timeout=10)[0] for place in places(topic, [0] * PARTITIONS)]


def has_members(kafka: Kafka, topic: str, count: int) -> bool:
    """Tell whether the group that reads the topic has so many members, each with partitions.

    Until then a partition may change hands while it is being written, and these consumers keep no order over that.
    """
    admin = kafka.admin()
    listed = admin.list_consumer_groups().result(timeout=30).valid
    groups = [group.group_id for group in listed if group.group_id.startswith(f"{topic}-")]
    described = admin.describe_consumer_groups(groups) if groups else {}
    members = [member for future in described.values() for member in future.result(timeout=30).members]
    return len(members) == count and all(member.assignment.topic_partitions for member in members)


def points_left_by(workload: Workload, count: int) -> dict[PointKey, Point]:
    """Return what must be in Qdrant after so many messages."""
    points: dict[PointKey, Point] = {}
    for record in workload.records(count):
        key = orjson.loads(record.key)
        if record.value is None:
            del points[key["collection_name"], key["id"]]
        else:
            message = orjson.loads(record.value)
            points[key["collection_name"], key["id"]] = Point(as_stored(message["vector"]), message["payload"])
    return points
