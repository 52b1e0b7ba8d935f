"""Lanes: one id meets one writer, in every process and after every restart."""

from __future__ import annotations

import json
import uuid
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from job.arguments import SettingsError, load_settings
from tests.support.generated import spellings
from udfs.core.messages import ParseRules, parse_message
from udfs.core.refusals import Refusal
from udfs.core.routing import DEAD_LETTERS, Addresses, Writers, address, collection_of, key_of, lane_of

RULES = ParseRules()
IDS = st.integers(0, 2**64 - 1) | st.uuids().map(str)


@given(IDS, st.integers(1, 4096))
def test_a_lane_is_one_of_the_lanes_and_always_the_same(point_id: int | str, lanes: int) -> None:
    """Every id has one lane, in 0…lanes-1."""
    assert lane_of(point_id, lanes) in range(lanes)
    assert lane_of(point_id, lanes) == lane_of(point_id, lanes)


@given(IDS | st.integers(0, 2**53 - 1), st.integers(1, 4096))
def test_however_an_id_is_written_it_meets_one_writer(point_id: int | str, lanes: int) -> None:
    """A UUID in any spelling, a whole float, in an upsert or in a tombstone: all have the key of the one id."""
    written = spellings(point_id) if isinstance(point_id, str) or point_id < 2**53 else [point_id]
    texts = [json.dumps({"collection_name": "docs", "id": spelling}).encode() for spelling in written]
    operations = [parse_message(None, text, RULES) for text in texts]
    operations += [parse_message(text, None, RULES) for text in texts]
    addresses = Addresses(lanes, Writers(3, 128))
    met = {addresses.of(op.collection, addresses.lane_of(op.id)) for op in operations if not isinstance(op, Refusal)}
    assert met == {addresses.of("docs", lane_of(point_id, min(lanes, 3)))}
    assert not any(isinstance(operation, Refusal) for operation in operations)


@example(4096, 0)
@given(st.integers(1, 100), st.integers(0, 2**63))
def test_no_lane_stays_empty(lanes: int, first: int) -> None:
    """Of ids that follow one another, integers or UUIDs, every lane gets some."""
    numbers = range(first, first + 32 * lanes)
    assert {lane_of(number, lanes) for number in numbers} == set(range(lanes))
    assert {lane_of(str(uuid.UUID(int=number)), lanes) for number in numbers} == set(range(lanes))


@pytest.mark.parametrize(
    ("point_id", "lane"),
    [
        pytest.param(0, 9, id="zero"),
        pytest.param(17, 27, id="small"),
        pytest.param(2**64 - 1, 28, id="largest"),
        pytest.param("550e8400-e29b-41d4-a716-446655440000", 29, id="uuid"),
    ],
)
def test_lanes_never_change(point_id: int | str, lane: int) -> None:
    """Lanes are the same in the next release: a savepoint's records must meet the writers of those after it."""
    assert lane_of(point_id, 32) == lane


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(list(range(32_000)), id="consecutive integers"),
        pytest.param(list(range(0, 32_000 * 1024, 1024)), id="integers in large steps"),
        pytest.param([str(uuid.UUID(int=at)) for at in range(32_000)], id="consecutive uuids"),
    ],
)
def test_lanes_share_the_work(ids: list[int | str]) -> None:
    """No lane has more than twice its share, whatever pattern the ids follow."""
    shares = Counter(lane_of(point_id, 32) for point_id in ids)
    assert max(shares.values()) <= 2_000


KEYS = st.integers(0, 99).map(str)


@example(("1", "1a"), ("11", "a"))
@given(st.tuples(KEYS, st.text()), st.tuples(KEYS, st.text()))
def test_unlike_places_have_unlike_addresses(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Neither two collections nor two writers share an address, whatever characters a name has."""
    assert (address(*one) == address(*other)) == (one == other)


@given(KEYS, st.text())
def test_an_address_names_key_and_collection(key: str, collection: str) -> None:
    """Flink learns from it where to bring a parcel, and a writer which collection it is for."""
    assert (key_of(address(key, collection)), collection_of(address(key, collection))) == (key, collection)


@pytest.mark.parametrize(("subtasks", "key_groups"), [(1, 128), (3, 128), (100, 256), (128, 128), (1000, 2048)])
def test_each_writer_has_a_key(subtasks: int, key_groups: int) -> None:
    """Flink's hash brings each of them to another one."""
    writers = Writers(subtasks, key_groups)
    assert [writers.of(key) for key in writers.key_of_each()] == list(range(subtasks))


@given(st.text(), st.integers(1, 60), st.integers(1, 100))
def test_writers_share_a_collection(collection: str, subtasks: int, lanes: int) -> None:
    """As many as there are lanes, each with one of them."""
    writers = Writers(subtasks, 128)
    addresses = Addresses(lanes, writers)
    met = Counter(addresses.of(collection, addresses.lane_of(number)) for number in range(64 * subtasks))
    assert len({writers.of(key_of(address)) for address in met}) == len(met) == min(lanes, subtasks)


def test_small_collections_do_not_all_begin_with_one_writer() -> None:
    """With a single lane each, many collections are spread over the writers."""
    writers = Writers(4, 128)
    addresses = Addresses(1, writers)
    shares = Counter(
        writers.of(key_of(addresses.of(f"tenant-{number}", addresses.lane_of(1)))) for number in range(400)
    )
    assert min(shares[subtask] for subtask in range(4)) >= 50


@pytest.mark.parametrize(("key", "subtask"), [("0", 25), ("17", 18), ("63999", 3)])
def test_the_writer_of_a_key_is_the_one_that_flink_chooses(key: str, subtask: int) -> None:
    """As Flink's own KeyGroupRangeAssignment said of a Row of this key; tests/flink/test_writers.py asks it anew."""
    assert Writers(100, 128).of(key) == subtask


def test_a_writer_that_no_key_meets_is_done_without() -> None:
    """The search for keys ends, whatever Flink makes of them."""
    assert len(Writers(2, 1).key_of_each()) == 2


def test_dead_letters_are_no_collection() -> None:
    """What stands for the dead letters cannot be the name of a collection, neither a message's nor a setting's."""
    named = parse_message(None, b'{"collection_name": "%b", "id": 1}' % DEAD_LETTERS.encode(), RULES)
    assert isinstance(named, Refusal)
    assert named.code == "collection-invalid"
    with pytest.raises(SettingsError, match=r"qdrant\.collection\.name is ''"):
        load_settings(
            [
                "--topics=a",
                "--properties.bootstrap.servers=k",
                "--qdrant.grpc.url=http://q",
                "--qdrant.collection.name=",
            ]
        )
