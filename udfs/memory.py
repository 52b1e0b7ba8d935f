"""Keeps a worker from spending its time on memory: Python's collector and the C library took a third of it."""

from __future__ import annotations

import ctypes
import gc
import time

from udfs.worker import is_worker, start_once

# Objects that must be made, and not be freed by their own counts, before the collector of cycles looks; 700 by Python's
# default. A batch is some ten thousand of them, and none of those is part of a cycle.
YOUNG = 100_000

# By glibc's mallopt(3): what the numbers of its options are, and their values here. By default each buffer of some
# hundred kilobytes may be asked of the system, page by page, and given back when it is freed; and so may the end of the
# heap. Each request is made twice, by this job and by gRPC, and has up to `sink.flush-buffer.size`, by default 8 MB: of
# 1,536 dimensions every message cost 2 to 3.5 page faults with a threshold of 1 MB, and costs 0.3. What is larger is
# better given back, since it leaves gaps in the heap, where little fits that comes after it: that once grew by 2 to
# 3 MB a minute, when all that workers made for each other was megabytes.
_M_TRIM_THRESHOLD, KEPT_AT_THE_END = -1, 64 * 2**20
_M_MMAP_THRESHOLD, FROM_THE_HEAP = -3, 16 * 2**20

# What is free goes back to the system this often, or a worker would stay as large as when most of all waited in it. For
# 5 ms of CPU `malloc_trim` gives back the pages of gaps, but what is free at the end only of the first heap, and each
# thread may have its own. So for a moment hardly anything is kept there: a thread that frees a buffer then, of 64 KB
# or more, cuts its end off. One that rests keeps it.
TRIM_SECONDS, TRIM_MOMENT = 5.0, 0.2
_KEPT_FOR_A_MOMENT = 2**20


def spare_memory() -> None:
    """Let Python look for cycles seldom, and the C library keep memory for the next batch, but not for good.

    What is there by now, the modules of Flink, Beam and this job, is never looked at again. Does nothing outside a
    Python worker process; the C library's part does nothing where that is not glibc.
    """
    if is_worker():
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG)
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.mallopt(_M_TRIM_THRESHOLD, KEPT_AT_THE_END)
            library.mallopt(_M_MMAP_THRESHOLD, FROM_THE_HEAP)
            start_once("memory-trim", _trim, library)


def _trim(library: ctypes.CDLL) -> None:
    while True:
        time.sleep(TRIM_SECONDS)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT_FOR_A_MOMENT)
        time.sleep(TRIM_MOMENT)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_AT_THE_END)
        library.malloc_trim(0)
