"""A worker spends little time on memory: it looks for cycles seldom, and keeps what it will need again."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.stack.processes import ROOT
from udfs.memory import YOUNG, spare_memory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Put this process's collector back as it was."""
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_a_worker_collects_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is there is frozen; what comes later is still looked at, if seldom."""
    monkeypatch.setenv("WORKER_ID", "1-1")
    spare_memory()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] == YOUNG
    assert gc.isenabled()


@pytest.mark.parametrize("size", [pytest.param(900_000, id="a piece"), pytest.param(8_500_000, id="a request")])
def test_a_worker_keeps_memory_that_it_will_need_again(size: int) -> None:
    """A buffer is paged in once, not each time: counted by the kernel, in a process."""
    assert page_faults("spare_memory()", size) * 3 < page_faults("pass", size)


def page_faults(before: str, size: int) -> int:
    """Return how many pages the system gave for 20 buffers of so many bytes, made and freed side by side in pairs."""
    program = f"""
import resource
from scripts.stack.processes import ROOT
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


def test_large_buffers_leave_no_gaps() -> None:
    """Of those larger than any request, between others that stay, the memory goes back as soon as they are freed."""
    program = """
from resource import getpagesize
from udfs.memory import spare_memory
spare_memory()
def resident():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * getpagesize() / 1e6
held = [b"x" * (19_999_000 * (number % 2) + 1_000) for number in range(20)]
full = resident()
del held[1::2]
print(full - resident())
"""
    assert float(output_of(program)) > 150


def test_elsewhere_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports this job's modules keeps his collector."""
    monkeypatch.delenv("WORKER_ID", raising=False)
    before = gc.get_threshold()
    spare_memory()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
