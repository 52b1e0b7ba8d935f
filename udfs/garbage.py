"""Keeps Python's collector of cycles from looking at every message: it took a quarter of a worker's time."""

from __future__ import annotations

import gc

from udfs.watchdog import is_worker

# Objects that must be made, and not be freed by their own counts, before it looks; 700 by Python's default. A batch is
# some ten thousand of them, and none of those is part of a cycle.
YOUNG = 100_000


def collect_seldom() -> None:
    """Let the collector look seldom, and never again at what is there by now: the modules of Flink, Beam and this job.

    Does nothing outside a Python worker process.
    """
    if is_worker():
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG)
