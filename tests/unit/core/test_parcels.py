"""What travels between parse and write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from udfs.core.operations import Origin
from udfs.core.parcels import Histories, Operation, Parcel, operations_of

if TYPE_CHECKING:
    from udfs.core.operations import PointId

OFFSETS = st.integers(0, 2**63 - 1)
OPERATIONS = st.lists(
    st.builds(
        Operation,
        st.one_of(st.integers(0, 2**64 - 1), st.uuids().map(str)),
        st.one_of(st.none(), st.binary()),
        st.builds(Origin, st.text(), st.integers(0, 2**31 - 1), OFFSETS),
    )
)


@given(OPERATIONS)
def test_a_parcel_arrives_as_it_was_packed(operations: list[Operation]) -> None:
    """Ids, points and origins come out in their order, whatever they are, within a worker and between workers."""
    parcel = Parcel(operations)
    assert parcel.size >= sum(len(operation.point or b"") + 1 for operation in operations)
    assert operations_of(parcel) == operations_of(parcel.to_bytes()) == operations


ON_FEW_IDS = st.lists(
    st.builds(Operation, st.integers(0, 3), st.binary(max_size=1), st.builds(Origin, st.just("t"), st.just(0), OFFSETS))
)


@given(ON_FEW_IDS)
def test_the_newest_operation_on_each_id_counts(operations: list[Operation]) -> None:
    """Each id that occurs is there once, with its last operation."""
    newest = Histories(operations).newest()
    assert {operation.id: operation for operation in newest} == {op.id: op for op in operations}
    assert len(newest) == len({operation.id for operation in operations})


@given(ON_FEW_IDS, st.data())
def test_what_is_struck_out_gives_way_to_the_one_before(operations: list[Operation], data: st.DataObject) -> None:
    """However often the newest are refused, of each id the last one that is left counts, and nothing comes twice."""
    histories = Histories(operations)
    kept: dict[PointId, list[Operation]] = {}
    for operation in operations:
        kept.setdefault(operation.id, []).append(operation)
    newest = histories.newest()
    while newest:
        refused = [operation for operation in newest if data.draw(st.booleans())]
        for operation in refused:
            assert kept[operation.id].pop() is operation
        newest = histories.without(refused)
        assert newest == [kept[operation.id][-1] for operation in refused if kept[operation.id]]
