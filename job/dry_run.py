"""From lines to what the job would do with the message in each; `job.validate` is what a person starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import orjson

from udfs.core.operations import Upsert
from udfs.core.refusals import Refusal, refused, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from io import BufferedReader

    from udfs.core.operations import PointId
    from udfs.intake import Intake, Operation

    Record: TypeAlias = tuple[bytes | None, bytes | None]
    ReadLine: TypeAlias = Callable[[bytes], Record | Refusal]

UNREADABLE = "record-unreadable"
_CHUNK_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Result:
    """What the job would do with the message of one line; None is what does not apply."""

    line: int
    outcome: Literal["upsert", "delete", "invalid"]
    collection: str | None = None
    id: PointId | None = None
    code: str | None = None
    reason: str | None = None


async def results_of(source: BufferedReader, read_line: ReadLine, intake: Intake) -> AsyncIterator[list[Result]]:
    """Yield the result of each line, in their order, as soon as the line is there.

    Args:
        source: The lines.
        read_line: `read_value` or `read_record`.
        intake: Judges the records, as it does in the job.
    """
    first = 1
    # The blocking reads hold up nobody: nothing else happens on this loop meanwhile.
    for lines in _lines_of(source):
        outcomes = await _judged([read_line(line) for line in lines], intake)
        yield [_result(number, outcome) for number, outcome in enumerate(outcomes, first)]
        first += len(lines)


def read_value(line: bytes) -> Record:
    """Return the line as the value of a record without a key."""
    return None, line


def read_record(line: bytes) -> Record | Refusal:
    """Return the key and the value that the line gives, or why it gives none. A key may be left out.

    A value may not: a tombstone must not come of a misspelt name.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return _unreadable(f"cannot be read as JSON: {error}")
    if not isinstance(record, dict) or "value" not in record:
        return _unreadable(f"is {shown(record)}")
    texts = record.get("key"), record["value"]
    if not all(isinstance(text, str | None) for text in texts):
        return _unreadable(f"has the key {shown(texts[0])} and the value {shown(texts[1])}")
    key, value = (None if text is None else text.encode() for text in texts)
    return key, value


def _unreadable(fault: str) -> Refusal:
    rule = 'with --records a line is {"key": …, "value": …}, each a string or null'
    return refused(UNREADABLE, "record", f"{fault}; {rule}").refusal


def _lines_of(source: BufferedReader) -> Iterator[list[bytes]]:
    r"""Yield the lines without their ends, \n or \r\n: all that one read has ended, which waits for no more."""
    begun: list[bytes] = []
    while chunk := source.read1(_CHUNK_BYTES):
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*begun, ended[0]])
            begun.clear()
            yield [line.removesuffix(b"\r") for line in ended]
        begun.append(rest)
    if last := b"".join(begun):
        yield [last]


async def _judged(records: Sequence[Record | Refusal], intake: Intake) -> list[Operation | Refusal]:
    """Return what the intake says of each; a line that is no record never gets there."""
    judged = iter(await intake.judge([record for record in records if not isinstance(record, Refusal)]))
    return [record if isinstance(record, Refusal) else next(judged) for record in records]


def _result(line: int, outcome: Operation | Refusal) -> Result:
    if isinstance(outcome, Refusal):
        return Result(line, "invalid", code=outcome.code, reason=outcome.reason)
    return Result(line, "upsert" if isinstance(outcome, Upsert) else "delete", outcome.collection, outcome.id)
