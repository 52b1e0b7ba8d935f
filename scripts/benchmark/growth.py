"""Memory: the job at full speed for many minutes, and how fast each of its processes grows.

Producing takes its share of the machine meanwhile, so the rate is not one to compare.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import linear_regression
from typing import TYPE_CHECKING

from scripts.benchmark.measure import Processes
from scripts.stack.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from scripts.benchmark.feeder import Feeder
    from scripts.benchmark.job_runner import RunningJob

SETTLING_MINUTES = 5.0
_EVERY = 2.0
_MB = 1e6
_MINUTE = 60


@dataclass(frozen=True)
class Growth:
    """How the resident size of one process went, after the first minutes.

    Attributes:
        role: Which process it is.
        pid: Its id, as there are several Python workers.
        first_mb: Its size then.
        last_mb: Its size in the end.
        peak_mb: The most that it had.
        mb_per_minute: The slope of the line through all sizes.
    """

    role: str
    pid: int
    first_mb: float
    last_mb: float
    peak_mb: float
    mb_per_minute: float

    def __str__(self) -> str:
        sizes = f"{self.first_mb:.0f} MB, then {self.last_mb:.0f}, {self.peak_mb:.0f} at most"
        return f"{self.role} {self.pid}: {sizes}; {self.mb_per_minute:+.2f} MB a minute"


def growth_of(sizes: Sequence[tuple[float, int]], role: str, pid: int) -> Growth:
    """Return the growth of a process from moments, in seconds, and resident bytes."""
    minutes = [at / _MINUTE for at, _ in sizes]
    megabytes = [size / _MB for _, size in sizes]
    slope = linear_regression(minutes, megabytes).slope
    return Growth(role, pid, megabytes[0], megabytes[-1], max(megabytes), slope)


def measure_growth(feeder: Feeder, job: RunningJob, minutes: float) -> tuple[list[Growth], float]:
    """Feed the job at full speed for so long; return how its processes grew, and how many messages a second it read.

    Raises:
        StackError: if it fails, if a process is replaced, or if it was not at full speed.
    """
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(feeder.run, is_over)
        try:
            started, read_at_first = time.monotonic(), feeder.backlog.read
            settling = min(SETTLING_MINUTES, minutes / 4) * _MINUTE
            _look(job, feeding, until=started + settling)
            sizes = _look(job, feeding, until=started + minutes * _MINUTE)
            rate = (feeder.backlog.read - read_at_first) / (time.monotonic() - started)
        finally:
            is_over.set()
        feeding.result()
    job.checkpoints()  # raises if it was restarted
    return [growth_of(seen, *process) for process, seen in sizes.items()], rate


def _look(job: RunningJob, feeding: Future[None], until: float) -> dict[tuple[str, int], list[tuple[float, int]]]:
    """Return the sizes of each process, by its role and id."""
    processes = Processes(job.groups())
    sizes: dict[tuple[str, int], list[tuple[float, int]]] = {}
    while (now := time.monotonic()) < until:
        job.check()
        if feeding.done():
            feeding.result()
        for process, size in processes.sizes().items():
            sizes.setdefault(process, []).append((now, size))
        time.sleep(_EVERY)
    if len({len(seen) for seen in sizes.values()}) != 1:
        raise StackError("A process of the job began or ended meanwhile, so nothing that was measured counts.")
    return sizes
