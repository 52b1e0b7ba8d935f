"""A store in memory that answers as Qdrant does; `tests/contract/test_store.py` holds it against the real one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from grpc import StatusCode
from qdrant_client.grpc import PointStruct, UpdateStatus, UpsertPoints

from udfs.qdrant.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from udfs.core.operations import PointId

COMPLETED = Answer(StatusCode.OK, status=UpdateStatus.Completed)


class MemoryPoints:
    """Collections of points with one unnamed vector of a fixed size.

    Args:
        sizes: The vector size of each collection there is.
        answers: What to answer first, in this order, without doing anything.
    """

    def __init__(self, sizes: dict[str, int], answers: Iterable[Answer] = ()) -> None:
        self._sizes = sizes
        self._answers = deque(answers)
        self.points: dict[tuple[str, PointId], PointStruct] = {}
        self.requests: list[tuple[str, int]] = []

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert all points, or none if one of them does not fit the collection."""
        self.requests.append(("upsert", len(points)))
        if self._answers:
            return self._answers.popleft()
        structs = list(UpsertPoints.FromString(b"".join(points)).points)
        fault = self._fault(collection, structs)
        if fault is None:
            self.points |= {(collection, struct.id.num or struct.id.uuid): struct for struct in structs}
        return fault or COMPLETED

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete the points that exist."""
        self.requests.append(("delete", len(ids)))
        if self._answers:
            return self._answers.popleft()
        for point_id in ids:
            self.points.pop((collection, point_id), None)
        return self._fault(collection, []) or COMPLETED

    def _fault(self, collection: str, structs: list[PointStruct]) -> Answer | None:
        if collection not in self._sizes:
            return Answer(StatusCode.NOT_FOUND, f"Not found: Collection `{collection}` doesn't exist!")
        if structs == [] and self.requests[-1][0] == "upsert":
            return Answer(StatusCode.INVALID_ARGUMENT, "Bad request: Empty update request")
        size = self._sizes[collection]
        for struct in structs:
            given = len(struct.vectors.vector.dense.data)
            if struct.HasField("vectors") and given != size:
                words = f"Wrong input: Vector dimension error: expected dim: {size}, got {given}"
                return Answer(StatusCode.INVALID_ARGUMENT, words)
        return None
