"""Which writer a point meets: computed from collection and id alone, so that one id always meets the same writer.

The ids of a collection are dealt into lanes, and each lane has a key by which Flink hands it to a writer. Flink hashes
keys, so by chance some writers would get many lanes and others none, and only with many more lanes than writers would
that even out; but what a parser has for one lane travels by itself, so many lanes are dear. Instead each lane gets a
key that Flink's hash brings to the writer whose turn it is. Only shares rest on knowing that hash: whatever writer a
key is brought to, it is the same one for as long as the job runs.
"""

from __future__ import annotations

import zlib
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from udfs.core.operations import PointId


DEAD_LETTERS = ""
"""Stands in a write key where a collection's name would: no collection has this one."""

_WORD = 2**32 - 1
# Of so many keys for each writer, none belongs to the one that is looked for, once in e^16 times.
_TRIES = 16
_KEPT_KEYS = 2**16


class Writers(NamedTuple):
    """The subtasks that write.

    Attributes:
        subtasks: How many there are: Flink's parallelism.
        key_groups: Into how many groups Flink deals keys, and each writer gets a row of groups: its max parallelism.
    """

    subtasks: int
    key_groups: int

    def of(self, key: str) -> int:
        """Return which of them gets this key, in ``0…subtasks-1``, as Flink's KeyGroupRangeAssignment has it."""
        return _murmur(_hash_of_row(key)) % self.key_groups * self.subtasks // self.key_groups


class WriteKeys:
    """The keys by which Flink hands points to writers.

    Args:
        lanes: Into how many lanes the ids of each collection are dealt.
        writers: Who gets them, in turns; two collections may begin with unlike ones.
    """

    def __init__(self, lanes: int, writers: Writers) -> None:
        self._lanes = lanes
        self._writers = writers
        self.of_lane = lru_cache(_KEPT_KEYS)(self._found)

    def of(self, collection: str, point_id: PointId) -> str:
        """Return the key of the collection and the id's lane."""
        return self.of_lane(collection, lane_of(point_id, self._lanes))

    def _found(self, collection: str, lane: int) -> str:
        writer = (zlib.crc32(collection.encode()) + lane) % self._writers.subtasks
        keys = (write_key(collection, lane, salt) for salt in range(_TRIES * self._writers.subtasks))
        return next((key for key in keys if self._writers.of(key) == writer), write_key(collection, lane))


def lane_of(point_id: PointId, lanes: int) -> int:
    """Return a lane in ``0…lanes-1``, the same in every process and release.

    ``hash()`` would not do: Python salts it per process, and after a restart an id would meet another writer.
    """
    if isinstance(point_id, int):
        return zlib.crc32(point_id.to_bytes(8, "big")) % lanes
    return zlib.crc32(bytes.fromhex(point_id.replace("-", ""))) % lanes


def write_key(collection: str, lane: int, salt: int = 0) -> str:
    """Return a key for a lane of a collection; unlike ones have unlike keys, and one has as many as there are salts."""
    return f"{lane}.{salt}/{collection}"


def collection_of(key: str) -> str:
    """Return the collection that a write key names."""
    return key.partition("/")[2]


def _hash_of_row(key: str) -> int:
    """Hash as Java does the Row of one string that PyFlink makes of a key: RowUtils adds 31 twice."""
    units = memoryview(key.encode("utf-16-le")).cast("H")
    return reduce(lambda code, unit: 31 * code + unit & _WORD, units, 0) + 62 & _WORD


def _murmur(code: int) -> int:
    """Hash as Flink's MathUtils.murmurHash."""
    code = _rotated(code * 0xCC9E2D51 & _WORD, 15) * 0x1B873593 & _WORD
    code = _rotated(code, 13) * 5 + 0xE6546B64 & _WORD
    code ^= 4
    code = (code ^ code >> 16) * 0x85EBCA6B & _WORD
    code = (code ^ code >> 13) * 0xC2B2AE35 & _WORD
    code ^= code >> 16
    # In Java's signed integers: the magnitude, and 0 of the one that has none.
    return code if code < 2**31 else 2**32 - code & 2**31 - 1


def _rotated(code: int, by: int) -> int:
    return (code << by | code >> 32 - by) & _WORD
