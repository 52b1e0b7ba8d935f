"""What travels between parse and write: the operations of one micro-batch on one collection, for one writer."""

from __future__ import annotations

import pickle
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from udfs.core.operations import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from udfs.core.batching import BatchLimits
    from udfs.core.operations import PointId


# About what Python takes for an operation, beside its point: a batch of deletes is not for nothing.
_OVERHEAD = 200


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


Item = TypeVar("Item", bound=_Sized)


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

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return _OVERHEAD + len(self.point or b"")


class Parcel:
    """Operations in the order of their messages: as they are within a worker, and as bytes between workers.

    Attributes:
        operations: What is in it.
        size: About the bytes that they take.
    """

    __slots__ = ("operations", "size")

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        self.size = sum(operation.size for operation in operations)

    def to_bytes(self) -> bytes:
        """Return the parcel as `operations_of` reads it: in columns, because columns of plain values pickle fastest."""
        ids = [operation.id for operation in self.operations]
        points = [operation.point for operation in self.operations]
        origins = [tuple(operation.origin) for operation in self.operations]
        return pickle.dumps((ids, points, origins), protocol=5)


class AddressedParcel(NamedTuple):
    """A parcel as Flink carries it.

    Attributes:
        address: Writer and collection, as `udfs.core.routing` has it.
        length: The number of its operations, or dead letters.
        parcel: The operations, as `operations_of` takes them, or dead letters.
    """

    address: str
    length: int
    parcel: Parcel | bytes

    @property
    def size(self) -> int:
        """About how many bytes it has."""
        return self.parcel.size if isinstance(self.parcel, Parcel) else len(self.parcel)


def in_parcels(items: Iterable[Item], limits: BatchLimits) -> Iterator[list[Item]]:
    """Divide operations or dead letters, in their order, into parcels that a batch takes, or of one too large."""
    parcel: list[Item] = []
    size = 0
    for item in items:
        item_size = item.size  # worked out at each look
        if parcel and limits.is_exceeded(len(parcel) + 1, size + item_size):
            yield parcel
            parcel, size = [], 0
        parcel.append(item)
        size += item_size
    if parcel:
        yield parcel


def operations_of(parcel: Parcel | bytes) -> list[Operation]:
    """Return the operations of a parcel in their order. Bytes come from this job's own parse stage."""
    if isinstance(parcel, Parcel):
        return parcel.operations
    columns = pickle.loads(parcel)  # noqa: S301 - never outside data
    return [Operation(point_id, point, Origin(*origin)) for point_id, point, origin in zip(*columns, strict=True)]


class Histories:
    """The operations on each id, in their order: the newest counts, unless it is refused."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations

    def newest(self) -> list[Operation]:
        """Return the newest operation on each id: what the earlier ones did would be overwritten at once."""
        return [*{operation.id: operation for operation in self._operations}.values()]

    def without(self, refused: Iterable[Operation]) -> list[Operation]:
        """Strike out newest operations; return those that are the newest in their place."""
        shorter = [self._of_id[operation.id] for operation in refused]
        for history in shorter:
            history.pop()
        return [history[-1] for history in shorter if history]

    @cached_property
    def _of_id(self) -> dict[PointId, list[Operation]]:
        """All of them, by their ids: wanted only when one is refused."""
        histories: defaultdict[PointId, list[Operation]] = defaultdict(list)
        for operation in self._operations:
            histories[operation.id].append(operation)
        return histories
