"""What is measured: for each cell, its collections and a stream of messages that is the same every time.

A point's vector and payload are taken from a pool that is rendered once, so that a message costs a microsecond; its id
is its own. No contestant gains from the repetition: each message is parsed, encoded and stored by itself.
"""

from __future__ import annotations

import random
import uuid
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from scripts.stack.workload import dot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qdrant_client import models

PARTITIONS = 4
POOL = 1024
# Churn: of each 100 messages, once the stream is under way, ten update a point of the last 19 hundreds and one deletes
# a point that was written 20 hundreds ago.
BLOCK = 100
UPDATES = frozenset(range(4, BLOCK, 10))
DELETE = BLOCK - 1
DOOMED = 0  # the place in its block of a point that is deleted later, and never updated
KEPT = [place for place in range(BLOCK) if place not in {*UPDATES, DELETE, DOOMED}]
LIFETIME = 20

_TEXT = "Vector databases answer a question with what is near to it; this is a passage such as they are fed with. "


class Record(NamedTuple):
    """What is produced to Kafka."""

    partition: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True)
class Kind:
    """One kind of points: its collection, its vectors as Qdrant creates them, and how a `vector` is drawn."""

    collection: str
    vectors: models.VectorParams | dict[str, models.VectorParams]
    draw: Callable[[np.random.Generator], Any]
    sparse: tuple[str, ...] = ()
    with_uuids: bool = False

    @cached_property
    def tails(self) -> list[bytes]:
        """What follows the id in messages of this kind: vector and payload, with numbers as float32 print."""
        rng = np.random.default_rng(1)
        return [
            b',"vector":' + orjson.dumps(self.draw(rng), option=orjson.OPT_SERIALIZE_NUMPY) + _payload(number)
            for number in range(POOL)
        ]


@dataclass(frozen=True)
class Workload:
    """One cell.

    Attributes:
        name: What it is called on the command line and in the report.
        kinds: The kinds of its points, in turns.
        per_second: More messages than any contestant is expected to move in a second: as many are preloaded.
        collections: Into how many collections one kind is dealt.
        has_churn: Whether there are updates and deletes.
        job_settings: What the job is given beyond its defaults.
        contestants: Who takes part; everybody if empty.
        partitions: Of its topic.
    """

    name: str
    kinds: tuple[Kind, ...]
    per_second: int
    collections: int = 1
    has_churn: bool = False
    job_settings: tuple[str, ...] = ()
    contestants: tuple[str, ...] = ()
    partitions: int = PARTITIONS

    @property
    def points_per_message(self) -> float:
        """How many points there are more for each message, once the stream is under way."""
        return 1 - (len(UPDATES) + 2) / BLOCK if self.has_churn else 1.0

    def placed(self) -> list[tuple[str, Kind]]:
        """Return each collection with the kind of its points."""
        if self.collections == 1:
            return [(kind.collection, kind) for kind in self.kinds]
        return [(f"{kind.collection}-{number}", kind) for kind in self.kinds for number in range(self.collections)]

    def records(self, count: int) -> Iterator[Record]:
        """Yield the first `count` messages of the stream; those about one id are in one partition."""
        places = self.placed()
        heads = [b'{"collection_name":%b,"id":' % orjson.dumps(name) for name, _ in places]
        rng = random.Random(1)  # noqa: S311 - test data
        for index in range(count):
            number, is_delete = target_of(index, rng) if self.has_churn else (index, False)
            place = (number + number // BLOCK) % len(places)
            kind = places[place][1]
            start = heads[place] + id_text(kind, number)
            key = start + b"}"
            value = None if is_delete else start + kind.tails[index % POOL]
            yield Record(zlib.crc32(key) % self.partitions, key, value)


def target_of(index: int, rng: random.Random) -> tuple[int, bool]:
    """Return which point a message of a stream with churn is about, by its number, and whether it is deleted."""
    block, place = divmod(index, BLOCK)
    if block >= LIFETIME and place == DELETE:
        return (block - LIFETIME) * BLOCK + DOOMED, True
    if block >= LIFETIME and place in UPDATES:
        return (block - rng.randint(1, LIFETIME - 1)) * BLOCK + rng.choice(KEPT), False
    return index, False


def id_text(kind: Kind, number: int) -> bytes:
    """Return the id of the point of this number, as JSON."""
    return b'"%b"' % str(uuid_of(number)).encode() if kind.with_uuids else b"%d" % number


def uuid_of(number: int) -> uuid.UUID:
    """Return the UUID of the point of this number."""
    return uuid.UUID(int=number, version=4)


def dense(size: int) -> Callable[[np.random.Generator], Any]:
    """Return what draws a vector of length 1, as models of embeddings make them."""

    def draw(rng: np.random.Generator) -> Any:
        vector = rng.standard_normal(size, dtype=np.float32)
        return vector / np.linalg.norm(vector)

    return draw


def sparse(count: int) -> Callable[[np.random.Generator], Any]:
    """Return what draws so many weights of a vocabulary of 30,000, as SPLADE makes them."""

    def draw(rng: np.random.Generator) -> Any:
        indices = np.sort(rng.choice(30_000, size=count, replace=False)).astype(np.uint32)
        return {"indices": indices, "values": rng.random(count, dtype=np.float32) * np.float32(3)}

    return draw


def multi(rows: int, size: int) -> Callable[[np.random.Generator], Any]:
    """Return what draws so many vectors, as ColBERT makes one of each token."""
    row = dense(size)
    return lambda rng: [row(rng) for _ in range(rows)]


def _named(**parts: Callable[[np.random.Generator], Any]) -> Callable[[np.random.Generator], Any]:
    return lambda rng: {name.replace("_", "-"): draw(rng) for name, draw in parts.items()}


def _payload(number: int) -> bytes:
    text = _TEXT[number % len(_TEXT) :] + _TEXT[: number % len(_TEXT)]
    payload = {"title": f"Passage {number}", "text": text, "page": number % 300, "tags": ["de", "news"], "score": 0.5}
    return b',"payload":' + orjson.dumps(payload) + b"}"


_UNNAMED = {size: Kind("docs", dot(size), dense(size)) for size in (128, 768, 1536)}
_SPARSE = Kind("keywords", {}, _named(some_sparse=sparse(100)), sparse=("some-sparse",))
_MULTI = Kind("passages", {"some-multi": dot(128, is_multi=True)}, _named(some_multi=multi(8, 128)))
_NAMED = Kind(
    "articles",
    {"some-dense": dot(128), "some-other-dense": dot(64)},
    _named(some_dense=dense(128), some_other_dense=dense(64)),
)
_MIXED = Kind(
    "mixed",
    {"some-dense": dot(128), "some-multi": dot(64, is_multi=True)},
    _named(some_dense=dense(128), some_sparse=sparse(50), some_multi=multi(4, 64)),
    sparse=("some-sparse",),
    with_uuids=True,
)

# The cell "128" is one hot collection without lanes, and it is the cell of one collection.
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("128", (_UNNAMED[128],), 58_000),
        Workload("768", (_UNNAMED[768],), 19_000),
        Workload("1536", (_UNNAMED[1536],), 10_800),
        Workload("sparse", (_SPARSE,), 25_000),
        Workload("multi", (_MULTI,), 8_000),
        Workload("mix", (_UNNAMED[128], _NAMED, _SPARSE, _MULTI, _MIXED), 18_000, has_churn=True),
        Workload("lanes-1", (_UNNAMED[128],), 48_000, job_settings=("--lanes=1",), contestants=("job", "plain")),
        Workload("collections-10", (_UNNAMED[128],), 48_000, collections=10),
        Workload("collections-1000", (_UNNAMED[128],), 48_000, collections=1000),
    )
}
