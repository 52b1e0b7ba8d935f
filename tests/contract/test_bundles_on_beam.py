"""How a bundle ends: decided by Beam's own sampler of states, whose thread it waits for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.utils.counters import CounterFactory

from udfs.bundles import end_bundles_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this process for a worker, and put Beam's class back as it was."""
    monkeypatch.setenv("WORKER_ID", "1-1")
    monkeypatch.setattr(StateSampler, "run", StateSampler.run)


@pytest.fixture
def sampler() -> Iterator[StateSampler]:
    """Return the sampler of a bundle processor, which is used for one bundle after another."""
    sampler = StateSampler("step", CounterFactory())
    yield sampler
    sampler.stop_if_still_running()


def started(sampler: StateSampler) -> list[threading.Thread]:
    """Begin a bundle; return the threads that it begins."""
    before = threading.enumerate()
    sampler.reset()
    sampler.start()
    return [thread for thread in threading.enumerate() if thread not in before]


def test_a_bundle_has_a_thread_that_only_its_end_can_end(sampler: StateSampler) -> None:
    """The fact that this rests on."""
    (looking,) = started(sampler)
    looking.join(timeout=0.3)
    assert looking.is_alive()


def test_nobody_is_waited_for(sampler: StateSampler) -> None:
    """In a sampler that is there already, too, the thread has ended long before its bundle, and so with the next."""
    sampler.start()
    sampler.stop()
    end_bundles_at_once()
    for _ in range(2):
        for thread in started(sampler):
            thread.join(timeout=10)
            assert not thread.is_alive()
        sampler.stop()
