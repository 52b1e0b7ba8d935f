"""Reads the ``vector`` of a message: floats are packed as float32 at once and never travel one by one.

Packing is also the check for overflow, and it makes the encoder's work a copy of bytes.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from udfs.core.refusals import RefusedError, refused, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_INDEX = 2**32 - 1
FLOAT_BYTES = 4
_NUMBERS = frozenset({int, float})  # exact types, since bool is an int to isinstance


class Dense(NamedTuple):
    """A dense vector as little-endian float32, one after the other; never empty."""

    packed: bytes


class Sparse(NamedTuple):
    """A sparse vector: unlike indices, and as many float32, packed as in ``Dense``; may be empty, as in Qdrant."""

    indices: tuple[int, ...]
    packed: bytes


class Multi(NamedTuple):
    """A multi-vector: at least one row, each packed as in ``Dense``, all of one length."""

    rows: tuple[bytes, ...]


Vector: TypeAlias = Dense | Sparse | Multi


class Vectors(dict[str, Vector]):
    """The vectors of a point by name, the unnamed one under ``""``: no JSON reader makes this type."""


def read_vectors(value: object) -> Vectors:
    """Return the vectors; none for null or ``{}``; what is `Vectors` already, as it is.

    Raises:
        RefusedError: naming the first element, row or index that Qdrant could not store as it stands.
    """
    if type(value) is Vectors:
        return value
    if value is None:
        return Vectors()
    if isinstance(value, list):
        return Vectors({"": _read_list("vector", value)})
    if isinstance(value, dict):
        return Vectors({name: _read_named(f"vector.{name}", vector) for name, vector in value.items()})
    raise _refused("vector-type", "vector", value, "a vector is a list of numbers, or an object of named vectors")


def _read_named(field: str, value: object) -> Vector:
    if isinstance(value, list):
        return _read_list(field, value)
    if isinstance(value, dict):
        return _read_sparse(field, value)
    rule = 'a named vector is a list of numbers, a list of such lists, or an object of "indices" and "values"'
    raise _refused("vector-type", field, value, rule)


def _read_list(field: str, value: list[Any]) -> Dense | Multi:
    if value and isinstance(value[0], list):
        return _read_multi(field, value)
    return Dense(_pack(field, value))


def _read_multi(field: str, rows: list[Any]) -> Multi:
    packed = tuple(_read_row(f"{field}[{at}]", row) for at, row in enumerate(rows))
    for at, row in enumerate(packed):
        if len(row) != len(packed[0]):
            rule = f"it has {len(rows[at])} elements, the first row {len(rows[0])}; all rows are equally long"
            raise _refused("multi-ragged", f"{field}[{at}]", rows[at], rule)
    return Multi(packed)


def _read_row(field: str, row: object) -> bytes:
    if not isinstance(row, list):
        raise _refused("vector-type", field, row, "every row of a multi-vector is a list of numbers")
    return _pack(field, row)


def _read_sparse(field: str, value: dict[str, Any]) -> Sparse:
    indices, values = value.get("indices"), value.get("values")
    if not (isinstance(indices, list) and isinstance(values, list)):
        rule = 'a sparse vector is an object of two lists, "indices" and "values"'
        raise _refused("vector-type", field, value, rule)
    if len(indices) != len(values):
        rule = f"it has {len(indices)} indices and {len(values)} values; every value has its index"
        raise _refused("sparse-length", field, value, rule)
    return Sparse(read_indices(f"{field}.indices", indices), _pack(f"{field}.values", values) if values else b"")


def read_indices(field: str, indices: list[Any]) -> tuple[int, ...]:
    """Return the indices of a sparse vector; raise RefusedError if there is one that Qdrant could not store."""
    if not all(map(_is_index, indices)):
        at, index = _first(indices, lambda index: not _is_index(index))
        raise _refused("sparse-index", f"{field}[{at}]", index, "an index is an unsigned 32-bit integer")
    read = tuple(map(int, indices))
    if len(set(read)) < len(read):
        times = Counter(read)
        at, index = _first(read, lambda index: times[index] > 1)
        raise _refused("sparse-repeated", f"{field}[{at}]", index, f"this index stands here {times[index]} times")
    return read


def _is_index(value: Any) -> bool:
    """Tell whether this is an index, 7.0 counting as 7 as it does for ids."""
    is_whole = type(value) is int or (type(value) is float and value.is_integer())
    return is_whole and 0 <= value <= MAX_INDEX


def _pack(field: str, values: list[Any]) -> bytes:
    """Pack numbers as float32; ``struct`` refuses just those that rounding would make infinite."""
    if not values:
        raise _refused("vector-empty", field, values, "a vector has at least one element")
    if not _NUMBERS.issuperset(map(type, values)):
        at, value = _first(values, lambda value: type(value) not in _NUMBERS)
        raise _refused("vector-element", f"{field}[{at}]", value, "an element of a vector is a number")
    try:
        return struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        at, value = _first(values, _is_beyond_float32)
        raise _refused("vector-overflow", f"{field}[{at}]", value, "that is too large for float32") from None


def _is_beyond_float32(value: float) -> bool:
    try:
        struct.pack("<f", value)
    except OverflowError:
        return True
    return False


def _first(values: Sequence[Any], is_wrong: Callable[[Any], bool]) -> tuple[int, Any]:
    return next((at, value) for at, value in enumerate(values) if is_wrong(value))


def _refused(code: str, field: str, value: object, rule: str) -> RefusedError:
    return refused(code, field, f"is {shown(value)}; {rule}")
