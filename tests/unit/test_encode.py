"""Encoding: what goes in comes out of Qdrant's protobuf messages, bit by bit."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import example, given
from hypothesis import strategies as st
from qdrant_client import grpc

from tests.support.generated import PAYLOADS, POINT_IDS, VECTORS, canonical, packed
from udfs.core.operations import PointId, Upsert
from udfs.core.vectors import Dense, Multi, Sparse, Vector
from udfs.qdrant.encode import encode_point_id, encode_upsert, join_upserts
from udfs.qdrant.wire import Heads, Keys, tag_of

if TYPE_CHECKING:
    from collections.abc import Mapping

UUID = "550e8400-e29b-41d4-a716-446655440000"


def decode(**parts: Any) -> grpc.PointStruct:
    """Encode a point with these parts, and return what the server reads."""
    point = Upsert(**{"collection": "docs", "id": 1, "vectors": {}, "payload": {}, **parts})
    return grpc.UpsertPoints.FromString(encode_upsert(point)).points[0]


def plain(value: grpc.Value) -> Any:
    """Return what a protobuf value stands for in Python."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: plain(item) for name, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [plain(item) for item in value.list_value.values]
    return None if kind == "null_value" else getattr(value, str(kind))


def vector_of(vector: grpc.Vector) -> Vector:
    """Return the core's vector that a protobuf vector stands for."""
    if vector.WhichOneof("vector") == "dense":
        return Dense(packed(*vector.dense.data))
    if vector.WhichOneof("vector") == "sparse":
        return Sparse(tuple(vector.sparse.indices), packed(*vector.sparse.values))
    return Multi(tuple(packed(*row.data) for row in vector.multi_dense.vectors))


def by_protobuf(upsert: Upsert) -> grpc.UpsertPoints:
    """Return the request of one point, made of protobuf's own objects: that is what is written by hand."""
    request = grpc.UpsertPoints()
    point = request.points.add(id=encode_point_id(upsert.id))
    for name, item in upsert.payload.items():
        set_value(point.payload[name], item)
    set_vectors(point.vectors, upsert.vectors)
    return request


def set_vectors(target: grpc.Vectors, vectors: Mapping[str, Vector]) -> None:
    """Set the vectors of a point."""
    if vectors.keys() == {""} and not isinstance(vectors[""], Sparse):
        set_vector(target.vector, vectors[""])
        return
    target.vectors.SetInParent()
    for name, vector in vectors.items():
        set_vector(target.vectors.vectors[name], vector)


def set_vector(target: grpc.Vector, vector: Vector) -> None:
    """Set one vector, float by float."""
    if isinstance(vector, Dense):
        target.dense.data.extend(floats(vector.packed))
    elif isinstance(vector, Sparse):
        target.sparse.SetInParent()
        target.sparse.values.extend(floats(vector.packed))
        target.sparse.indices.extend(vector.indices)
    else:
        for row in vector.rows:
            target.multi_dense.vectors.add(data=floats(row))


def floats(data: bytes) -> list[float]:
    """Return the numbers that `packed` has packed."""
    return [number for (number,) in struct.iter_unpack("<f", data)]


def set_value(target: grpc.Value, item: Any) -> None:
    """Set a value of a payload."""
    if isinstance(item, dict):
        target.struct_value.SetInParent()
        for name, child in item.items():
            set_value(target.struct_value.fields[name], child)
    elif isinstance(item, list):
        target.list_value.SetInParent()
        for child in item:
            set_value(target.list_value.values.add(), child)
    elif item is None:
        target.null_value = grpc.NULL_VALUE
    else:
        field = {str: "string_value", bool: "bool_value", int: "integer_value", float: "double_value"}[type(item)]
        setattr(target, field, item)


def nested(levels: int, *, in_lists: bool) -> Any:
    """Return a number inside so many lists or objects."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if in_lists else {"ü": value}
    return value


# Where a varint becomes longer: a length, an id, an integer or an index.
EDGES = [2**bits - less for bits in (0, 7, 14, 21, 28, 32, 35, 42, 49, 56, 63) for less in (0, 1)]
INTEGERS = [*EDGES[:-2], 2**63 - 1, *(-edge for edge in EDGES)]
LENGTHS = [0, 1, *range(112, 130), *range(16366, 16386), 2**21]


def vector_with(count: int) -> Sparse:
    """Return a sparse vector of so many indices at the far end."""
    return Sparse(tuple(range(2**32 - count, 2**32)), packed(*range(count)))


@pytest.mark.parametrize("point_id", [0, 2**53 + 1, 2**64 - 1, UUID])
def test_an_id_is_encoded_as_what_it_is(point_id: PointId) -> None:
    """An integer is a number, a UUID a string; zero is an id like any other."""
    message = encode_point_id(point_id)
    assert message.WhichOneof("point_id_options") == ("num" if isinstance(point_id, int) else "uuid")
    assert point_id in (message.num, message.uuid)
    assert decode(id=point_id).id == message


@given(VECTORS)
def test_vectors_come_out_as_they_went_in(vectors: dict[str, Vector]) -> None:
    """Every float has the same bits, every vector the same name and kind."""
    encoded = decode(vectors=vectors).vectors
    if encoded.WhichOneof("vectors_options") == "vector":
        assert {"": vector_of(encoded.vector)} == vectors
    else:
        assert {name: vector_of(vector) for name, vector in encoded.vectors.vectors.items()} == vectors


@pytest.mark.parametrize(
    ("vectors", "option"),
    [
        pytest.param({}, "vectors", id="none"),
        pytest.param({"": Dense(packed(1))}, "vector", id="unnamed"),
        pytest.param({"": Multi((packed(1),))}, "vector", id="unnamed multi-vector"),
        pytest.param({"": Sparse((1,), packed(1))}, "vectors", id="sparse of an empty name"),
        pytest.param({"a": Dense(packed(1))}, "vectors", id="named"),
        pytest.param({"": Dense(packed(1)), "s": Sparse((), b"")}, "vectors", id="unnamed beside named"),
    ],
)
def test_vectors_are_always_there(vectors: dict[str, Vector], option: str) -> None:
    """A point without vectors says so by an empty map: the server refuses one that says nothing.

    And it refuses a sparse vector outside a map, where the map may have it under the empty name.
    """
    assert decode(vectors=vectors).vectors.WhichOneof("vectors_options") == option


@given(PAYLOADS)
def test_a_payload_comes_out_as_it_went_in(payload: dict[str, Any]) -> None:
    """Integers stay integers, floats floats, and what is empty is still there."""
    decoded = {name: plain(value) for name, value in decode(payload=payload).payload.items()}
    assert decoded == payload
    assert canonical(decoded) == canonical(payload)


@given(POINT_IDS | st.sampled_from(EDGES), VECTORS, PAYLOADS)
@example(2**64 - 1, {"": Multi((packed(math.inf, -0.0), packed(math.nan, 5e-324)))}, {})
@example(UUID, {"": Dense(packed(*range(5000)))}, {"": "", "o": {}, "l": [], "m": [[], {}, None, ""]})
@example(1, {"x" * 200: vector_with(40), "": vector_with(0)}, {"y" * 200: {"z" * 20000: [0.0, -0.0, 1.5, True]}})
@example(1, {}, {"integers": INTEGERS, "floats": [math.inf, math.nan]})
@example(1, {}, {"objects": nested(32, in_lists=False), "lists": nested(48, in_lists=True)})
def test_a_point_is_what_protobuf_would_have_written(
    point_id: PointId, vectors: dict[str, Vector], payload: dict[str, Any]
) -> None:
    """It is read as the same message, and no field is written twice or longer than need be."""
    point = Upsert("docs", point_id, vectors, payload)
    encoded, expected = encode_upsert(point), by_protobuf(point)
    assert in_order(grpc.UpsertPoints.FromString(encoded)) == in_order(expected)
    assert len(encoded) == expected.ByteSize()


def in_order(message: grpc.UpsertPoints) -> bytes:
    """Return the bytes of a message with all maps sorted: to compare messages would not do, as NaN is not NaN."""
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_is_right_at_every_level(length: int) -> None:
    """One byte more of text may be one more of length at each of the levels around it, and those depend on it."""
    text = "x" * length
    floats_of_it = packed(*[1.0] * (length // 4))
    vectors: dict[str, Vector] = {text: Dense(floats_of_it), "m": Multi((floats_of_it, floats_of_it))}
    for point in (
        Upsert("docs", 1, vectors, {}),
        Upsert("docs", 1, {"": Dense(floats_of_it)}, {text: text}),
        Upsert("docs", text, {}, {"o": {text: [text]}}),
    ):
        assert in_order(grpc.UpsertPoints.FromString(encode_upsert(point))) == in_order(by_protobuf(point))


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        pytest.param({"id": -1}, ValueError, id="negative id"),
        pytest.param({"id": 2**64}, ValueError, id="id of 65 bits"),
        pytest.param({"payload": {"n": 2**63}}, ValueError, id="integer too large"),
        pytest.param({"payload": {"n": [-(2**63) - 1]}}, ValueError, id="integer too small"),
        pytest.param({"vectors": {"s": Sparse((-1,), packed(1))}}, ValueError, id="negative index"),
        pytest.param({"vectors": {"s": Sparse((2**32,), packed(1))}}, ValueError, id="index of 33 bits"),
        pytest.param({"payload": {"t": "\ud800"}}, UnicodeEncodeError, id="surrogate in a text"),
        pytest.param({"payload": {"\ud800": 1}}, UnicodeEncodeError, id="surrogate in a name"),
        pytest.param({"vectors": {"\ud800": Dense(packed(1))}}, UnicodeEncodeError, id="surrogate in a vector's name"),
    ],
)
def test_what_protobuf_does_not_take_is_not_written(parts: dict[str, Any], error: type[Exception]) -> None:
    """None of this is left by parsing; were it, it must not become another number or text without a word."""
    point = Upsert(**{"collection": "docs", "id": 1, "vectors": {}, "payload": {}, **parts})
    with pytest.raises(error):
        by_protobuf(point)
    with pytest.raises(error):
        encode_upsert(point)


def test_another_schema_is_not_written() -> None:
    """A field that is not there, or of another type, fails when the worker starts."""
    assert tag_of(grpc.Value, "integer_value", FieldDescriptor.TYPE_INT64) == b"\x18"
    with pytest.raises(TypeError, match=r"qdrant\.Value\.integer_value is of type 3, not 18"):
        tag_of(grpc.Value, "integer_value", FieldDescriptor.TYPE_SINT64)
    with pytest.raises(KeyError, match="number_value"):
        tag_of(grpc.Value, "number_value", FieldDescriptor.TYPE_DOUBLE)


def test_what_is_kept_for_the_next_point_is_bounded() -> None:
    """Names and lengths come from messages, which may have ever new ones: none is kept that is long, nor very many."""
    keys, heads = Keys(grpc.Struct.FieldsEntry), Heads(b"\x0a")
    long = keys["x" * 1000]
    for number in range(5000):
        assert keys[str(number)] == keys[str(number)]
        assert heads[number] == heads[number]
    assert len(keys) < 5000
    assert len(heads) < 5000
    assert long not in keys.values()
    assert keys["4999"] == b"\x0a\x044999\x12"
    assert heads[4999] == b"\x0a\x87\x27"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_requests_of_one_point_join_into_one_request(count: int) -> None:
    """What is sent for many points is what protobuf would have made of them together."""
    upserts = [Upsert("docs", number, {"": Dense(packed(number, 1))}, {"n": number}) for number in range(count)]
    encoded = [encode_upsert(upsert) for upsert in upserts]
    points = [grpc.UpsertPoints.FromString(point).points[0] for point in encoded]
    whole = grpc.UpsertPoints(collection_name="docs", wait=True, points=points)
    assert grpc.UpsertPoints.FromString(join_upserts("docs", encoded)) == whole
