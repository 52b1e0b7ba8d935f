"""The Python worker process that a stage runs in, which it may share with other stages."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_lock = threading.Lock()


def is_worker() -> bool:
    """Tell whether this process is a Python worker: Beam names those in ``WORKER_ID``."""
    return "WORKER_ID" in os.environ


def start_once(name: str, work: Callable[..., None], *arguments: object) -> None:
    """Start a thread of this name, unless this process has one. It does not keep the process from ending."""
    with _lock:
        if all(thread.name != name for thread in threading.enumerate()):
            threading.Thread(target=work, args=arguments, name=name, daemon=True).start()
