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


@pytest.mark.parametrize("kind", [TooManyRefusedError, StoreError])
def test_a_sentence_survives_pickling(kind: type[JobFailure]) -> None:
    """What is said to the person who runs the job arrives as it was said, and by the same name."""
    copy = pickle.loads(pickle.dumps(kind("99 of the last 100")))  # noqa: S301
    assert (type(copy), str(copy)) == (kind, "99 of the last 100")
    assert isinstance(copy, JobFailure)
