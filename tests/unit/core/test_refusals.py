"""Refusals: a code for machines, a short sentence for people."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.core.refusals import CODES, FIXES, MAX_FIELD, MAX_SHOWN, RefusedError, refused, shortened, shown

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def test_an_error_survives_pickling_with_every_field() -> None:
    """A refusal that crosses from one process to another says there what it said here."""
    error = refused("id-negative", "id", "is -1; a point id is not negative")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(copy, RefusedError)
    assert copy.refusal == error.refusal
    assert str(copy) == '"id" is -1; a point id is not negative'


@pytest.mark.parametrize("code", CODES)
def test_codes_can_be_labels(code: str) -> None:
    """Codes are lower case words with hyphens, each explained in one line, as is what to do about it."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
    assert re.fullmatch(r"[^|\n]*[^|\n.]", CODES[code])
    assert re.fullmatch(r"[^|\n]*\.", FIXES[code])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true", id="true"),
        pytest.param(2**64, "18446744073709551616", id="large integer"),
        pytest.param("ü\0", '"ü\\u0000"', id="string"),
        pytest.param([], "[]", id="empty list"),
        pytest.param([1, {"a": None}], '[1, {"a": null}]', id="nested"),
        pytest.param(list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, …]", id="long list"),
        pytest.param([[[[[[1]]]]]], "[[[[…]]]]", id="deep list"),
        pytest.param("x" * 100, f'"{"x" * 39}…{"x" * 38}"', id="long string"),
    ],
)
def test_a_value_is_shown_as_json(value: object, text: str) -> None:
    """People see the value as they wrote it, without what would take too much room."""
    assert shown(value) == text


@given(JSON)
def test_no_value_is_shown_at_length(value: Any) -> None:
    """However large the value is, it takes 80 characters at most."""
    assert len(shown(value)) <= MAX_SHOWN


def test_showing_a_value_costs_nothing_beyond_what_is_shown() -> None:
    """A value of any depth and width is shown; it is not walked to its end."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "[[[[…]]]]"


def test_a_field_is_shortened_too() -> None:
    """The name of a field comes from the message, so it may be of any length."""
    refusal = refused("vector-type", "vector." + "x" * 1_000_000, "is wrong").refusal
    assert len(refusal.field) == MAX_FIELD
    assert len(refusal.reason) < MAX_FIELD + 20


@given(st.text(), st.integers(3, 50))
def test_shortening_keeps_both_ends(text: str, length: int) -> None:
    """A text that fits stays; another keeps its beginning and its end, and has just the length asked for."""
    short = shortened(text, length)
    if len(text) <= length:
        assert short == text
    else:
        head, tail = short.split("…", 1) if "…" not in text else (short[: length // 2], short[length // 2 + 1 :])
        assert len(short) == length
        assert text.startswith(head)
        assert text.endswith(tail)
