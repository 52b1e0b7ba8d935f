"""Turns points into the bytes of Qdrant's own protobuf messages, without touching a float twice.

The wire format is written by hand, since protobuf's objects, which are serialised and dropped at once, were most of the
work: a point of 128 dimensions with five members of payload takes 3.4 µs and took 7.5, one of 768 dimensions 4.0 and
8.2, a sparse one of 100 indices 8.6 and 12. That protobuf would write the same is a property, see
tests/unit/test_encode.py.
"""

from __future__ import annotations

import struct
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor as Field
from qdrant_client import grpc

from udfs.core.payloads import MAX_INTEGER, MIN_INTEGER
from udfs.core.vectors import Dense, Multi, Sparse
from udfs.qdrant.wire import STRING, VARINTS, Heads, Keys, sized, tag_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from udfs.core.operations import PointId, Upsert
    from udfs.core.vectors import Vector

    HeadAndBody: TypeAlias = tuple[bytes, bytes]
    """A value, in the two parts that are there when it is written: to join them would copy the larger one."""

# Tags, and heads by the bytes that follow them. Vectors and payload values begin with their own length, as `sized`.
_POINT = Heads(tag_of(grpc.UpsertPoints, "points"))
_ID = tag_of(grpc.PointStruct, "id")
_NUM = tag_of(grpc.PointId, "num", Field.TYPE_UINT64)
_UUID = Heads(_ID, tag_of(grpc.PointId, "uuid", STRING))
_PAYLOAD = Heads(tag_of(grpc.PointStruct, "payload"))

_VECTORS = tag_of(grpc.PointStruct, "vectors")
_UNNAMED = tag_of(grpc.Vectors, "vector")
_NAMED = Heads(_VECTORS, tag_of(grpc.Vectors, "vectors"))
_BY_NAME = Heads(tag_of(grpc.NamedVectors, "vectors"))
_FLOATS = tag_of(grpc.DenseVector, "data", Field.TYPE_FLOAT)
_DENSE_TAGS = tag_of(grpc.Vector, "dense"), _FLOATS
_DENSE, _DENSE_ALONE = Heads(b"", *_DENSE_TAGS), Heads(_VECTORS, _UNNAMED, *_DENSE_TAGS)
_SPARSE = Heads(b"", tag_of(grpc.Vector, "sparse"))
_WEIGHTS = Heads(tag_of(grpc.SparseVector, "values", Field.TYPE_FLOAT))
_MULTI_TAG = tag_of(grpc.Vector, "multi_dense")
_MULTI, _MULTI_ALONE = Heads(b"", _MULTI_TAG), Heads(_VECTORS, _UNNAMED, _MULTI_TAG)
_ROW = Heads(tag_of(grpc.MultiDenseVector, "vectors"), _FLOATS)

_STRING = Heads(b"", tag_of(grpc.Value, "string_value", STRING))
_INTEGER = tag_of(grpc.Value, "integer_value", Field.TYPE_INT64)
_DOUBLE = tag_of(grpc.Value, "double_value", Field.TYPE_DOUBLE)
_BOOL = tag_of(grpc.Value, "bool_value", Field.TYPE_BOOL)
_BOOLS = {item: (sized(_BOOL + VARINTS[item]), b"") for item in (False, True)}
_NULL = sized(tag_of(grpc.Value, "null_value", Field.TYPE_ENUM) + VARINTS[grpc.NULL_VALUE]), b""
_STRUCT = Heads(b"", tag_of(grpc.Value, "struct_value"))
_MEMBER = Heads(tag_of(grpc.Struct, "fields"))
_LIST = Heads(b"", tag_of(grpc.Value, "list_value"))
_ITEM = tag_of(grpc.ListValue, "values")

_KEYS = Keys(grpc.Struct.FieldsEntry)  # entries of all maps have the same two tags
_BEFORE_INTEGER = {size: sized(_INTEGER + bytes(size))[:-size] for size in range(1, 11)}  # by the bytes of its varint
_BEFORE_DOUBLE = sized(_DOUBLE + bytes(8))[:-8]
_pack_double = struct.Struct("<d").pack


def encode_point_id(point_id: PointId) -> grpc.PointId:
    """Return the id as Qdrant's message."""
    return grpc.PointId(num=point_id) if isinstance(point_id, int) else grpc.PointId(uuid=point_id)


def encode_upsert(upsert: Upsert) -> bytes:
    """Return the point, every number as the message had it, as a serialised ``UpsertPoints`` that holds nothing else.

    So it is never decoded again on its way: see `join_upserts`.
    """
    number, payload = _id(upsert.id), _entries(_PAYLOAD, upsert.payload)
    head, vectors = _vectors(upsert.vectors)
    return b"".join((_POINT[len(number) + len(payload) + len(head) + len(vectors)], number, payload, head, vectors))


def join_upserts(collection: str, upserts: Iterable[bytes]) -> bytes:
    """Return one serialised ``UpsertPoints``, waiting to be applied, for points that `encode_upsert` made.

    Protobuf messages end to end are one message, with their repeated fields joined
    (protobuf.dev/programming-guides/encoding/#last-one-wins).
    """
    head = grpc.UpsertPoints(collection_name=collection, wait=True).SerializeToString()
    return b"".join((head, *upserts))


def _id(point_id: PointId) -> bytes:
    if isinstance(point_id, int):
        return _ID + sized(_NUM + VARINTS[point_id])
    uuid = point_id.encode()
    return _UUID[len(uuid)] + uuid


def _vectors(vectors: Mapping[str, Vector]) -> HeadAndBody:
    alone = vectors.get("") if len(vectors) == 1 else None
    if type(alone) is Dense:
        return _DENSE_ALONE[len(alone.packed)], alone.packed
    if type(alone) is Multi:
        rows = _rows(alone)
        return _MULTI_ALONE[len(rows)], rows
    # By itself, the server takes no sparse vector: "Sparse vector must be named", if only by the empty name. A point
    # without vectors has an empty map of them: without any map the server answers "Expected some vectors".
    named = _entries(_BY_NAME, vectors)
    return _NAMED[len(named)], named


def _entries(heads: Heads, items: Mapping[str, Any]) -> bytes:
    pieces: list[bytes] = []
    for name, item in items.items():
        key = _KEYS[name]
        head, body = _WRITERS[type(item)](item)
        pieces += (heads[len(key) + len(head) + len(body)], key, head, body)
    return b"".join(pieces)


def _dense(vector: Dense) -> HeadAndBody:
    return _DENSE[len(vector.packed)], vector.packed


def _sparse(vector: Sparse) -> HeadAndBody:
    # A table of varints, joined, is no faster than protobuf, which refuses what is no index.
    indices = grpc.SparseVector(indices=vector.indices).SerializeToString()
    body = _WEIGHTS[len(vector.packed)] + vector.packed + indices if vector.packed else indices
    return _SPARSE[len(body)], body


def _multi(vector: Multi) -> HeadAndBody:
    rows = _rows(vector)
    return _MULTI[len(rows)], rows


def _rows(vector: Multi) -> bytes:
    return b"".join([_ROW[len(row)] + row for row in vector.rows])


def _string(item: str) -> HeadAndBody:
    text = item.encode()
    return _STRING[len(text)], text


def _integer(item: int) -> HeadAndBody:
    if not MIN_INTEGER <= item <= MAX_INTEGER:
        raise ValueError(f"Value out of range: {item}")
    number = VARINTS[item if item >= 0 else item + 2**64]
    return _BEFORE_INTEGER[len(number)], number


def _double(item: float) -> HeadAndBody:
    return _BEFORE_DOUBLE, _pack_double(item)


def _object(item: dict[str, Any]) -> HeadAndBody:
    members = _entries(_MEMBER, item)
    return _STRUCT[len(members)], members


def _list(items: list[Any]) -> HeadAndBody:
    pieces: list[bytes] = []
    for item in items:
        pieces += (_ITEM, *_WRITERS[type(item)](item))
    values = b"".join(pieces)
    return _LIST[len(values)], values


def _null(_: None) -> HeadAndBody:
    return _NULL


# Writes a vector, or a value of a payload, which has no other types: it was JSON.
_WRITERS: dict[type, Callable[[Any], HeadAndBody]] = {
    Dense: _dense,
    Sparse: _sparse,
    Multi: _multi,
    str: _string,
    bool: _BOOLS.__getitem__,
    int: _integer,
    float: _double,
    dict: _object,
    list: _list,
    NoneType: _null,
}
