"""What is read of a pack is what was packed, nulls and empty fields apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.support.packing import KafkaRecord, pack_of
from udfs.core.packs import count_of, headers_of, records_of

if TYPE_CHECKING:
    from collections.abc import Sequence

fields = st.none() | st.binary(max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
some_records = st.lists(
    st.builds(
        KafkaRecord,
        key=fields,
        value=fields,
        topic=names,
        partition=st.integers(0, 2**31 - 1),
        offset=st.integers(0, 2**63 - 1),
        headers=st.dictionaries(names, fields, max_size=3),
    ),
    max_size=5,
)


@given(some_records)
def test_records_are_read_as_they_were_packed(records: Sequence[KafkaRecord]) -> None:
    """Every field comes back, in the order of the records."""
    pack = pack_of(records)
    read = [
        KafkaRecord(key, value, *origin, headers=headers_of(headers))
        for key, value, origin, headers in records_of(pack)
    ]
    assert read == list(records)
    assert count_of(pack) == len(records)
