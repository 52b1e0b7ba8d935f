"""The client where PyFlink puts it: one on the event loop of each stage, and both in one process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.support.store import connection_to
from udfs.qdrant.client import PointsClient

if TYPE_CHECKING:
    import pytest

    from scripts.stack.qdrant import Qdrant

CALLS = 500


def test_clients_on_two_event_loops_raise_no_false_alarm(qdrant: Qdrant, caplog: pytest.LogCaptureFixture) -> None:
    """Neither loop logs an error for the events that were the other's."""

    async def call() -> None:
        client = PointsClient(connection_to(qdrant, None))
        assert all([await client.is_welcome() for _ in range(CALLS)])

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(asyncio.run, call()) for _ in range(2)]:
            done.result()
    assert caplog.messages == []


def test_other_errors_of_the_loop_are_logged(qdrant: Qdrant, caplog: pytest.LogCaptureFixture) -> None:
    """What fails in a callback is said as ever."""

    async def call() -> None:
        PointsClient(connection_to(qdrant, None))
        asyncio.get_running_loop().call_soon(int, "not a number")
        await asyncio.sleep(0)

    asyncio.run(call())
    assert any("Exception in callback" in message for message in caplog.messages)
