"""Decoding: a message that is rendered again means what the first one meant, to the digit."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from qdrant_client import grpc

from tests.support.cases import nested
from tests.support.generated import COLLECTIONS, POINT_IDS, UPSERTS, canonical, encoded, packed
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete, Upsert
from udfs.core.schemas import VectorConfig
from udfs.core.vectors import Dense, Multi, Sparse
from udfs.qdrant.decode import message_of, schema_of

RULES = ParseRules(max_record_bytes=10**9)


def read_again(operation: Upsert | Delete) -> Any:
    """Return what the parser makes of the message that is rendered of an operation."""
    (rendered,) = encoded([operation])
    return parse_message(*message_of(operation.collection, rendered), RULES)


@given(UPSERTS)
def test_an_upsert_is_rendered_as_a_message_that_means_it(upsert: Upsert) -> None:
    """Parsing it gives the same point: the bits of every float, and 1, 1.0 and true are not the same."""
    again = read_again(upsert)
    assert (again.collection, again.id, again.vectors) == (upsert.collection, upsert.id, upsert.vectors)
    assert canonical(again.payload) == canonical(upsert.payload)


@given(COLLECTIONS, POINT_IDS)
def test_a_delete_is_rendered_as_a_tombstone_that_means_it(collection: str, point_id: int | str) -> None:
    """Its value is null, and its key names the point."""
    delete = Delete(collection, point_id)
    (rendered,) = encoded([delete])
    assert message_of(collection, rendered)[1] is None
    assert read_again(delete) == delete


EDGES = {
    "no vectors": Upsert("docs", 0, {}, {}),
    "largest id": Upsert("docs", 2**64 - 1, {}, {}),
    "sparse of an empty name": Upsert("docs", 1, {"": Sparse((1, 0), packed(2, 3))}, {}),
    "empty sparse": Upsert("docs", 1, {"s": Sparse((), b"")}, {}),
    "names of a sparse vector's parts": Upsert(
        "docs", 1, {"indices": Dense(packed(1)), "values": Multi((packed(1),))}, {}
    ),
    "largest floats": Upsert("docs", 1, {"": Dense(packed(3.4028234663852886e38, 1e-45, -0.0))}, {}),
    "integers": Upsert("docs", 1, {}, {"low": -(2**63), "high": 2**63 - 1, "odd": 2**53 + 1}),
    "integers beside large floats": Upsert("docs", 1, {}, {"i": [2**63 - 1, -(2**63)], "f": [1e300, -(2.0**63), 1e19]}),
    "floats": Upsert("docs", 1, {}, {"f": [5e-324, 1e22, 1e16, 7.0, -0.0, 0.1, 1.7976931348623157e308]}),
    "as deep as it gets": Upsert("docs", 1, {}, nested(33)),
    "as deep as it gets, in lists": Upsert("docs", 1, {}, {"k": nested(48, in_lists=True), "f": 1e19}),
    "text": Upsert("ü" * 255, 1, {"𝄞": Dense(packed(1))}, {"": "\0\n\u2028𝄞", "ü": {"\ufffe": ""}}),
}


@pytest.mark.parametrize("upsert", EDGES.values(), ids=EDGES.keys())
def test_the_edges_of_what_a_message_can_say(upsert: Upsert) -> None:
    """What hypothesis hardly ever makes up."""
    again = read_again(upsert)
    assert again == upsert
    assert canonical(again.payload) == canonical(upsert.payload)


def test_a_rendered_message_is_for_people_too() -> None:
    """It has the fields of a message, under their names, and a key as a producer would give it."""
    upsert = Upsert("docs", 7, {"": Dense(packed(0.5, 1))}, {"a": [1, None]})
    (rendered,) = encoded([upsert])
    key, value = message_of("docs", rendered)
    assert orjson.loads(key) == {"collection_name": "docs", "id": 7}
    assert orjson.loads(value or b"") == {
        "collection_name": "docs",
        "id": 7,
        "vector": [0.5, 1.0],
        "payload": {"a": [1, None]},
    }


DENSE = grpc.VectorParams(size=2)
MULTI = grpc.VectorParams(size=3, multivector_config=grpc.MultiVectorConfig())
DESCRIBED = {
    "nothing": (grpc.CollectionParams(), {}),
    "unnamed": (
        grpc.CollectionParams(vectors_config=grpc.VectorsConfig(params=MULTI)),
        {"": VectorConfig(Multi, 3)},
    ),
    "named": (
        grpc.CollectionParams(
            vectors_config=grpc.VectorsConfig(params_map=grpc.VectorParamsMap(map={"d": DENSE, "m": MULTI})),
            sparse_vectors_config=grpc.SparseVectorConfig(map={"s": grpc.SparseVectorParams()}),
        ),
        {"d": VectorConfig(Dense, 2), "m": VectorConfig(Multi, 3), "s": VectorConfig(Sparse)},
    ),
    "unnamed beside sparse": (
        grpc.CollectionParams(
            vectors_config=grpc.VectorsConfig(params=DENSE),
            sparse_vectors_config=grpc.SparseVectorConfig(map={"s": grpc.SparseVectorParams()}),
        ),
        {"": VectorConfig(Dense, 2), "s": VectorConfig(Sparse)},
    ),
}


@pytest.mark.parametrize(("params", "schema"), DESCRIBED.values(), ids=DESCRIBED.keys())
def test_a_description_is_read(params: grpc.CollectionParams, schema: dict[str, VectorConfig]) -> None:
    """Every vector by its name, with its kind, and the size that counts."""
    assert schema_of(params) == schema
