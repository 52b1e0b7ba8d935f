"""Vectors: float32 exactly as a server would round them, or refused."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.core.refusals import RefusedError
from udfs.core.vectors import Dense, Multi, Sparse, Vector, read_vectors

LARGEST = (2 - 2**-23) * 2.0**127
FIRST_BEYOND = (2 - 2**-24) * 2.0**127  # half-way to the next: rounds to infinity
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
DENSE = st.lists(FLOATS, min_size=1, max_size=8)


def packed(*values: float) -> bytes:
    """Return little-endian float32."""
    return struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize(
    ("value", "vectors"),
    [
        pytest.param(None, {}, id="null"),
        pytest.param({}, {}, id="empty object"),
        pytest.param([1, 0.5], {"": Dense(packed(1, 0.5))}, id="unnamed dense"),
        pytest.param([[1], [2]], {"": Multi((packed(1), packed(2)))}, id="unnamed multi"),
        pytest.param({"a": [1], "b": [2, 3]}, {"a": Dense(packed(1)), "b": Dense(packed(2, 3))}, id="named dense"),
        pytest.param({"": [1]}, {"": Dense(packed(1))}, id="empty name"),
        pytest.param({"m": [[1, 2], [3, 4]]}, {"m": Multi((packed(1, 2), packed(3, 4)))}, id="named multi"),
        pytest.param({"s": {"indices": [9, 0], "values": [1, 2]}}, {"s": Sparse((9, 0), packed(1, 2))}, id="sparse"),
        pytest.param({"s": {"indices": [], "values": []}}, {"s": Sparse((), b"")}, id="empty sparse"),
        pytest.param(
            {"s": {"indices": [2**32 - 1], "values": [1]}}, {"s": Sparse((2**32 - 1,), packed(1))}, id="index"
        ),
        pytest.param({"s": {"indices": [7.0], "values": [1]}}, {"s": Sparse((7,), packed(1))}, id="whole float index"),
        pytest.param(
            {"s": {"indices": [1], "values": [1], "x": 0}}, {"s": Sparse((1,), packed(1))}, id="unknown field"
        ),
        pytest.param([LARGEST, -LARGEST], {"": Dense(packed(LARGEST, -LARGEST))}, id="largest float32"),
        pytest.param([1e-50, -1e-50, 1e-45], {"": Dense(packed(0.0, -0.0, 1e-45))}, id="underflow"),
        pytest.param([2**64 - 1], {"": Dense(packed(2.0**64))}, id="large integer"),
    ],
)
def test_vectors_are_read(value: object, vectors: dict[str, Vector]) -> None:
    """Every format that Qdrant knows is read, each number rounded once."""
    assert read_vectors(value) == vectors


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        pytest.param("x", "vector-type", "vector", id="string"),
        pytest.param(1, "vector-type", "vector", id="number"),
        pytest.param(False, "vector-type", "vector", id="false"),
        pytest.param({"a": None}, "vector-type", "vector.a", id="named null"),
        pytest.param({"a": 1}, "vector-type", "vector.a", id="named number"),
        pytest.param({"a": {"text": "x"}}, "vector-type", "vector.a", id="object without indices"),
        pytest.param({"a": {"indices": [1], "values": 1}}, "vector-type", "vector.a", id="values no list"),
        pytest.param({"a": {"indices": None, "values": [1]}}, "vector-type", "vector.a", id="indices no list"),
        pytest.param([], "vector-empty", "vector", id="empty dense"),
        pytest.param({"a": []}, "vector-empty", "vector.a", id="named empty dense"),
        pytest.param([[]], "vector-empty", "vector[0]", id="empty row"),
        pytest.param([[1], []], "vector-empty", "vector[1]", id="empty second row"),
        pytest.param([1, True], "vector-element", "vector[1]", id="true"),
        pytest.param([1, None], "vector-element", "vector[1]", id="null in a vector"),
        pytest.param({"a": [0, 0, 0, "1"]}, "vector-element", "vector.a[3]", id="string in a vector"),
        pytest.param([1, [2]], "vector-element", "vector[1]", id="list in a dense vector"),
        pytest.param([[1], 2], "vector-type", "vector[1]", id="number among rows"),
        pytest.param([[1], [[2]]], "vector-element", "vector[1][0]", id="list in a row"),
        pytest.param({"m": [[1, 2], [3]]}, "multi-ragged", "vector.m[1]", id="ragged"),
        pytest.param([1, 1e39], "vector-overflow", "vector[1]", id="overflow"),
        pytest.param([FIRST_BEYOND], "vector-overflow", "vector[0]", id="rounds to infinity"),
        pytest.param([-1e39], "vector-overflow", "vector[0]", id="negative overflow"),
        pytest.param({"m": [[1], [1e39]]}, "vector-overflow", "vector.m[1][0]", id="overflow in a row"),
        pytest.param(
            {"s": {"indices": [1], "values": [1e39]}}, "vector-overflow", "vector.s.values[0]", id="sparse value"
        ),
        pytest.param({"s": {"indices": [1], "values": []}}, "sparse-length", "vector.s", id="no values"),
        pytest.param({"s": {"indices": [1], "values": [1, 2]}}, "sparse-length", "vector.s", id="more values"),
        pytest.param(
            {"s": {"indices": [1, -1], "values": [1, 2]}}, "sparse-index", "vector.s.indices[1]", id="negative"
        ),
        pytest.param({"s": {"indices": [1.5], "values": [1]}}, "sparse-index", "vector.s.indices[0]", id="fraction"),
        pytest.param({"s": {"indices": [True], "values": [1]}}, "sparse-index", "vector.s.indices[0]", id="true index"),
        pytest.param(
            {"s": {"indices": ["1"], "values": [1]}}, "sparse-index", "vector.s.indices[0]", id="string index"
        ),
        pytest.param({"s": {"indices": [2**32], "values": [1]}}, "sparse-index", "vector.s.indices[0]", id="too large"),
        pytest.param(
            {"s": {"indices": [3, 5, 5], "values": [1, 2, 3]}}, "sparse-repeated", "vector.s.indices[1]", id="twice"
        ),
    ],
)
def test_vectors_that_qdrant_could_not_keep_are_refused(value: object, code: str, field: str) -> None:
    """The refusal names the first row, element or index at fault."""
    with pytest.raises(RefusedError) as error:
        read_vectors(value)
    assert (error.value.refusal.code, error.value.refusal.field) == (code, field)


@given(DENSE)
def test_float32_is_kept_bit_by_bit(values: list[float]) -> None:
    """What is a float32 already is stored as it is, minus zero and subnormal numbers included."""
    vector = read_vectors(values)[""]
    assert isinstance(vector, Dense)
    read = struct.unpack(f"<{len(values)}f", vector.packed)
    assert [(value, math.copysign(1, value)) for value in read] == [(v, math.copysign(1, v)) for v in values]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_refused_only_if_float32_has_no_room_for_it(value: float) -> None:
    """What rounds to infinity is refused, and nothing else."""
    if abs(value) < FIRST_BEYOND:
        assert read_vectors([value]) == {"": Dense(packed(value))}
        return
    with pytest.raises(RefusedError) as error:
        read_vectors([value])
    assert error.value.refusal.code == "vector-overflow"
