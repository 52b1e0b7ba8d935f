"""Watches a run: how many points Qdrant has, and the time and memory of every process by its role.

The clock is the same for all contestants: Qdrant's own count of points, divided by the points that a message adds. What
contestants say of themselves would not compare: consumers commit after each batch, the job at checkpoints, and its
metrics are up to two seconds old. The count is exact here: without an index nothing moves points between segments.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx

from scripts.stack.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Usage = tuple[dict[str, float], dict[str, int]]

EVERY = 0.5
# Of the messages: later, some partitions may be empty while others are not.
DRY_SHARE = 0.9
_STALLED_SECONDS = 120
_PROGRAMS = ("java", "python")
_POINTS = re.compile(r"^collection_points\{.*\} (\d+)$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment.

    Attributes:
        at: When, in seconds of the monotonic clock.
        messages: How many were in Qdrant.
        cpu: Seconds of CPU spent so far, by role.
        memory: Resident bytes, by role.
    """

    at: float
    messages: float
    cpu: Mapping[str, float]
    memory: Mapping[str, int]


@dataclass(frozen=True)
class Window:
    """What a run is judged by.

    Attributes:
        warm_up: Seconds left out, from the first point on.
        seconds: Seconds measured after that.
        preloaded: Messages that there are; None if they never end.
    """

    warm_up: float
    seconds: float
    preloaded: int | None = None

    def is_over(self, samples: Sequence[Sample]) -> bool:
        """Tell whether everything was seen that counts."""
        started = start_of(samples)
        if started is None:
            return False
        return samples[-1].at >= started + self.warm_up + self.seconds or self.is_dry(samples[-1])

    def is_dry(self, sample: Sample) -> bool:
        """Tell whether messages were so few by then that the contestant could have been short of them."""
        return self.preloaded is not None and sample.messages > DRY_SHARE * self.preloaded

    def ends(self, samples: Sequence[Sample]) -> tuple[Sample, Sample]:
        """Return the first and the last sample that count.

        Raises:
            StackError: if the messages were too few for the warm-up.
        """
        begin = (start_of(samples) or 0.0) + self.warm_up
        counted = [sample for sample in samples if sample.at >= begin and not self.is_dry(sample)]
        if len(counted) < 2:
            raise StackError("All messages were moved during the warm-up. Give more --seconds, or less --warm-up.")
        return counted[0], counted[-1]


@dataclass(frozen=True)
class Measured:
    """What happened within a window.

    Attributes:
        seconds: Its length.
        messages: How many came to be in Qdrant.
        cpu: CPU seconds, by role.
        peak_memory: The most resident bytes, by role, warm-up included.
        ran_dry: Whether the messages were too few for the whole window.
    """

    seconds: float
    messages: float
    cpu: Mapping[str, float]
    peak_memory: Mapping[str, int]
    ran_dry: bool = False


def measured(samples: Sequence[Sample], window: Window) -> Measured:
    """Return what the samples say of the window."""
    first, last = window.ends(samples)
    roles = {role for sample in samples for role in sample.memory}
    return Measured(
        seconds=last.at - first.at,
        messages=last.messages - first.messages,
        cpu={role: last.cpu[role] - first.cpu.get(role, 0.0) for role in last.cpu},
        peak_memory={role: max(sample.memory.get(role, 0) for sample in samples) for role in roles},
        ran_dry=window.is_dry(samples[-1]),
    )


def start_of(samples: Sequence[Sample]) -> float | None:
    """Return when the first message was seen in Qdrant."""
    return next((sample.at for sample in samples if sample.messages), None)


@dataclass
class Processes:
    """The processes of some groups, by role.

    Args:
        groups: The role of each process group. What is no Java in the group of a TaskManager is "Python".
    """

    groups: Mapping[int, str]
    _seen: dict[int, _Process] = field(default_factory=dict)

    def usage(self) -> Usage:
        """Return the CPU seconds spent so far and the resident bytes, by role.

        The time of a process that ended is kept as it was last seen. `cutime` would give it to whoever waited for it:
        a worker's time to the TaskManager.
        """
        alive = {process.pid: process for process in _all_processes() if process.group in self.groups}
        self._seen |= alive
        cpu = dict.fromkeys(self.groups.values(), 0.0)
        for process in self._seen.values():
            role = self._role_of(process)
            cpu[role] = cpu.get(role, 0.0) + process.cpu
        memory = dict.fromkeys(cpu, 0)
        for process in alive.values():
            memory[self._role_of(process)] += process.memory
        return cpu, memory

    def sizes(self) -> dict[tuple[str, int], int]:
        """Return the resident bytes of each process, by its role and id, but for the shells around it."""
        alive = [process for process in _all_processes() if process.group in self.groups]
        return {
            (self._role_of(process), process.pid): process.memory
            for process in alive
            if process.name.startswith(_PROGRAMS)
        }

    def _role_of(self, process: _Process) -> str:
        role = self.groups[process.group]
        return "Python" if role == "TaskManager" and process.name != "java" else role


class PointsCounter:
    """Asks Qdrant how many points there are in all its collections, in one request."""

    def __init__(self, rest_url: str) -> None:
        self._http = httpx.Client(base_url=rest_url, trust_env=False, timeout=60)

    def __call__(self) -> int:
        """Return how many."""
        return sum(map(int, _POINTS.findall(self._http.get("/metrics").raise_for_status().text)))

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


def watch(
    count: Callable[[], float], usage: Callable[[], Usage], window: Window, check: Callable[[], None]
) -> list[Sample]:
    """Take samples until the window is over.

    Args:
        count: Returns how many messages are in Qdrant.
        usage: Returns what processes have used.
        window: What is needed.
        check: Raises if a contestant has ended.

    Raises:
        StackError: if nothing moves for two minutes.
    """
    samples: list[Sample] = []
    moved_at = time.monotonic()
    while not window.is_over(samples):
        check()
        before = time.monotonic()
        messages = count()
        after = time.monotonic()
        if not samples or messages != samples[-1].messages:
            moved_at = after
        elif after > moved_at + _STALLED_SECONDS:
            raise StackError(f"Nothing moved for {_STALLED_SECONDS} s, after {messages:.0f} messages.")
        samples.append(Sample((before + after) / 2, messages, *usage()))
        # With a thousand collections the count itself is work: at most a tenth of the time goes to it.
        time.sleep(max(EVERY, 9 * (after - before)))
    return samples


class _Process(NamedTuple):
    pid: int
    name: str
    group: int
    cpu: float
    memory: int


def _all_processes() -> list[_Process]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile
            found.append(_process(int(entry.name), (entry / "stat").read_text()))
    return found


def _process(pid: int, stat: str) -> _Process:
    """Read a line as proc(5) has it: the name is in brackets, and may hold any."""
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()  # from the state on, which is field 3
    user, system, pages = int(fields[11]), int(fields[12]), int(fields[21])
    return _Process(pid, name, int(fields[2]), (user + system) / _TICKS, pages * _PAGE)
