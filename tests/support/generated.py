"""What hypothesis makes up: vectors, payloads and operations, of every kind that a message can hold."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st

from udfs.core.operations import Delete, Origin, Upsert
from udfs.core.parcels import Operation
from udfs.core.vectors import Dense, Multi, Sparse
from udfs.qdrant.encode import encode_upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from udfs.core.operations import PointId

T = TypeVar("T")

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def packed(*values: float) -> bytes:
    """Return little-endian float32."""
    return struct.pack(f"<{len(values)}f", *values)


def encoded(operations: Iterable[Upsert | Delete], first_offset: int = 0) -> list[Operation]:
    """Return operations as the write stage has them, from consecutive messages."""
    return [
        Operation(
            operation.id,
            encode_upsert(operation) if isinstance(operation, Upsert) else None,
            Origin("messages", 3, offset),
        )
        for offset, operation in enumerate(operations, first_offset)
    ]


def _rows(length: int) -> st.SearchStrategy[Multi]:
    row = st.lists(FLOATS, min_size=length, max_size=length).map(lambda values: packed(*values))
    return st.lists(row, min_size=1, max_size=4).map(lambda rows: Multi(tuple(rows)))


def _sparse(pairs: dict[int, float]) -> Sparse:
    return Sparse(tuple(pairs), packed(*pairs.values()))


DENSE = st.lists(FLOATS, min_size=1, max_size=300).map(lambda values: Dense(packed(*values)))
SPARSE = st.dictionaries(st.integers(0, 2**32 - 1), FLOATS, max_size=5).map(_sparse)
MULTI = st.integers(1, 4).flatmap(_rows)
VECTOR = DENSE | SPARSE | MULTI
VECTORS = st.dictionaries(st.text(max_size=5), VECTOR, max_size=4) | VECTOR.map(lambda vector: {"": vector})

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
PAYLOADS = st.dictionaries(st.text(), JSON, max_size=5)

POINT_IDS = st.integers(0, 2**64 - 1) | st.uuids().map(str)
COLLECTIONS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=255)
UPSERTS = st.builds(Upsert, COLLECTIONS, POINT_IDS, VECTORS, PAYLOADS)


def spellings(point_id: PointId) -> list[int | float | str]:
    """Return the ways to write an id in a message, where an integer is below 2^53."""
    if isinstance(point_id, int):
        return [point_id, float(point_id)]
    simple = point_id.replace("-", "")
    urns = [f"urn:uuid:{point_id}", f"urn:uuid:{point_id.upper()}"]
    return [point_id, point_id.upper(), simple, simple.upper(), f"{{{point_id}}}", *urns]


def several(items: st.SearchStrategy[T], least: int, most: int) -> st.SearchStrategy[list[T]]:
    """Return lists of all these lengths alike: left to itself, hypothesis makes mostly short ones."""
    return st.integers(least, most).flatmap(lambda length: st.lists(items, min_size=length, max_size=length))


def canonical(value: Any) -> str:
    """Return a text that tells 1 from 1.0 and true, but not the order of names, which protobuf does not keep."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {canonical(value[name])}' for name in sorted(value))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(canonical, value))}]"
    return repr(value)
