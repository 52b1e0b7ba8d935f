"""Which writer a point meets: computed from the point's id alone, so that one id always meets the same one."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udfs.core.operations import PointId


DEAD_LETTERS = ""
"""Stands in a write key where a collection's name would: no collection has this one."""


def lane_of(point_id: PointId, lanes: int) -> int:
    """Return a lane in ``0…lanes-1``, the same in every process and release.

    ``hash()`` would not do: Python salts it per process, and after a restart an id would meet another writer.
    """
    if isinstance(point_id, int):
        return zlib.crc32(point_id.to_bytes(8, "big")) % lanes
    return zlib.crc32(bytes.fromhex(point_id.replace("-", ""))) % lanes


def write_key(collection: str, lane: int) -> str:
    """Return the key by which Flink hands a point to a writer; unlike pairs have unlike keys."""
    return f"{lane}/{collection}"


def collection_of(key: str) -> str:
    """Return the collection that a write key names."""
    return key.partition("/")[2]
