"""What travels between parse and write: the operations of one micro-batch on one collection, for one writer."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from udfs.core.operations import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from udfs.core.operations import PointId


class Operation(NamedTuple):
    """One upsert, or one delete if ``point`` is None.

    Attributes:
        id: The point's id, in its one spelling.
        point: The point as a serialised ``qdrant.UpsertPoints`` that holds nothing else.
        origin: The Kafka message it comes from.
    """

    id: PointId
    point: bytes | None
    origin: Origin


class AddressedParcel(NamedTuple):
    """A parcel as Flink carries it.

    Attributes:
        address: Writer and collection, as `udfs.core.routing` has it.
        length: The number of its operations.
        parcel: The operations, as `operations_of` reads them.
    """

    address: str
    length: int
    parcel: bytes


@dataclass(slots=True)
class Parcel:
    """Operations in the order of their messages, in columns, because columns of plain values pickle fastest."""

    _ids: list[PointId] = field(default_factory=list)
    _points: list[bytes | None] = field(default_factory=list)
    _origins: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, point_id: PointId, point: bytes | None, origin: tuple[str, int, int]) -> None:
        """Append one operation."""
        self._ids.append(point_id)
        self._points.append(point)
        self._origins.append(origin)

    def to_bytes(self) -> bytes:
        """Return the parcel as `operations_of` reads it."""
        return pickle.dumps((self._ids, self._points, self._origins), protocol=5)

    def __len__(self) -> int:
        return len(self._ids)


def operations_of(parcel: bytes) -> Iterator[Operation]:
    """Yield the operations of a parcel in their order. The bytes come from this job's own parse stage."""
    columns = pickle.loads(parcel)  # noqa: S301 - never outside data
    for point_id, point, origin in zip(*columns, strict=True):
        yield Operation(point_id, point, Origin(*origin))


class Histories:
    """The operations on each id, in their order: the newest counts, unless it is refused."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._of_id: dict[PointId, list[Operation]] = {}
        for operation in operations:
            self._of_id.setdefault(operation.id, []).append(operation)

    def newest(self) -> list[Operation]:
        """Return the newest operation on each id: what the earlier ones did would be overwritten at once."""
        return [history[-1] for history in self._of_id.values()]

    def without(self, refused: Iterable[Operation]) -> list[Operation]:
        """Strike out newest operations; return those that are the newest in their place."""
        shorter = [self._of_id[operation.id] for operation in refused]
        for history in shorter:
            history.pop()
        return [history[-1] for history in shorter if history]
