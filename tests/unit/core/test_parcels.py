"""What travels between parse and write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from udfs.core.operations import Origin
from udfs.core.parcels import Operation, Parcel, last_per_id, operations_of

OPERATIONS = st.lists(
    st.builds(
        Operation,
        st.one_of(st.integers(0, 2**64 - 1), st.uuids().map(str)),
        st.one_of(st.none(), st.binary()),
        st.builds(Origin, st.text(), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1)),
    )
)


@given(OPERATIONS)
def test_a_parcel_arrives_as_it_was_packed(operations: list[Operation]) -> None:
    """Ids, points and origins come out in their order, whatever they are."""
    parcel = Parcel()
    for operation in operations:
        parcel.add(*operation)
    assert len(parcel) == len(operations)
    assert list(operations_of(parcel.to_bytes())) == operations


@given(st.lists(st.builds(Operation, st.integers(0, 3), st.binary(), st.just(Origin("t", 0, 0)))))
def test_the_last_operation_on_an_id_is_kept(operations: list[Operation]) -> None:
    """Each id that occurs is there once, with its last operation."""
    assert {operation.id: operation for operation in last_per_id(operations)} == {op.id: op for op in operations}
    assert len(last_per_id(operations)) == len({operation.id for operation in operations})
