"""Ends a Python worker whose task or TaskManager is gone.

After `kill -9` of a TaskManager some Python workers hang in their own exit and keep writing for seconds, while the
restarted task already writes newer versions elsewhere. So a worker looks five times a second whether its TaskManager
still lives, and so does the shell script that Flink started it by and ends it with.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from udfs.worker import is_worker, start_once

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2


class ProcessId(NamedTuple):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str


def end_with_task_manager() -> None:
    """End this process within half a second of its TaskManager's death, however it dies, or of its runner's.

    Does nothing outside a Python worker process; without /proc only the latter is seen.
    """
    if not is_worker():
        return
    task_manager = task_manager_of(os.getpid())
    if task_manager is None:
        logger.warning("No TaskManager was found above this worker: it may outlive a TaskManager that is killed.")
    start_once("task-manager-watchdog", _watch, task_manager, os.getppid())


def task_manager_of(pid: int) -> ProcessId | None:
    """Return the nearest ancestor that is a JVM: java ▶ pyflink-udf-runner.sh ▶ python.

    In a container it may be process 1, as Flink's image starts it by `exec`.
    """
    while pid > 0:
        stat = _stat(pid)
        if stat is None:
            return None
        name, parent, started = stat
        if name == "java":
            return ProcessId(pid, started)
        pid = parent
    return None


def is_alive(process: ProcessId) -> bool:
    """True while that very process runs; a zombie does not."""
    stat = _stat(process.pid)
    return stat is not None and stat[2] == process.started


def _may_live(process: ProcessId) -> bool:
    try:
        return is_alive(process)
    except OSError:  # out of file descriptors, say, which is no news of the TaskManager
        return True


def _stat(pid: int) -> tuple[str, int, str] | None:
    """Read name, parent and start time from /proc; None if there is no such process or it has ended.

    Any other fault of reading is raised: it says nothing about the process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may itself hold any character; fields are counted from proc(5).
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    state, parent, started = fields[0], int(fields[1]), fields[19]
    return None if state in "ZX" else (name, parent, started)


def _watch(task_manager: ProcessId | None, runner: int) -> None:
    # Flink ends only its shell script, the parent; by itself Python takes seconds more to leave, beside the next task.
    while os.getppid() == runner and (task_manager is None or _may_live(task_manager)):
        time.sleep(POLL_SECONDS)
    # Not sys.exit: hanging in the ordinary exit, with requests still going out, is what this is for. And not a word
    # of it in the log: Beam's log handler is closed under its own lock, where it waits for a thread that logs.
    os._exit(1)
