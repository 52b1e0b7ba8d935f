"""Reads the ``id`` of a message, exactly: an id that changed on the way would overwrite somebody else's point."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING

from udfs.core.refusals import RefusedError, refused, shown

if TYPE_CHECKING:
    from udfs.core.operations import PointId

MAX_INTEGER = 2**64 - 1
_EXACT_BELOW = 2**53
_RULE = "a point id is an unsigned 64-bit integer or a UUID"

_HYPHENATED = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# What the server's Rust crate reads, tried against 1.16.3: hexadecimal digits in either case, "urn:uuid:" only in
# lower case, and no braces or prefix without hyphens. Python's uuid.UUID alone would read many more spellings.
_UUID = re.compile(rf"(?:urn:uuid:)?{_HYPHENATED}|\{{{_HYPHENATED}\}}|[0-9a-fA-F]{{32}}")


def read_point_id(value: object, field: str = "id") -> PointId:
    """Return the id as Qdrant will store it, UUIDs in their one canonical spelling.

    Raises:
        RefusedError: if Qdrant could not store exactly this id.
    """
    if type(value) is int and 0 <= value <= MAX_INTEGER:  # most are so
        return value
    if isinstance(value, str):
        if not _UUID.fullmatch(value):
            raise _refused("id-uuid", field, value)
        return str(uuid.UUID(value))
    if value is None:
        raise refused("id-missing", field, f"is missing or null; {_RULE}")
    if type(value) is int or type(value) is float:
        return _read_number(value, field)
    raise _refused("id-type", field, value)


def _read_number(value: float, field: str) -> int:
    if value < 0:
        raise _refused("id-negative", field, value)
    if value > MAX_INTEGER:
        raise _refused("id-too-large", field, value)
    if value >= _EXACT_BELOW:
        raise refused("id-inexact", field, f"is {shown(value)}; from 2^53 on an id is written as an integer")
    if not value.is_integer():
        raise _refused("id-fraction", field, value)
    return int(value)


def _refused(code: str, field: str, value: object) -> RefusedError:
    return refused(code, field, f"is {shown(value)}; {_RULE}")
