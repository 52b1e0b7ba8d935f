"""Lets a bundle end at once, where Beam waits for a thread of its own to wake up.

While a bundle lasts, that thread looks ever more seldom, in the end five times a second, at what the worker is doing:
for statistics that PyFlink does not pass on. When the bundle ends, the thread is waited for, and it may just have gone
to sleep (``StateSampler.stop`` in apache_beam/runners/worker/statesampler_fast.pyx: "May have to wait up to
sampling_period_ms"). As each sleep is 1.2 times the last, that is a twelfth of a bundle on average, in either stage,
with every checkpoint behind it. In the variant that Beam has without Cython nobody looks on, either.
"""

from __future__ import annotations

from typing import Any

from udfs.watchdog import is_worker


def end_bundles_at_once() -> None:
    """From the next bundle on, let the thread that looks on end where it begins. For a Python worker process only."""
    if is_worker():
        # Not above, since the client imports this too, and Beam takes a second.
        from apache_beam.runners.worker.statesampler import StateSampler  # noqa: PLC0415

        StateSampler.run = _look_at_nothing


def _look_at_nothing(_sampler: Any) -> None:
    """Stand in for the loop of that thread."""
