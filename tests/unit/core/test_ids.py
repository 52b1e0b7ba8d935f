"""Point ids: exactly what Qdrant stores, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.core.ids import read_point_id
from udfs.core.refusals import RefusedError

if TYPE_CHECKING:
    import uuid

UUID = "550e8400-e29b-41d4-a716-446655440000"
SIMPLE = UUID.replace("-", "")


@pytest.mark.parametrize(
    ("value", "point_id"),
    [
        pytest.param(0, 0, id="zero"),
        pytest.param(2**53 + 1, 2**53 + 1, id="above what a double can hold"),
        pytest.param(2**64 - 1, 2**64 - 1, id="largest"),
        pytest.param(7.0, 7, id="whole float"),
        pytest.param(-0.0, 0, id="minus zero"),
        pytest.param(2.0**53 - 1, 2**53 - 1, id="largest exact float"),
        pytest.param(UUID, UUID, id="hyphenated"),
        pytest.param(UUID.upper(), UUID, id="upper case"),
        pytest.param(SIMPLE, UUID, id="simple"),
        pytest.param(SIMPLE.upper(), UUID, id="simple upper case"),
        pytest.param(f"{{{UUID}}}", UUID, id="braced"),
        pytest.param(f"urn:uuid:{UUID}", UUID, id="urn"),
        pytest.param(f"urn:uuid:{UUID.upper()}", UUID, id="urn upper case"),
    ],
)
def test_an_id_is_kept_exactly(value: object, point_id: int | str) -> None:
    """Integers keep every digit, and every spelling of a UUID becomes the one that Qdrant returns."""
    read = read_point_id(value)
    assert (read, type(read)) == (point_id, type(point_id))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(None, "id-missing", id="null"),
        pytest.param(True, "id-type", id="true"),
        pytest.param([1], "id-type", id="list"),
        pytest.param({"num": 1}, "id-type", id="object"),
        pytest.param(-1, "id-negative", id="negative"),
        pytest.param(-0.5, "id-negative", id="negative fraction"),
        pytest.param(1.5, "id-fraction", id="fraction"),
        pytest.param(2.0**53, "id-inexact", id="float of 2^53"),
        pytest.param(2**64, "id-too-large", id="integer of 2^64"),
        pytest.param(2.0**64, "id-too-large", id="float of 2^64"),
        pytest.param("", "id-uuid", id="empty string"),
        pytest.param("5", "id-uuid", id="integer as a string"),
        pytest.param(f" {UUID}", "id-uuid", id="space before"),
        pytest.param(f"{UUID}\n", "id-uuid", id="newline after"),
        pytest.param(f"{{{SIMPLE}}}", "id-uuid", id="braced simple"),
        pytest.param(f"urn:uuid:{SIMPLE}", "id-uuid", id="urn simple"),
        pytest.param(f"URN:UUID:{UUID}", "id-uuid", id="urn in upper case"),
        pytest.param(f"urn:uuid:{{{UUID}}}", "id-uuid", id="urn braced"),
        pytest.param(f"{SIMPLE[:8]}-{SIMPLE[8:]}", "id-uuid", id="one hyphen"),
        pytest.param("\N{ARABIC-INDIC DIGIT ONE}" * 32, "id-uuid", id="digits that are not ASCII"),
        pytest.param("g" * 32, "id-uuid", id="letters that are not hexadecimal"),
    ],
)
def test_an_id_that_qdrant_could_not_keep_is_refused(value: object, code: str) -> None:
    """What would become another id, or none, is refused with the reason."""
    with pytest.raises(RefusedError) as error:
        read_point_id(value)
    assert (error.value.refusal.code, error.value.refusal.field) == (code, "id")


@given(st.uuids(), st.sampled_from(["{}", "{{{}}}", "urn:uuid:{}"]), st.sampled_from([str.lower, str.upper, str.title]))
def test_reading_a_canonical_id_again_changes_nothing(value: uuid.UUID, form: str, case: object) -> None:
    """All spellings of one UUID have one canonical id, which is its own."""
    assert callable(case)
    canonical = read_point_id(form.format(case(str(value))))
    assert canonical == read_point_id(canonical) == str(value)


@given(st.integers(0, 2**53 - 1))
def test_an_integer_and_its_float_are_one_id(number: int) -> None:
    """Below 2^53 a producer that writes 7.0 means the point that another calls 7."""
    assert read_point_id(float(number)) == read_point_id(number) == number
