"""A worker spends little time on memory: it looks for cycles seldom, and keeps what it will need again."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from scripts.stack.processes import ROOT
from udfs.memory import YOUNG, spare_memory


def test_a_worker_collects_seldom() -> None:
    """All that is there is frozen; what comes later is still looked at, if seldom."""
    program = """
import gc
from udfs.memory import spare_memory
there = len(gc.get_objects())
spare_memory()
print(gc.get_freeze_count() / there, gc.get_threshold()[0], int(gc.isenabled()))
"""
    frozen, threshold, is_on = output_of(program).split()
    assert float(frozen) > 0.9
    assert (int(threshold), int(is_on)) == (YOUNG, 1)


@pytest.mark.parametrize("size", [pytest.param(900_000, id="a piece"), pytest.param(8_500_000, id="a request")])
@pytest.mark.parametrize(
    "before",
    [
        pytest.param("spare_memory()", id="at once"),
        pytest.param(
            "udfs.memory.TRIM_SECONDS = 2; spare_memory(); time.sleep(2.5)", id="after what was free went back"
        ),
    ],
)
def test_a_worker_keeps_memory_that_it_will_need_again(before: str, size: int) -> None:
    """A buffer is paged in once, not each time: counted by the kernel, in a process."""
    assert page_faults(before, size) * 3 < page_faults("pass", size)


def page_faults(before: str, size: int) -> int:
    """Return how many pages the system gave for 20 buffers of so many bytes, made and freed side by side in pairs."""
    program = f"""
import resource, time, udfs.memory
from udfs.memory import spare_memory
{before}
def make():
    pair = [b"x" * {size}, b"y" * {size}]
for _ in range(5):
    make()
begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    make()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun)
"""
    return int(output_of(program))


def output_of(program: str) -> bytes:
    """Return what the program writes as a worker."""
    environment = {**os.environ, "WORKER_ID": "1-1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True).stdout


RESIDENT = """
import threading, time
from resource import getpagesize
import udfs.memory
from udfs.memory import spare_memory
def resident():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * getpagesize() / 1e6
"""


def test_large_buffers_leave_no_gaps() -> None:
    """Of those larger than any request, between others that stay, the memory goes back as soon as they are freed."""
    program = """
spare_memory()
held = [b"x" * (19_999_000 * (number % 2) + 1_000) for number in range(20)]
full = resident()
del held[1::2]
print(full - resident())
"""
    assert float(output_of(RESIDENT + program)) > 150


@pytest.mark.parametrize(
    "freed",
    [
        pytest.param("range(1, 200, 2)", id="between buffers that stay"),
        pytest.param("range(200)", id="at the end of a thread's heap"),
    ],
)
def test_what_is_free_goes_back_before_long(freed: str) -> None:
    """A worker is not for good as large as when most waited in it; and one thread sees to that, for all stages."""
    program = f"""
udfs.memory.TRIM_SECONDS = 0.5
spare_memory(); spare_memory()
def waits_and_goes_on():
    held, before = [None] * 200, resident()
    for _ in range(2):
        for number in range(200):
            held[number] = b"x" * (499_000 * (number % 2) + 1_000)
        for number in {freed}:
            held[number] = None
        print(resident() - before)
        deadline = time.monotonic() + 10
        while resident() - before > 10 and time.monotonic() < deadline:
            time.sleep(0.05)
            bytes(200_000)
        print(resident() - before)
        time.sleep(0.3)  # till the moment is over in which nothing is kept
thread = threading.Thread(target=waits_and_goes_on)
thread.start()
thread.join()
print([thread.name for thread in threading.enumerate()].count("memory-trim"))
"""
    kept, left, kept_again, left_again, threads = map(float, output_of(RESIDENT + program).split())
    assert min(kept, kept_again) > 40
    assert max(left, left_again) < 10
    assert threads == 1


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports this job's modules keeps his collector."""
    monkeypatch.delenv("WORKER_ID", raising=False)
    before = gc.get_threshold()
    spare_memory()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
