"""Messages that can be told from everything else by each of their parts, and servers whose secrets can."""

from __future__ import annotations

import base64
import json
import struct
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from qdrant_client import models

from tests.support import leaks
from tests.support.secured import SCRAM, SHADED, SecuredKafka, login

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qdrant_client import QdrantClient

COLLECTION = "papers"
ENVIRONMENT = {"QDRANT_KEY": "environment+key/Gs2mDp6ZuBi8"}
OLD_KEY, NEW_KEY, WRONG_KEY = "old+key/Vt3kPz8QmWx1", "new+key/Yb7rGd2NcLs9", "wrong+key/Hf5jUa4TeRv6"
USER, PASSWORD = "reader", "pass%word&Ck9wJn3XqEo7"
JAAS = login(SHADED + SCRAM, PASSWORD, USER)

_ID = uuid.UUID("6f1d3c5a-9b27-4e08-8a64-d2f07b93c15e")
_NUMBER = 918_273_645_546_372_819
_VECTOR = (0.123454321, 0.678987654)
_TEXT_PARTS = """
    key header-name header-text payload-name payload-text inner-name inner-text field-name field-text no-json
    broken trailing element id tombstone-id tombstone-text vector-name vector-name-of-an-empty-one collection
    slashed large-name refused-name refused-text string
"""


class Marked(NamedTuple):
    """A record with marks.

    Attributes:
        name: What is special about it.
        code: What it is refused for; None if it is written.
    """

    name: str
    key: bytes | None
    value: bytes | None
    code: str | None = None

    @property
    def headers(self) -> dict[str, str | bytes | None]:
        """One header, with marks in both its halves."""
        return {mark("header-name"): mark("header-text").encode()}


class ConfidingKafka(SecuredKafka):
    """A broker that knows a user whose password is found nowhere else, by SCRAM."""

    def _format(self, *more: str) -> None:
        super()._format(*more, "--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")


def mark(part: str) -> str:
    """Return the text that stands in one part of a message, and nowhere else in the world."""
    return f"mark-{part}-7Qx9Zv2k"


def good_ones(count: int) -> Iterator[Marked]:
    """Yield messages that are written, with marks in every part."""
    for number in range(count):
        yield Marked(f"good {number}", mark("key").encode(), _body(id=str(_ID) if number % 2 else _NUMBER))


def bad_ones() -> list[Marked]:
    """Return messages that are refused, with a mark in what is wrong with each; the last one by Qdrant itself."""
    whole = _body().decode()
    sparse = {"sparse": {"indices": [1, 2], "values": list(_VECTOR)}}
    return [
        _bad("no JSON", "json-unreadable", mark("no-json").encode()),
        _bad("broken JSON", "json-unreadable", whole.replace(": ", f": {mark('broken')}", 1).encode()),
        _bad("not UTF-8", "json-encoding", whole.encode() + b"\xff"),
        _bad("trailing text", "json-trailing", f"{whole} {mark('trailing')}".encode()),
        _bad("a string", "not-an-object", json.dumps(mark("string")).encode()),
        _bad("an element", "vector-element", _body(vector={"dense": [_VECTOR[0], mark("element")]})),
        _bad("an element of a named vector", "vector-element", _body(vector={mark("vector-name"): [_VECTOR[0], None]})),
        _bad("an unknown vector", "vector-unknown", _body(vector={mark("vector-name"): _VECTOR})),
        _bad("an empty vector", "vector-empty", _body(vector={mark("vector-name-of-an-empty-one"): []})),
        _bad("a size", "vector-size", _body(vector={"dense": [*_VECTOR, 1]})),
        _bad("an id", "id-uuid", _body(id=mark("id"))),
        _bad("a collection", "collection-unknown", _body(collection_name=mark("collection"))),
        _bad("a slash", "collection-invalid", _body(collection_name=f"{mark('slashed')}/")),
        _bad("a payload", "payload-type", _body(payload=mark("payload-text"))),
        _bad("an integer", "payload-integer", _body(payload={mark("large-name"): 2**63})),
        Marked("a tombstone's text", mark("tombstone-text").encode(), None, "json-unreadable"),
        Marked("a tombstone's id", _key(mark("tombstone-id")), None, "id-uuid"),
        _bad(
            "Qdrant",
            "refused-by-qdrant",
            _body(id=7, vector=sparse, payload={mark("refused-name"): mark("refused-text")}),
        ),
    ]


def create_collection(client: QdrantClient) -> None:
    """Create the collection of the good ones, which takes sparse vectors of one element only."""
    client.create_collection(
        COLLECTION,
        {"dense": models.VectorParams(size=2, distance=models.Distance.DOT)},
        sparse_vectors_config={"sparse": models.SparseVectorParams()},
        strict_mode_config=models.StrictModeConfig(
            enabled=True, sparse_config={"sparse": models.StrictModeSparse(max_length=1)}
        ),
    )


def needles_of_messages() -> list[leaks.Needle]:
    """Return what would be found of the messages where any part of one got to."""
    # The beginning of a number holds for it as float32 and as double, and each pair for an element next to another.
    packed = [struct.pack(layout, *_VECTOR) for layout in ("<2f", ">2f", "<2d", ">2d")]
    ids = [str(_ID), str(_ID).upper(), _ID.hex, _ID.hex.upper()]
    return [
        *(leaks.text(f"the {part} of a message", mark(part)) for part in _TEXT_PARTS.split()),
        *(leaks.text("an element of a vector", str(element)[:9]) for element in _VECTOR),
        leaks.data("a packed vector", *packed),
        leaks.data("a UUID", _ID.bytes, *(text.encode() for text in ids)),
        leaks.data("an id", str(_NUMBER).encode(), struct.pack(">Q", _NUMBER), struct.pack("<Q", _NUMBER)),
    ]


def needles_of_secrets(key_store: str) -> list[leaks.Needle]:
    """Return what would be found of the secrets; of the private key a line from its midst is enough."""
    line = key_store.splitlines()[2]
    keys = {"the old API key": OLD_KEY, "the new API key": NEW_KEY, "the wrong API key": WRONG_KEY}
    return [
        *(leaks.text(name, key) for name, key in keys.items()),
        # What has no special character is the same in every way to write text.
        *(leaks.text(f"the end of {name}", key[-12:]) for name, key in keys.items()),
        leaks.text("the password", PASSWORD),
        leaks.text("the end of the password", PASSWORD[-12:]),
        leaks.text("the JAAS entry", JAAS),
        leaks.text("the private key", line),
        leaks.data("the private key in DER", base64.b64decode(line)),
    ]


def _body(**fields: Any) -> bytes:
    payload = {mark("payload-name"): mark("payload-text"), "list": [{mark("inner-name"): [mark("inner-text")]}]}
    usual = {"collection_name": COLLECTION, "id": str(_ID), "vector": {"dense": _VECTOR}, "payload": payload}
    return json.dumps({**usual, mark("field-name"): mark("field-text"), **fields}).encode()


def _bad(name: str, code: str, value: bytes) -> Marked:
    return Marked(name, mark("key").encode(), value, code)


def _key(point_id: str) -> bytes:
    return json.dumps({"collection_name": COLLECTION, "id": point_id}).encode()
