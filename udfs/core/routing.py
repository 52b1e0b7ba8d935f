"""Which writer a point meets, where lanes are given: by collection and id alone, so one id always meets the same one.

Flink hashes keys, so with one for each part of a collection some writers would by chance get many parts and others
none. With sixteen times as many parts as writers that evens out, but what a parser has for one part travels by itself,
so many parts are dear. Instead there is one key for each writer, and it is one that Flink's hash brings there. Only the
shares of the writers rest on knowing that hash: wherever a key is brought to, it is the same writer all the time.
"""

from __future__ import annotations

import random
import zlib
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from udfs.core.operations import PointId


DEAD_LETTERS = ""
"""Stands in an address where a collection's name would: no collection has this one."""

_WORD = 2**32 - 1
# With so many keys for each writer, one of a thousand gets none of them once in e^50 times.
_TRIES = 64


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

    def key_of_each(self) -> list[str]:
        """Return a key for each of them, in their order; if none is found for one, then any."""
        found: dict[int, str] = {}
        for key in map(str, range(_TRIES * self.subtasks)):
            found.setdefault(self.of(key), key)
            if len(found) == self.subtasks:
                break
        return [found.get(subtask, str(subtask)) for subtask in range(self.subtasks)]


HERE = Writers(subtasks=1, key_groups=1)
"""The only writer that a parser knows where each worker writes what it has parsed."""


class Addresses:
    """Where points go: to which writer, and there into which collection.

    Args:
        lanes: How many writers share a collection; more than there are count as all of them.
        writers: From whom they are, in turns; unlike collections may begin with unlike ones.
    """

    def __init__(self, lanes: int, writers: Writers) -> None:
        self._lanes = min(lanes, writers.subtasks)
        self._keys = writers.key_of_each()

    def lane_of(self, point_id: PointId) -> int:
        """Return which of the writers that share a collection gets this point."""
        return lane_of(point_id, self._lanes) if self._lanes > 1 else 0

    def of(self, collection: str, lane: int) -> str:
        """Return the address of whatever goes to this one of the writers that share the collection."""
        return address(self._keys[(zlib.crc32(collection.encode()) + lane) % len(self._keys)], collection)

    def of_any(self, collection: str) -> str:
        """Return the address of what may go to any writer."""
        return address(random.choice(self._keys), collection)  # noqa: S311 - no secret


def lane_of(point_id: PointId, lanes: int) -> int:
    """Return a lane in ``0…lanes-1``, the same in every process and release.

    ``hash()`` would not do: Python salts it per process, and after a restart an id would meet another writer.
    """
    if isinstance(point_id, int):
        return zlib.crc32(point_id.to_bytes(8, "big")) % lanes
    return zlib.crc32(bytes.fromhex(point_id.replace("-", ""))) % lanes


def address(key: str, collection: str) -> str:
    """Return the address of a collection at the writer to whom Flink brings this key, which has no slash."""
    return f"{key}/{collection}"


def key_of(address: str) -> str:
    """Return the key by which Flink brings what has this address to its writer."""
    return address.partition("/")[0]


def collection_of(address: str) -> str:
    """Return the collection that an address names."""
    return address.partition("/")[2]


def _hash_of_row(key: str) -> int:
    """Hash as Java does the Row of one string that PyFlink makes of a key: RowUtils adds 31 twice."""
    return reduce(lambda code, letter: 31 * code + letter & _WORD, key.encode("ascii"), 0) + 62 & _WORD


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
