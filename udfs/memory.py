"""Keeps a worker from spending its time on memory: Python's collector and the C library took a third of it."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from functools import cache

from udfs.watchdog import is_worker

# Objects that must be made, and not be freed by their own counts, before the collector of cycles looks; 700 by Python's
# default. A batch is some ten thousand of them, and none of those is part of a cycle.
YOUNG = 100_000

# By glibc's mallopt(3): what the numbers of its options are, and their values here. By default each buffer of some
# hundred kilobytes may be asked of the system, page by page, and given back when it is freed; and so may the end of the
# heap. Beam's channels make a few for every batch.
_M_TRIM_THRESHOLD, KEPT_AT_THE_END = -1, 64 * 2**20
_M_MMAP_THRESHOLD, FROM_THE_HEAP = -3, 32 * 2**20  # the most that glibc takes

# What comes from the heap leaves gaps there, which nobody fits into, and no memory goes back while something stands at
# the end: at full speed a worker grew by 2 to 3 MB a minute, of which 90 MB were ever in use. Paging the gaps in again
# takes some 50 ms.
TRIM_SECONDS = 60.0


_C = ctypes.CDLL(None)


def spare_memory() -> None:
    """Let Python look for cycles, and the C library return memory, seldom: the latter once a minute.

    What is there by now, the modules of Flink, Beam and this job, is never looked at again. Does nothing outside a
    Python worker process; the C library's part does nothing where that is not glibc.
    """
    if is_worker():
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG)
        if hasattr(_C, "mallopt"):
            _C.mallopt(_M_TRIM_THRESHOLD, KEPT_AT_THE_END)
            _C.mallopt(_M_MMAP_THRESHOLD, FROM_THE_HEAP)
            _trim_regularly()


@cache
def _trim_regularly() -> None:
    """Start the one thread of this process that returns what nobody uses; it ends with the process."""
    threading.Thread(target=_trim, name="memory-trim", daemon=True).start()


def _trim() -> None:
    while True:
        time.sleep(TRIM_SECONDS)
        _C.malloc_trim(0)
