"""Reads lists of numbers, many at once, from their texts: to start and to end costs more than a list does.

Knows no messages. Each text is of one list at most: it has no bracket but the two around it, and no quote. So if all of
them, joined by commas, are JSON with nothing but numbers in its lists, each is such a list by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from simdjson import Parser

from udfs.core.vectors import FLOAT_BYTES, MAX_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# They stand behind each list to tell where it ends, for no list that can be read has such a number.
_TOO_LARGE_FOR_FLOAT32 = b"1e308"
_TOO_LARGE_FOR_AN_INDEX = b"%d" % (MAX_INDEX + 1)


class UnsureError(ValueError):
    """It may not be what it should be: the exact reader has to look at it."""


def read_numbers(texts: Sequence[bytes | memoryview]) -> list[bytes]:
    """Return numbers as float32; raise UnsureError if not all can be."""
    doubles = np.frombuffer(_read(texts, _TOO_LARGE_FOR_FLOAT32, "d"), np.float64)
    with np.errstate(over="ignore"):
        floats = doubles.astype("<f4")
    packed = floats.tobytes()
    spans = _spans(np.isinf(floats), len(texts))
    return [packed[FLOAT_BYTES * start : FLOAT_BYTES * end] for start, end in spans]


def read_unlike_indices(texts: Sequence[bytes | memoryview]) -> list[tuple[int, ...]]:
    """Return indices; raise UnsureError if one is none, is not written as an integer, or repeats another."""
    numbers = np.frombuffer(_read(texts, _TOO_LARGE_FOR_AN_INDEX, "u"), np.uint64)
    flat = numbers.tolist()
    lists = [tuple(flat[start:end]) for start, end in _spans(numbers > MAX_INDEX, len(texts))]
    # If they rise in every list, as they usually do, they fall only from a list's end to the next list.
    falls = np.count_nonzero(numbers[1:] <= numbers[:-1])
    if falls >= len(lists) and any(len({*indices}) < len(indices) for indices in lists):
        raise UnsureError
    return lists


def _read(texts: Sequence[bytes | memoryview], end: bytes, kind: Literal["d", "u"]) -> Any:
    """Return the numbers of all lists in one buffer, with the end behind each."""
    if not texts:
        return b""
    joined = b"[%b,%b]" % ((b",%b," % end).join(texts), end)
    try:
        lists: Any = Parser().parse(joined)
        return lists.as_buffer(of_type=kind)
    except (ValueError, LookupError, TypeError, RuntimeError) as error:  # simdjson's, by the kind of fault
        raise UnsureError from error


def _spans(are_ends: NDArray[np.bool_], count: int) -> Iterator[tuple[int, int]]:
    """Yield where each list starts and ends."""
    if np.count_nonzero(are_ends) != count:
        raise UnsureError
    width, rest = divmod(len(are_ends), count or 1)
    if count and not rest and are_ends[width - 1 :: width].all():  # as most are: then they need not be looked for
        return zip(range(0, len(are_ends), width), range(width - 1, len(are_ends), width), strict=True)
    ends = np.flatnonzero(are_ends).tolist()
    return zip([0, *(end + 1 for end in ends)], ends, strict=False)
