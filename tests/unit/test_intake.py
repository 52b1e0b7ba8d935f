"""From raw records to operations or refusals: what is asked of the collections, how often, and what comes of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udfs.core.messages import ParseRules, parse_message
from udfs.core.operations import Delete, Upsert
from udfs.core.refusals import Refusal
from udfs.core.schemas import VectorConfig, fault_of
from udfs.core.vectors import Dense
from udfs.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from udfs.core.schemas import Schema
    from udfs.intake import Operation

RULES = ParseRules()
ABSENT = Refusal("collection-unknown", "collection_name", "there is none")


class Described:
    """A Qdrant that describes collections of one unnamed dense vector, and remembers for which it was asked."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.asked: list[str] = []

    async def __call__(self, collection: str) -> Schema | Refusal:
        """Describe a collection as it is now."""
        self.asked.append(collection)
        size = self.sizes.get(collection)
        await asyncio.sleep(0)
        return ABSENT if size is None else {"": VectorConfig(Dense, size)}


def upsert(collection: str, size: int) -> tuple[bytes | None, bytes | None]:
    """Return a record with a point of so many elements."""
    return None, json.dumps({"collection_name": collection, "id": 1, "vector": [1] * size}).encode()


def tombstone(collection: str) -> tuple[bytes | None, bytes | None]:
    """Return a record that deletes a point."""
    return json.dumps({"collection_name": collection, "id": 1}).encode(), None


def judged(intake: Intake, *records: tuple[bytes | None, bytes | None]) -> list[Any]:
    """Return of one batch the code of what is refused, and the kind of what is not."""
    outcomes = asyncio.run(intake.judge(records))
    return [outcome.code if isinstance(outcome, Refusal) else type(outcome) for outcome in outcomes]


def test_a_collection_is_asked_for_once() -> None:
    """In a batch and in those after it, what fits costs no more questions."""
    described = Described(a=2, b=3)
    intake = Intake(RULES, described)
    for _ in range(3):
        batch = [upsert("a", 2), upsert("b", 3), upsert("a", 2), tombstone("a")]
        assert judged(intake, *batch) == [Upsert, Upsert, Upsert, Delete]
    assert sorted(described.asked) == ["a", "b"]


def test_what_names_no_collection_asks_for_none() -> None:
    """A message that is refused by itself is no reason to ask."""
    described = Described(a=2)
    assert judged(Intake(RULES, described), (None, b"{}"), (None, None)) == ["collection-missing", "key-missing"]
    assert described.asked == []


def test_a_misfit_in_a_batch_that_asked_is_refused_without_asking_again() -> None:
    """The description is as new as it can be."""
    described = Described(a=2)
    assert judged(Intake(RULES, described), upsert("a", 3), upsert("a", 2)) == ["vector-size", Upsert]
    assert described.asked == ["a"]


def test_a_misfit_with_what_is_remembered_asks_once_more() -> None:
    """Before a message is refused by a description, that is asked for again: once for a batch, not for each message."""
    described = Described(a=2, b=3)
    intake = Intake(RULES, described)
    judged(intake, upsert("a", 2), upsert("b", 3))
    assert judged(intake, upsert("a", 3), upsert("b", 3), upsert("a", 4)) == ["vector-size", Upsert, "vector-size"]
    assert sorted(described.asked) == ["a", "a", "b"]


def test_a_collection_that_was_changed_is_judged_by_what_it_is_now() -> None:
    """A collection made anew with another size takes the new points, and refuses what it took before."""
    described = Described(a=2)
    intake = Intake(RULES, described)
    judged(intake, upsert("a", 2))
    described.sizes["a"] = 3
    assert judged(intake, upsert("a", 3), upsert("a", 2)) == [Upsert, "vector-size"]
    assert judged(intake, upsert("a", 3)) == [Upsert]
    assert described.asked == ["a", "a"], "the new description is remembered"


def test_a_collection_that_is_gone_refuses_everything_once_it_is_asked_for() -> None:
    """What is found to be gone when a misfit asks again is gone for its neighbours too."""
    described = Described(a=2)
    intake = Intake(RULES, described)
    judged(intake, upsert("a", 2))
    del described.sizes["a"]
    assert judged(intake, upsert("a", 3), upsert("a", 2), tombstone("a")) == ["collection-unknown"] * 3


def test_a_missing_collection_is_asked_for_with_every_batch() -> None:
    """Once in each, and when it is there its messages are taken; deletes need it, too."""
    described = Described(a=2)
    intake = Intake(RULES, described)
    for _ in range(2):
        assert judged(intake, upsert("x", 2), tombstone("x"), upsert("a", 2)) == ["collection-unknown"] * 2 + [Upsert]
    assert described.asked.count("x") == 2
    described.sizes["x"] = 2
    assert judged(intake, upsert("x", 2), tombstone("x")) == [Upsert, Delete]


def test_names_that_are_made_up_are_not_remembered() -> None:
    """A producer that makes up a name for every message fills no worker's memory."""
    intake = Intake(RULES, Described(a=2))
    judged(intake, upsert("a", 2), *(upsert(f"x{number}", 2) for number in range(50)))
    judged(intake)
    assert intake._schemas.keys() == {"a"}


def test_a_batch_may_come_in_parts() -> None:
    """In all of them together a missing collection, or one that a message does not fit, is asked for once."""
    described = Described(a=2)
    intake = Intake(RULES, described)
    judged(intake, upsert("a", 2))
    for is_continued in (False, True, True):
        outcomes = asyncio.run(intake.judge([upsert("x", 2), upsert("a", 3)], is_continued=is_continued))
        assert [getattr(outcome, "code", None) for outcome in outcomes] == ["collection-unknown", "vector-size"]
    assert sorted(described.asked) == ["a", "a", "x"]


def test_the_answer_why_a_collection_cannot_be_had_is_the_refusal() -> None:
    """The words are those of whoever was asked."""
    (outcome,) = asyncio.run(Intake(RULES, Described()).judge([upsert("x", 2)]))
    assert outcome == ABSENT


def test_an_outage_while_asking_harms_nothing_but_the_batch() -> None:
    """An error goes up as it is, and the next batch asks anew."""
    described = Described(a=2)

    class Failing(Described):
        async def __call__(self, collection: str) -> Schema | Refusal:
            if not self.asked:
                self.asked.append(collection)
                raise ConnectionError(collection)
            return await described(collection)

    intake = Intake(RULES, Failing())
    with pytest.raises(ConnectionError):
        judged(intake, upsert("a", 2))
    assert judged(intake, upsert("a", 2)) == [Upsert]


RECORDS = st.lists(
    st.one_of(
        st.builds(upsert, st.sampled_from(["a", "b", "x"]), st.integers(1, 3)),
        st.builds(tombstone, st.sampled_from(["a", "x"])),
        st.tuples(st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=3)),
    ),
    max_size=8,
)


@given(RECORDS, st.sampled_from([None, "a", "x"]))
def test_without_collections_a_message_is_judged_by_itself(
    records: Sequence[tuple[bytes | None, bytes | None]], collection: str | None
) -> None:
    """Each outcome is that of the parser, in the order of the records."""
    rules = ParseRules(collection)
    assert asyncio.run(Intake(rules).judge(records)) == [parse_message(key, value, rules) for key, value in records]


@given(st.lists(st.tuples(RECORDS, st.dictionaries(st.sampled_from("abx"), st.integers(1, 3))), max_size=5))
def test_outcomes_are_in_order_and_every_refusal_is_up_to_date(
    batches: list[tuple[list[tuple[bytes | None, bytes | None]], Mapping[str, int]]],
) -> None:
    """However collections come, change and go between batches: what is refused is refused by what is there now."""
    described = Described()
    intake = Intake(RULES, described)
    for records, sizes in batches:
        described.sizes = dict(sizes)
        outcomes = asyncio.run(intake.judge(records))
        assert len(outcomes) == len(records)
        for (key, value), outcome in zip(records, outcomes, strict=True):
            by_itself = parse_message(key, value, RULES)
            if isinstance(outcome, Refusal) and not isinstance(by_itself, Refusal):
                assert outcome == now(by_itself, sizes)
            else:
                assert outcome == by_itself


def now(operation: Operation, sizes: Mapping[str, int]) -> Refusal | None:
    """Return what the collections have against an operation."""
    if operation.collection not in sizes:
        return ABSENT
    schema = {"": VectorConfig(Dense, sizes[operation.collection])}
    return fault_of(operation, schema) if isinstance(operation, Upsert) else None
