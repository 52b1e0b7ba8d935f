"""What Flink's stack traces mean: the sentence that a worker of ours ended the job with, or help for what it met first.

Told from one another by what Flink 2.3 was seen to write; where nothing is known, the root cause and the trace stand.
"""

from __future__ import annotations

import platform
import re
from typing import NamedTuple

_OURS = re.compile(r"udfs\.(?:core\.failures|batches)\.\w+: (.+)")
_PYTHON_CAUSE = re.compile(r"Traceback \(most recent call last\):(?:\n .+)+\n(\w.+)")
_CAUSE = re.compile(r"^Caused by: (.+)", re.MULTILINE)
_SAID = re.compile(r"^(?:: )?(?:[\w$]+\.)+[\w$]+: (.+)", re.MULTILINE)
_NEEDED = "apache-flink, qdrant-client, orjson and pysimdjson"
_PYTHON_OPTION = "python.executable, or `flink run -pyexec`,"


class _Known(NamedTuple):
    """A pattern of a trace, and help that names the pattern's groups, and `client`, this Python's version."""

    pattern: str
    help: str


# The first that fits counts: what says more comes before what says less.
_KNOWN = (
    _Known(
        r"No module named '?(?P<module>job|udfs)\b",
        "The workers do not have this job's own modules ({module}). Give them the zip that ./scripts/package builds:"
        " `flink run -pyfs dist/job.zip …`.",
    ),
    _Known(
        r"Failed to execute the command: (?P<python>.+?) -c import pyflink(?s:.*?)No module named",
        "The workers' Python, {python}, has no PyFlink. Install {needed} for it on every TaskManager, or let {option}"
        " name a Python that has them.",
    ),
    _Known(
        r"No module named '?(?P<module>[\w.]+)",
        "The workers' Python has no module {module!r}. Install {needed} for it on every TaskManager, or let {option}"
        " name a Python that has them.",
    ),
    _Known(
        r'Cannot run program "(?P<python>[^"]*)".*?: error=\d+, (?P<why>.+)',
        "The workers' Python, {python!r}, cannot be run: {why}. Let {option} name a Python with {needed} that is there"
        " on every TaskManager.",
    ),
    _Known(
        r"TypeError: code(?:\(\)| expected) ",
        "The workers' Python is of another version than the client's, which is {client}. Let {option} name a Python"
        " {client} on every TaskManager.",
    ),
    _Known(
        r"Failed to create stage bundle factory!(?s:.*?)^(?P<why>\w+Error: .+)",
        "A Python worker did not start: {why}. Install {needed} for the workers' Python anew, or let {option} name"
        " another.",
    ),
    _Known(
        r"StatusRuntimeException: CANCELLED: c",
        "A Python worker ended without a word. At the start of a job that is a Python of another version than the"
        " client's, which is {client}: let {option} name a Python {client}. Later it was killed: `dmesg` says"
        " whether by the system, out of memory.",
    ),
    _Known(
        r"Could not start rest endpoint on any port in port range (?P<port>\S+)",
        "The port of Flink's web page, {port}, is taken: give another one as --flink.rest.port, or leave it out.",
    ),
    _Known(
        r"Failed to submit(?s:.*)AnnotatedConnectException: Connection refused: /?(?P<address>\S+)",
        "No Flink cluster answers at {address}. Start one, or name the REST address of its JobManager:"
        " `flink run -m HOST:8081 …`.",
    ),
    _Known(
        r"Failed to create checkpoint storage(?s:.*)^Caused by: \S+?(?P<why>\w+(?:Exception|Error): .+)",
        "Flink cannot keep checkpoints where it should: {why}. Let execution.checkpointing.dir name a folder that the"
        " JobManager and every TaskManager may write to.",
    ),
)


def explain(trace: str) -> str:
    """Return what ended the job as a sentence; unless it is this job's own, followed by the trace."""
    if ours := _OURS.search(trace):
        return ours.group(1)
    for pattern, text in _KNOWN:
        if found := re.search(pattern, trace, re.MULTILINE):
            return f"{_filled(text, found.groupdict())}\n\n{trace}"
    causes = _PYTHON_CAUSE.findall(trace) or _CAUSE.findall(trace)
    return f"{causes[-1] if causes else 'Flink said:'}\n\n{trace}"


def sentence_of(trace: str) -> str:
    """Return what Java says in the outermost exception of a trace, without the name of its class."""
    said = _SAID.search(trace)
    return said.group(1) if said else trace


def _filled(text: str, found: dict[str, str]) -> str:
    version = platform.python_version_tuple()
    said = {name: value.rstrip(".") for name, value in found.items()}
    return text.format(**said, client=".".join(version[:2]), needed=_NEEDED, option=_PYTHON_OPTION)
