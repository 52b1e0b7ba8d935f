"""What ends the job must survive the way from the worker."""

from __future__ import annotations

import pickle

from udfs.core.failures import MessageRefusedError
from udfs.core.operations import Origin
from udfs.core.refusals import Refusal


def test_a_refused_message_survives_pickling_with_every_field() -> None:
    """Errors cross processes; the place and the reason must not be lost on the way."""
    error = MessageRefusedError(Origin("docs", 3, 17), Refusal("id-negative", "id", '"id" is -1; no'))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copy.origin, copy.refusal, str(copy)) == (error.origin, error.refusal, str(error))
    assert (
        str(error) == "The message at topic 'docs', partition 3, offset 17 was refused (id-negative): \"id\" is -1; no"
    )
