"""A store in memory that answers as Qdrant does; `tests/contract/test_store.py` holds it against the real one."""

from __future__ import annotations

import uuid
from collections import deque
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from grpc import StatusCode
from qdrant_client import grpc

from udfs.qdrant.connection import Connection
from udfs.qdrant.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.stack.server import PointsServer
    from udfs.core.operations import PointId

NOWHERE = Connection("qdrant.example", 6334, tls=False, key_source=None, timeout_seconds=1)
COMPLETED = Answer(StatusCode.OK, status=grpc.UpdateStatus.Completed)
# What the server says to objects nested more deeply than protobuf reads.
TOO_DEEP = Answer(
    StatusCode.INTERNAL,
    f"failed to decode Protobuf message: {'Struct.fields: Value.kind: ' * 33}"
    "PointStruct.payload: UpsertPoints.points: recursion limit reached",
)


def connection_to(server: PointsServer, key_source: str | None = None) -> Connection:
    """Return how to reach a real server."""
    host, port = server.grpc_url.removeprefix("http://").split(":")
    return Connection(host, int(port), tls=False, key_source=key_source, timeout_seconds=10)


class MemoryPoints:
    """Collections of points with one unnamed vector of a fixed size.

    Args:
        sizes: The vector size of each collection there is; may change, as collections do.
        answers: See `fail_with`.

    Attributes:
        points: What is stored, by collection and id.
        requests: The writes that were asked for, and of how many points.
        described: The collections that were asked for.
    """

    def __init__(self, sizes: dict[str, int], answers: Iterable[Answer] = ()) -> None:
        self.sizes = sizes
        self._answers: deque[Answer] = deque()
        self.fail_with(answers)
        self.points: dict[tuple[str, PointId], grpc.PointStruct] = {}
        self.requests: list[tuple[str, int]] = []
        self.described: list[str] = []

    def fail_with(self, answers: Iterable[Answer]) -> None:
        """Answer this to the next writes, in this order, without doing anything."""
        self._answers.extend(answers)

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert all points, or none if one of them does not fit the collection."""
        self.requests.append(("upsert", len(points)))
        if self._answers:
            return self._answers.popleft()
        try:
            structs = grpc.UpsertPoints.FromString(b"".join(points)).points
        except DecodeError:
            return TOO_DEEP
        answer = self._answer(collection, structs)
        if answer is COMPLETED:
            self.points |= {(collection, _id_of(struct.id)): struct for struct in structs}
        return answer

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete the points that exist."""
        self.requests.append(("delete", len(ids)))
        if self._answers:
            return self._answers.popleft()
        answer = self._answer(collection, ids)
        if answer is COMPLETED:
            for point_id in ids:
                self.points.pop((collection, _spelt(point_id)), None)
        return answer

    async def describe(self, collection: str) -> tuple[Answer, grpc.CollectionParams]:
        """Say what the collection takes."""
        self.described.append(collection)
        if collection not in self.sizes:
            return _absent(collection), grpc.CollectionParams()
        params = grpc.VectorParams(size=self.sizes[collection], distance=grpc.Distance.Dot)
        return COMPLETED, grpc.CollectionParams(vectors_config=grpc.VectorsConfig(params=params))

    async def is_welcome(self) -> bool:
        """Accept whatever key there is."""
        return True

    def _answer(self, collection: str, writes: Sequence[grpc.PointStruct | PointId]) -> Answer:
        if collection not in self.sizes:
            return _absent(collection)
        if not writes:
            return Answer(StatusCode.INVALID_ARGUMENT, "Bad request: Empty update request")
        size = self.sizes[collection]
        for write in writes:
            if isinstance(write, grpc.PointStruct) and write.vectors.HasField("vector"):
                given = len(write.vectors.vector.dense.data)
                if given != size:
                    words = f"Wrong input: Vector dimension error: expected dim: {size}, got {given}"
                    return Answer(StatusCode.INVALID_ARGUMENT, words)
        return COMPLETED


def _absent(collection: str) -> Answer:
    return Answer(StatusCode.NOT_FOUND, f"Not found: Collection `{collection}` doesn't exist!")


def _id_of(point_id: grpc.PointId) -> PointId:
    return _spelt(point_id.uuid) if point_id.HasField("uuid") else point_id.num


def _spelt(point_id: PointId) -> PointId:
    """Return the id as Qdrant has it: to it, all spellings of a UUID are one."""
    return point_id if isinstance(point_id, int) else str(uuid.UUID(point_id))
