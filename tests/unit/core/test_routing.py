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
from udfs.core.routing import DEAD_LETTERS, WriteKeys, Writers, collection_of, lane_of, write_key

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
    keys = WriteKeys(lanes, Writers(3, 128))
    met = {
        keys.of(operation.collection, operation.id) for operation in operations if not isinstance(operation, Refusal)
    }
    assert met == {keys.of_lane("docs", lane_of(point_id, lanes))}
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


@example(("a", 11, 0), ("a1", 1, 0))
@example(("a", 11, 0), ("1a", 1, 0))
@example(("a", 1, 11), ("a", 11, 1))
@given(st.tuples(st.text(), *[st.integers(0, 99)] * 2), st.tuples(st.text(), *[st.integers(0, 99)] * 2))
def test_unlike_places_have_unlike_keys(one: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    """Two collections, or two lanes of one, never share a key, whatever characters a name has."""
    assert (write_key(*one) == write_key(*other)) == (one == other)


@given(st.text(), st.integers(1, 60), st.integers(1, 3), st.integers(0, 3))
def test_lanes_go_to_writers_in_turns(collection: str, subtasks: int, rounds: int, more: int) -> None:
    """With as many lanes as writers each has one, with twice as many two, and in between some one more than others."""
    lanes, writers = rounds * subtasks + more % subtasks, Writers(subtasks, 128)
    keys = WriteKeys(lanes, writers)
    shares = Counter(writers.of(keys.of_lane(collection, lane)) for lane in range(lanes))
    assert set(shares) == set(range(subtasks))
    assert set(shares.values()) <= {rounds, rounds + 1}


def test_small_collections_do_not_all_begin_with_one_writer() -> None:
    """With a single lane each, many collections are spread over the writers."""
    writers = Writers(4, 128)
    keys = WriteKeys(1, writers)
    shares = Counter(writers.of(keys.of_lane(f"tenant-{number}", 0)) for number in range(400))
    assert min(shares[subtask] for subtask in range(4)) >= 50


@pytest.mark.parametrize(
    ("key", "subtask"),
    [
        pytest.param("0.0/docs", 24, id="ascii"),
        pytest.param("1.0/\N{MUSICAL SYMBOL G CLEF}", 46, id="surrogates"),
        pytest.param("", 25, id="empty"),
    ],
)
def test_the_writer_of_a_key_is_the_one_that_flink_chooses(key: str, subtask: int) -> None:
    """As Flink's own KeyGroupRangeAssignment said of a Row of this key; tests/flink/test_writers.py asks it anew."""
    assert Writers(100, 128).of(key) == subtask


def test_a_writer_that_no_key_meets_is_done_without() -> None:
    """The search for a key ends, whatever Flink makes of keys."""
    assert WriteKeys(2, Writers(2, 1)).of_lane("docs", 0) == write_key("docs", 0)


@given(st.text(), st.integers(0, 99))
def test_a_key_names_its_collection(collection: str, lane: int) -> None:
    """A writer learns from the key alone which collection it serves."""
    assert collection_of(write_key(collection, lane)) == collection


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
