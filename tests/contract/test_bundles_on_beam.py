"""How a bundle ends: decided by Beam's own sampler of states, whose thread it waits for."""

from __future__ import annotations

import pytest
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.utils.counters import CounterFactory

from tests.support.beam import bundle
from udfs.bundles import end_bundles_at_once


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this process for a worker, and put Beam's class back as it was."""
    monkeypatch.setenv("WORKER_ID", "1-1")
    monkeypatch.setattr(StateSampler, "run", StateSampler.run)


def test_a_bundle_has_a_thread_that_only_its_end_can_end() -> None:
    """The fact that this rests on."""
    with bundle(StateSampler("step", CounterFactory())) as (looking,):
        looking.join(timeout=0.3)
        assert looking.is_alive()


def test_nobody_is_waited_for() -> None:
    """In a sampler that is there already, too, the thread has ended long before its bundle, and so with the next."""
    sampler = StateSampler("step", CounterFactory())
    with bundle(sampler):
        pass
    end_bundles_at_once()
    for _ in range(2):
        with bundle(sampler) as threads:
            for thread in threads:
                thread.join(timeout=10)
                assert not thread.is_alive()
