"""What runs on an event loop in a thread of its own, while the test's thread goes on."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from typing_extensions import Self


class OnItsOwnLoop(ABC):
    """Starts and stops with its `with` block.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    @abstractmethod
    async def _start(self) -> None:
        """Begin, on the loop."""

    @abstractmethod
    async def _stop(self) -> None:
        """End, on the loop."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_exception: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, task: Coroutine[Any, Any, None]) -> None:
        """Run it on the loop, and return when it is done."""
        asyncio.run_coroutine_threadsafe(task, self._loop).result(timeout=30)
