"""What `tests/cases.py` is made of: a case, its collections, and short ways to write one down."""

from __future__ import annotations

import dataclasses
import itertools
import json
import uuid
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from scripts.stack.workload import Point, as_stored, dot
from udfs.core.refusals import SAID_BY

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from scripts.stack.workload import PointKey

DENSE, MULTI, NAMED, BESIDE, STRICT = "cases-dense", "cases-multi", "cases-named", "cases-beside", "cases-strict"
NAMELESS = "cases-nameless"
ALIAS, MISSING = "cases-alias", "cases-missing"
ALIASES = {ALIAS: DENSE}

_ids = itertools.count(1001)


@dataclasses.dataclass(frozen=True)
class Case:
    """One Kafka record, and what becomes of it under default settings.

    Attributes:
        id: What is special about it, as pytest shows it.
        key: The record's key.
        value: The record's value; None is a tombstone.
        code: What it is refused for; None if it is written, or deletes.
        field: The field at fault; None if that is not the table's business.
        point: The collection that it names and the id that it means; None if parsing refuses it.
        left: What Qdrant must return for that point; None for a tombstone, and for what is refused.
    """

    id: str
    key: bytes | None = dataclasses.field(repr=False)
    value: bytes | None = dataclasses.field(repr=False)
    code: str | None = None
    field: str | None = None
    point: PointKey | None = None
    left: Point | None = None

    def code_said_by(self, *speakers: str) -> str | None:
        """Return the code if one of these says it (`SAID_BY`); None if they let the message pass."""
        return self.code if self.code is not None and SAID_BY[self.code] in speakers else None

    @property
    def stored_as(self) -> PointKey | None:
        """The point with its collection's own name, where the message names an alias."""
        return self.point and (ALIASES.get(self.point[0], self.point[0]), self.point[1])


def create_collections(client: QdrantClient) -> None:
    """Create the collections of the cases anew, with dot product, which keeps vectors as they are, and the alias."""
    sparse_vectors = {"sparse": models.SparseVectorParams()}
    vectors = {"dense": dot(2), "other": dot(3), "multi": dot(2, is_multi=True)}
    limits = models.StrictModeConfig(
        enabled=True,
        sparse_config={"sparse": models.StrictModeSparse(max_length=2)},
        multivector_config={"multi": models.StrictModeMultivector(max_vectors=2)},
    )
    for collection in (DENSE, MULTI, NAMED, BESIDE, STRICT, NAMELESS):
        client.delete_collection(collection)
    client.create_collection(DENSE, dot(2))
    client.create_collection(MULTI, dot(2, is_multi=True))
    client.create_collection(NAMED, vectors, sparse_vectors_config=sparse_vectors)
    client.create_collection(BESIDE, dot(2), sparse_vectors_config=sparse_vectors)
    client.create_collection(NAMELESS, {}, sparse_vectors_config={"": models.SparseVectorParams()})
    client.create_collection(STRICT, vectors, sparse_vectors_config=sparse_vectors, strict_mode_config=limits)
    alias = models.CreateAlias(collection_name=DENSE, alias_name=ALIAS)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])


def good(case: str, /, collection: str = DENSE, *, reads: Any = None, stored: Any = None, **fields: Any) -> Case:
    """Return a message that is written.

    Args:
        case: What is special about it.
        collection: The collection that it names.
        reads: The id that it means, where it spells another.
        stored: The `vector` that it leaves, where that is not the one it has.
        fields: The message's other fields; it has an id of its own if none is given.
    """
    body = _body(collection, fields)
    point = (collection, body["id"] if reads is None else reads)
    left = Point(as_stored(stored or body.get("vector") or {}), body.get("payload") or {})
    return Case(case, _key(*point), _text(body), point=point, left=left)


def good_text(case: str, text: str, payload: dict[str, Any]) -> Case:
    """Return a message of this text, with an id of its own for ``ID``, which leaves this payload."""
    point = (DENSE, next(_ids))
    return Case(case, _key(*point), text.replace("ID", str(point[1])).encode(), point=point, left=Point({}, payload))


def tombstone(case: str, collection: str = DENSE, *, reads: Any = None, code: str | None = None, **fields: Any) -> Case:
    """Return the tombstone of a point, which is refused if there is a code."""
    key = _body(collection, fields)
    return Case(case, _text(key), None, code, point=(collection, key["id"] if reads is None else reads))


def bad(case: str, code: str, field: str | None, collection: Any = DENSE, **fields: Any) -> Case:
    """Return a message that is refused for this code and field; what is ``...`` is not there."""
    body = _body(collection, fields)
    point = None if SAID_BY[code] == "parse" else (collection, body["id"])
    key = {name: value for name, value in body.items() if name in ("collection_name", "id")}
    return Case(case, _text(key), _text(body), code, field, point)


def bad_text(case: str, code: str, text: str | bytes) -> Case:
    """Return a message of this text, which is refused; its key is no JSON either."""
    return Case(case, case.encode(), text.encode() if isinstance(text, str) else text, code, "value")


def bad_key(case: str, code: str, field: str, key: bytes | dict[str, Any] | None) -> Case:
    """Return a tombstone that is refused for its key."""
    return Case(case, _text(key) if isinstance(key, dict) else key, None, code, field)


def _body(collection: Any, fields: dict[str, Any]) -> dict[str, Any]:
    body = {"collection_name": collection, "id": next(_ids), **fields}
    return {name: value for name, value in body.items() if value is not ...}


def _key(collection: str, point_id: int | str) -> bytes:
    return _text({"collection_name": collection, "id": point_id})


def _text(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def sparse(indices: list[Any], values: list[Any]) -> dict[str, Any]:
    """Return a `vector` with one sparse vector, whose name is "sparse"."""
    return {"sparse": {"indices": indices, "values": values}}


def uuid_of(number: int) -> str:
    """Return a UUID as Qdrant spells it, of letters and digits."""
    return str(uuid.UUID(int=0xABCD8400_E29B_41D4_A716_446655440000 + number))


def nested(levels: int, *, in_lists: bool = False) -> Any:
    """Return a number inside so many objects or lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if in_lists else {"k": value}
    return value
