"""Why a message was refused: one shape and one list of codes, for logs, metrics and dead letters alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SHOWN = 80
MAX_FIELD = 120


class Code(NamedTuple):
    """A kind of refusal: what is wrong, and what a person does about it."""

    meaning: str
    fix: str


_BY_PARSING = {
    "record-too-large": Code(
        "key and value together have more bytes than a record may have",
        "Send less in one message, or raise `sink.record.max-size`.",
    ),
    "json-unreadable": Code(
        "the text is not JSON",
        "Send one JSON object, without a byte order mark; JSON knows no `NaN`, no `Infinity` and no comments.",
    ),
    "json-encoding": Code(
        "the text is not UTF-8, or it escapes half a character, which UTF-8 cannot carry",
        "Encode the text as UTF-8; escape a character above U+FFFF as a pair, such as `\\ud834\\udd1e`, or not at all.",
    ),
    "json-trailing": Code(
        "there is more text after the JSON document",
        "Send one JSON object in one message, and nothing after it.",
    ),
    "json-too-deep": Code(
        "the text is nested too deeply to be read",
        "Nest at most 1,024 levels; 200 where the payload holds a number of 2^63 or more.",
    ),
    "json-number": Code(
        "a number is beyond a double",
        "Send numbers below 1.8e308 in magnitude, or send the digits as a string.",
    ),
    "not-an-object": Code(
        "the text is JSON, but not an object",
        'Send an object such as `{"collection_name": …, "id": …}`, not inside a list or a string.',
    ),
    "key-missing": Code(
        "a tombstone has no key, so it names no point to delete",
        'Give the tombstone the key `{"collection_name": …, "id": …}`.',
    ),
    "collection-missing": Code(
        "no collection is named, and none is configured",
        "Name it in `collection_name`, for a tombstone in its key, or set `qdrant.collection.name`.",
    ),
    "collection-invalid": Code(
        "what is given cannot be the name of a collection",
        "Use a string of 1 to 255 characters without slash and NUL.",
    ),
    "id-missing": Code("no point id is given", "Give an `id`: an integer in 0…2^64-1 or a UUID."),
    "id-type": Code(
        "the id is neither a number nor a string",
        "Use an integer in 0…2^64-1, or a UUID as a string.",
    ),
    "id-negative": Code("the id is below zero", "Use an integer in 0…2^64-1, or a UUID."),
    "id-fraction": Code("the id is a number with a fraction", "Use an integer in 0…2^64-1, or a UUID."),
    "id-inexact": Code(
        "the id is written as a float of 2^53 or more, where neighbours cannot be told apart",
        "Write it as an integer: all digits, no point and no exponent.",
    ),
    "id-too-large": Code("the id is above 2^64-1", "Use a smaller integer, or a UUID."),
    "id-uuid": Code(
        "the id is a string, but not a UUID that Qdrant can read",
        "Use 32 hexadecimal digits, with all four hyphens or none; write an integer without quotes.",
    ),
    "vector-type": Code(
        "the vector has a shape that Qdrant does not know",
        "Use one of the formats under [Messages](#messages).",
    ),
    "vector-empty": Code(
        "a dense vector or a row of a multi-vector has no elements",
        "Leave the vector out if there is none; else give it all its elements.",
    ),
    "vector-element": Code(
        "an element of a vector is not a number",
        'Make every element a number; `null`, `true` and `"0.5"` are none.',
    ),
    "vector-overflow": Code(
        "an element of a vector is beyond float32",
        "Keep elements below 3.4e38 in magnitude.",
    ),
    "multi-ragged": Code(
        "the rows of a multi-vector have unlike lengths",
        "Give every row as many elements as the collection's vector has.",
    ),
    "sparse-length": Code(
        "a sparse vector has not as many indices as values",
        "Give every value its index.",
    ),
    "sparse-index": Code(
        "an index of a sparse vector is not an unsigned 32-bit integer",
        "Use integers in 0…2^32-1.",
    ),
    "sparse-repeated": Code(
        "a sparse vector has the same index twice",
        "Give each index once, with one value.",
    ),
    "payload-type": Code("the payload is not an object", "Send an object, or leave the payload out."),
    "payload-integer": Code(
        "an integer in the payload is outside -2^63...2^63-1",
        "Send it as a string; or as a float, with an exponent, if its last digits do not matter.",
    ),
    "payload-too-deep": Code(
        "the payload is nested deeper than protobuf can carry",
        "Nest at most 32 objects or 48 lists, or send the inner part as a string.",
    ),
}
_BY_COLLECTION = {
    "collection-unknown": Code(
        "Qdrant has no collection and no alias of that name",
        "Correct the name, or create the collection and send the message again.",
    ),
    "collection-forbidden": Code(
        "the API key is accepted, but gives no access to a collection of that name",
        "Correct the name, or grant the key that collection.",
    ),
    "vector-unknown": Code(
        "the collection has no vector of that name",
        "Use a name that the collection has; a vector without a name is one of its own.",
    ),
    "vector-size": Code(
        "a vector has not as many elements as the collection says",
        "Use the model that the collection was made for, or another collection.",
    ),
    "vector-kind": Code(
        "a vector is of another kind than the collection's: dense for sparse, a multi-vector for a dense one",
        "Send the kind of vector that the collection has under that name.",
    ),
}
_BY_QDRANT = {
    "refused-by-qdrant": Code(
        "Qdrant refused the point, for a reason that only it could know",
        "See Qdrant's own words in the reason; a limit of the collection's strict mode is one to look for.",
    ),
}

_BY_SPEAKER = {"parse": _BY_PARSING, "collection": _BY_COLLECTION, "qdrant": _BY_QDRANT}
_EXPLAINED = _BY_PARSING | _BY_COLLECTION | _BY_QDRANT

CODES: Mapping[str, str] = MappingProxyType({code: explained.meaning for code, explained in _EXPLAINED.items()})
"""Every code there is, and what it means. The codes are stable; the sentences of a refusal are not."""

FIXES: Mapping[str, str] = MappingProxyType({code: explained.fix for code, explained in _EXPLAINED.items()})
"""What to do about each code."""

SAID_BY: Mapping[str, str] = MappingProxyType({code: by for by, codes in _BY_SPEAKER.items() for code in codes})
"""Who says each code: ``parse`` by the message alone, ``collection`` by its description, or ``qdrant`` itself."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one message was refused: a code from ``CODES``, the field at fault, and a sentence for a person."""

    code: str
    field: str
    reason: str


class RefusedError(ValueError):
    """Raised by the readers of a message's parts; carries the refusal, and survives pickling with it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        return self.refusal.reason


def refused(code: str, field: str, fault: str) -> RefusedError:
    """Return the error that says: this field has this fault."""
    field = shortened(field, MAX_FIELD)
    return RefusedError(Refusal(code, field, f"{json.dumps(field, ensure_ascii=False)} {fault}"))


def shown(value: object) -> str:
    """Return a value from JSON as text of at most 80 characters; what is left out is not rendered either."""
    return shortened(_rendered(value, levels=3), MAX_SHOWN)


def shortened(text: str, length: int) -> str:
    """Return the text, without its middle if it is longer than that: both ends tell more than the beginning alone."""
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1) :]}"


def _rendered(value: object, levels: int) -> str:
    if isinstance(value, str):
        return json.dumps(shortened(value, MAX_SHOWN - 2), ensure_ascii=False)
    if isinstance(value, list):
        return f"[{_some((_rendered(item, levels - 1) for item in value), len(value), levels)}]"
    if isinstance(value, dict):
        items = (f"{_rendered(name, 0)}: {_rendered(item, levels - 1)}" for name, item in value.items())
        return f"{{{_some(items, len(value), levels)}}}"
    return json.dumps(value)


def _some(items: Iterable[str], count: int, levels: int) -> str:
    """Join the first few items, and none below the last level: a message may hold 10 MB or 1,000 levels."""
    most = 8 if levels > 0 else 0
    return ", ".join([*islice(items, most), *(["…"] if count > most else [])])
