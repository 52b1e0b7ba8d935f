"""Why a message was refused: one shape and one list of codes, for logs, metrics and dead letters alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SHOWN = 80
MAX_FIELD = 120

CODES: Mapping[str, str] = MappingProxyType(
    {
        "record-too-large": "key and value together have more bytes than a record may have",
        "json-unreadable": "the text is not JSON in UTF-8, or it is nested too deeply to be read",
        "not-an-object": "the text is JSON, but not an object",
        "key-missing": "a tombstone has no key, so it names no point to delete",
        "collection-missing": "no collection is named, and none is configured",
        "collection-invalid": "what is given cannot be the name of a collection",
        "id-missing": "no point id is given",
        "id-type": "the id is neither a number nor a string",
        "id-negative": "the id is below zero",
        "id-fraction": "the id is a number with a fraction",
        "id-inexact": "the id is written as a float of 2^53 or more, where neighbours cannot be told apart",
        "id-too-large": "the id is above 2^64-1",
        "id-uuid": "the id is a string, but not a UUID that Qdrant can read",
        "vector-type": "the vector has a shape that Qdrant does not know",
        "vector-empty": "a dense vector or a row of a multi-vector has no elements",
        "vector-element": "an element of a vector is not a number",
        "vector-overflow": "an element of a vector is beyond float32",
        "multi-ragged": "the rows of a multi-vector have unlike lengths",
        "sparse-length": "a sparse vector has not as many indices as values",
        "sparse-index": "an index of a sparse vector is not an unsigned 32-bit integer",
        "sparse-repeated": "a sparse vector has the same index twice",
        "payload-type": "the payload is not an object",
        "payload-integer": "an integer in the payload is outside -2^63...2^63-1",
        "payload-too-deep": "the payload is nested deeper than protobuf can carry",
    }
)
"""Every code the core refuses with, and what it means. The codes are stable; the sentences of a refusal are not."""


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
