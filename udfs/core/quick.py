"""Reads long messages without making a Python object of each number: at 1,536 dimensions that is most of parsing.

It answers only where it is sure that the exact reader would say the same, and has no words for what is wrong: whatever
is unusual is left to `udfs.core.messages`. That the two agree is a property, see tests/unit/test_quick.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
from simdjson import Array, Object, Parser

from udfs.core.vectors import FLOAT_BYTES, Dense, Multi, Sparse, read_indices

if TYPE_CHECKING:
    from udfs.core.vectors import Vector

# Below, orjson and a float at a time take as long. Above, simdjson's memory would be many times the message's.
MIN_BYTES = 4 * 1024
MAX_BYTES = 1024 * 1024
# For more numbers numpy lets go of Python's lock, and other threads are slower to give it back than the work takes.
_UNDER_LOCK = 500


class Quick(NamedTuple):
    """What was read.

    Attributes:
        fields: The message without its vector, as orjson reads it.
        vectors: As `udfs.core.vectors.read_vectors` returns them.
    """

    fields: dict[str, Any]
    vectors: dict[str, Vector]


class _UnsureError(ValueError):
    """The exact reader has to look at it."""


def read_quickly(text: bytes) -> Quick | None:
    """Return the fields and vectors of a message, or None if the exact reader has to look at it."""
    if not (MIN_BYTES <= len(text) <= MAX_BYTES and text.startswith(b"{")):
        return None
    try:
        return _read(text)
    # The first is ours, too, the next three are simdjson's, by the kind of fault, and the last is numpy's.
    except (ValueError, LookupError, TypeError, RuntimeError, FloatingPointError):
        return None


def _read(text: bytes) -> Quick:
    message = _members(Parser().parse(text))
    vectors = _read_vectors(message.pop("vector", None))
    fields = {name: _plain(value) for name, value in message.items()}
    if _brackets(text) != sum(map(_brackets_of, vectors.values())) + orjson.dumps(fields).count(b"["):
        raise _UnsureError
    return Quick(fields, vectors)


def _brackets(text: bytes) -> int:
    """Count what opens lists, and the same in strings.

    simdjson flattens lists within a list of numbers. Where every bracket belongs to a list that was read as one, or to
    a string, there was nothing to flatten.
    """
    if b"\\" in text and b"\\u005" in text:  # perhaps a bracket in a string that is not one in the text
        raise _UnsureError
    return text.count(b"[")


def _brackets_of(vector: Vector) -> int:
    if isinstance(vector, Multi):
        return 1 + len(vector.rows)
    return 2 if isinstance(vector, Sparse) else 1


def _members(value: object) -> dict[str, Any]:
    """Return what an object has by name; unsure where simdjson would find another: the first, or up to a NUL."""
    if not isinstance(value, Object):
        raise _UnsureError
    names = list(value)
    if len({*names}) < len(names) or any("\0" in name for name in names):
        raise _UnsureError
    return {name: value[name] for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, Array) else value


def _read_vectors(value: object) -> dict[str, Vector]:
    if value is None:
        return {}
    if isinstance(value, Array):
        return {"": _read_list(value)}
    return {name: _read_named(vector) for name, vector in _members(value).items()}


def _read_named(value: object) -> Vector:
    return _read_list(value) if isinstance(value, Array) else _read_sparse(_members(value))


def _read_list(value: Array) -> Dense | Multi:
    packed = _packed(value)
    if not packed:
        raise _UnsureError
    if not isinstance(value[0], Array):
        return Dense(packed)
    if any(len(_list(row)) * len(value) * FLOAT_BYTES != len(packed) for row in value):
        raise _UnsureError
    size = len(packed) // len(value)
    return Multi(tuple(packed[at : at + size] for at in range(0, len(packed), size)))


def _read_sparse(value: dict[str, Any]) -> Sparse:
    indices = read_indices("indices", _list(value.get("indices")).as_list())
    packed = _packed(_list(value.get("values")))
    if len(packed) != FLOAT_BYTES * len(indices):
        raise _UnsureError
    return Sparse(indices, packed)


def _list(value: object) -> Array:
    if not isinstance(value, Array):
        raise _UnsureError
    return value


def _packed(value: Array) -> bytes:
    """Return a list of numbers, or of lists of them, as float32 one after the other."""
    doubles = np.frombuffer(value.as_buffer(of_type="d"))
    with np.errstate(over="raise"):  # of a double that rounds to infinity
        return b"".join(doubles[at : at + _UNDER_LOCK].astype("<f4").data for at in range(0, len(doubles), _UNDER_LOCK))
