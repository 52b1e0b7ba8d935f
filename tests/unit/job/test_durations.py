"""Durations and sizes mean what they mean in Flink, and nothing else is taken for one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.durations import read_duration, read_size

if TYPE_CHECKING:
    from collections.abc import Callable

_MILLISECONDS = {"": 1, "ms": 1, "millis": 1, "s": 1000, "sec": 1000, "seconds": 1000, "m": 60_000, "min": 60_000}
_MILLISECONDS |= {"minutes": 60_000, "h": 3_600_000, "hours": 3_600_000, "d": 86_400_000, "days": 86_400_000}
_BYTES = {"": 1, "b": 1, "bytes": 1, "k": 2**10, "kb": 2**10, "m": 2**20, "mb": 2**20, "g": 2**30, "gb": 2**30}
_BYTES |= {"t": 2**40, "tb": 2**40}

_spaces = st.sampled_from(["", " ", "  "])
_cases = st.sampled_from([str.lower, str.upper])


@given(number=st.integers(0, 10**9), unit=st.sampled_from(sorted(_MILLISECONDS)), space=_spaces, case=_cases)
def test_a_duration_is_its_number_times_its_unit(number: int, unit: str, space: str, case: type[str]) -> None:
    """A duration has Flink's value, whatever its case and spaces."""
    text = f"{space}{number}{space}{case(unit)}{space}"
    try:
        expected = timedelta(milliseconds=number * _MILLISECONDS[unit])
    except OverflowError:
        with pytest.raises(ValueError, match="give a duration"):
            read_duration(text)
    else:
        assert read_duration(text) == expected


@given(number=st.integers(0, 2**20), unit=st.sampled_from(sorted(_BYTES)), space=_spaces, case=_cases)
def test_a_size_is_its_number_times_its_unit(number: int, unit: str, space: str, case: type[str]) -> None:
    """A size has Flink's value, with a kilo of 1024, whatever its case and spaces."""
    assert read_size(f"{space}{number}{space}{case(unit)}{space}") == number * _BYTES[unit]


@pytest.mark.parametrize(("read", "advice"), [(read_duration, "give a duration"), (read_size, "give a size")])
@given(text=st.text())
def test_any_text_is_read_or_refused_with_advice(read: Callable[[str], object], advice: str, text: str) -> None:
    """No text does anything but give a value or a ValueError that says what to write."""
    try:
        read(text)
    except ValueError as error:
        assert str(error).startswith(advice)  # noqa: PT017 - most texts, not all, are refused


@pytest.mark.parametrize(
    "text", ["", "s", "-1 s", "1.5 s", "1 s 1 s", "1 week", "1 mb", "٣ s", "99999999999 h", "9" * 30, "9" * 5000]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Signs, fractions, unknown units, other scripts' digits and endless numbers are no durations."""
    with pytest.raises(ValueError, match="give a duration such as"):
        read_duration(text)


@pytest.mark.parametrize("text", ["", "mb", "-1", "1.5 mb", "1 pb", "1 s", "9999999999 tb", "9" * 5000])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Signs, fractions, unknown units and sizes above a Java long are no sizes."""
    with pytest.raises(ValueError, match="give a size such as"):
        read_size(text)
