"""The dry run that `scripts/validate` starts: says of each message what the job would do with it, and does none of it.

Needs no Kafka and no Flink, and no Qdrant unless it is given one. It judges by the code that judges in the job.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections import Counter, deque
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
from pydantic import AfterValidator, Field

from job import readers, rules
from job.arguments import SettingsError, help_text, load_settings
from job.dry_run import UNREADABLE, read_record, read_value, results_of
from job.qdrant_check import check_qdrant
from job.settings import FIELDS, Pattern, Settings, Text
from udfs.core.failures import StoreError
from udfs.core.messages import ParseRules
from udfs.core.refusals import CODES
from udfs.intake import Intake
from udfs.qdrant.client import PointsClient
from udfs.qdrant.collections import Collections
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

    from job.dry_run import ReadLine

# Where whoever reads the results leaves, the code is that of a program ended by SIGPIPE.
OK, INVALID, REFUSED, INTERRUPTED, CUT_OFF = 0, 1, 2, 130, 141

_USAGE = f"""\
Usage: scripts/validate [--records] [setting…] [FILE|-]

Says of each message what the job would do with it, and writes nothing.

Each line of FILE, or of standard input, is the value of one message. With
--records it is a record: {{"key": string or null, "value": string or null}}.
A null value is a tombstone; the key may be left out, the value may not.

For each line there is one on standard output, with null for what does not apply:
{{"line": …, "outcome": "upsert", "delete" or "invalid", "collection": …, "id": …,
"code": …, "reason": …}}; then a summary on standard error. The codes are those
of the job, and {UNREADABLE} for a line that is not such a record.

Exit code: 0 if no line is invalid, 1 if one is, 2 if settings, FILE or Qdrant
cannot be used, 130 after Ctrl-C.

The settings are those of `python -m job.main --help`, and the job's YAML file
can be given as it is; those below count. With the URL of a Qdrant, also in that
file, messages are judged by its collections, too. If it stops answering, it is
given up after 10 s, or one request's deadline if that is longer.
"""
_USED = (
    "qdrant.grpc.url",
    "qdrant.api.key",
    "qdrant.collection.name",
    "sink.record.max-size",
    "sink.request.timeout",
)
_PATIENCE = RetryOptions(max_seconds=10)
_REQUESTS_AT_ONCE = 4


def _unneeded(name: str, meaning: str | None = None) -> Any:
    """Return the job's setting of this name, as one that may be left out."""
    info = FIELDS[name]
    default = "" if info.is_required() else info.default
    return Field(default, alias=name, description=meaning or info.description, validate_default=False)


class DryRunSettings(Settings):
    """The settings of a job that needs no Kafka, and no Qdrant either."""

    topic_pattern: Annotated[Pattern | None, AfterValidator(rules.one_of_topics_and_pattern)] = _unneeded(
        "topic-pattern"
    )
    bootstrap_servers: Text = _unneeded("properties.bootstrap.servers")
    qdrant_grpc_url: Annotated[str, AfterValidator(lambda text: text and readers.read_url(text))] = _unneeded(
        "qdrant.grpc.url",
        "Qdrant's gRPC port: http://HOST:PORT, or https:// for TLS. Give an empty one to ask none, whatever the YAML"
        " file says.",
    )
    # That file may be on another machine.
    kafka_connector_jar: Path | None = _unneeded("kafka.connector.jar")


def main(argv: Sequence[str]) -> int:
    """Judge the messages that the arguments name, and return the exit code that `--help` explains."""
    if {"--help", "-h"} & set(argv):
        fields = {name: info for info in DryRunSettings.model_fields.values() if (name := str(info.alias)) in _USED}
        print(f"{_USAGE}\n{help_text(shutil.get_terminal_size().columns, fields)}")  # noqa: T201 - what --help is for
        return OK
    is_records, files, words = _divided(argv)
    settings, faults = _settings(words)
    source, more_faults = _opened(files)
    with source or nullcontext():
        if settings is None or source is None:
            return _refuse([*faults, *more_faults])
        faults = check_qdrant(settings) if settings.qdrant_grpc_url else []
        return _refuse(faults) if faults else _run(settings, source, read_record if is_records else read_value)


def _divided(argv: Sequence[str]) -> tuple[bool, list[str], list[str]]:
    """Return whether lines are records, what can only be a file, and the settings with their values."""
    is_records, files, settings, words = False, [], [], deque(argv)
    while words:
        word = words.popleft()
        if word == "--records":
            is_records = True
        elif not word.startswith("--"):
            files.append(word)
        else:
            settings.append(word)
            if word != "--" and "=" not in word and words and not words[0].startswith("--"):
                settings.append(words.popleft())
    return is_records, files, settings


def _settings(words: Sequence[str]) -> tuple[Settings | None, list[str]]:
    try:
        return load_settings(words, DryRunSettings), []
    except SettingsError as error:
        return None, list(error.faults)


def _opened(files: Sequence[str]) -> tuple[BufferedReader | None, list[str]]:
    """Return the input, or why there is none."""
    if len(files) > 1:
        return None, [f"There is more than one FILE, {' and '.join(map(repr, files))}: give one, or - for stdin."]
    file = files[0] if files else "-"
    if file == "-" and sys.stdin is None:  # and 0 the number of another file by now
        return None, ["There is no standard input: give a FILE."]
    try:
        return (os.fdopen(0, "rb", closefd=False) if file == "-" else Path(file).open("rb")), []
    except OSError as error:
        return None, [f"FILE is {file!r}: {error.strerror}."]


def _run(settings: Settings, source: BufferedReader, read_line: ReadLine) -> int:
    counts: Counter[str] = Counter()
    last_word = ""
    try:
        asyncio.run(_judge(settings, source, read_line, counts))
        code = INVALID if counts.keys() - {"upsert", "delete"} else OK
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (StoreError, OSError) as error:
        # What could not be written Python would try to write once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return CUT_OFF
        code, last_word = REFUSED, f"\nThe dry run ended before its time: {error}"
    _say(_summary(counts) + last_word)
    return code


async def _judge(settings: Settings, source: BufferedReader, read_line: ReadLine, counts: Counter[str]) -> None:
    """Write the results as they come, and count them."""
    async for results in results_of(source, read_line, _intake(settings)):
        counts.update(result.code or result.outcome for result in results)
        lines = [orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE) for result in results]
        sys.stdout.buffer.write(b"".join(lines))
        sys.stdout.buffer.flush()


def _intake(settings: Settings) -> Intake:
    """Return the judge; its client belongs to the event loop that runs now."""
    by_message = ParseRules(settings.qdrant_collection_name, settings.sink_record_max_size)
    if not settings.qdrant_grpc_url:
        return Intake(by_message)
    connection = settings.connection
    patience = Patience(connection, _PATIENCE, _REQUESTS_AT_ONCE)
    return Intake(by_message, Collections(PointsClient(connection), patience).describe)


def _summary(counts: Counter[str]) -> str:
    codes = Counter({code: count for code, count in counts.items() if code not in ("upsert", "delete")})
    meanings = {**CODES, UNREADABLE: "the line is no record such as --records takes"}
    rows = [f"{count:7}  {code:<18}  {meanings[code]}" for code, count in codes.most_common()]
    heading = f"lines {counts.total()}: upsert {counts['upsert']}, delete {counts['delete']}, invalid {codes.total()}"
    return "\n".join([heading, *rows])


def _refuse(faults: Sequence[str]) -> int:
    _say("\n".join(["Nothing was validated:", *(f"  - {fault}" for fault in faults)]))
    return REFUSED


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 - to the person who asked


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # asyncio replaces Python's own handler by one that does not end a read.
    signal.signal(signal.SIGINT, _interrupt)
    sys.exit(main(sys.argv[1:]))
