"""Reads the ``payload`` of a message: any JSON object whose numbers and depth survive the way into Qdrant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from udfs.core.refusals import refused, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1

# Messages inside messages, counted from UpsertPoints. Qdrant 1.16.3 and Python's protobuf read 100; one is left to
# Qdrant's peers, which forward a request inside one more message (tried on its internal port). The server answers a
# request that is too deep with INTERNAL, as it does a fault of its own, so none may reach it.
_MAX_LEVELS = 99
_LEVELS_ABOVE = 3  # PointStruct, its payload's map entry, Value
_LEVELS_PER_OBJECT = 3  # Struct, its map entry, Value
_LEVELS_PER_LIST = 2  # ListValue, Value

_Place: TypeAlias = tuple[Any, ...]
"""A name or an index, preceded by the place that it is in: a path costs nothing until it is shown."""


class InexactNumberError(Exception):
    """Raised when a float may have been an integer in the text: orjson makes floats of integers beyond 64 bits."""


def read_payload(value: object, *, is_exact: bool = False) -> dict[str, Any]:
    """Return the payload, empty for null, once it is known to reach Qdrant unchanged.

    Args:
        value: the payload as orjson reads it.
        is_exact: integers of any size are integers here, so that a large float was written as one.

    Raises:
        InexactNumberError: if that is not so, and a float might be such an integer.
        RefusedError: if protobuf could not carry the payload as it stands.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refused("payload-type", "payload", f"is {shown(value)}; a payload is an object")
    _check(value.items(), _LEVELS_ABOVE, ("payload",), is_exact=is_exact)
    return value


def _check(items: Iterable[tuple[str | int, Any]], levels: int, place: _Place, *, is_exact: bool) -> None:
    if levels > _MAX_LEVELS:
        rule = "32 objects inside each other, or 48 lists, are the most that protobuf carries"
        raise refused("payload-too-deep", _path(place), f"is nested too deeply; {rule}")
    for name, item in items:
        kind = type(item)
        if kind is str:  # most are so
            continue
        if kind is dict:
            _check(item.items(), levels + _LEVELS_PER_OBJECT, (place, name), is_exact=is_exact)
        elif kind is list:
            _check(enumerate(item), levels + _LEVELS_PER_LIST, (place, name), is_exact=is_exact)
        elif kind is int and not MIN_INTEGER <= item <= MAX_INTEGER:
            rule = "an integer in a payload is one of 64 bits with a sign"
            raise refused("payload-integer", _path((place, name)), f"is {shown(item)}; {rule}")
        elif kind is float and not is_exact and not MIN_INTEGER < item < -MIN_INTEGER:
            raise InexactNumberError


def _path(place: _Place) -> str:
    """Write a place as a person would: ``payload.tags[3].name``."""
    if len(place) == 1:
        return str(place[0])
    above, name = place
    return f"{_path(above)}[{name}]" if isinstance(name, int) else f"{_path(above)}.{name}"
