"""What a collection takes, as far as a point can be judged by it before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from udfs.core.refusals import Refusal, refused, shown
from udfs.core.vectors import FLOAT_BYTES, Dense, Multi, Sparse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from udfs.core.operations import Upsert
    from udfs.core.vectors import Vector

_MOST_NAMED = 10
_KINDS = {Dense: "dense vector", Multi: "multi-vector", Sparse: "sparse vector"}


class VectorConfig(NamedTuple):
    """One vector of a collection.

    Attributes:
        kind: `Dense`, `Multi` or `Sparse`.
        size: The elements of a dense vector, or of each row of a multi-vector; 0 for a sparse one.
    """

    kind: type[Vector]
    size: int = 0


Schema: TypeAlias = Mapping[str, VectorConfig]
"""The vectors of a collection by name, the unnamed one under ``""``."""


def fault_of(upsert: Upsert, schema: Schema) -> Refusal | None:
    """Return why the collection would not take the point: nothing if it would, as far as its vectors go.

    The rules are those of Qdrant 1.16, held against it by ``tests/contract/test_schemas.py``.
    """
    for name, vector in upsert.vectors.items():
        fault = _fault(vector, schema, name)
        if fault is not None:
            code, words = fault
            path = f"vector.{name}" if name else "vector"
            return refused(code, path, f"{words}, in collection {shown(upsert.collection)}").refusal
    return None


def _fault(vector: Vector, schema: Schema, name: str) -> tuple[str, str] | None:
    config = schema.get(name)
    if config is None:
        return "vector-unknown", f"is not there: there is {_listed(schema)}"
    # A dense vector counts as a multi-vector of one row.
    if type(vector) is not config.kind and (type(vector), config.kind) != (Dense, Multi):
        return "vector-kind", f"is a {_KINDS[type(vector)]}, where there is a {_KINDS[config.kind]}"
    size = _size(vector)
    if size != config.size:
        return "vector-size", f"has {size} elements, where there are {config.size}"
    return None


def _size(vector: Vector) -> int:
    if isinstance(vector, Sparse):
        return 0
    return len(vector.packed if isinstance(vector, Dense) else vector.rows[0]) // FLOAT_BYTES


def _listed(names: Iterable[str]) -> str:
    known = [shown(name) if name else "one without a name" for name in sorted(names)]
    return ", ".join(known[:_MOST_NAMED] + ["…"] * (len(known) > _MOST_NAMED)) or "none"
