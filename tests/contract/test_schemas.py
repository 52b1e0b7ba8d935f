"""What `udfs.core.schemas` says of a vector and a collection, held against what the real Qdrant does with the two."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from qdrant_client import models

from tests.support.store import connection_to
from udfs.core.operations import Upsert
from udfs.core.refusals import Refusal
from udfs.core.schemas import VectorConfig, fault_of
from udfs.core.vectors import Dense, Multi, Sparse, read_vectors
from udfs.qdrant.client import PointsClient
from udfs.qdrant.collections import Collections
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.judge import Action, judge
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scripts.stack.qdrant import Qdrant
    from udfs.core.schemas import Schema

DENSE = models.VectorParams(size=2, distance=models.Distance.DOT)
SINGLE = DENSE.model_copy(update={"size": 1})
MULTI = DENSE.model_copy(
    update={"multivector_config": models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)}
)
BYTES = DENSE.model_copy(update={"datatype": models.Datatype.UINT8})
SPARSE = {"s": models.SparseVectorParams()}

# Each: how it is created, and what it must be read as.
COLLECTIONS: dict[str, tuple[dict[str, Any], Schema]] = {
    "unnamed dense": ({"vectors_config": DENSE}, {"": VectorConfig(Dense, 2)}),
    "unnamed multi": ({"vectors_config": MULTI}, {"": VectorConfig(Multi, 2)}),
    "unnamed dense and sparse": (
        {"vectors_config": DENSE, "sparse_vectors_config": SPARSE},
        {"": VectorConfig(Dense, 2), "s": VectorConfig(Sparse)},
    ),
    "named": (
        {"vectors_config": {"d": DENSE, "one": SINGLE, "m": MULTI, "b": BYTES}, "sparse_vectors_config": SPARSE},
        {
            "d": VectorConfig(Dense, 2),
            "one": VectorConfig(Dense, 1),
            "m": VectorConfig(Multi, 2),
            "b": VectorConfig(Dense, 2),
            "s": VectorConfig(Sparse),
        },
    ),
    "named like the unnamed": (
        {"vectors_config": {"": DENSE, "d": DENSE}},
        dict.fromkeys(["", "d"], VectorConfig(Dense, 2)),
    ),
    "sparse only": ({"sparse_vectors_config": SPARSE}, {"s": VectorConfig(Sparse)}),
    "sparse named like the unnamed": (
        {"sparse_vectors_config": {"": models.SparseVectorParams()}},
        {"": VectorConfig(Sparse)},
    ),
    "no vectors": ({"vectors_config": {}}, {}),
}
ALIAS = "schemas alias"

VECTORS = {
    "dense of 1": [1],
    "dense of 2": [1, 2],
    "dense of 4": [1, 2, 3, 4],
    "one row of 2": [[1, 2]],
    "two rows of 1": [[1], [2]],
    "two rows of 2": [[1, 2], [3, 4]],
    "sparse": {"indices": [7, 1], "values": [1, 2]},
    "sparse of 1": {"indices": [0], "values": [1]},
    "sparse, empty": {"indices": [], "values": []},
}
NAMES = ["", "d", "one", "m", "b", "s", "x"]
MESSAGES: dict[str, Any] = {
    "none": None,
    **{f"{what}, named {name!r}": {name: VECTORS[what]} for what, name in itertools.product(VECTORS, NAMES)},
    "one good and one unknown": {"d": [1, 2], "x": [1, 2]},
    "one good and one too long": {"d": [1, 2], "one": [1, 2]},
    "a good mix": {"d": [1, 2], "m": [[1, 2]], "s": {"indices": [0], "values": [1]}},
}


@pytest.fixture(scope="module")
def server(qdrant: Qdrant) -> Iterator[Qdrant]:
    """A server with a collection of each kind, and an alias of one."""
    with closing(qdrant.client()) as client:
        for name, (config, _) in COLLECTIONS.items():
            client.create_collection(f"schemas {name}", **config)
        alias = models.CreateAlias(collection_name="schemas named", alias_name=ALIAS)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    yield qdrant
    with closing(qdrant.client()) as client:
        for name in COLLECTIONS:
            client.delete_collection(f"schemas {name}")


def described(server: Qdrant, collection: str) -> Schema | Refusal:
    """Return what the job gets to know of a collection."""

    async def ask() -> Schema | Refusal:
        connection = connection_to(server)
        return await Collections(PointsClient(connection), Patience(connection, RetryOptions(), 1)).describe(collection)

    return asyncio.run(ask())


def taken(server: Qdrant, collection: str, upserts: Mapping[str, Upsert]) -> dict[str, bool]:
    """Return of each point, sent alone, whether the server wrote it."""

    async def send() -> dict[str, bool]:
        client = PointsClient(connection_to(server))
        answers = {what: await client.upsert(collection, [encode_upsert(upsert)]) for what, upsert in upserts.items()}
        return {what: judge(answer).action is Action.DONE for what, answer in answers.items()}

    return asyncio.run(send())


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_collection_is_read_as_what_it_was_created_with(server: Qdrant, name: str) -> None:
    """Kinds, sizes and names are those that it was given, whatever else it has been told."""
    assert described(server, f"schemas {name}") == COLLECTIONS[name][1]


def test_an_alias_is_read_as_its_collection(server: Qdrant) -> None:
    """A message may name either."""
    assert described(server, ALIAS) == COLLECTIONS["named"][1]


def test_a_collection_that_is_not_there_is_a_refusal(server: Qdrant) -> None:
    """It names the field that is at fault, and has the server's own words."""
    assert described(server, "schemas none") == Refusal(
        "collection-unknown",
        "collection_name",
        '"collection_name" is not known to Qdrant: NOT_FOUND: Not found: Collection `schemas none` doesn\'t exist!',
    )


@pytest.mark.parametrize("name", [*COLLECTIONS, "alias"])
def test_a_fault_is_found_just_where_the_server_refuses(server: Qdrant, name: str) -> None:
    """Whatever kind, name and size: a point is called at fault if and only if the server does not take it."""
    collection = f"schemas {name}"
    schema = described(server, collection)
    assert not isinstance(schema, Refusal)
    upserts = {what: Upsert(collection, 1, read_vectors(vector), {}) for what, vector in MESSAGES.items()}
    faultless = {what: fault_of(upsert, schema) is None for what, upsert in upserts.items()}
    assert faultless == taken(server, collection, upserts)
    assert faultless["none"]
    assert not faultless["dense of 2, named 'x'"]
