"""What Beam's sampler of states does to the bundles of this job, put right in Python workers.

Of all that runs in a bundle the sampler remembers what is at work, for statistics that PyFlink does not pass on.

- While a bundle lasts, a thread looks ever more seldom, in the end five times a second, at what that is. When the
  bundle ends, the thread is waited for, and it may just have gone to sleep (``StateSampler.stop`` in
  apache_beam/runners/worker/statesampler_fast.pyx: "May have to wait up to sampling_period_ms"). As each sleep is 1.2
  times the last, that is a twelfth of a bundle on average, with every checkpoint behind it. In the variant that Beam
  has without Cython nobody looks on, either.
- A gauge is written where what is at work keeps its metrics (``update_metric`` there). There is one such note for all
  threads, and a stage's outputs enter what is chained behind it on a thread of their own. So a gauge could be written
  where another function keeps its own, or nowhere, and Flink would show an old value next to the new one.
"""

from __future__ import annotations

from typing import Any

from udfs.worker import is_worker


def tame_sampler() -> None:
    """From now on let bundles end at once, and keep the metrics of an operator in one place.

    For a Python worker process only: in any other it does nothing.
    """
    if is_worker():
        # Not above, since the client imports this too, and Beam takes a second.
        from apache_beam.runners.worker.statesampler import StateSampler  # noqa: PLC0415

        StateSampler.run = _look_at_nothing
        StateSampler.update_metric = _update_metric


def _look_at_nothing(_sampler: Any) -> None:
    """Stand in for the loop of the thread that looks on."""


def _update_metric(sampler: Any, name: Any, value: int) -> None:
    """Write a metric where the first function of the operator keeps its own: Flink makes no difference of it."""
    states = sampler._states_by_name.values()  # noqa: SLF001 - Beam's
    kept = next(state.metrics_container for state in states if state.metrics_container is not None)
    kept.get_metric_cell(name).update(value)
