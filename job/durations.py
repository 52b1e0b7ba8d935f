"""Durations and sizes as Flink's users write them: `500 ms`, `5 min`, `64 kb`. Settings are read with these."""

from __future__ import annotations

import re
from datetime import timedelta

# Labels and meanings are those of Flink's TimeUtils and MemorySize: a size's kilo is 1024, a bare number is
# milliseconds or bytes. Flink's ns and µs are left out: no setting here has a use for them.
_MILLISECONDS = {
    **dict.fromkeys(("", "ms", "milli", "millis", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
}
_BYTES = {
    **dict.fromkeys(("", "b", "bytes"), 1),
    **dict.fromkeys(("k", "kb", "kibibytes"), 1024),
    **dict.fromkeys(("m", "mb", "mebibytes"), 1024**2),
    **dict.fromkeys(("g", "gb", "gibibytes"), 1024**3),
    **dict.fromkeys(("t", "tb", "tebibytes"), 1024**4),
}
_QUANTITY = re.compile(r"([0-9]+)\s*([a-z]*)")
# Flink keeps a duration's milliseconds and a size's bytes in a long.
_LARGEST = 2**63 - 1


def read_duration(text: str) -> timedelta:
    """Return the duration that `text` spells; raise ValueError with advice if it spells none."""
    milliseconds = _read(text, _MILLISECONDS)
    try:
        if milliseconds is not None:
            return timedelta(milliseconds=milliseconds)
    except OverflowError:
        pass  # more than 2.7 million years: no duration that anyone means
    raise ValueError("give a duration such as `500 ms`, `10 s`, `5 min` or `1 h`")


def read_size(text: str) -> int:
    """Return the bytes that `text` spells; raise ValueError with advice if it spells none."""
    size = _read(text, _BYTES)
    if size is None:
        raise ValueError("give a size such as `64 kb`, `2 mb`, `1 gb`, or a number of bytes")
    return size


def _read(text: str, units: dict[str, int]) -> int | None:
    match = _QUANTITY.fullmatch(text.strip().lower())
    if match is None or match[2] not in units or len(match[1]) > len(str(_LARGEST)):
        return None
    quantity = int(match[1]) * units[match[2]]
    return quantity if quantity <= _LARGEST else None
