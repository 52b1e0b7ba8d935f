"""What ends the job must survive the way from the worker."""

from __future__ import annotations

import pickle

import pytest

from udfs.core.failures import JobFailure, MessageRefusedError, StoreError, TooManyRefusedError
from udfs.core.operations import Origin
from udfs.core.refusals import Refusal


def test_a_refused_message_survives_pickling_with_every_field() -> None:
    """Errors cross processes; the place and the reason must not be lost on the way."""
    error = MessageRefusedError(Origin("docs", 3, 17), Refusal("id-negative", "id", '"id" is -1; no'))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copy.origin, copy.refusal, str(copy)) == (error.origin, error.refusal, str(error))


def test_a_refusal_is_told_without_what_the_message_holds() -> None:
    """Place, code, field and meaning: the value is for the dead letter, which whoever sees logs may not see."""
    error = MessageRefusedError(Origin("docs", 3, 17), Refusal("id-negative", "id", '"id" is -4711; no'))
    assert str(error) == (
        "The message at topic 'docs', partition 3, offset 17 was refused (id-negative): \"id\", the id is below zero"
    )


@pytest.mark.parametrize(
    ("code", "field", "shown"),
    [
        ("payload-integer", "payload.Jane Doe[3].b", "payload"),
        ("payload-too-deep", "payload.a.b.c", "payload"),
        ("vector-element", "vector.Jane Doe[1]", "vector"),
        ("vector-element", "vector[1]", "vector[1]"),
        ("vector-unknown", "vector.Jane.Doe", "vector"),
        ("vector-size", "vector.dense", "vector.dense"),
        ("vector-kind", "vector.dense.v2", "vector.dense.v2"),
        ("id-missing", "key.id", "key.id"),
        ("collection-unknown", "collection_name", "collection_name"),
    ],
)
def test_a_name_that_only_the_message_knows_is_not_told(code: str, field: str, shown: str) -> None:
    """A name inside of a payload may be anybody's data; one that the collection has is not."""
    told = str(MessageRefusedError(Origin("docs", 3, 17), Refusal(code, field, "")))
    assert f'({code}): "{shown}", ' in told
    assert "Jane" not in told


@pytest.mark.parametrize("kind", [TooManyRefusedError, StoreError])
def test_a_sentence_survives_pickling(kind: type[JobFailure]) -> None:
    """What is said to the person who runs the job arrives as it was said, and by the same name."""
    copy = pickle.loads(pickle.dumps(kind("99 of the last 100")))  # noqa: S301
    assert (type(copy), str(copy)) == (kind, "99 of the last 100")
    assert isinstance(copy, JobFailure)
