"""Whole records: a point, a delete, or a refusal with its code and field."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete, Upsert
from udfs.core.refusals import CODES, Refusal
from udfs.core.vectors import Dense

RULES = ParseRules()
NAMED = ParseRules(collection="chosen")
UUID = "550e8400-e29b-41d4-a716-446655440000"
ONE = Dense(b"\0\0\x80\x3f")


def message(**changes: Any) -> bytes:
    """Return a good message with these changes; ``...`` takes a field away."""
    fields = {"collection_name": "docs", "id": 1, "vector": [1], "payload": {"a": 1}, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("value", "point"),
    [
        pytest.param(message(), Upsert("docs", 1, {"": ONE}, {"a": 1}), id="whole"),
        pytest.param(message(id=UUID.upper()), Upsert("docs", UUID, {"": ONE}, {"a": 1}), id="uuid"),
        pytest.param(message(vector=...), Upsert("docs", 1, {}, {"a": 1}), id="no vector"),
        pytest.param(message(vector=None), Upsert("docs", 1, {}, {"a": 1}), id="vector null"),
        pytest.param(message(payload=...), Upsert("docs", 1, {"": ONE}, {}), id="no payload"),
        pytest.param(message(payload=None), Upsert("docs", 1, {"": ONE}, {}), id="payload null"),
        pytest.param(message(more=[{}]), Upsert("docs", 1, {"": ONE}, {"a": 1}), id="unknown field"),
        pytest.param(b' \n{"collection_name":"a","id":1,"id":2}\t', Upsert("a", 2, {}, {}), id="repeated key, spaces"),
        pytest.param(message(collection_name="ü" * 255), Upsert("ü" * 255, 1, {"": ONE}, {"a": 1}), id="long name"),
        pytest.param(
            b'{"collection_name":"a","id":1,"payload":{"f":1e300,"i":-9223372036854775808,"g":18446744073709551616.0}}',
            Upsert("a", 1, {}, {"f": 1e300, "i": -(2**63), "g": 2.0**64}),
            id="genuine large floats",
        ),
        pytest.param(
            b'{"collection_name":"a","id":1,"x":18446744073709551616,"payload":{"f":1e19}}',
            Upsert("a", 1, {}, {"f": 1e19}),
            id="large integer elsewhere",
        ),
    ],
)
def test_a_message_is_a_point(value: bytes, point: Upsert) -> None:
    """A good message becomes the point that it describes, whatever its key is."""
    read = parse_message(b"any key", value, RULES)
    assert read == point
    assert repr(read) == repr(point)  # 1 == 1.0 == True would pass unseen


@pytest.mark.parametrize(
    ("key", "point"),
    [
        pytest.param(b'{"collection_name":"docs","id":1}', Delete("docs", 1), id="integer"),
        pytest.param(
            b'{"id":"%b","collection_name":"docs","x":1}' % UUID.upper().encode(), Delete("docs", UUID), id="uuid"
        ),
    ],
)
def test_a_tombstone_deletes_the_point_that_its_key_names(key: bytes, point: Delete) -> None:
    """A record without a value is a delete."""
    assert parse_message(key, None, RULES) == point


@pytest.mark.parametrize("name", [..., None, "docs", 5, ""])
def test_a_configured_collection_overrides_the_message(name: object) -> None:
    """With `qdrant.collection.name` set, the message's own collection does not count, nor need it be there."""
    upsert = parse_message(None, message(collection_name=name), NAMED)
    delete = parse_message(message(collection_name=name), None, NAMED)
    assert upsert == Upsert("chosen", 1, {"": ONE}, {"a": 1})
    assert delete == Delete("chosen", 1)


KEY = b'{"collection_name":"docs","id":1}'
DEEP = b'{"collection_name":"a","id":1,"x":%b%b,"payload":{"f":1e19}}' % (b"[" * 1000, b"]" * 1000)
BAD_VALUES = [
    pytest.param(b"", "json-unreadable", "value", id="empty"),
    pytest.param(b"\0", "json-unreadable", "value", id="NUL"),
    pytest.param(b"hello", "json-unreadable", "value", id="text"),
    pytest.param(message() + b" x", "json-unreadable", "value", id="trailing text"),
    pytest.param(message() + b"\0", "json-unreadable", "value", id="trailing NUL"),
    pytest.param(message() * 2, "json-unreadable", "value", id="two messages"),
    pytest.param(b"\xef\xbb\xbf" + message(), "json-unreadable", "value", id="byte order mark"),
    pytest.param(message().decode().encode("utf-16"), "json-unreadable", "value", id="UTF-16"),
    pytest.param(b'{"collection_name":"\xff","id":1}', "json-unreadable", "value", id="not UTF-8"),
    pytest.param(b'{"collection_name":"\\ud800","id":1}', "json-unreadable", "value", id="half a surrogate pair"),
    pytest.param(b'{"collection_name":"a","id":NaN}', "json-unreadable", "value", id="NaN"),
    pytest.param(b'{"collection_name":"a","id":1,"vector":[1e999]}', "json-unreadable", "value", id="beyond double"),
    pytest.param(b"[" * 10_000 + b"]" * 10_000, "json-unreadable", "value", id="10,000 lists"),
    pytest.param(b'{"a":' * 10_000, "json-unreadable", "value", id="10,000 objects"),
    pytest.param(DEEP, "json-unreadable", "value", id="1,000 lists and a large float"),
    pytest.param(b"null", "not-an-object", "value", id="null"),
    pytest.param(b"[{}]", "not-an-object", "value", id="list"),
    pytest.param(b"[" * 1_000 + b"]" * 1_000, "not-an-object", "value", id="1,000 lists"),
    pytest.param(message(payload="x" * 20 * 10**6), "record-too-large", "record", id="20 MB"),
    pytest.param(message(collection_name=...), "collection-missing", "collection_name", id="no collection"),
    pytest.param(message(collection_name=None), "collection-missing", "collection_name", id="collection null"),
    pytest.param(message(collection_name=5), "collection-invalid", "collection_name", id="collection 5"),
    pytest.param(message(collection_name=""), "collection-invalid", "collection_name", id="collection empty"),
    pytest.param(message(collection_name="a" * 256), "collection-invalid", "collection_name", id="collection too long"),
    pytest.param(message(collection_name="a/b"), "collection-invalid", "collection_name", id="collection with slash"),
    pytest.param(message(collection_name="a\0"), "collection-invalid", "collection_name", id="collection with NUL"),
    pytest.param(message(id=...), "id-missing", "id", id="no id"),
    pytest.param(message(id=[]), "id-type", "id", id="id list"),
    pytest.param(message(id=-1), "id-negative", "id", id="id negative"),
    pytest.param(message(id=1.5), "id-fraction", "id", id="id fraction"),
    pytest.param(message(id=1e16), "id-inexact", "id", id="id float"),
    pytest.param(message(id=2**64), "id-too-large", "id", id="id too large"),
    pytest.param(message(id="x"), "id-uuid", "id", id="id no uuid"),
    pytest.param(message(vector=5), "vector-type", "vector", id="vector type"),
    pytest.param(message(vector=[]), "vector-empty", "vector", id="vector empty"),
    pytest.param(message(vector=[0, "x"]), "vector-element", "vector[1]", id="vector element"),
    pytest.param(message(vector=[1e39]), "vector-overflow", "vector[0]", id="vector overflow"),
    pytest.param(message(vector=[[1], [1, 2]]), "multi-ragged", "vector[1]", id="multi ragged"),
    pytest.param(
        message(vector={"s": {"indices": [1], "values": []}}), "sparse-length", "vector.s", id="sparse length"
    ),
    pytest.param(
        message(vector={"s": {"indices": [-1], "values": [1]}}),
        "sparse-index",
        "vector.s.indices[0]",
        id="sparse index",
    ),
    pytest.param(
        message(vector={"s": {"indices": [1, 1], "values": [1, 1]}}),
        "sparse-repeated",
        "vector.s.indices[0]",
        id="sparse repeated",
    ),
    pytest.param(message(payload=[]), "payload-type", "payload", id="payload type"),
    pytest.param(message(payload={"a": 2**63}), "payload-integer", "payload.a", id="2^63"),
    pytest.param(message(payload={"a": 2**64}), "payload-integer", "payload.a", id="2^64"),
    pytest.param(message(payload={"a": [-(2**63) - 1]}), "payload-integer", "payload.a[0]", id="-2^63-1"),
    pytest.param(message(payload={"f": 1e300, "a": 10**300}), "payload-integer", "payload.a", id="10^300 beside 1e300"),
    pytest.param(
        orjson.dumps({"id": 1, "collection_name": "a", "payload": {"a": [[[[{}]]]] * 3}}).replace(
            b"{}", b'{"a":[' * 40 + b"]}" * 40
        ),
        "payload-too-deep",
        None,
        id="payload too deep",
    ),
]
BAD_KEYS = [
    pytest.param(None, "key-missing", "key", id="no key"),
    pytest.param(b"", "json-unreadable", "key", id="empty key"),
    pytest.param(b"17", "not-an-object", "key", id="key a number"),
    pytest.param(b'{"id":1}', "collection-missing", "key.collection_name", id="key without collection"),
    pytest.param(b'{"collection_name":"a"}', "id-missing", "key.id", id="key without id"),
    pytest.param(b'{"collection_name":"a","id":-1}', "id-negative", "key.id", id="key with a bad id"),
]


@pytest.mark.parametrize(("value", "code", "field"), BAD_VALUES)
def test_a_bad_message_is_refused(value: bytes, code: str, field: str | None) -> None:
    """The refusal has the code and the field, and its sentence begins with that field."""
    check(parse_message(KEY, value, RULES), code, field)


@pytest.mark.parametrize(("key", "code", "field"), BAD_KEYS)
def test_a_bad_tombstone_is_refused(key: bytes | None, code: str, field: str) -> None:
    """A tombstone that names no point is refused, in the same words as a message."""
    check(parse_message(key, None, RULES), code, field)


def check(read: object, code: str, field: str | None) -> None:
    """Assert that this is a readable refusal, with this code and field."""
    assert isinstance(read, Refusal)
    assert read.code == code
    assert field in (None, read.field)
    assert read.reason.startswith(json.dumps(read.field))
    assert len(read.reason) < 400


def test_every_code_has_a_record_that_earns_it() -> None:
    """The list of codes has none that parsing never gives."""
    assert {case.values[1] for case in BAD_VALUES + BAD_KEYS} == set(CODES)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(message(id=-1), '"id" is -1; a point id is an unsigned 64-bit integer or a UUID', id="id"),
        pytest.param(
            message(id=...), '"id" is missing or null; a point id is an unsigned 64-bit integer or a UUID', id="no id"
        ),
        pytest.param(
            message(vector={"a b": [1, None]}),
            '"vector.a b[1]" is null; an element of a vector is a number',
            id="element",
        ),
        pytest.param(
            message(payload={"n": 2**64}),
            '"payload.n" is 18446744073709551616; an integer in a payload is one of 64 bits with a sign',
            id="integer as it was written",
        ),
    ],
)
def test_a_reason_is_a_sentence(value: bytes, reason: str) -> None:
    """A person learns which field is wrong, what it holds, and what it should hold."""
    read = parse_message(None, value, RULES)
    assert isinstance(read, Refusal)
    assert read.reason == reason


def test_a_text_that_is_not_json_is_refused_with_its_place_and_its_beginning() -> None:
    """What the reader says differs between its versions; where it stopped and what is there do not."""
    read = parse_message(None, b"oops" * 100, RULES)
    assert isinstance(read, Refusal)
    assert read.reason.startswith('"value" is not JSON: ')
    assert read.reason.endswith(f'line 1 column 1 (char 0); it begins "{"oops" * 15}"')


def test_the_limit_of_a_record_counts_key_and_value() -> None:
    """A record of just the allowed size is read, one byte more is refused."""
    size = len(KEY) + len(message())
    assert isinstance(parse_message(KEY, message(), ParseRules(max_record_bytes=size)), Upsert)
    assert isinstance(parse_message(KEY, message(), ParseRules(max_record_bytes=size - 1)), Refusal)


NUMBERS = st.integers() | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
ATOMS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.uuids().map(str)
ANYTHING = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner))
SPARSE = st.fixed_dictionaries({"indices": st.lists(NUMBERS, max_size=3), "values": st.lists(NUMBERS, max_size=3)})
LISTS = st.lists(NUMBERS | st.lists(NUMBERS, max_size=3), max_size=3)
VECTORS = ANYTHING | LISTS | st.dictionaries(st.text(max_size=3), LISTS | SPARSE | ANYTHING, max_size=3)
OPTIONAL = {
    "collection_name": st.just("docs") | ANYTHING,
    "id": NUMBERS | ANYTHING,
    "vector": VECTORS,
    "payload": st.dictionaries(st.text(max_size=3), ANYTHING),
    "other": ANYTHING,
}
TEXTS = st.fixed_dictionaries({}, optional=OPTIONAL).map(lambda fields: json.dumps(fields).encode())


@given(TEXTS | st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()), st.sampled_from([RULES, NAMED]))
@example(b"[" * 1024 + b"]" * 1024, RULES)
@example(DEEP, NAMED)
def test_whatever_the_bytes_parsing_returns(text: bytes, rules: ParseRules) -> None:
    """Any value, and any key, gives a point, a delete or a refusal with a known code; nothing is ever raised."""
    reads = [parse_message(None, text, rules), parse_message(text, None, rules)]
    assert all(isinstance(read, (Upsert, Delete)) or read.code in CODES for read in reads)


@given(st.dictionaries(st.text(), ATOMS | st.lists(ATOMS)))
def test_a_payload_is_exact_or_refused(payload: dict[str, Any]) -> None:
    """Whatever integers a payload holds, it is kept to the digit or refused, never rounded."""
    read = parse_message(None, message(payload=payload), RULES)
    if isinstance(read, Refusal):
        assert read.code == "payload-integer"
    else:
        assert isinstance(read, Upsert)
        assert repr(read.payload) == repr(payload)


@given(st.binary(max_size=40), st.integers(0, 200))
def test_a_damaged_message_never_raises(damage: bytes, at: int) -> None:
    """A message with bytes overwritten anywhere is read or refused."""
    good = bytearray(message(vector={"s": {"indices": [1], "values": [0.5]}}, payload={"n": 2**63 - 1}))
    good[at : at + len(damage)] = damage
    assert isinstance(parse_message(None, bytes(good), RULES), (Upsert, Refusal))
