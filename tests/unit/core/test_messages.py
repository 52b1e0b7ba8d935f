"""Whole records: a point, a delete, or a refusal with its code and field."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cases import CASES, GOOD, PREPARATION, REFUSED, points_left
from udfs.core import messages
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete, Upsert
from udfs.core.refusals import CODES, SAID_BY, Refusal
from udfs.core.vectors import Dense, Multi

if TYPE_CHECKING:
    from tests.cases import Case
    from udfs.core.vectors import Vector

RULES = ParseRules()
NAMED = ParseRules(collection="chosen")
UUID = "550e8400-e29b-41d4-a716-446655440000"
ONE = Dense(b"\0\0\x80\x3f")


def message(**changes: Any) -> bytes:
    """Return a good message with these changes; ``...`` takes a field away."""
    fields = {"collection_name": "docs", "id": 1, "vector": [1], "payload": {"a": 1}, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def unpacked(vector: Vector) -> Any:
    """Return a vector as a message has it, sparse indices in order."""
    if isinstance(vector, Dense):
        return floats(vector.packed)
    if isinstance(vector, Multi):
        return [floats(row) for row in vector.rows]
    pairs = sorted(zip(vector.indices, floats(vector.packed), strict=True))
    return {"indices": [index for index, _ in pairs], "values": [value for _, value in pairs]}


def floats(packed: bytes) -> list[float]:
    """Return numbers that are packed as float32."""
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def named(case: Case) -> str:
    """Return how pytest shows a case."""
    return case.id


@pytest.mark.parametrize("case", [case for case in PREPARATION + GOOD if case.left], ids=named)
def test_a_good_message_is_the_point_that_it_describes(case: Case) -> None:
    """Id, vectors and payload are read to the digit, whatever the key is."""
    read = parse_message(case.key, case.value, RULES)
    assert isinstance(read, Upsert)
    assert case.left is not None
    assert repr((read.collection, read.id)) == repr(case.point)  # 1 == 1.0 == True would pass unseen
    assert repr(read.payload) == repr(case.left.payload)
    assert read.vectors.keys() == case.left.vectors.keys()
    for name, left in case.left.vectors.items():
        vector = unpacked(read.vectors[name])
        assert left in (vector, [vector])  # a multi-vector takes a dense one as its only row


@pytest.mark.parametrize("case", [case for case in GOOD if case.value is None], ids=named)
def test_a_tombstone_deletes_the_point_that_its_key_names(case: Case) -> None:
    """A record without a value is a delete."""
    read = parse_message(case.key, None, RULES)
    assert isinstance(read, Delete)
    assert repr((read.collection, read.id)) == repr(case.point)


@pytest.mark.parametrize("case", [case for case in REFUSED if case.code_said_by("parse")], ids=named)
def test_a_bad_message_is_refused(case: Case) -> None:
    """The refusal has the code and the field, and its sentence begins with that field."""
    read = parse_message(case.key, case.value, RULES)
    assert isinstance(read, Refusal)
    assert read.code == case.code
    assert case.field in (None, read.field)
    assert read.reason.startswith(json.dumps(read.field, ensure_ascii=False))
    assert len(read.reason) < 400


@pytest.mark.parametrize("case", [case for case in REFUSED if not case.code_said_by("parse")], ids=named)
def test_what_only_the_collection_refuses_is_read(case: Case) -> None:
    """What is wrong in a collection may be right in another, so parsing lets it pass."""
    read = parse_message(case.key, case.value, RULES)
    assert isinstance(read, (Upsert, Delete))
    assert (read.collection, read.id) == case.point


def test_the_table_has_every_code() -> None:
    """Every code is earned by a record, and there is none that the list of codes does not explain.

    One is not for records alone: it takes a key that is granted by collection (tests/contract/test_access.py).
    """
    assert {case.code for case in REFUSED} == CODES.keys() - {"collection-forbidden"}


def test_the_cases_do_not_get_in_each_others_way() -> None:
    """Every case has its own name; all points that are written are unlike, and all deleted ones are written before."""
    written = [case.stored_as for case in PREPARATION + GOOD if case.left]
    deleted = [case.stored_as for case in GOOD if case.value is None]
    assert len({case.id for case in PREPARATION + CASES}) == len(PREPARATION + CASES)
    assert len(set(written)) == len(written)
    assert not set(deleted) & points_left().keys()
    assert {case.stored_as for case in PREPARATION} < set(deleted)
    assert not {case.point for case in REFUSED} & set(written)


def test_a_collection_may_have_a_long_name() -> None:
    """A name is limited in characters, not in bytes."""
    read = parse_message(None, message(collection_name="𝄞" * 255), RULES)
    assert read == Upsert("𝄞" * 255, 1, {"": ONE}, {"a": 1})


@pytest.mark.parametrize("name", [..., None, "docs", 5, ""])
def test_a_configured_collection_overrides_the_message(name: object) -> None:
    """With `qdrant.collection.name` set, the message's own collection does not count, nor need it be there."""
    upsert = parse_message(None, message(collection_name=name), NAMED)
    delete = parse_message(message(collection_name=name), None, NAMED)
    assert upsert == Upsert("chosen", 1, {"": ONE}, {"a": 1})
    assert delete == Delete("chosen", 1)


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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            b"oops" * 100, f'cannot be read as JSON: … line 1 column 1 (char 0); it begins "{"oops" * 15}"', id="start"
        ),
        pytest.param(
            f'{{"v":[{"0.125," * 9000}NaN,1]}}'.encode(),
            'cannot be read as JSON: … line 1 column 54007 (char 54006); the reader stopped at "NaN,1]}"; '
            f'it begins "{{\\"v\\":[{"0.125," * 9}"',
            id="NaN far in",
        ),
        pytest.param(
            '{"ü":1}   \n{"ü":2}'.encode(),
            "cannot be read as JSON: unexpected content after document: line 2 column 1 (char 11); "
            r'the reader stopped at "{\"ü\":2}"; it begins "{\"ü\":1}   \n{\"ü\":2}"',
            id="trailing text",
        ),
        pytest.param(
            '{"ü":"'.encode() + b"\xff!",
            r'is not UTF-8: invalid start byte, 0xff at byte 7; the reader stopped at "�!"; it begins "{\"ü\":\"�!"',
            id="not UTF-8",
        ),
        pytest.param(
            b'{"v":[1', r'cannot be read as JSON: … line 1 column 8 (char 7); it begins "{\"v\":[1"', id="cut off"
        ),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_its_place(text: bytes, reason: str) -> None:
    """A person sees where the reader stopped, what is there and which message it is, whatever words orjson has."""
    read = parse_message(None, text, RULES)
    assert isinstance(read, Refusal)
    start, _, end = reason.rpartition("…")
    assert read.reason.startswith(f'"value" {start}')
    assert read.reason.endswith(end)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param("no low surrogate in string", "json-encoding", id="first half alone"),
        pytest.param("invalid low surrogate in string", "json-encoding", id="two first halves"),
        pytest.param("invalid high surrogate in string", "json-encoding", id="second half alone"),
        pytest.param("unexpected content after document", "json-trailing", id="trailing"),
        pytest.param("depth limit exceeded", "json-too-deep", id="depth, 3.12 and 3.13"),
        pytest.param("array and object recursion depth exceeded", "json-too-deep", id="depth, 3.10 and 3.11"),
        pytest.param("number is infinity when parsed as double", "json-number", id="number"),
        pytest.param("no digit after minus sign", "json-unreadable", id="minus, 3.11"),
        pytest.param("no digit after sign", "json-unreadable", id="minus, 3.13"),
        pytest.param("invalid escaped sequence in string", "json-unreadable", id="escape"),
        pytest.param("words of another year", "json-unreadable", id="unheard of"),
    ],
)
def test_orjson_is_understood_in_every_version(words: str, code: str) -> None:
    """These are the words of orjson 3.10 to 3.13; the cases are tried on the one that is installed."""
    error = orjson.JSONDecodeError(words, "{", 0)
    assert messages._unreadable(b"{", "value", error).refusal.code == code


def test_the_limit_of_a_record_counts_key_and_value() -> None:
    """A record of just the allowed size is read, one byte more is refused."""
    key = b'{"collection_name":"docs","id":1}'
    size = len(key) + len(message())
    assert isinstance(parse_message(key, message(), ParseRules(max_record_bytes=size)), Upsert)
    assert isinstance(parse_message(key, message(), ParseRules(max_record_bytes=size - 1)), Refusal)


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
@example(b"[" * 10_000, NAMED)
@example(b'{"id":1,"x":%b%b,"payload":{"f":1e19}}' % (b"[" * 1000, b"]" * 1000), NAMED)
@example(b'{"id":1,"payload":{"f":1e19,"x":%b%b}}' % (b"[" * 1000, b"]" * 1000), NAMED)
@example(b'{"id":1,"payload":{"f":1e19,"x":0.%b}}' % (b"0" * 10_000), NAMED)
def test_whatever_the_bytes_parsing_returns(text: bytes, rules: ParseRules) -> None:
    """Any value, and any key, gives a point, a delete or a refusal in a short sentence; nothing is ever raised."""
    for read in (parse_message(None, text, rules), parse_message(text, None, rules)):
        if isinstance(read, Refusal):
            assert SAID_BY[read.code] == "parse"
            assert len(read.reason) < 400
        else:
            assert isinstance(read, (Upsert, Delete))


@given(st.dictionaries(st.text(), ATOMS | st.lists(ATOMS)))
def test_a_payload_is_exact_or_refused(payload: dict[str, Any]) -> None:
    """Whatever integers a payload holds, it is kept to the digit or refused, never rounded."""
    read = parse_message(None, message(payload=payload), RULES)
    if isinstance(read, Refusal):
        assert read.code == "payload-integer"
    else:
        assert isinstance(read, Upsert)
        assert repr(read.payload) == repr(payload)


@given(st.text(st.sampled_from("a\ud834\udd1eü"), min_size=1))
def test_text_is_exact_or_refused(text: str) -> None:
    """Escapes of two halves are one character, and half a character is refused wherever it stands."""
    try:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        for read in (
            parse_message(None, message(payload={"a": text}), RULES),
            parse_message(message(x=text), None, RULES),
        ):
            assert isinstance(read, Refusal)
            assert read.code == "json-encoding"
    else:
        read = parse_message(None, message(payload={text: [text]}), RULES)
        assert isinstance(read, Upsert)
        assert read.payload == {whole: [whole]}


@given(st.binary(max_size=40), st.integers(0, 200))
def test_a_damaged_message_never_raises(damage: bytes, at: int) -> None:
    """A message with bytes overwritten anywhere is read or refused."""
    good = bytearray(message(vector={"s": {"indices": [1], "values": [0.5]}}, payload={"n": 2**63 - 1}))
    good[at : at + len(damage)] = damage
    assert isinstance(parse_message(None, bytes(good), RULES), (Upsert, Refusal))
