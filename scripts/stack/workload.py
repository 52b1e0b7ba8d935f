"""Messages of all five formats with updates and tombstones, and what must be in Qdrant once all have been written.

Used by the demo and by the end-to-end tests. The same seed gives the same messages.
"""

from __future__ import annotations

import json
import random
import struct
import uuid
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from qdrant_client import models

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from qdrant_client import QdrantClient

PointKey = tuple[str, int | str]
DIMENSIONS = 16
_LARGEST_MESSAGE = 32 * 2**20
BARE_SHARE = 0.02


@dataclass(frozen=True)
class Message:
    """One Kafka record, and the point it is about."""

    point: PointKey
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """What Qdrant must return: vectors as float32, by name, and the payload."""

    vectors: dict[str, Any]
    payload: dict[str, Any]


@dataclass(frozen=True)
class Format:
    """One of the five formats: its collection, and how its ids and vectors are made.

    Attributes:
        collection: The collection's name.
        vectors: Its vectors, as Qdrant creates them.
        sparse: The names of its sparse vectors.
        make: Returns the `vector` of a message.
        with_uuids: Whether ids are UUIDs.
    """

    collection: str
    vectors: models.VectorParams | dict[str, models.VectorParams]
    make: Callable[[random.Random], Any]
    sparse: tuple[str, ...] = ()
    with_uuids: bool = False


@dataclass(frozen=True)
class Mix:
    """How many messages are about points that there are.

    Attributes:
        updates: The share of updates.
        tombstones: The share of tombstones.
        of_last: How many of the newest points of a format they are about; all of them if 0.
    """

    updates: float = 0.15
    tombstones: float = 0.05
    of_last: int = 0


USUAL = Mix()


@dataclass
class Workload:
    """Messages in the order in which they are produced, and the points that are left of them."""

    messages: list[Message] = field(default_factory=list)
    points: dict[PointKey, Point] = field(default_factory=dict)

    def add(self, message: Message, point: Point | None) -> None:
        """Append a message; None is what a tombstone leaves."""
        self.messages.append(message)
        if point is None:
            self.points.pop(message.point, None)
        else:
            self.points[message.point] = point


@dataclass
class Difference:
    """How Qdrant differs from what was expected, as keys of points."""

    missing: list[PointKey] = field(default_factory=list)
    extra: list[PointKey] = field(default_factory=list)
    wrong: list[PointKey] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.wrong)


def _dense(size: int = DIMENSIONS) -> Callable[[random.Random], list[float]]:
    return lambda rng: [rng.uniform(-1, 1) for _ in range(size)]


def _sparse(rng: random.Random) -> dict[str, Any]:
    indices = sorted(rng.sample(range(1000), 5))
    return {"indices": indices, "values": [rng.uniform(0, 1) for _ in indices]}


def _multi(rng: random.Random) -> list[list[float]]:
    return [_dense(4)(rng) for _ in range(rng.randint(1, 4))]


def dot(size: int = DIMENSIONS, *, is_multi: bool = False) -> models.VectorParams:
    """Return a vector's configuration with dot product, which keeps vectors as they are."""
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM) if is_multi else None
    return models.VectorParams(size=size, distance=models.Distance.DOT, multivector_config=multi)


FORMATS = {
    "unnamed dense": Format("docs", dot(), _dense()),
    "named dense": Format(
        "articles",
        {"some-dense": dot(), "some-other-dense": dot(8)},
        lambda rng: {"some-dense": _dense()(rng), "some-other-dense": _dense(8)(rng)},
    ),
    "sparse": Format("keywords", {}, lambda rng: {"some-sparse": _sparse(rng)}, sparse=("some-sparse",)),
    "multi-vector": Format("passages", {"some-multi": dot(4, is_multi=True)}, lambda rng: {"some-multi": _multi(rng)}),
    "mixed, UUID ids": Format(
        "mixed",
        {"some-dense": dot(), "some-multi": dot(4, is_multi=True)},
        lambda rng: {"some-dense": _dense()(rng), "some-sparse": _sparse(rng), "some-multi": _multi(rng)},
        sparse=("some-sparse",),
        with_uuids=True,
    ),
}


def generate(count: int, partitions: int, seed: int = 1, first: int = 0, mix: Mix = USUAL) -> Workload:
    """Return `count` messages: new points, updates of earlier ones and tombstones, each id in one partition.

    Args:
        count: How many.
        partitions: Those of the topic.
        seed: The same seed makes the same messages.
        first: The smallest integer that may be an id.
        mix: How many of them are about points that there are.
    """
    rng = random.Random(seed)  # noqa: S311 - test data
    workload = Workload()
    chosen = list(FORMATS.values())
    ids: dict[str, list[int | str]] = {kind.collection: [] for kind in chosen}
    for number in range(count):
        kind = chosen[number % len(chosen)]
        known, share = ids[kind.collection], rng.random()
        if not known or share >= mix.updates + mix.tombstones:
            known.append(str(uuid.UUID(int=rng.getrandbits(128), version=4)) if kind.with_uuids else first + number)
            point_id = known[-1]
        else:
            point_id = rng.choice(known[-mix.of_last :])
        is_tombstone = len(known) > 1 and share < mix.tombstones
        workload.add(*_message(kind, point_id, number, partitions, None if is_tombstone else rng))
    return workload


def create_collections(client: QdrantClient) -> None:
    """Create the collection of each format."""
    for kind in FORMATS.values():
        client.create_collection(kind.collection, kind.vectors, sparse_vectors_config=sparse_params(kind.sparse))


def sparse_params(names: Iterable[str]) -> dict[str, models.SparseVectorParams] | None:
    """Return the configuration of sparse vectors with these names, as Qdrant creates them."""
    return {name: models.SparseVectorParams() for name in names} or None


def produce(bootstrap: str, topic: str, messages: Iterable[Message]) -> None:
    """Produce the messages, each to its partition, and return when Kafka has them all."""
    failures: list[str] = []
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "message.max.bytes": _LARGEST_MESSAGE,
            "enable.idempotence": True,  # each message once and in its place, whatever happens to Kafka meanwhile
            "log_level": 0,
        }
    )
    for message in messages:
        producer.produce(
            topic,
            key=message.key,
            value=message.value,
            partition=message.partition,
            headers=dict(message.headers),
            on_delivery=lambda error, _: failures.append(str(error)) if error else None,
        )
        producer.poll(0)
    if producer.flush(60) or failures:
        raise RuntimeError(f"Kafka did not take every message: {failures[:3]}")


def compare(client: QdrantClient, expected: dict[PointKey, Point]) -> Difference:
    """Read every point of every expected collection back and compare ids, vectors and payloads exactly."""
    difference = Difference()
    for collection in sorted({key[0] for key in expected}):
        found = dict(_points_in(client, collection))
        wanted = {key[1]: point for key, point in expected.items() if key[0] == collection}
        difference.missing += [(collection, point_id) for point_id in wanted.keys() - found.keys()]
        difference.extra += [(collection, point_id) for point_id in found.keys() - wanted.keys()]
        both = wanted.keys() & found.keys()
        difference.wrong += [(collection, point_id) for point_id in both if wanted[point_id] != found[point_id]]
    return difference


def _message(
    kind: Format, point_id: int | str, number: int, partitions: int, rng: random.Random | None
) -> tuple[Message, Point | None]:
    key = json.dumps({"collection_name": kind.collection, "id": point_id}).encode()
    # Not Kafka's own partitioner, which differs between clients: any rule by the key keeps an id in one partition.
    where = ((kind.collection, point_id), zlib.crc32(key) % partitions, key)
    if rng is None:
        return Message(*where, None), None
    body: dict[str, Any] = {"collection_name": kind.collection, "id": point_id}
    if rng.random() >= BARE_SHARE:
        body["vector"] = kind.make(rng)
    if rng.random() >= BARE_SHARE:
        body["payload"] = {"number": number, "text": f"message {number}", "nested": {"tags": ["a", None, True, 0.5]}}
    point = Point(as_stored(body.get("vector", {})), body.get("payload", {}))
    return Message(*where, json.dumps(body).encode()), point


def as_stored(vector: Any) -> dict[str, Any]:
    """Return the `vector` of a message as Qdrant stores it: by name, the unnamed one as "", in float32."""
    named = vector if isinstance(vector, dict) else {"": vector}
    return {name: _as_float32(value) for name, value in named.items()}


def _as_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {"indices": value["indices"], "values": _as_float32(value["values"])}
    if value and isinstance(value[0], list):
        return [_as_float32(row) for row in value]
    return list(struct.unpack(f"{len(value)}f", struct.pack(f"{len(value)}f", *value)))


def _points_in(client: QdrantClient, collection: str) -> Iterable[tuple[int | str, Point]]:
    offset = None
    while True:
        records, offset = client.scroll(collection, limit=1000, offset=offset, with_vectors=True)
        for record in records:
            yield (
                str(record.id) if isinstance(record.id, uuid.UUID) else record.id,
                Point(_as_read(record.vector), record.payload or {}),
            )
        if offset is None:
            return


def _as_read(vector: Any) -> dict[str, Any]:
    named = vector if isinstance(vector, dict) else {"": vector} if vector else {}
    read = {
        name: {"indices": value.indices, "values": value.values} if isinstance(value, models.SparseVector) else value
        for name, value in named.items()
    }
    # Over REST a float32 has no more digits than tell it from its neighbours.
    return {name: _as_float32(value) for name, value in read.items()}
