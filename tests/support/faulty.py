"""A Qdrant in memory that fails as a script says: before or after it did what it was asked, or with the worker."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from grpc import StatusCode
from hypothesis import strategies as st
from qdrant_client import grpc
from qdrant_client.conversions.conversion import RestToGrpc
from qdrant_client.grpc import UpdateStatus

from scripts.stack.workload import FORMATS
from tests.support.generated import several
from tests.support.store import COMPLETED, MemoryPoints
from udfs.qdrant.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from udfs.core.operations import PointId

POISON = "poison"
"""A payload with this name passes parsing, and only Qdrant refuses it, as it does by a limit of strict mode."""

REFUSED = Answer(StatusCode.INVALID_ARGUMENT, "Wrong input: more than strict mode allows")
_LAGGING = Answer(StatusCode.NOT_FOUND, "Not found: Collection doesn't exist!")


class WorkerDiedError(Exception):
    """The end of the Python worker, in the middle of a request."""


class Step(NamedTuple):
    """What becomes of one request.

    Attributes:
        answer: What the worker hears; None if it is the truth.
        is_applied: Whether Qdrant does what it was asked.
        dies: Whether the worker dies instead of hearing the answer.
    """

    answer: Answer | None = None
    is_applied: bool = True
    dies: bool = False


_UNTRUE = (
    Answer(StatusCode.UNAVAILABLE, "connection reset"),
    Answer(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"),
    Answer(StatusCode.OK, status=UpdateStatus.WaitTimeout),
    Answer(StatusCode.OK, status=UpdateStatus.Acknowledged),
)
_UNDONE = (
    Answer(StatusCode.RESOURCE_EXHAUSTED, "rate limit exceeded", retry_after=1e-6),
    Answer(StatusCode.RESOURCE_EXHAUSTED, "please try to split your request"),
    _LAGGING,
)
FAULTS = (
    Step(),
    *(Step(answer, is_applied) for answer in _UNTRUE for is_applied in (False, True)),
    *(Step(answer, is_applied=False) for answer in _UNDONE),
)
DEATHS = (Step(dies=True), Step(dies=True, is_applied=False))


def scripts(*deaths: Step) -> st.SearchStrategy[list[Step]]:
    """Return scripts in which every request fares well or badly, or is one of these deaths."""
    step = st.sampled_from(FAULTS) | st.sampled_from((Step(), Step(), *deaths))
    return several(step, 0, 60)


class FaultyPoints(MemoryPoints):
    """The collections of the five formats. When the script is over, all goes well.

    Args:
        script: What becomes of the requests, in the order of their arrival.
        pauses: How many turns of the event loop each takes before it is applied, over and over again.

    Attributes:
        largest: The most points, or ids, that a request had.
    """

    def __init__(self, script: Iterable[Step], pauses: Sequence[int]) -> None:
        # A dense vector by itself is measured here; parsing has seen to the others.
        super().__init__({kind.collection: 16 for kind in FORMATS.values()})
        self._script = deque(script)
        self._pauses = itertools.cycle(pauses)
        self.largest = 0

    async def upsert(self, collection: str, points: Sequence[bytes]) -> Answer:
        """Upsert all points; if one of them is poison, only some of the others, as the real server does."""
        good = [point for point in points if not _is_poison(point)]

        async def apply() -> Answer:
            if len(good) == len(points):
                return await MemoryPoints.upsert(self, collection, points)
            await MemoryPoints.upsert(self, collection, good[::2])
            return REFUSED

        self.largest = max(self.largest, len(points))
        return await self._follow(self._next(), apply)

    async def delete(self, collection: str, ids: Sequence[PointId]) -> Answer:
        """Delete the points that exist."""
        self.largest = max(self.largest, len(ids))
        return await self._follow(self._next(), lambda: MemoryPoints.delete(self, collection, ids))

    async def describe(self, collection: str) -> tuple[Answer, grpc.CollectionParams]:
        """Say what the collection takes. Whoever is asked for it does not lag."""
        kinds = {kind.collection: kind for kind in FORMATS.values()}
        step = self._next()
        if step.answer is _LAGGING:
            step = Step()
        answer, _ = await super().describe(collection)
        params = grpc.CollectionParams()
        if collection in kinds:
            kind = kinds[collection]
            sparse = grpc.SparseVectorConfig(map=dict.fromkeys(kind.sparse, grpc.SparseVectorParams()))
            vectors = RestToGrpc.convert_vectors_config(kind.vectors)
            params = grpc.CollectionParams(vectors_config=vectors, sparse_vectors_config=sparse)

        async def told() -> Answer:
            return answer

        return await self._follow(step, told), params

    def _next(self) -> Step:
        return self._script.popleft() if self._script else Step()

    async def _follow(self, step: Step, apply: Callable[[], Awaitable[Answer]]) -> Answer:
        for _ in range(next(self._pauses)):
            await asyncio.sleep(0)
        truth = await apply() if step.is_applied else COMPLETED
        if step.dies:
            raise WorkerDiedError
        return step.answer or truth


def _is_poison(point: bytes) -> bool:
    return POISON in grpc.UpsertPoints.FromString(point).points[0].payload
