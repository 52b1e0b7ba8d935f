"""The parse stage, by itself and with the write stage behind it: every message ends somewhere, and just once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.metrics import Context
from tests.support.packing import KafkaRecord, pack_of
from tests.support.store import NOWHERE, MemoryPoints
from udfs.core.batching import BatchLimits
from udfs.core.dead_letters import DeadLetter, LetterRules
from udfs.core.error_limit import ErrorLimit
from udfs.core.failures import MessageRefusedError, StoreError, TooManyRefusedError
from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete, Upsert
from udfs.core.parcels import AddressedParcel, operations_of
from udfs.core.refusals import Refusal
from udfs.core.retry import Backoff
from udfs.core.routing import DEAD_LETTERS, Addresses, Writers, collection_of, key_of
from udfs.core.vectors import Dense
from udfs.dead_letters import DeadLetterOptions
from udfs.parse import ParseOptions, ParseStage, write_key_of
from udfs.qdrant.patience import RetryOptions
from udfs.write import WriteOptions, WriteStage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyflink.common import Row

LANES = 4
WRITERS = Writers(LANES, 128)
LIMITS = BatchLimits(100, 1 << 20, 8)
QUICK = RetryOptions(Backoff(0.0001, 0.0002))
LETTERS = DeadLetterOptions(LetterRules("my-job", 10**6), ErrorLimit(0.9, 0, 60))
PARSE = ParseOptions(ParseRules(), LANES, LIMITS, LIMITS, NOWHERE, QUICK, LETTERS)
WRITE = WriteOptions(NOWHERE, LIMITS, max_in_flight=2, retry=QUICK, dead_letters=LETTERS)


class Message(NamedTuple):
    """A key and a value."""

    key: bytes | None
    value: bytes | None


def upsert(collection: str, point_id: Any, size: int, version: int = 0) -> Message:
    """Return a message with a point whose payload tells its version."""
    body = {"collection_name": collection, "id": point_id, "vector": [1] * size, "payload": {"version": version}}
    return Message(b"any", json.dumps(body).encode())


def tombstone(collection: str, point_id: Any) -> Message:
    """Return a message that deletes a point."""
    return Message(json.dumps({"collection_name": collection, "id": point_id}).encode(), None)


def packs(messages: Sequence[Message], first_offset: int = 0) -> list[bytes]:
    """Return messages as the source hands them on, three in a pack, each with a header of its own."""
    records = [
        KafkaRecord(key, value, "messages", 3, offset, {"at": str(offset).encode()})
        for offset, (key, value) in enumerate(messages, first_offset)
    ]
    return [pack_of(records[at : at + 3]) for at in range(0, len(records), 3)]


def parsed(store: MemoryPoints, *batches: list[bytes], options: ParseOptions = PARSE) -> tuple[ParseStage, list[Row]]:
    """Handle the batches, each of packs, one after another."""
    stage = ParseStage(options, connect=lambda _connection: store)

    async def run() -> list[Row]:
        stage.open(Context(None, *WRITERS))
        return [row for batch in batches for row in await stage.handle("", batch)]

    return stage, asyncio.run(run())


def test_operations_leave_by_collection_and_writer_in_their_order() -> None:
    """A row has one address and everything for it; each operation has its id, its place and its bytes."""
    messages = [upsert("docs", 1, 2), tombstone("docs", 1), upsert("other", 1, 3), upsert("docs", 5, 2)]
    messages += [upsert("docs", number, 2) for number in range(20)]
    stage, rows = parsed(MemoryPoints({"docs": 2, "other": 3}), packs(messages, 100))
    addresses = Addresses(LANES, WRITERS)
    seen = {}
    for row in rows:
        parcel = AddressedParcel(*row)
        assert write_key_of(row) == key_of(parcel.address)
        operations = operations_of(parcel.parcel)
        assert parcel.length == len(operations)
        seen[parcel.address] = [operation.origin.offset for operation in operations]
        for operation in operations:
            assert addresses.of(collection_of(parcel.address), addresses.lane_of(operation.id)) == parcel.address
            assert (operation.point is None) == (operation.origin.offset == 101)
    assert sorted(offset for offsets in seen.values() for offset in offsets) == list(range(100, 124))
    assert all(offsets == sorted(offsets) for offsets in seen.values())
    assert stage._account["read"] == 24


def test_without_lanes_a_collection_has_one_address() -> None:
    """However many writers there are: what is written where it is parsed is not dealt out, dead letters neither."""
    messages = [upsert("docs", number, 2) for number in range(20)] + [upsert("other", 1, 3), Message(None, None)]
    store = MemoryPoints({"docs": 2, "other": 3})
    _, rows = parsed(store, packs(messages), options=replace(PARSE, lanes=None))
    parcels = [AddressedParcel(*row) for row in rows]
    assert [(collection_of(parcel.address), parcel.length) for parcel in parcels] == [
        ("docs", 20),
        ("other", 1),
        (DEAD_LETTERS, 1),
    ]
    assert len({key_of(parcel.address) for parcel in parcels}) == 1


def test_a_refused_message_leaves_as_a_dead_letter_with_everything_it_had() -> None:
    """Key, value and headers are there to the byte, and where it stood; its neighbours go their way."""
    bad = Message(b"\xff", b'{"collection_name": "docs", "id": -1}')
    store = MemoryPoints({"docs": 2})
    _, rows = parsed(store, packs([upsert("docs", 1, 2), bad, upsert("docs", 2, 2)], 17))
    (row,) = [row for row in rows if collection_of(AddressedParcel(*row).address) == DEAD_LETTERS]
    (letter,) = delivered(store, [row])[1]
    assert (letter.key, letter.value, letter.headers["at"]) == (*bad, b"18")
    assert (letter.headers["__connect.errors.offset"], letter.code) == (b"18", "id-negative")
    assert sum(AddressedParcel(*row).length for row in rows) == 3


def test_dead_letters_use_all_writers() -> None:
    """Those of one batch stay together, those of unlike batches need not meet one writer."""
    _, rows = parsed(MemoryPoints({}), *(packs([Message(None, None)] * 2) for _ in range(100)))
    assert [AddressedParcel(*row).length for row in rows] == [2] * 100
    assert {WRITERS.of(write_key_of(row)) for row in rows} == {0, 1, 2, 3}, "by chance, one in 10**12 times"


def test_large_dead_letters_leave_in_parcels_of_the_size_of_a_batch() -> None:
    """However large the messages are, what travels is no larger than a batch of points."""
    messages = [Message(b"k", b"x" * 400_000)] * 7
    _, rows = parsed(MemoryPoints({}), packs(messages))
    assert [AddressedParcel(*row).length for row in rows] == [2, 2, 2, 1]
    _, letters = delivered(MemoryPoints({}), rows)
    assert [Message(letter.key, letter.value) for letter in letters] == messages


@pytest.mark.parametrize(
    ("most", "lengths"),
    [
        pytest.param(replace(LIMITS, max_bytes=1000), [2, 1, 1, 2], id="bytes"),
        pytest.param(replace(LIMITS, max_count=4), [4, 2], id="points"),
        pytest.param(replace(LIMITS, max_count=1), [1] * 6, id="one point"),
    ],
)
@pytest.mark.parametrize("lanes", [None, 1], ids=["handed on", "as bytes"])
def test_points_leave_in_parcels_of_the_size_of_a_request(
    lanes: int | None, most: BatchLimits, lengths: list[int]
) -> None:
    """However much a batch of text is parsed into; a larger point goes by itself, and their order stays."""
    sizes = [100, 100, 100, 2000, 1, 1]
    body = {"collection_name": "docs", "vector": [1, 1]}
    texts = [json.dumps({**body, "id": at, "payload": {"text": "x" * size}}) for at, size in enumerate(sizes)]
    options = replace(PARSE, lanes=lanes, parcels=most)
    _, rows = parsed(
        MemoryPoints({"docs": 2}), packs([Message(None, text.encode()) for text in texts]), options=options
    )
    parcels = [AddressedParcel(*row) for row in rows]
    assert [parcel.length for parcel in parcels] == lengths
    assert [op.id for parcel in parcels for op in operations_of(parcel.parcel)] == [*range(len(sizes))]


def test_an_output_counts_with_its_parcel() -> None:
    """Or with its dead letters: all but the address."""
    stage, rows = parsed(MemoryPoints({"docs": 2}), packs([upsert("docs", 1, 2), Message(None, None)]))
    assert [stage.bytes_of(row) for row in rows] == [len(row[2]) for row in rows]
    assert all(stage.bytes_of(row) > 0 for row in rows)


def test_a_pack_counts_with_all_its_records_and_bytes() -> None:
    """Whatever is held while the batch fills, headers too."""
    (pack,) = packs([Message(b"key", b"value"), Message(None, None)])
    assert ParseStage(PARSE).size_of(pack) == (2, len(pack))


def test_a_point_that_does_not_fit_its_collection_never_leaves() -> None:
    """It is refused where the original is at hand, and the collection is asked for once."""
    store = MemoryPoints({"docs": 2})
    messages = [upsert("docs", 1, 2), upsert("docs", 2, 3), upsert("x", 3, 2), tombstone("x", 4)]
    _, rows = parsed(store, packs(messages))
    _, letters = delivered(store, rows)
    assert [letter.code for letter in letters] == ["vector-size", "collection-unknown", "collection-unknown"]
    assert [Message(letter.key, letter.value) for letter in letters] == messages[1:]
    assert sorted(store.described) == ["docs", "x"]


def test_without_dead_letters_the_first_refusal_ends_the_job() -> None:
    """The sentence says where the message stands."""
    batch = packs([upsert("docs", 1, 2), upsert("docs", 1, 3), Message(None, None)], 17)
    with pytest.raises(MessageRefusedError, match="partition 3, offset 18 was refused"):
        parsed(MemoryPoints({"docs": 2}), batch, options=replace(PARSE, dead_letters=None))


def test_too_many_refusals_end_the_job() -> None:
    """When nearly everything is refused, something else is wrong."""
    options = replace(PARSE, dead_letters=replace(LETTERS, limit=ErrorLimit(0.9, 3, 60)))
    with pytest.raises(TooManyRefusedError, match="3 of the last 3 messages were refused"):
        parsed(MemoryPoints({}), packs([Message(None, None)] * 2), packs([Message(None, None)]), options=options)


def test_a_key_that_is_not_there_ends_the_job_with_a_sentence() -> None:
    """A worker without the key says what was looked for."""
    stage = ParseStage(replace(PARSE, connection=replace(NOWHERE, key_source="env:NO_SUCH_KEY")))

    async def run() -> None:
        stage.open(Context())
        await stage.handle("", packs([upsert("docs", 1, 2)]))

    with pytest.raises(StoreError, match="environment variable NO_SUCH_KEY, which is not set"):
        asyncio.run(run())


def delivered(store: MemoryPoints, *batches: list[Row]) -> tuple[WriteStage, list[DeadLetter]]:
    """Hand rows to a writer, in batches; return it and the dead letters."""
    stage = WriteStage(WRITE, connect=lambda _connection: store)

    async def run() -> list[DeadLetter]:
        stage.open(Context())
        letters = []
        for batch in batches:
            for group in dict.fromkeys(map(stage.group_of, batch)):
                rows = [row for row in batch if stage.group_of(row) == group]
                letters += [DeadLetter(*letter) for letter in await stage.handle(group, rows)]
        return letters

    return stage, asyncio.run(run())


IDS = st.integers(0, 3) | st.just("550e8400-e29b-41d4-a716-446655440000")
NAMES = st.sampled_from(["docs", "other", "x"])
MESSAGES = st.lists(
    st.builds(upsert, NAMES, IDS, st.integers(1, 3), st.integers(1, 99))
    | st.builds(upsert, st.just("docs"), IDS, st.just(2), st.integers(1, 99))
    | st.builds(tombstone, NAMES, IDS)
    | st.builds(Message, st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3)),
    max_size=40,
)
SIZES = st.sampled_from(
    [{"docs": 2, "other": 3}, {"docs": 2}, {"docs": 3, "other": 3}, {"docs": 2, "other": 2, "x": 1}]
)


@given(MESSAGES, st.integers(1, 15), SIZES, SIZES)
def test_every_message_is_accounted_for_once(
    messages: list[Message], cut: int, sizes: dict[str, int], changed: dict[str, int]
) -> None:
    """Good and bad, in any batches, also where the collections change between the stages.

    What is read is written, deleted, superseded or a dead letter; a message is a dead letter if parsing refuses it, and
    otherwise only if Qdrant does; and each point is what the newest accepted message made of it.
    """
    store = MemoryPoints(sizes)
    batches = packs(messages)
    parse, parcels = parsed(store, *(batches[at : at + cut] for at in range(0, len(batches), cut)))
    store.sizes = changed
    write, letters = delivered(store, *(parcels[at : at + cut] for at in range(0, len(parcels), cut)))

    account, by_code = write._account, Counter(letter.code for letter in letters)
    ends = [account[name] for name in ("written", "deleted", "superseded", "deadLettered")]
    assert parse._account["read"] == len(messages) == sum(ends)
    assert ends[-1] == len(letters)
    assert all(account[code] == count for code, count in by_code.items())

    fitting = [fits(message, sizes) for message in messages]
    accepted = [is_fit and fits(message, changed) for message, is_fit in zip(messages, fitting, strict=True)]
    offsets = [int(letter.headers["__connect.errors.offset"] or b"") for letter in letters]
    assert len(set(offsets)) == len(offsets)
    assert {offset for offset, is_fit in enumerate(fitting) if not is_fit} <= set(offsets)
    assert not {offset for offset, is_accepted in enumerate(accepted) if is_accepted} & set(offsets)
    expected = left_by([message for message, is_accepted in zip(messages, accepted, strict=True) if is_accepted])
    assert {at: point.payload["version"].integer_value for at, point in store.points.items()} == expected


def fits(message: Message, sizes: Mapping[str, int]) -> bool:
    """Tell whether a message is good, and good for collections of these sizes."""
    operation = parse_message(*message, ParseRules())
    if isinstance(operation, Refusal) or operation.collection not in sizes:
        return False
    if isinstance(operation, Delete):
        return True
    vector = operation.vectors[""]
    return isinstance(vector, Dense) and len(vector.packed) == 4 * sizes[operation.collection]


def left_by(messages: list[Message]) -> dict[tuple[str, int | str], int]:
    """Return the version of each point when these messages have taken effect in their order."""
    left: dict[tuple[str, int | str], int] = {}
    for message in messages:
        operation = parse_message(*message, ParseRules())
        assert not isinstance(operation, Refusal)
        if isinstance(operation, Upsert):
            left[operation.collection, operation.id] = operation.payload["version"]
        else:
            left.pop((operation.collection, operation.id), None)
    return left
