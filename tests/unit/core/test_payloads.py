"""Payloads: any JSON object that reaches Qdrant unchanged, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from udfs.core.payloads import InexactNumberError, read_payload
from udfs.core.refusals import RefusedError


def nested(levels: int, *, in_lists: bool = False) -> Any:
    """Return a number inside so many objects or lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if in_lists else {"k": value}
    return value


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({}, id="empty"),
        pytest.param({"": "", "n\0": "\0", "ü": "𝄞"}, id="odd strings"),
        pytest.param({"a": {}, "b": [], "c": None, "d": False, "e": [None, [], {}]}, id="empty things"),
        pytest.param({"low": -(2**63), "high": 2**63 - 1}, id="largest integers"),
        pytest.param({"int": 7, "float": 7.0, "minus": -0.0, "tiny": 5e-324, "large": 9.2e18}, id="numbers"),
        pytest.param({"k": nested(32)}, id="32 objects"),
        pytest.param({"k": nested(48, in_lists=True)}, id="48 lists"),
    ],
)
def test_a_payload_is_kept_as_it_is(payload: dict[str, Any]) -> None:
    """Reading a payload changes nothing in it."""
    assert repr(read_payload(payload)) == repr(payload)


def test_null_is_an_empty_payload() -> None:
    """A payload that is null or missing is an empty one."""
    assert read_payload(None) == {}


@pytest.mark.parametrize(
    ("payload", "code", "field"),
    [
        pytest.param([], "payload-type", "payload", id="list"),
        pytest.param("x", "payload-type", "payload", id="string"),
        pytest.param(0, "payload-type", "payload", id="number"),
        pytest.param({"a": 2**63}, "payload-integer", "payload.a", id="integer of 2^63"),
        pytest.param({"a": [{"b": 0}, {"b": -(2**63) - 1}]}, "payload-integer", "payload.a[1].b", id="below -2^63"),
        pytest.param({"a": nested(33)}, "payload-too-deep", "payload.a" + ".k" * 32, id="33 objects"),
        pytest.param({"a": nested(49, in_lists=True)}, "payload-too-deep", None, id="49 lists"),
        pytest.param({"a": nested(900)}, "payload-too-deep", None, id="900 objects"),
    ],
)
def test_a_payload_that_protobuf_could_not_carry_is_refused(payload: object, code: str, field: str | None) -> None:
    """The refusal says where in the payload the fault is."""
    with pytest.raises(RefusedError) as error:
        read_payload(payload)
    assert error.value.refusal.code == code
    assert field in (None, error.value.refusal.field)


@pytest.mark.parametrize("number", [2.0**63, -(2.0**63), 1e300, -1e300])
def test_a_float_that_may_have_been_an_integer_is_doubted_until_the_text_is_read_exactly(number: float) -> None:
    """Of a large float nobody knows whether it was written as an integer, unless integers were read exactly."""
    with pytest.raises(InexactNumberError):
        read_payload({"a": [number]})
    assert read_payload({"a": [number]}, is_exact=True) == {"a": [number]}
