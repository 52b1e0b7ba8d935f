"""What is kept of a message that was refused: the message as it was, and headers that say why and from where.

The headers are those of Kafka Connect's dead letters (KIP-298), so that what reads those reads these, and our own.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from udfs.core.operations import Origin
    from udfs.core.refusals import Refusal

CONNECT, OURS = "__connect.errors.", "qdrant.errors."
_CODE = f"{OURS}code"

# What Kafka itself adds, at most: 61 bytes for a batch, 36 for a record, 10 for each header (record format 2).
_FRAME_BYTES, _HEADER_FRAME_BYTES = 97, 10
_CONNECT_STAGES = {"parse": "VALUE_CONVERTER", "write": "TASK_PUT"}


class Record(NamedTuple):
    """A Kafka record as far as it travels on as a dead letter."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes | None]
    origin: Origin


class DeadLetter(NamedTuple):
    """A record of the dead letters' topic, in the layout of the sink's columns."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes | None]

    @property
    def code(self) -> str:
        """Why the message was refused."""
        return (self.headers[_CODE] or b"").decode()

    @property
    def size(self) -> int:
        """The bytes that it takes in Kafka, at most."""
        headers = sum(
            len(name.encode()) + len(text or b"") + _HEADER_FRAME_BYTES for name, text in self.headers.items()
        )
        return _FRAME_BYTES + len(self.key or b"") + len(self.value or b"") + headers


class LetterRules(NamedTuple):
    """What the settings say about every dead letter.

    Attributes:
        job: The name of the job.
        max_bytes: The most bytes that one may take in Kafka.
    """

    job: str
    max_bytes: int


def dead_letter(record: Record, refusal: Refusal, stage: str, rules: LetterRules, *, is_rendered: bool) -> DeadLetter:
    """Return the dead letter of a refused message, with as much of it as fits the topic.

    Args:
        record: The message.
        refusal: Why it was refused.
        stage: ``parse`` or ``write``.
        rules: What the settings say.
        is_rendered: Whether key and value are not the original ones, but made again of what was read from them.
    """
    origin = record.origin
    why = {
        f"{CONNECT}topic": origin.topic,
        f"{CONNECT}partition": str(origin.partition),
        f"{CONNECT}offset": str(origin.offset),
        f"{CONNECT}connector.name": rules.job,
        f"{CONNECT}stage": _CONNECT_STAGES[stage],
        f"{CONNECT}exception.class.name": "udfs.core.failures.MessageRefusedError",
        f"{CONNECT}exception.message": refusal.reason,
        f"{OURS}stage": stage,
        _CODE: refusal.code,
        f"{OURS}field": refusal.field,
        **({f"{OURS}rendered": "true"} if is_rendered else {}),
    }
    texts: dict[str, bytes | None] = {name: text.encode(errors="replace") for name, text in why.items()}
    # A dead letter that was produced again and is refused again must not tell of the first time.
    own = {name: text for name, text in record.headers.items() if not name.startswith((CONNECT, OURS))}
    return _fitted(DeadLetter(record.key, record.value, {**own, **texts}), texts, rules.max_bytes)


def _fitted(letter: DeadLetter, why: Mapping[str, bytes | None], max_bytes: int) -> DeadLetter:
    """Leave out what is too much: the value first, then the key, then the headers that the message came with."""
    if letter.size <= max_bytes:
        return letter
    for parts, left in (
        ("value", DeadLetter(letter.key, b"", letter.headers)),
        ("key and value", DeadLetter(None, b"", letter.headers)),
        ("key, value and headers", DeadLetter(None, b"", dict(why))),
    ):
        instead = f"Too large for this topic, which takes {max_bytes} bytes, and left out: {parts} of the message."
        headers = {**left.headers, f"{OURS}omitted": parts.encode()}
        omitted = left._replace(value=instead.encode(), headers=headers)
        if omitted.size <= max_bytes:
            break
    return omitted


def packed(letters: Sequence[DeadLetter]) -> bytes:
    """Return dead letters as bytes for `unpacked`."""
    return pickle.dumps([tuple(letter) for letter in letters], protocol=5)


def unpacked(letters: bytes) -> list[DeadLetter]:
    """Return what `packed` was given. The bytes come from this job's own parse stage."""
    return [DeadLetter(*letter) for letter in pickle.loads(letters)]  # noqa: S301 - never outside data
