"""Reads the long lists of numbers of many messages at once: one by one, they would be most of the work of parsing.

It answers only where it is sure that the exact reader would say the same, and has no words for what is wrong: whatever
is unusual is left to `udfs.core.messages`. That the two agree is a property, see tests/unit/core/test_quick.py.

Long lists are cut out, and strings that nobody can guess, placeholders, put there. orjson reads the short rest of each
message, and `udfs.core.lists` what was cut out of all of them. This is the same as to read the message, because

- a placeholder is read as a whole string only if its own quotes opened and closed it. So it is a value of the rest, and
  JSON allows a list wherever it allows a string: with its list there, the message is as valid, and says the same;
- each must be found where a vector has numbers or indices, or the message is not read so. Then none stands within a
  string, in the payload, in a member that nobody reads, or in one that another of the same name overrides.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from udfs.core.lists import UnsureError, read_numbers, read_unlike_indices
from udfs.core.vectors import FLOAT_BYTES, Dense, Multi, Sparse, Vectors, read_indices, read_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from udfs.core.vectors import Vector

# orjson is faster with a shorter list of numbers, but not with indices, which are looked at one by one: a compromise.
_MIN_LIST_BYTES = 400
# Above, simdjson's memory would be many times the message's.
_MAX_BYTES = 1024 * 1024
# So much is read at once, as a pack has at most: by itself half as much is as fast, but not in a worker, whose threads
# share Python's lock, since numpy lets go of it for each chunk.
_CHUNK_BYTES = 256 * 1024

# One for each list of a chunk. They are told apart, as members do not keep their order if a name comes twice.
_PLACES = {f"{token}{number}": number for token in [secrets.token_hex(16)] for number in range(2048)}
_PLACEHOLDERS = [b'"%b"' % place.encode() for place in _PLACES]

# Words in brackets, in a string, stay there.
_BEGINNINGS = b"-0123456789 \t\r\n"


class _Lists(NamedTuple):
    """The lists of a chunk by their placeholders: views of their texts, and later what they say."""

    numbers: dict[str, Any]
    indices: dict[str, Any]


def read_quickly(texts: Iterable[bytes]) -> list[dict[str, Any] | None]:
    """Return each message as orjson reads it, with `Vectors` for its vector; None if the exact reader has to look."""
    return [message for chunk in _chunks(texts) for message in _read(chunk)]


def _chunks(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read(texts: Sequence[bytes]) -> list[dict[str, Any] | None]:
    lists = _Lists({}, {})
    messages = [_lift(text, lists) for text in texts]
    try:
        numbers = dict(zip(lists.numbers, read_numbers([*lists.numbers.values()]), strict=True))
        indices = dict(zip(lists.indices, read_unlike_indices([*lists.indices.values()]), strict=True))
    except UnsureError:
        # Only those with such a list are left to the exact reader.
        return [message for text in texts for message in _read([text])] if len(texts) > 1 else [None]
    lists = _Lists(numbers, indices)
    return [_filled(message, lists) if message else None for message in messages]


def _lift(text: bytes, lists: _Lists) -> dict[str, Any] | None:
    """Return a message with placeholders, and add what they stand for; None if it is not to be read quickly."""
    first = len(lists.numbers) + len(lists.indices)
    spans = _spans(text)[: len(_PLACES) - first] if len(text) <= _MAX_BYTES else []
    try:
        return _lift_these(spans, text, first, lists) if spans else None
    except ValueError:  # orjson's
        return None


def _spans(text: bytes) -> list[tuple[int, int]]:
    """Return where lists stand that are long, have no list or string in them, and seem to be of numbers."""
    spans = []
    after, end = 0, text.find(b"]")
    while end >= 0:
        if end - after >= _MIN_LIST_BYTES:
            start = text.rfind(b"[", after, end)
            is_long = start >= 0 and end - start >= _MIN_LIST_BYTES
            if is_long and text[start + 1] in _BEGINNINGS and text.find(b'"', start, end) < 0:
                spans.append((start, end + 1))
        after = end + 1
        end = text.find(b"]", after) if len(text) - after >= _MIN_LIST_BYTES else -1
    return spans


def _lift_these(spans: list[tuple[int, int]], text: bytes, first: int, lists: _Lists) -> dict[str, Any] | None:
    message: dict[str, Any] = orjson.loads(_rest(text, spans, first))
    if type(message) is not dict:
        return None
    vector = message.get("vector")
    if type(vector) is str and vector in _PLACES and len(spans) == 1:  # as `_places` would find, but most are so
        lists.numbers[vector] = memoryview(text)[spans[0][0] : spans[0][1]]
        return message
    numbers, indices = _places(vector)
    if len(numbers) + len(indices) < len(spans):
        # The others stand in the payload, say: there they stay.
        found = [spans[_PLACES[place] - first] for place in numbers + indices]
        return _lift_these(sorted(found), text, first, lists) if found else None
    for places, texts in (numbers, lists.numbers), (indices, lists.indices):
        for place in places:
            start, end = spans[_PLACES[place] - first]
            texts[place] = memoryview(text)[start:end]
    return message


def _rest(text: bytes, spans: list[tuple[int, int]], first: int) -> bytes:
    if len(spans) == 1:  # as below, but most are so
        start, end = spans[0]
        return b"".join((text[:start], _PLACEHOLDERS[first], text[end:]))
    parts, after = [b""], 0
    for number, (start, end) in enumerate(spans, first):
        parts += (text[after:start], _PLACEHOLDERS[number])
        after = end
    parts.append(text[after:])
    return b"".join(parts)


def _places(vector: object) -> tuple[list[str], list[str]]:
    """Return the placeholders that stand where a vector has numbers, and those where it has indices."""
    numbers: list[Any] = []
    indices: list[Any] = []
    for value in vector.values() if isinstance(vector, dict) else (vector,):
        if isinstance(value, dict):
            numbers.append(value.get("values"))
            indices.append(value.get("indices"))
        else:
            numbers += value if isinstance(value, list) else [value]
    return _only_places(numbers), _only_places(indices)


def _only_places(values: list[Any]) -> list[str]:
    return [value for value in values if type(value) is str and value in _PLACES]


def _filled(message: dict[str, Any], lists: _Lists) -> dict[str, Any] | None:
    vector = message["vector"]
    if type(vector) is str and (packed := lists.numbers.get(vector)):  # as below, but most are so
        message["vector"] = Vectors({"": Dense(packed)})
        return message
    named = vector if isinstance(vector, dict) else {"": vector}
    try:
        message["vector"] = Vectors({name: _vector(value, lists) for name, value in named.items()})
    except (ValueError, LookupError):  # ours or that of `udfs.core.vectors`, and a string that is no placeholder
        return None
    return message


def _vector(value: object, lists: _Lists) -> Vector:
    if isinstance(value, str):
        if not (packed := lists.numbers[value]):  # a long list of nothing but space
            raise UnsureError
        return Dense(packed)
    if isinstance(value, dict) and _only_places([*value.values()]):
        return _sparse(value.get("indices"), value.get("values"), lists)
    if isinstance(value, list) and _only_places(value):
        return _multi(value, lists)
    return read_vectors({"": value})[""]


def _sparse(indices: object, values: object, lists: _Lists) -> Sparse:
    read = read_indices("", indices) if isinstance(indices, list) else lists.indices[str(indices)]
    packed = _row(values, lists)
    if len(packed) != FLOAT_BYTES * len(read):
        raise UnsureError
    return Sparse(read, packed)


def _multi(rows: list[object], lists: _Lists) -> Multi:
    read = tuple([_row(row, lists) for row in rows])
    if len({*map(len, read)}) > 1 or not read[0]:
        raise UnsureError
    return Multi(read)


def _row(value: object, lists: _Lists) -> bytes:
    if isinstance(value, str):
        packed: bytes = lists.numbers[value]
        return packed
    read = _vector(value, lists)
    if not isinstance(read, Dense):
        raise UnsureError
    return read.packed
