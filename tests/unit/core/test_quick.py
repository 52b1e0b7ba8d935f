"""The quick reader says what the exact reader says, or nothing."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.benchmark.workloads import WORKLOADS
from tests import cases
from tests.support.generated import JSON, canonical
from udfs.core.messages import ParseRules, parse_message
from udfs.core.quick import MAX_BYTES, MIN_BYTES, read_quickly
from udfs.core.refusals import Refusal
from udfs.core.vectors import read_vectors

if TYPE_CHECKING:
    from tests.support.cases import Case

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.floats(width=32)
# Lists of numbers, of lists of numbers, and of whatever else comes between.
LISTS = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=4)
)
FLAT = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-9, 9), max_size=9)
INDICES = st.lists(st.integers(0, 2**32 - 1), max_size=9) | st.lists(st.integers(-1, 2**32), max_size=4)
SPARSE = st.fixed_dictionaries({"indices": INDICES | LISTS, "values": FLAT | LISTS})
SQUARE = st.integers(1, 3).flatmap(lambda size: st.lists(st.lists(st.integers(0, 9), min_size=size, max_size=size)))
VECTOR = FLAT | SQUARE | SPARSE | LISTS
NAMES = st.sampled_from(["", "a", "a\0b", "[", "/a", "indices", "values"])
VECTORS = VECTOR | st.dictionaries(NAMES, VECTOR, max_size=3) | JSON
# Texts with brackets and escapes, since brackets are what tells nested lists.
TEXTS = st.text(st.sampled_from('[]{}"\\u05bé'), max_size=6)
PAYLOADS = st.dictionaries(TEXTS, JSON | TEXTS | LISTS, max_size=3) | JSON
MEMBERS = st.lists(
    st.tuples(st.just("vector"), VECTORS)
    | st.tuples(st.just("payload"), PAYLOADS)
    | st.tuples(st.just("id"), JSON)
    | st.tuples(st.just("collection_name"), JSON)
    | st.tuples(st.just("other"), LISTS),
    max_size=5,
)


def rendered(members: list[tuple[str, Any]], *, escaped: bool) -> bytes:
    """Write an object as it stands, names that come twice too."""
    inner = ",".join(f'"{name}":{json.dumps(value, ensure_ascii=escaped)}' for name, value in members)
    return f"{{{inner}}}".encode(errors="replace")


def padded(text: bytes) -> bytes:
    """Make a message long enough to be read quickly."""
    return text + b" " * MIN_BYTES


def agrees(text: bytes) -> bool:
    """Assert that the quick reader says what the exact one does, or nothing; return whether it said anything."""
    quick = read_quickly(text)
    if quick is None:
        return False
    exact = orjson.loads(text)
    assert quick.vectors == read_vectors(exact.pop("vector", None))
    assert canonical(quick.fields) == canonical(exact)
    return True


@settings(max_examples=1000)
@given(members=MEMBERS, escaped=st.booleans())
@example(members=[("vector", [1, [2]])], escaped=False)
@example(members=[("vector", [[[1, 2]]])], escaped=False)
@example(members=[("vector", [[[1], []]])], escaped=False)
@example(members=[("vector", [[1, 2], [3], [4, 5, 6]])], escaped=False)
@example(members=[("vector", [1, []]), ("payload", {"a": "["})], escaped=False)
@example(members=[("vector", [1]), ("vector", [2])], escaped=False)
@example(members=[("vector", {"a": {"indices": [1.0], "values": [3]}})], escaped=False)
@example(members=[("vector", [3.5e38])], escaped=False)
@example(members=[("payload", {"a": 2**63, "b": 1.0, "c": 1})], escaped=False)
def test_it_agrees_with_the_exact_reader(members: list[tuple[str, Any]], escaped: bool) -> None:  # noqa: FBT001
    """Whatever stands in a message."""
    agrees(padded(rendered(members, escaped=escaped)))


TRICKS = {
    "a bracket escaped, a list hidden": rb'{"vector": [1, [2]], "payload": {"a": "\u005b"}}',
    "the same in upper case": rb'{"vector": [1, [2]], "payload": {"a": "\u005B"}}',
    "the same in a name": rb'{"vector": {"\u005b": [1, [2]]}}',
    "a backslash before": rb'{"vector": [1, [2]], "payload": {"a": "\\\u005b"}}',
    "a vector's name twice": b'{"vector": {"a": [1], "a": [2]}}',
    "a name and more of it behind a NUL": rb'{"vector": {"a": [1], "a\u0000b": [2]}}',
    "the same in the payload": rb'{"vector": [1], "payload": {"a": 1, "a\u0000b": 2}}',
    "the same in the message": rb'{"vector": [1], "id": 1, "id\u0000b": 2}',
    "indices twice": b'{"vector": {"a": {"indices": [1], "indices": [2], "values": [1]}}}',
    "a payload's name twice": b'{"vector": [1], "payload": {"a": [1], "a": 2}}',
    "a byte order mark": b'\xef\xbb\xbf{"vector": [1]}',
    "no UTF-8": b'{"vector": [1], "payload": {"a": "\xff"}}',
    "a lone surrogate": rb'{"vector": [1], "payload": {"a": "\ud800"}}',
    "an infinite number": b'{"vector": [1e999]}',
    "an integer of 65 bits": b'{"vector": [1], "payload": {"a": 18446744073709551616}}',
    "minus zero": b'{"vector": [-0, -0.0]}',
    "a tiny number": b'{"vector": [1e-46, 1e-400]}',
    "rounded up to infinity": b'{"vector": [3.40282357e38]}',
    "not rounded up": b'{"vector": [3.40282356e38]}',
    "something behind it": b'{"vector": [1]} x',
    "a list": b'[{"vector": [1]}]',
    "nothing": b"",
    "deep": b'{"vector": [1], "payload": ' + b'{"a":' * 990 + b"1" + b"}" * 990 + b"}",
    "a deep field that is ignored": b'{"vector": [1], "other": ' + b"[" * 1021 + b"]" * 1021 + b"}",
    "a deeper one": b'{"vector": [1], "other": ' + b"[" * 1025 + b"]" * 1025 + b"}",
    "too deep": b'{"vector": [1], "payload": ' + b'{"a":' * 1100 + b"1" + b"}" * 1100 + b"}",
}


@pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS.keys())
def test_tricks(text: bytes) -> None:
    """Nor do they part where a reader could be fooled."""
    agrees(padded(text))


SHORT_CASES = [case for case in cases.CASES if case.value is not None and len(case.value) < MIN_BYTES]


@pytest.mark.parametrize("case", SHORT_CASES, ids=lambda case: case.id)
def test_the_table(case: Case) -> None:
    """No case is judged otherwise for being long."""
    assert case.value is not None
    outcomes = [parse_message(None, value, ParseRules()) for value in (case.value, padded(case.value))]
    # The words of a refusal show the text.
    short, long = (outcome.code if isinstance(outcome, Refusal) else outcome for outcome in outcomes)
    assert short == long


@pytest.mark.parametrize("cell", ["768", "1536", "multi"])
def test_common_messages_are_read_quickly(cell: str) -> None:
    """Long vectors, with a payload that has lists and brackets, are what it is for."""
    for record in itertools.islice(WORKLOADS[cell].records(50), 50):
        assert record.value is not None
        assert agrees(record.value)


@pytest.mark.parametrize("format_", ["dense", "named", "sparse", "multi", "none"])
def test_every_format_is_read_quickly(format_: str) -> None:
    """With brackets in the payload's lists and strings."""
    vector = {
        "dense": [0.5, 1],
        "named": {"a": [1, 2], "b": [3]},
        "sparse": {"a": {"indices": [1, 7], "values": [0.5, 1]}, "b": {"indices": [], "values": []}},
        "multi": {"a": [[1, 2], [3, 4]]},
        "none": None,
    }[format_]
    payload = {"tags": ["a", ["b"]], "text": "see [1] and \\"}
    assert agrees(padded(orjson.dumps({"collection_name": "c", "id": 1, "vector": vector, "payload": payload})))


def test_it_leaves_alone_what_is_short_or_huge() -> None:
    """The one would not gain, the other would take memory."""
    text = b'{"vector": [1]}'
    assert read_quickly(text) is None
    assert read_quickly(text + b" " * MAX_BYTES) is None
