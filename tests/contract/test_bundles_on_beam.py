"""What a bundle is to Beam's own sampler of states: how it ends, and where its metrics are kept."""

from __future__ import annotations

import pytest
from apache_beam.metrics.execution import MetricsContainer
from apache_beam.metrics.metric import Metrics
from apache_beam.metrics.metricbase import MetricName
from apache_beam.runners.worker.statesampler import StateSampler
from apache_beam.utils.counters import CounterFactory

from tests.support.beam import bundle
from udfs.bundles import tame_sampler

pytestmark = pytest.mark.usefixtures("worker_process")


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
    tame_sampler()
    for _ in range(2):
        with bundle(sampler) as threads:
            for thread in threads:
                thread.join(timeout=10)
                assert not thread.is_alive()


@pytest.mark.parametrize(("is_tamed", "kept"), [(False, 0), (True, 7)], ids=["Beam by itself", "in a worker"])
def test_a_gauge_is_kept_whatever_another_thread_is_at(is_tamed: bool, kept: int) -> None:  # noqa: FBT001
    """Outputs entered the next function when no other was at work, and leave it while the first one ends."""
    sampler, first, second = StateSampler("step", CounterFactory()), MetricsContainer("1"), MetricsContainer("2")
    finish = sampler.scoped_state("first", "finish", metrics_container=first)
    process = sampler.scoped_state("second", "process", metrics_container=second)
    if is_tamed:
        tame_sampler()
    with bundle(sampler):
        process.__enter__()
        with finish:
            process.__exit__(None, None, None)
            Metrics.gauge("qdrant", "read").set(7)
    assert first.get_gauge(MetricName("qdrant", "read")).get_cumulative().value == kept
    assert second.metrics == {}
