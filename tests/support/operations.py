"""Operations on a collection of unnamed vectors of two elements: what it takes, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.cases import nested
from udfs.core.operations import Delete, Upsert
from udfs.core.vectors import read_vectors

if TYPE_CHECKING:
    from udfs.core.operations import PointId


def good(point_id: PointId, version: int = 0) -> Upsert:
    """Return a point whose payload tells its version."""
    return Upsert("docs", point_id, read_vectors([1, 1]), {"version": version})


def wrong(point_id: PointId) -> Upsert:
    """Return a point of another size, which the server refuses at once."""
    return Upsert("docs", point_id, read_vectors([1, 1, 1]), {})


def deep(point_id: PointId) -> Upsert:
    """Return a point that no parser lets pass, and that the server cannot decode."""
    return Upsert("docs", point_id, read_vectors([1, 1]), nested(40))


def delete(point_id: PointId) -> Delete:
    """Return a delete."""
    return Delete("docs", point_id)
