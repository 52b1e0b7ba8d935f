"""Encoding: what goes in comes out of Qdrant's protobuf messages, bit by bit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from qdrant_client import grpc

from tests.support.generated import PAYLOADS, VECTORS, canonical, packed
from udfs.core.operations import PointId, Upsert
from udfs.core.vectors import Dense, Multi, Sparse, Vector
from udfs.qdrant.encode import encode_point_id, encode_upsert, join_upserts

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


@pytest.mark.parametrize("count", [0, 1, 3])
def test_requests_of_one_point_join_into_one_request(count: int) -> None:
    """What is sent for many points is what protobuf would have made of them together."""
    upserts = [Upsert("docs", number, {"": Dense(packed(number, 1))}, {"n": number}) for number in range(count)]
    encoded = [encode_upsert(upsert) for upsert in upserts]
    points = [grpc.UpsertPoints.FromString(point).points[0] for point in encoded]
    whole = grpc.UpsertPoints(collection_name="docs", wait=True, points=points)
    assert grpc.UpsertPoints.FromString(join_upserts("docs", encoded)) == whole
