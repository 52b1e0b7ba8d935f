"""What a collection would refuse, told from its description; `tests/contract/test_schemas.py` asks the real server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from udfs.core.operations import Upsert
from udfs.core.schemas import VectorConfig, fault_of
from udfs.core.vectors import Dense, Multi, Sparse, read_vectors

if TYPE_CHECKING:
    from udfs.core.schemas import Schema

DENSE, MULTI, SPARSE = VectorConfig(Dense, 2), VectorConfig(Multi, 2), VectorConfig(Sparse)
SPARSE_VECTOR = {"indices": [0, 7], "values": [1, 2]}
EMPTY_SPARSE_VECTOR: dict[str, list[int]] = {"indices": [], "values": []}


def fault(vector: Any, **schema: VectorConfig) -> tuple[str, str] | None:
    """Return code and field of what a collection has against a message's vector; ``_`` is the unnamed one."""
    named = {name.strip("_"): config for name, config in schema.items()}
    refusal = fault_of(Upsert("docs", 1, read_vectors(vector), {}), named)
    return None if refusal is None else (refusal.code, refusal.field)


FITTING = [
    pytest.param([1, 2], DENSE, id="dense"),
    pytest.param([[1, 2]], MULTI, id="multi-vector of one row"),
    pytest.param([[1, 2], [3, 4], [5, 6]], MULTI, id="multi-vector of three rows"),
    pytest.param([1, 2], MULTI, id="dense as a multi-vector of one row"),
    pytest.param(SPARSE_VECTOR, SPARSE, id="sparse"),
    pytest.param(EMPTY_SPARSE_VECTOR, SPARSE, id="sparse, empty"),
]
MISFITS = [
    pytest.param([1], DENSE, "vector-size", id="dense too short"),
    pytest.param([1, 2, 3], DENSE, "vector-size", id="dense too long"),
    pytest.param([[1, 2]], DENSE, "vector-kind", id="multi-vector for dense"),
    pytest.param([[1, 2, 3]], DENSE, "vector-kind", id="multi-vector for dense, of another size"),
    pytest.param(SPARSE_VECTOR, DENSE, "vector-kind", id="sparse for dense"),
    pytest.param(EMPTY_SPARSE_VECTOR, DENSE, "vector-kind", id="empty sparse for dense"),
    pytest.param([[1], [2]], MULTI, "vector-size", id="rows too short"),
    pytest.param([[1, 2, 3]], MULTI, "vector-size", id="rows too long"),
    pytest.param([1, 2, 3, 4], MULTI, "vector-size", id="dense as long as two rows"),
    pytest.param(SPARSE_VECTOR, MULTI, "vector-kind", id="sparse for a multi-vector"),
    pytest.param([1, 2], SPARSE, "vector-kind", id="dense for sparse"),
    pytest.param([[1, 2], [3, 4]], SPARSE, "vector-kind", id="multi-vector for sparse"),
]


@pytest.mark.parametrize(("vector", "config"), FITTING)
def test_a_vector_of_the_right_kind_and_size_has_no_fault(vector: Any, config: VectorConfig) -> None:
    """What the collection has under that name, it takes, also where it has more."""
    assert fault({"v": vector}, v=config) is None
    assert fault({"": vector}, _=config, more=DENSE) is None


@pytest.mark.parametrize(("vector", "config", "code"), MISFITS)
def test_a_vector_of_the_wrong_kind_or_size_is_a_fault_of_that_field(
    vector: Any, config: VectorConfig, code: str
) -> None:
    """The code says what is wrong, the field says where, with a name or without."""
    assert fault({"v": vector}, v=config) == (code, "vector.v")
    assert fault({"": vector}, _=config) == (code, "vector")


@pytest.mark.parametrize("config", [DENSE, MULTI, SPARSE], ids=["dense", "multi", "sparse"])
@pytest.mark.parametrize("vector", [[1, 2], [[1, 2]], SPARSE_VECTOR], ids=["dense", "multi", "sparse"])
def test_a_name_that_is_not_there_is_a_fault(vector: Any, config: VectorConfig) -> None:
    """Whatever the vector and the collection are; the unnamed one is a name like any other."""
    assert fault({"x": vector}, v=config) == ("vector-unknown", "vector.x")
    assert fault({"x": vector}, _=config) == ("vector-unknown", "vector.x")
    assert fault({"": vector}, v=config) == ("vector-unknown", "vector")


@pytest.mark.parametrize("schema", [{}, {"_": DENSE}, {"v": MULTI, "s": SPARSE}], ids=["none", "unnamed", "named"])
def test_a_point_without_vectors_fits_everywhere(schema: dict[str, VectorConfig]) -> None:
    """A point need not have the vectors that its collection has, neither all of them nor any."""
    assert fault(None, **schema) is None
    assert fault({name.strip("_"): [1, 2] for name in schema if name != "s"}, **schema) is None


def test_one_vector_at_fault_is_enough() -> None:
    """Where several vectors are given, each must fit; the first that does not is named."""
    assert fault({"a": [1, 2], "b": [1], "c": SPARSE_VECTOR}, a=DENSE, b=DENSE, c=DENSE) == (
        "vector-size",
        "vector.b",
    )


SENTENCES = [
    pytest.param(
        {"v": [1, 2, 3]},
        {"v": DENSE},
        '"vector.v" has 3 elements, where there are 2, in collection "docs"',
        id="size",
    ),
    pytest.param(
        [[1, 2]],
        {"": DENSE},
        '"vector" is a multi-vector, where there is a dense vector, in collection "docs"',
        id="kind",
    ),
    pytest.param(
        {"x": [1]},
        {"b": DENSE, "": MULTI, "a": SPARSE},
        '"vector.x" is not there: there is one without a name, "a", "b", in collection "docs"',
        id="names",
    ),
    pytest.param([1], {}, '"vector" is not there: there is none, in collection "docs"', id="no names at all"),
    pytest.param(
        {"x": [1]},
        dict.fromkeys("kjihgfedcba", DENSE),
        '"vector.x" is not there: there is "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", …, in collection "docs"',
        id="many names",
    ),
    pytest.param(
        {"x": [1]},
        dict.fromkeys("jihgfedcba", DENSE),
        '"vector.x" is not there: there is "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", in collection "docs"',
        id="as many names as are shown",
    ),
]


@pytest.mark.parametrize(("vector", "schema", "sentence"), SENTENCES)
def test_the_sentence_says_what_is_there_instead(vector: Any, schema: Schema, sentence: str) -> None:
    """Whoever reads it need not look up the collection."""
    refusal = fault_of(Upsert("docs", 1, read_vectors(vector), {}), schema)
    assert refusal is not None
    assert refusal.reason == sentence


def test_long_names_are_shortened() -> None:
    """Names of any length and number make a sentence that can be read."""
    schema = {f"{number}{'n' * 300}": DENSE for number in range(300)}
    refusal = fault_of(Upsert("c" * 255, 1, read_vectors({"v" * 300: [1, 2]}), {}), schema)
    assert refusal is not None
    assert len(refusal.field) <= 120
    assert len(refusal.reason) < 1200
