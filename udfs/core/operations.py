"""What a good message becomes: a point to write or a point to delete, in terms that know neither Kafka nor Qdrant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from udfs.core.vectors import Vector

PointId: TypeAlias = int | str
"""An integer in 0…2^64-1, or a UUID in lower case with hyphens; nothing else reaches this type."""


class Origin(NamedTuple):
    """Where in Kafka a record was read, which is also its name in logs and dead letters."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"topic {self.topic!r}, partition {self.partition}, offset {self.offset}"


class Upsert(NamedTuple):
    """A point to write whole. The unnamed vector has the name ``""``; a point without vectors has none here."""

    collection: str
    id: PointId
    vectors: Mapping[str, Vector]
    payload: Mapping[str, Any]


class Delete(NamedTuple):
    """A point to delete; a point that does not exist is deleted already."""

    collection: str
    id: PointId
