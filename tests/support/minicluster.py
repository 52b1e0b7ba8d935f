"""Programs that run a job on Flink's local minicluster, each a process of its own.

PyFlink's gateway lives once per process and keeps its class path and variables, so one program never runs two jobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.stack.processes import ROOT, Process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

    from scripts.stack.kafka import Kafka
    from scripts.stack.qdrant import Qdrant

# C1 alone and the serial collector: a job of seconds never lives to see what the others are good for.
_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# `exec` leaves the shell's process id, which is its group's too, to the program.
_STDOUT_APART = 'out="$1"; shift; exec "$@" >"$out"'


@dataclass(frozen=True)
class Ended:
    """What is left of a program that has ended: its exit code, what it wrote, and the log of its Flink."""

    code: int
    stdout: str
    stderr: str
    flink_log: str


class Program:
    """One Python module run as `python -m`, from the start of its `with` block until its end at the latest.

    Args:
        module: The module's name.
        arguments: Its arguments.
        folder: An empty folder for whatever it writes.
        env: Variables added to those of this Python.
        python: The Python to run it with.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        folder: Path,
        env: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
    ) -> None:
        self._folder = folder
        self._stderr, self._stdout = folder / "stderr", folder / "stdout"
        command = ["sh", "-c", _STDOUT_APART, "sh", str(self._stdout), str(python), "-m", module, *arguments]
        given = dict(env or {})
        given["JVM_ARGS"] = f"{_JVM} -Djava.io.tmpdir={folder} {given.get('JVM_ARGS', '')}"
        variables = {"FLINK_LOG_DIR": str(folder), "TMPDIR": str(folder), **given}
        self._process = Process(module, command, log=self._stderr, env=variables, cwd=ROOT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.stop()

    def ended(self, seconds: float) -> Ended:
        """Wait for the end, so many seconds at most, and return what is left."""
        code = self._process.wait(seconds)
        logs = sorted(self._folder.glob("flink-*.log"))
        flink_log = "".join(log.read_text(errors="replace") for log in logs)
        return Ended(code, self._stdout.read_text(), self._stderr.read_text(), flink_log)

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.is_running

    def interrupt(self) -> None:
        """Do what Ctrl-C does in a terminal: send SIGINT to the program and to all that it started."""
        os.killpg(self._process.pid, signal.SIGINT)

    def processes(self) -> list[str]:
        """Return the names of what still runs, of the program itself and of all that it started."""
        listing = subprocess.run(["ps", "-eo", "pgid=,stat=,comm="], check=True, capture_output=True, text=True).stdout
        rows = [line.split(maxsplit=2) for line in listing.splitlines()]
        return [name for group, state, name in rows if int(group) == self._process.pid and not state.startswith("Z")]


def job_arguments(kafka: Kafka, qdrant: Qdrant, *topics: str, parallelism: int = 1) -> list[str]:
    """Return the arguments of a job that reads these topics from their beginnings and is never restarted."""
    return [
        *("--topics", ",".join(topics)),
        *("--properties.bootstrap.servers", kafka.bootstrap),
        *("--properties.group.id", f"readers-of-{topics[0]}"),
        *("--qdrant.grpc.url", qdrant.grpc_url),
        *("--parallelism", str(parallelism)),
        *("--flink.restart-strategy.type", "none"),
    ]


def run_job(
    *arguments: str,
    folder: Path,
    seconds: float = 90,
    env: Mapping[str, str] | None = None,
    python: str | Path = sys.executable,
) -> Ended:
    """Run `python -m job.main` to its end."""
    with Program("job.main", *arguments, folder=folder, env=env, python=python) as program:
        return program.ended(seconds)
