"""The one table of messages: what each is refused for, or what it leaves in Qdrant.

Read by the tests of the parser, of the dry run, of the real server and of the whole path. Every good case has a point
of its own, so that all cases can be sent in one go, amid other traffic, and each be judged by itself. `PREPARATION` is
what the tombstones delete: it is written before them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tests.support.cases import (
    ALIAS,
    BESIDE,
    MISSING,
    MULTI,
    NAMED,
    NAMELESS,
    STRICT,
    Case,
    bad,
    bad_key,
    bad_text,
    create_collections,
    good,
    good_text,
    nested,
    sparse,
    tombstone,
    uuid_of,
)

if TYPE_CHECKING:
    from scripts.stack.workload import Point, PointKey

__all__ = ["CASES", "GOOD", "PREPARATION", "REFUSED", "Case", "create_collections", "points_left"]

PREPARATION = [
    good("to be deleted by its integer", id=501),
    good("to be deleted by a float", id=502),
    good("to be deleted by its UUID", NAMED, id=uuid_of(501)),
    good("to be deleted by its UUID in upper case", NAMED, id=uuid_of(502)),
    # Order holds among messages that name the collection in the same way.
    good("to be deleted by an alias", ALIAS, id=503),
]

_MIX = {"other": [0.1, 0.2, 0.3], "multi": [[0.3, 0.4]], **sparse([3, 8], [1, 0.5])}

GOOD = [
    good("1 unnamed dense", vector=[0.1, -3.4e38], payload={"a": 1}),
    good("2 named dense", NAMED, vector={"dense": [0.1, 7], "other": [1, -2, 3.5]}),
    good("3 sparse", NAMED, vector=sparse([2**32 - 1, 0], [0.1, -0.2]), stored=sparse([0, 2**32 - 1], [-0.2, 0.1])),
    good("4 multi-vector", NAMED, vector={"multi": [[0.1, 0.2], [1.0, 2], [3, 4]]}),
    good("4 unnamed multi-vector", MULTI, vector=[[0.1, 0.2], [3, 4]]),
    good("5 any mix and a UUID", NAMED, id=uuid_of(1), vector=_MIX, payload={"tags": ["a", None, True, 0.5]}),
    good("unnamed dense beside sparse", BESIDE, vector={"": [0.1, 0.2], **sparse([1], [2])}),
    good("sparse vector of an empty name", NAMELESS, vector={"": {"indices": [1], "values": [0.1]}}),
    good("vector missing", payload={"a": 1}),
    good("vector null", NAMED, vector=None, payload={"a": 1}),
    good("vector {}", MULTI, vector={}, payload={"a": 1}),
    good("vector of an empty name", vector={"": [1, 2]}),
    good("sparse vector empty", NAMED, vector=sparse([], [])),
    good("sparse index a whole float", NAMED, vector=sparse([7.0], [1]), stored=sparse([7], [1])),
    good("dense into a multi-vector", NAMED, vector={"multi": [1, 2]}, stored={"multi": [[1, 2]]}),
    good("unnamed dense into a multi-vector", MULTI, vector=[1, 2], stored=[[1, 2]]),
    good("elements too small for float32", vector=[1e-50, 1e-45]),
    good("elements as large as float32 has them", vector=[3.4028234663852886e38, -3.4028234663852886e38]),
    good("elements integers beyond 64 bits", vector=[2**64, -(2**63) - 1]),
    good("id 0", id=0),
    good("id 7.0", id=7.0, reads=7),
    good("id above what a double can hold", id=2**53 + 1),
    good("id 2^64-1", id=2**64 - 1),
    good("UUID in upper case", id=uuid_of(2).upper(), reads=uuid_of(2)),
    good("UUID without hyphens", id=uuid_of(3).replace("-", ""), reads=uuid_of(3)),
    good("UUID without hyphens in upper case", id=uuid_of(4).replace("-", "").upper(), reads=uuid_of(4)),
    good("UUID in braces", id=f"{{{uuid_of(5)}}}", reads=uuid_of(5)),
    good("UUID as a URN", id=f"urn:uuid:{uuid_of(6)}", reads=uuid_of(6)),
    good("UUID as a URN in upper case", id=f"urn:uuid:{uuid_of(7).upper()}", reads=uuid_of(7)),
    good("payload missing", vector=[1, 2]),
    good("payload null", vector=[1, 2], payload=None),
    good("payload {}", vector=[1, 2], payload={}),
    good("payload integers -2^63 and 2^63-1", payload={"low": -(2**63), "high": 2**63 - 1, "odd": 2**53 + 1}),
    good("payload floats", payload={"large": 1e300, "2^64": 2.0**64, "tiny": 5e-324, "whole": 7.0}),
    good("payload of a large float beside brackets", payload={"large": 1e300, "text": '\\"[{' * 300}),
    good("payload strings", payload={"": "", "ü": "\U0001d11e\n", "n\0": "a\0b"}),
    good("payload empty things", payload={"o": {}, "l": [], "n": None, "m": [[], {}, None, "", False]}),
    good("payload of 33 objects", payload=nested(33)),
    good("payload of 48 lists", payload={"k": nested(48, in_lists=True)}),
    good("unknown fields", shard="x", more=[{}], large=2**64, deep=nested(500, in_lists=True)),
    good("collection by an alias", ALIAS, vector=[1, 2]),
    good("within the limits of a strict collection", STRICT, vector=sparse([1, 2], [1, 2])),
    good_text("names repeated", '{"id":5,"collection_name":"x","collection_name":"cases-dense","id":ID}', {}),
    good_text("white space", ' {"collection_name" :\t"cases-dense",\r "id": ID } \t', {}),
    good_text("text beyond ASCII", '{"collection_name":"cases-dense","id":ID,"payload":{"ü":"𝄞"}}', {"ü": "𝄞"}),
    dataclasses.replace(good("key missing", vector=[1, 2]), key=None),
    dataclasses.replace(good("key empty", vector=[1, 2]), key=b""),
    dataclasses.replace(good("key of any bytes", vector=[1, 2]), key=b"\xff\0{"),
    tombstone("tombstone by integer", id=501),
    tombstone("tombstone by a float", id=502.0, reads=502),
    tombstone("tombstone by UUID", NAMED, id=uuid_of(501)),
    tombstone("tombstone by UUID in upper case", NAMED, id=uuid_of(502).upper(), reads=uuid_of(502)),
    tombstone("tombstone by an alias, with unknown fields", ALIAS, id=503, vector=5, x=None),
    tombstone("tombstone of no point"),
]

_OPEN = '{"collection_name":"cases-dense","id":1'
_DEEP = "[" * 10_000 + "]" * 10_000
_REPLACED = '"x":' + "[" * 1000 + "]" * 1000 + ',"x":'

_TEXTS = [
    bad_text("empty", "json-unreadable", ""),
    bad_text("NUL", "json-unreadable", "\0"),
    bad_text("text", "json-unreadable", "hello"),
    bad_text("cut off", "json-unreadable", _OPEN + ',"vec'),
    bad_text("byte order mark", "json-unreadable", "\ufeff" + _OPEN + "}"),
    bad_text("NaN", "json-unreadable", _OPEN + ',"vector":[NaN,1]}'),
    bad_text("Infinity", "json-unreadable", _OPEN + ',"vector":[1,Infinity]}'),
    bad_text("-Infinity", "json-unreadable", _OPEN + ',"vector":[1,-Infinity]}'),
    bad_text("not UTF-8", "json-encoding", _OPEN.encode() + b',"payload":{"a":"\xff"}}'),
    bad_text("UTF-16", "json-encoding", (_OPEN + "}").encode("utf-16")),
    bad_text("half a character", "json-encoding", _OPEN + r',"payload":{"a":"\ud834"}}'),
    bad_text("the other half", "json-encoding", _OPEN + r',"payload":{"\udd1e":1}}'),
    bad_text("two first halves", "json-encoding", r'{"collection_name":"\ud834\ud834","id":1}'),
    bad_text("trailing text", "json-trailing", _OPEN + "} x"),
    bad_text("trailing NUL", "json-trailing", _OPEN + "}\0"),
    bad_text("two messages", "json-trailing", (_OPEN + "}") * 2),
    bad_text("10,000 lists", "json-too-deep", _DEEP),
    bad_text("10,000 objects", "json-too-deep", '{"a":' * 10_000 + "1" + "}" * 10_000),
    bad("300 lists and a large float", "json-too-deep", "value", x=nested(300, in_lists=True), payload={"f": 1e19}),
    # Also where a repeated name hides them: Python 3.10 and 3.11 have no room for as many levels as orjson has.
    bad_text(
        "1,000 lists replaced and a large float", "json-too-deep", f'{_OPEN},{_REPLACED}0,"payload":{{"f":1e19}}}}'
    ),
    bad_text("1,000 lists replaced by a large float", "json-too-deep", f'{_OPEN},"payload":{{{_REPLACED}1e19}}}}'),
    bad_text("element beyond a double", "json-number", _OPEN + ',"vector":[1,1e999]}'),
    bad("payload integer beyond a double", "json-number", "value", payload={"a": 10**400}),
    bad_text("null", "not-an-object", "null"),
    bad_text("list", "not-an-object", f"[{_OPEN}}}]"),
    bad_text("string", "not-an-object", r'"{\"collection_name\":\"cases-dense\",\"id\":1}"'),
    bad_text("1,000 lists", "not-an-object", "[" * 1000 + "]" * 1000),
    bad("20 MB", "record-too-large", "record", payload={"a": "x" * 20_000_000}),
]
_KEYS = [
    bad_key("tombstone without a key", "key-missing", "key", None),
    bad_key("tombstone, key empty", "json-unreadable", "key", b""),
    bad_key("tombstone, key text", "json-unreadable", "key", b"cases-dense"),
    bad_key("tombstone, key not UTF-8", "json-encoding", "key", b"\xff"),
    bad_key("tombstone, key with trailing text", "json-trailing", "key", _OPEN.encode() + b"};"),
    bad_key("tombstone, key too deep", "json-too-deep", "key", _DEEP.encode()),
    bad_key("tombstone, key a number", "not-an-object", "key", b"17"),
    bad_key("tombstone without a collection", "collection-missing", "key.collection_name", {"id": 1}),
    bad_key("tombstone, collection a number", "collection-invalid", "key.collection_name", {"collection_name": 5}),
    bad_key("tombstone without an id", "id-missing", "key.id", {"collection_name": "cases-dense"}),
    bad_key("tombstone, id negative", "id-negative", "key.id", {"collection_name": "cases-dense", "id": -1}),
    bad_key("tombstone, id no UUID", "id-uuid", "key.id", {"collection_name": "cases-dense", "id": "5"}),
]
_FIELDS = [
    bad("collection missing", "collection-missing", "collection_name", ...),
    bad("collection null", "collection-missing", "collection_name", None),
    bad("collection empty", "collection-invalid", "collection_name", ""),
    bad("collection a number", "collection-invalid", "collection_name", 5),
    bad("collection too long", "collection-invalid", "collection_name", "a" * 256),
    bad("collection with slash", "collection-invalid", "collection_name", "a/b"),
    bad("collection with NUL", "collection-invalid", "collection_name", "a\0"),
    bad("id missing", "id-missing", "id", id=...),
    bad("id null", "id-missing", "id", id=None),
    bad("id boolean", "id-type", "id", id=True),
    bad("id list", "id-type", "id", id=[1]),
    bad("id object", "id-type", "id", id={"num": 1}),
    bad("id negative", "id-negative", "id", id=-1),
    bad("id fraction", "id-fraction", "id", id=1.5),
    bad("id large float", "id-inexact", "id", id=1e16),
    bad("id 2^64", "id-too-large", "id", id=2**64),
    bad("id no UUID", "id-uuid", "id", id="5"),
    bad("id empty", "id-uuid", "id", id=""),
    bad("vector a number", "vector-type", "vector", vector=5),
    bad("vector a string", "vector-type", "vector", vector="0.1, 0.2"),
    bad("vector empty", "vector-empty", "vector", vector=[]),
    bad("named vector null", "vector-type", "vector.dense", NAMED, vector={"dense": None}),
    bad("named vector empty", "vector-empty", "vector.dense", NAMED, vector={"dense": []}),
    bad("element null", "vector-element", "vector[1]", vector=[0, None]),
    bad("element boolean", "vector-element", "vector[1]", vector=[0, True]),
    bad("element a string", "vector-element", "vector.dense[0]", NAMED, vector={"dense": ["0.1", 1]}),
    bad("element beyond float32", "vector-overflow", "vector[0]", vector=[1e39, 1]),
    bad("multi-vector ragged", "multi-ragged", "vector[1]", MULTI, vector=[[1, 2], [1]]),
    bad("multi-vector of a row and a number", "vector-type", "vector[1]", MULTI, vector=[[1, 2], 3]),
    bad("multi-vector of a number and a row", "vector-element", "vector[1]", MULTI, vector=[1, [2, 3]]),
    bad("multi-vector too deep", "vector-element", "vector[0][0]", MULTI, vector=[[[1, 2]]]),
    bad("multi-vector with an empty row", "vector-empty", "vector.multi[1]", NAMED, vector={"multi": [[1, 2], []]}),
    bad("sparse without values", "vector-type", "vector.sparse", NAMED, vector={"sparse": {"indices": [1]}}),
    bad("sparse without indices", "vector-type", "vector.sparse", NAMED, vector={"sparse": {"values": [1]}}),
    bad("sparse of unlike lengths", "sparse-length", "vector.sparse", NAMED, vector=sparse([1], [1, 2])),
    bad("sparse index repeated", "sparse-repeated", "vector.sparse.indices[0]", NAMED, vector=sparse([1, 1], [1, 2])),
    bad("sparse index negative", "sparse-index", "vector.sparse.indices[0]", NAMED, vector=sparse([-1], [1])),
    bad("sparse index a fraction", "sparse-index", "vector.sparse.indices[1]", NAMED, vector=sparse([1, 1.5], [1, 2])),
    bad("sparse index boolean", "sparse-index", "vector.sparse.indices[0]", NAMED, vector=sparse([True], [1])),
    bad("sparse index 2^32", "sparse-index", "vector.sparse.indices[0]", NAMED, vector=sparse([2**32], [1])),
    bad("payload a list", "payload-type", "payload", payload=[]),
    bad("payload a string", "payload-type", "payload", payload="x"),
    bad("payload integer 2^63", "payload-integer", "payload.a", payload={"a": 2**63}),
    bad("payload integer 2^64", "payload-integer", "payload.a", payload={"a": 2**64}),
    bad("payload integer -2^63-1", "payload-integer", "payload.a[0]", payload={"a": [-(2**63) - 1]}),
    bad("payload integer beside a large float", "payload-integer", "payload.a", payload={"f": 1e300, "a": 10**300}),
    bad("payload of 34 objects", "payload-too-deep", "payload" + ".k" * 33, payload=nested(34)),
    bad("payload of 49 lists", "payload-too-deep", None, payload={"k": nested(49, in_lists=True)}),
    bad("payload of 300 objects and a large float", "payload-too-deep", None, payload={"f": 1e19, **nested(300)}),
]
_SPARSE = {"indices": [0], "values": [1]}
_IN_QDRANT = [
    bad("no such collection", "collection-unknown", "collection_name", MISSING, vector=[1, 2]),
    tombstone("tombstone, no such collection", MISSING, code="collection-unknown"),
    bad("no vector of that name", "vector-unknown", "vector.x", NAMED, vector={"x": [1, 2]}),
    bad("no vector of the second name", "vector-unknown", "vector.x", NAMED, vector={"dense": [1, 2], "x": [1, 2]}),
    bad("no sparse vector of that name", "vector-unknown", "vector.x", NAMED, vector={"x": _SPARSE}),
    bad("unnamed where vectors have names", "vector-unknown", "vector", NAMED, vector=[1, 2]),
    bad("named where the vector has no name", "vector-unknown", "vector.dense", vector={"dense": [1, 2]}),
    bad("dense too long", "vector-size", "vector", vector=[1, 2, 3]),
    bad("dense too short", "vector-size", "vector", vector=[1]),
    bad("dense of another vector's size", "vector-size", "vector.other", NAMED, vector={"other": [1, 2]}),
    bad("rows too long", "vector-size", "vector.multi", NAMED, vector={"multi": [[1, 2, 3], [4, 5, 6]]}),
    bad("dense as long as two rows", "vector-size", "vector", MULTI, vector=[1, 2, 3, 4]),
    bad("sparse for dense", "vector-kind", "vector.dense", NAMED, vector={"dense": _SPARSE}),
    bad("sparse for a multi-vector", "vector-kind", "vector.multi", NAMED, vector={"multi": _SPARSE}),
    bad("sparse for unnamed dense", "vector-kind", "vector", vector={"": _SPARSE}),
    bad("dense for sparse", "vector-kind", "vector.sparse", NAMED, vector={"sparse": [1, 2]}),
    bad("multi-vector for sparse", "vector-kind", "vector.sparse", NAMED, vector={"sparse": [[1, 2]]}),
    bad("multi-vector for dense", "vector-kind", "vector.dense", NAMED, vector={"dense": [[1, 2], [3, 4]]}),
    bad("one row for unnamed dense", "vector-kind", "vector", vector=[[1, 2]]),
    bad(
        "more indices than a strict collection takes",
        "refused-by-qdrant",
        None,
        STRICT,
        vector=sparse([1, 2, 3], [1] * 3),
    ),
    bad("more rows than a strict collection takes", "refused-by-qdrant", None, STRICT, vector={"multi": [[1, 2]] * 3}),
]

REFUSED = _TEXTS + _KEYS + _FIELDS + _IN_QDRANT
CASES = GOOD + REFUSED


def points_left() -> dict[PointKey, Point]:
    """Return what must be in the collections of the cases, and nothing else, once all cases are through."""
    return {case.stored_as: case.left for case in GOOD if case.stored_as and case.left}
