"""Parse: from one raw Kafka record to a point, a delete or a refusal, without a doubt about any number in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import orjson

from udfs.core.ids import read_point_id
from udfs.core.operations import Delete, Upsert
from udfs.core.payloads import InexactNumberError, read_payload
from udfs.core.quick import read_quickly
from udfs.core.refusals import Refusal, RefusedError, refused, shown
from udfs.core.vectors import read_vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Python's own reader recurses, and gives up somewhere below 1,000 levels in some versions; orjson reads 1,024.
_MAX_EXACT_LEVELS = 200
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKET = re.compile(rb"[\[\]{}]")
_EXCERPT = 60

# orjson tells faults apart by its words only. These are in those of 3.10 to 3.13.
_CODES_BY_WORDS = {
    "surrogate in string": "json-encoding",
    "unexpected content after document": "json-trailing",
    "depth limit exceeded": "json-too-deep",
    "recursion depth exceeded": "json-too-deep",  # before 3.12
    "number is infinity": "json-number",
}


@dataclass(frozen=True, slots=True)
class ParseRules:
    """What the settings say about every message.

    Args:
        collection: the collection of every point, whatever the messages say; theirs if None.
        max_record_bytes: the most bytes that key and value have together.
    """

    collection: str | None = None
    max_record_bytes: int = 16 * 2**20


def parse_message(key: bytes | None, value: bytes | None, rules: ParseRules) -> Upsert | Delete | Refusal:
    """Return what the record asks for, or why it is refused; never raises, whatever the bytes.

    A record without a value is a tombstone: it deletes the point that its key names.
    """
    return _parse(key, value, rules, None)


def parse_messages(
    records: Sequence[tuple[bytes | None, bytes | None]], rules: ParseRules
) -> list[Upsert | Delete | Refusal]:
    """Return for each key and value what `parse_message` does, in less time."""
    quickly = read_quickly(value or b"" for _, value in records)
    return [_parse(key, value, rules, quick) for (key, value), quick in zip(records, quickly, strict=True)]


def _parse(
    key: bytes | None, value: bytes | None, rules: ParseRules, message: dict[str, Any] | None
) -> Upsert | Delete | Refusal:
    try:
        _check_size(key, value, rules.max_record_bytes)
        if value is None:
            return _read_delete(key, rules)
        return _read_upsert(message or _read_object(value, "value"), value, rules)
    except RefusedError as error:
        return error.refusal


def _check_size(key: bytes | None, value: bytes | None, max_bytes: int) -> None:
    size = len(key or b"") + len(value or b"")
    if size > max_bytes:
        raise refused(
            "record-too-large", "record", f"is too large: key and value have {size} bytes, of {max_bytes} allowed"
        )


def _read_upsert(message: Mapping[str, Any], text: bytes, rules: ParseRules) -> Upsert:
    return Upsert(
        _read_collection(message, "collection_name", rules),
        read_point_id(message.get("id")),
        read_vectors(message.get("vector")),
        _read_payload(message, text),
    )


def _read_delete(text: bytes | None, rules: ParseRules) -> Delete:
    if text is None:
        rule = 'the key of a tombstone is {"collection_name": …, "id": …}, the point to delete'
        raise refused("key-missing", "key", f"is missing; {rule}")
    key = _read_object(text, "key")
    return Delete(_read_collection(key, "key.collection_name", rules), read_point_id(key.get("id"), "key.id"))


def _read_object(text: bytes, field: str) -> dict[str, Any]:
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _unreadable(text, field, error) from None
    if not isinstance(read, dict):
        raise refused("not-an-object", field, f"is {shown(read)}; a message is a JSON object")
    return read


def _unreadable(text: bytes, field: str, error: orjson.JSONDecodeError) -> RefusedError:
    at = error.pos
    words = f"cannot be read as JSON: {error}"
    code = next((code for part, code in _CODES_BY_WORDS.items() if part in error.msg), "json-unreadable")
    there = error.doc[at : at + _EXCERPT]
    try:
        text.decode()
    except UnicodeDecodeError as fault:
        at = fault.start
        words = f"is not UTF-8: {fault.reason}, 0x{text[at]:02x} at byte {at}"
        code = "json-encoding"
        there = text[at : at + _EXCERPT].decode(errors="replace")
    # An offset alone is of no help to whoever has a NaN among 10 KB of numbers.
    place = f"; the reader stopped at {shown(there)}" if at and there else ""
    beginning = shown(text[:_EXCERPT].decode(errors="replace"))
    return refused(code, field, f"{words}{place}; it begins {beginning}")


def _read_collection(message: Mapping[str, Any], field: str, rules: ParseRules) -> str:
    if rules.collection is not None:
        return rules.collection
    name = message.get("collection_name")
    if name is None:
        raise refused("collection-missing", field, "is missing or null, and qdrant.collection.name is not set")
    # What the server says to any request; it says more to one that creates a collection.
    if not isinstance(name, str) or not 1 <= len(name) <= 255 or "/" in name or "\0" in name:
        rule = "a collection's name is a string of 1 to 255 characters without slash and NUL"
        raise refused("collection-invalid", field, f"is {shown(name)}; {rule}")
    return name


def _read_payload(message: Mapping[str, Any], text: bytes) -> dict[str, Any]:
    try:
        return read_payload(message.get("payload"))
    except InexactNumberError:
        # A payload that is too deep by itself is refused as such.
        read_payload(message["payload"], is_exact=True)
        _check_depth(text)
        return read_payload(json.loads(text.decode())["payload"], is_exact=True)


def _check_depth(text: bytes) -> None:
    """Refuse what Python's reader cannot read: what is ignored, or replaced by a repeated name, may be that deep."""
    brackets = _BRACKET.findall(_STRING.sub(b"", text))
    if max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)) > _MAX_EXACT_LEVELS:
        rule = f"with a payload number of 2^63 or more, {_MAX_EXACT_LEVELS} levels are the most that can be read"
        raise refused("json-too-deep", "value", f"is nested too deeply; {rule}")
