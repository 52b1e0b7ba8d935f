"""What ends the job, by consequence.

Exception
└── JobFailure                   the job cannot go on; its text is written for the person who runs it
    ├── MessageRefusedError      a message cannot be written, and `errors.tolerance` is `none`
    ├── TooManyRefusedError      nearly every message is refused: more than `errors.limit` puts up with
    └── StoreError               Qdrant cannot be written to at all, or not within `sink.retry.max-time`
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from udfs.core.refusals import CODES, SAID_BY

if TYPE_CHECKING:
    from udfs.core.operations import Origin
    from udfs.core.refusals import Refusal


class JobFailure(Exception):  # noqa: N818 - it names the end of a job, not a slip
    """The job cannot go on."""


class MessageRefusedError(JobFailure):
    """One message cannot be written.

    Attributes:
        origin: Where the message stands in Kafka.
        refusal: What is wrong with it.
    """

    def __init__(self, origin: Origin, refusal: Refusal) -> None:
        super().__init__(origin, refusal)
        self.origin = origin
        self.refusal = refusal

    def __str__(self) -> str:
        """Say where and why, but nothing of what the message holds: exceptions get into logs and onto web pages."""
        code = self.refusal.code
        why = self.refusal.reason if SAID_BY[code] == "qdrant" else f"{json.dumps(_shown(self.refusal))}, {CODES[code]}"
        return f"The message at {self.origin} was refused ({code}): {why}"


class TooManyRefusedError(JobFailure):
    """So many messages are refused that something else is wrong."""


class StoreError(JobFailure):
    """Qdrant cannot be written to."""


def _shown(refusal: Refusal) -> str:
    """Return the field at fault, without the names in it that are the message's own: they may be anybody's data."""
    part, _, name = refusal.field.partition(".")
    is_known = part == "key" or (SAID_BY[refusal.code] == "collection" and refusal.code != "vector-unknown")
    return f"{part}.{name}" if name and is_known else part
