"""Many messages at once are read as each of them alone by the exact reader, or are left to it."""

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
from tests.support.generated import JSON
from udfs.core import quick
from udfs.core.messages import ParseRules, parse_message, parse_messages
from udfs.core.quick import read_quickly

if TYPE_CHECKING:
    from collections.abc import Sequence

RULES = ParseRules()

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.floats(width=32)
# Lists of numbers, of lists of numbers, and of whatever else comes between.
LISTS = st.recursive(
    NUMBERS | st.booleans() | st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=4)
)
FLAT = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-9, 9), max_size=9)
INDICES = st.lists(st.integers(0, 2**32 - 1), max_size=9) | st.lists(st.integers(-1, 2**32), max_size=4)
PAIRS = st.dictionaries(st.integers(0, 2**32 - 1), st.floats(width=32, allow_nan=False, allow_infinity=False))
SPARSE = PAIRS.map(lambda pairs: {"values": [*pairs.values()], "indices": [*pairs]}) | st.fixed_dictionaries(
    {"indices": INDICES | LISTS, "values": FLAT | LISTS}
)
SQUARE = st.integers(1, 3).flatmap(lambda size: st.lists(st.lists(st.integers(0, 9), min_size=size, max_size=size)))
VECTOR = FLAT | SQUARE | SPARSE | LISTS
NAMES = st.sampled_from(["", "a", "a\0b", "[", "/a", "indices", "values"])
VECTORS = VECTOR | st.dictionaries(NAMES, VECTOR, max_size=3) | JSON
# Texts with brackets, quotes and escapes, since these are what tells lists.
TEXTS = st.text(st.sampled_from('[]{}"\\u05bé1, '), max_size=6)
PAYLOADS = st.dictionaries(TEXTS, JSON | TEXTS | LISTS | FLAT, max_size=3) | JSON
MEMBERS = st.lists(
    st.tuples(st.just("vector"), VECTORS)
    | st.tuples(st.just("payload"), PAYLOADS)
    | st.tuples(st.just("id"), st.integers(0, 9) | JSON)
    | st.tuples(st.just("collection_name"), st.just("c") | JSON)
    | st.tuples(st.just("other"), LISTS | FLAT),
    max_size=5,
)
DAMAGES = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 2), st.sampled_from(["", "[", "]", '"', "\\", ",", "0", " ", "\0"])),
    max_size=2,
)
EVERYWHERE = 2  # every list of numbers is cut out, however short it is


def rendered(members: list[tuple[str, Any]], *, escaped: bool) -> str:
    """Write an object as it stands, names that come twice too; what it must have stands before."""
    inner = ",".join(f'"{name}":{json.dumps(value, ensure_ascii=escaped)}' for name, value in members)
    return f'{{"collection_name":"c","id":1{"," * bool(inner)}{inner}}}'


def damaged(text: str, damages: list[tuple[int, int, str]]) -> bytes:
    """Replace some characters."""
    for at, count, by in damages:
        text = text[:at] + by + text[at + count :]
    return text.encode(errors="replace")


MESSAGES = st.builds(damaged, st.builds(rendered, MEMBERS, escaped=st.booleans()), st.just([]) | DAMAGES)


def agree(texts: Sequence[bytes], *, least: int, at_once: int = 2**20) -> None:
    """Assert that messages at once are read as each alone, down to the type of every number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick, "_MIN_LIST_BYTES", least)
        patch.setattr(quick, "_CHUNK_BYTES", at_once)
        outcomes = parse_messages([(None, text) for text in texts], RULES)
    assert list(map(repr, outcomes)) == [repr(parse_message(None, text, RULES)) for text in texts]


def are_quick(texts: Sequence[bytes]) -> list[bool]:
    """Tell which messages are not left to the exact reader."""
    return [read is not None for read in read_quickly(texts)]


@settings(max_examples=1000)
@given(
    texts=st.lists(MESSAGES, max_size=4),
    least=st.sampled_from([EVERYWHERE, 4, 8]),
    at_once=st.sampled_from([1, 100, 2**20]),
)
@example(texts=[b'{"collection_name":"c","id":1,"payload":{"a":9223372036854775808,"b":1.0}}'], least=2, at_once=1)
def test_it_agrees_with_the_exact_reader(texts: list[bytes], least: int, at_once: int) -> None:
    """Whatever stands in messages, whatever is cut out, and wherever a batch is divided."""
    agree(texts, least=least, at_once=at_once)


TRICKS = {
    "whitespace in a list": b'"vector": [\n1,\t2 ,\r 3 ]',
    "minus zero": b'"vector": [-0, -0.0]',
    "tiny numbers": b'"vector": [1e-46, 1e-400, 5e-324]',
    "integers of 64 bits": b'"vector": [18446744073709551615, -9223372036854775808, 9007199254740993]',
    "integers of 65 bits": b'"vector": [18446744073709551616, 1]',
    "the same below zero": b'"vector": [-9223372036854775809, 1]',
    "beyond a double": b'"vector": [1e400, 1]',
    "beyond float32": b'"vector": [3.40282357e38, 1]',
    "not quite": b'"vector": [3.40282356e38, 1]',
    "what tells an end": b'"vector": [1, 1e308, 2]',
    "only that": b'"vector": [1e308]',
    "that as an index": b'"vector": {"a": {"indices": [1, 4294967296, 3], "values": [1, 2, 3]}}',
    "two commas": b'"vector": [1,,2]',
    "a comma first": b'"vector": [ ,1]',
    "a comma last": b'"vector": [1,2,]',
    "no comma": b'"vector": [1 2]',
    "a leading zero": b'"vector": [01, 2]',
    "a plus": b'"vector": [1, +2]',
    "a minus alone": b'"vector": [-, 2]',
    "no digit behind the point": b'"vector": [1., 2]',
    "NaN": b'"vector": [1, NaN]',
    "infinity": b'"vector": [-Infinity, 1]',
    "null": b'"vector": [1, null]',
    "true": b'"vector": [1, true]',
    "an object": b'"vector": [1, {}]',
    "a string": b'"vector": [1, "2"]',
    "a NUL": b'"vector": [1, 2\0]',
    "a form feed": b'"vector": [1,\f2]',
    "no UTF-8 in a list": b'"vector": [1, 2\xff]',
    "a no-break space": b'"vector": [1,\xc2\xa02]',
    "a list in a list": b'"vector": [1, [2, 3]]',
    "lists one too deep": b'"vector": [[[1, 2], [3, 4]]]',
    "lists and numbers": b'"vector": [[1, 2], 3, [4, 5]]',
    "rows of two lengths": b'"vector": [[1, 2], [3, 4, 5]]',
    "an empty row": b'"vector": [[1, 2], []]',
    "a long list of nothing": b'"vector": [' + b" " * 500 + b"]",
    "the same with a name": b'"vector": {"a": [' + b" " * 500 + b"]}",
    "long rows of nothing": b'"vector": [[' + b" " * 500 + b"], [" + b" " * 500 + b"]]",
    "long values of nothing": b'"vector": {"a": {"indices": [], "values": [' + b" " * 500 + b"]}}",
    "long indices of nothing": b'"vector": {"a": {"indices": [' + b" " * 500 + b'], "values": []}}',
    "a string for a row": b'"vector": [[1, 2], "12"]',
    "an object for a row": b'"vector": [[1, 2], {"values": [1, 2]}]',
    "no vector but a string": b'"vector": {"a": [1, 2], "b": "c"}',
    "half a bracket": b'"vector": [1, 2',
    "a bracket too many": b'"vector": [1, 2]]',
    "a minus before a list": b'"vector": -[1, 2]',
    "a digit behind a list": b'"vector": [1, 2]3',
    "a string behind a list": b'"vector": [1, 2]"3"',
    "a list in a string": b'"vector": "[1, 2]"',
    "quotes around a list": b'"vector": "[1, 2]", "payload": {"a": ""[1, 2]""}',
    "a list in a longer string": b'"vector": [1, 2], "payload": {"a": "see [1, 2] there"}',
    "a list in a string in a string": rb'"vector": [1, 2], "payload": {"a": "{\"b\": [1, 2]}"}',
    "a list for a name": b'"vector": {[1, 2]: [3, 4]}',
    "a list in a name": b'"vector": {"[1, 2]": [3, 4]}',
    "a list behind a backslash": rb'"vector": [1, 2], "payload": {"a": "\[1, 2]"}',
    "the same before it": rb'"payload": {"a": "\[1, 2]"}, "vector": [1, 2]',
    "an escaped quote before a list": rb'"vector": [1, 2], "payload": {"a": "\"[1, 2]\""}',
    "a list from a string to another": b'"payload": {"a": "[1, 2", "b": "3]"}, "vector": [1, 2]',
    "an interval": b'"payload": {"a": "[0, 1)"}, "vector": [1, 2]',
    "an interval from the other side": b'"vector": [1, 2], "payload": {"a": "(0, 1]"}',
    "brackets escaped": rb'"vector": [1, 2], "payload": {"a": "\u005b1, 2\u005d"}',
    "a name escaped": rb'"\u0076ector": [1, 2]',
    "names escaped": rb'"vector": {"a": {"\u0069ndices": [1, 2], "value\u0073": [3, 4]}}',
    "a list in the payload": b'"payload": {"a": [1, 2]}, "vector": [3, 4]',
    "a bad one": b'"payload": {"a": [1, 02]}, "vector": [3, 4]',
    "a large one": b'"payload": {"a": [1, 18446744073709551616]}, "vector": [3, 4]',
    "large numbers that are exact": b'"payload": {"a": [1, 1e300]}, "vector": [3, 4]',
    "a list in a field that nobody reads": b'"other": [1, 2], "vector": [3, 4]',
    "a bad one in such a field": b'"other": [1, 02], "vector": [3, 4]',
    "a list for an id": b'"id": [1, 2], "vector": [3, 4]',
    "a vector twice": b'"vector": [1, 2], "vector": [3, 4]',
    "a bad vector first": b'"vector": [1, NaN], "vector": [3, 4]',
    "a bad vector first that is JSON": b'"vector": [1, null], "vector": [3, 4]',
    "a vector, then none": b'"vector": [1, 2], "vector": null',
    "a short vector, then a long one": b'"vector": [1], "vector": [3, 4]',
    "a vector's name twice": b'"vector": {"a": [1, 2], "a": [3, 4]}',
    "the same around another": b'"vector": {"a": [1], "b": [2, 3], "a": [4, 5]}',
    "and another kind": b'"vector": {"a": 1, "b": [2, 3], "a": [4, 5]}',
    "values before indices": b'"vector": {"a": {"values": [1, 2], "indices": [3, 4]}}',
    "indices twice around values": b'"vector": {"a": {"indices": 0, "values": [1, 2], "indices": [3, 4]}}',
    "a name and more of it behind a NUL": rb'"vector": {"a": [1, 2], "a\u0000b": [3, 4]}',
    "indices that fall": b'"vector": {"a": {"indices": [4, 3], "values": [1, 2]}}',
    "indices that repeat": b'"vector": {"a": {"indices": [4, 4], "values": [1, 2]}}',
    "the same far apart": b'"vector": {"a": {"indices": [4, 5, 4], "values": [1, 2, 3]}}',
    "indices with a point": b'"vector": {"a": {"indices": [3.0, 4], "values": [1, 2]}}',
    "indices below zero": b'"vector": {"a": {"indices": [-3, 4], "values": [1, 2]}}',
    "indices of minus zero": b'"vector": {"a": {"indices": [-0, 4], "values": [1, 2]}}',
    "the last index": b'"vector": {"a": {"indices": [3, 4294967295], "values": [1, 2]}}',
    "an index too far": b'"vector": {"a": {"indices": [3, 4294967296], "values": [1, 2]}}',
    "more indices than values": b'"vector": {"a": {"indices": [3, 4, 5], "values": [1, 2]}}',
    "rows for values": b'"vector": {"a": {"indices": [3, 4], "values": [[1, 2], [3, 4]]}}',
    "rows for indices": b'"vector": {"a": {"indices": [[3, 4]], "values": [1, 2]}}',
    "no indices": b'"vector": {"a": {"values": [1, 2]}}',
    "null for indices": b'"vector": {"a": {"indices": null, "values": [1, 2]}}',
    "no values": b'"vector": {"a": {"indices": [1, 2]}}',
    "a member more": b'"vector": {"a": {"indices": [3, 4], "values": [1, 2], "more": [5, 6]}}',
    "indices and values without a name": b'"vector": {"indices": [3, 4], "values": [1, 2]}',
    "a payload that is a list": b'"vector": [1, 2], "payload": [3, 4]',
    "no UTF-8": b'"vector": [1, 2], "payload": {"a": "\xff"}',
    "a lone surrogate": rb'"vector": [1, 2], "payload": {"a": "\ud800"}',
    "a control character": b'"vector": [1, 2], "payload": {"a": "\n"}',
    "a NUL in a string": b'"vector": [1, 2], "payload": {"a": "\0"}',
    "a comma at the end": b'"vector": [1, 2],',
    "something behind it": b'"vector": [1, 2]} x',
    "another behind it": b'"vector": [1, 2]}{"vector": [1, 2]',
    "a list behind it": b'"vector": [1, 2]}[1, 2',
    "deep": b'"vector": [1, 2], "payload": ' + b'{"a":' * 990 + b"1" + b"}" * 990,
    "a deep field that is ignored": b'"vector": [1, 2], "other": ' + b"[" * 1021 + b"]" * 1021,
    "a deeper one": b'"vector": [1, 2], "other": ' + b"[" * 1025 + b"]" * 1025,
    "too deep": b'"vector": [1, 2], "payload": ' + b'{"a":' * 1100 + b"1" + b"}" * 1100,
    "a deep list of numbers": b'"vector": [1, 2], "other": ' + b"[" * 1023 + b"1, 2" + b"]" * 1023,
    "many lists": b'"vector": [[1, 2]' + b", [1, 2]" * 3000 + b"]",
    "many brackets that open": b'"vector": ' + b"[1," * 300_000 + b"]",
    "many that close": b'"vector": [1, 2' + b"]" * 1_000_000,
    "many of both": b'"vector": ' + b"[1 ]" * 200_000,
}
WHOLE = {
    "nothing": b"",
    "a list": b"[1, 2]",
    "a list of a message": b'[{"collection_name": "c", "id": 1, "vector": [1, 2]}]',
    "a message in a list of numbers": b'[1, 2, {"collection_name": "c", "id": 1, "vector": [1, 2]}]',
    "a byte order mark": b'\xef\xbb\xbf{"collection_name": "c", "id": 1, "vector": [1, 2]}',
    "the same half": b'\xef\xbb{"collection_name": "c", "id": 1, "vector": [1, 2]}',
    "UTF-16": '{"collection_name": "c", "id": 1, "vector": [1, 2]}'.encode("utf-16"),
    "no collection": b'{"id": 1, "vector": [1, 2]}',
    "no id": b'{"collection_name": "c", "vector": [1, 2]}',
    **{name: b'{"collection_name": "c", "id": 1, %b}' % text for name, text in TRICKS.items()},
}
GOOD = b'{"collection_name": "c", "id": 2, "vector": {"a": {"indices": [7, 8], "values": [9, 10]}, "b": [11, 12]}}'


@pytest.mark.parametrize("least", [EVERYWHERE, 4])
@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE.keys())
def test_tricks(text: bytes, least: int) -> None:
    """Nor do they part where a reader could be fooled; and what others say is not touched by it."""
    agree([text], least=least)
    agree([GOOD, text, GOOD], least=least)


@pytest.mark.parametrize("least", [EVERYWHERE, quick._MIN_LIST_BYTES])
def test_the_table(least: int) -> None:
    """Every case is judged as it is alone, tombstones and records that are too large too."""
    records = [(case.key, case.value) for case in cases.CASES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick, "_MIN_LIST_BYTES", least)
        outcomes = parse_messages(records, RULES)
    assert list(map(repr, outcomes)) == [repr(parse_message(key, value, RULES)) for key, value in records]


def test_the_rules_hold_for_all() -> None:
    """A collection that is set, and the limit of a record."""
    rules = ParseRules("chosen", len(GOOD))
    records = [(None, GOOD), (b"k", GOOD), (b"{}", None)]
    assert parse_messages(records, rules) == [parse_message(key, value, rules) for key, value in records]


@pytest.mark.parametrize("cell", ["128", "768", "1536", "sparse", "multi", "mix"])
def test_common_messages_are_read_quickly(cell: str) -> None:
    """They are what it is for."""
    texts = [record.value for record in itertools.islice(WORKLOADS[cell].records(200), 200) if record.value]
    agree(texts, least=quick._MIN_LIST_BYTES)
    assert all(are_quick(texts))


LONG = [number + 0.25 for number in range(100)]
PAYLOAD = {
    "tags": ["a", ["b"]],
    "text": "see [1], [0, 1) and \\",
    "numbers": LONG,
    "words": f"[{'no numbers ' * 50}]",
    "open": "[1, ",
    "closed": "2" * 600 + "]",
}
FORMATS = {
    "dense": LONG,
    "named": {"a": LONG, "b": LONG[:50]},
    "named, one of them short": {"a": LONG, "b": [3, 4]},
    "sparse": {"a": {"indices": [*range(100)], "values": LONG}, "b": {"indices": [], "values": []}},
    "sparse, in no order": {"a": {"indices": [*range(1000, 900, -1)], "values": LONG}},
    "sparse, with short indices": {"a": {"indices": [*range(90)], "values": LONG[:90]}},
    "sparse, with short values": {"a": {"indices": [*range(10**9, 10**9 + 60)], "values": [1] * 60}},
    "multi": {"a": [LONG, LONG[::-1]]},
    "multi, unnamed": [LONG, LONG],
    "multi, with a short row": {"a": [LONG, [1] * 100], "b": [[1], [2]]},
    "all": {"a": LONG, "b": [LONG, LONG], "c": {"values": LONG, "indices": [*range(100)]}},
}


@pytest.mark.parametrize("spaces", [False, True], ids=["compact", "spaces"])
@pytest.mark.parametrize("vector", FORMATS.values(), ids=FORMATS.keys())
def test_every_format_is_read_quickly(vector: Any, spaces: bool) -> None:  # noqa: FBT001
    """With lists and brackets in the payload, before the vector or behind it."""
    start: dict[str, Any] = {"collection_name": "c", "id": 1}
    messages = [{**start, "vector": vector, "payload": PAYLOAD}, {**start, "payload": PAYLOAD, "vector": vector}]
    texts = [json.dumps(message, indent=2).encode() if spaces else orjson.dumps(message) for message in messages]
    agree(texts, least=quick._MIN_LIST_BYTES)
    assert all(are_quick(texts))


def test_a_bad_list_does_not_keep_others_from_being_read_quickly() -> None:
    """Only the message that it stands in is left to the exact reader."""
    good = orjson.dumps({"collection_name": "c", "id": 1, "vector": LONG})
    texts = [good, good.replace(b"7.25", b"null"), good, good.replace(b"7.25", b"1e99"), good]
    agree(texts, least=quick._MIN_LIST_BYTES)
    assert are_quick(texts) == [True, False, True, False, True]


def test_it_leaves_alone_what_is_short_or_huge() -> None:
    """The one would not gain, the other would take memory."""
    assert are_quick([orjson.dumps({"payload": {"text": "a" * 1000}, "vector": [1]})]) == [False]
    text = orjson.dumps({"vector": LONG})
    assert are_quick([text, text + b" " * quick._MAX_BYTES]) == [True, False]
