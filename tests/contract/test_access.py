"""Keys that are good for some collections only, on a real Qdrant with access control by JWT."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from qdrant_client import models

from scripts.stack.qdrant import Qdrant
from tests.support.secured import token
from tests.support.store import connection_to
from udfs.core.messages import ParseRules
from udfs.core.operations import Upsert
from udfs.core.refusals import Refusal
from udfs.core.retry import Backoff
from udfs.intake import Intake
from udfs.qdrant.client import PointsClient
from udfs.qdrant.collections import Collections
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KEY = "the-key-that-signs-all-others-and-is-long-enough"
OTHERS = ["granted", "not-granted", "not-there"]


@pytest.fixture(scope="module")
def server() -> Iterator[Qdrant]:
    """A server with two collections."""
    with Qdrant(api_key=KEY, env={"QDRANT__SERVICE__JWT_RBAC": "true"}) as qdrant, closing(qdrant.client()) as client:
        for name in ("granted", "not-granted"):
            client.create_collection(name, models.VectorParams(size=1, distance=models.Distance.DOT))
        yield qdrant


GRANTED = {"access": [{"collection": "granted", "access": "rw"}]}


def judged(server: Qdrant, key_file: Path, collections: Sequence[str], seconds: float) -> Sequence[Any]:
    """Judge a message for each collection with the key in the file; raise TimeoutError if that takes longer."""

    async def judge() -> Sequence[Any]:
        connection = connection_to(server, f"file:{key_file}")
        patience = Patience(connection, RetryOptions(Backoff(0.05, 0.1)), max_in_flight=1)
        intake = Intake(ParseRules(), Collections(PointsClient(connection), patience).describe)
        values = [json.dumps({"collection_name": name, "id": 1, "vector": [1]}).encode() for name in collections]
        return await asyncio.wait_for(intake.judge([(None, value) for value in values]), seconds)

    return asyncio.run(judge())


def test_a_collection_that_the_key_is_not_good_for_is_refused(server: Qdrant, tmp_path: Path) -> None:
    """Its message is refused, whether or not it exists, and those for other collections pass: nothing waits."""
    key_file = tmp_path / "key"
    key_file.write_text(token(KEY, **GRANTED))
    granted, *others = judged(server, key_file, OTHERS, seconds=20)
    assert isinstance(granted, Upsert)
    for name, refusal in zip(OTHERS[1:], others, strict=True):
        assert isinstance(refusal, Refusal)
        assert refusal.code == "collection-forbidden"
        assert refusal.reason.startswith('"collection_name" is not open to this API key: ')
        assert f"Access to collection {name} is required" in refusal.reason


def test_a_key_that_has_expired_is_waited_out(server: Qdrant, tmp_path: Path) -> None:
    """No message is refused for it, nor for a file that is no text: once a good key is there, everything goes on."""
    key_file = tmp_path / "key"
    key_file.write_text(token(KEY, **GRANTED, exp=int(time.time()) - 3600))
    with pytest.raises(asyncio.TimeoutError):
        judged(server, key_file, ["granted"], seconds=3)

    async def rotate() -> Any:
        waiting = asyncio.to_thread(judged, server, key_file, ["granted"], 20)
        task = asyncio.create_task(waiting)
        for _ in range(2):
            await asyncio.sleep(1)
            assert not task.done()
            key_file.write_text(token(KEY, **GRANTED), encoding="utf-16")
        key_file.write_text(token(KEY, **GRANTED))
        return await task

    (granted,) = asyncio.run(rotate())
    assert isinstance(granted, Upsert)
