"""What the table of answers says of Qdrant, held against the real one; and what follows from answers it cannot give."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from qdrant_client import models
from qdrant_client.grpc import HealthCheckReply, ListCollectionsResponse

from job.arguments import load_settings
from job.qdrant_check import check_qdrant
from scripts.stack.processes import LOCALHOST, free_port
from scripts.stack.qdrant import Qdrant
from tests.support.answers import REAL, ROWS
from tests.support.generated import encoded
from tests.support.operations import deep, good, wrong
from tests.support.scripted import GARBAGE, ScriptedServer
from tests.support.secured import TlsQdrant, token
from tests.support.store import COMPLETED, NOWHERE, connection_to
from udfs.core.failures import StoreError
from udfs.core.operations import Upsert
from udfs.core.retry import Backoff
from udfs.core.vectors import read_vectors
from udfs.qdrant.client import PointsClient
from udfs.qdrant.delivery import Delivered, Delivery
from udfs.qdrant.encode import encode_upsert
from udfs.qdrant.judge import Action, Answer, Remedy, judge
from udfs.qdrant.patience import Patience, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from udfs.qdrant.connection import Connection

DENSE = models.VectorParams(size=2, distance=models.Distance.DOT)
KEY = "the-key-that-signs-all-others-and-is-long-enough"

_numbers = itertools.count()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Qdrant]:
    """A server that wants keys, with a collection."""
    with Qdrant(api_key=KEY, env={"QDRANT__SERVICE__JWT_RBAC": "true"}) as server, closing(server.client()) as client:
        client.create_collection("docs", DENSE)
        yield server


def upserted(connection: Connection, *requests: Sequence[Upsert], collection: str = "docs") -> Answer:
    """Send requests, one after another, and return the answer to the last."""

    async def send() -> Answer:
        client = PointsClient(connection)
        answers = [await client.upsert(collection, [encode_upsert(point) for point in points]) for points in requests]
        return answers[-1]

    return asyncio.run(send())


def points(count: int) -> list[Upsert]:
    """Return so many good points."""
    return [good(number) for number in range(count)]


@contextmanager
def collection(server: Qdrant, **strict: Any) -> Iterator[str]:
    """Create a collection of its own, with strict mode if there are limits."""
    name = f"answers-{next(_numbers)}"
    limits = models.StrictModeConfig(enabled=True, **strict) if strict else None
    with closing(server.client()) as client:
        client.create_collection(name, DENSE, strict_mode_config=limits)
        yield name
        client.delete_collection(name)


QUOTE = Upsert("docs", 1, read_vectors({"Bad request: Max points count limit of 1 reached!": [1, 1]}), {})
# Strict mode looks at the size of a collection at every 32nd request.
MANY = [[good(1)]] * 40

REQUESTS: dict[str, tuple[Sequence[Sequence[Upsert]], dict[str, int]]] = {
    "completed": ([points(2)], {}),
    "wrong size": ([[good(1), wrong(2)]], {}),
    "a name that quotes a limit": ([[QUOTE]], {}),
    "not to be decoded": ([[deep(1)]], {}),
    "rate limit": ([points(8), points(8)], {"write_rate_limit": 10}),
    "more than the rate limit holds": ([points(11)], {"write_rate_limit": 10}),
    "more than strict mode takes in a request": ([points(4)], {"upsert_max_batchsize": 3}),
    "too many points": (MANY, {"max_points_count": 1}),
    "too many vectors": (MANY, {"max_collection_vector_size_bytes": 1}),
    "too much payload": (MANY, {"max_collection_payload_size_bytes": 1}),
}
KEYS: dict[str, Callable[[], str] | None] = {
    "no key": None,
    "wrong key": lambda: "wrong",
    "expired key": lambda: token(KEY, access="m", exp=int(time.time()) - 3600),
    "key that may only read": lambda: token(KEY, access="r"),
}
WAYS = {
    "no such collection", "nobody listens", "TLS to a port without", "no TLS to a port with", "certificate not trusted",
    "frozen",
}  # fmt: skip


def check(name: str, answer: Answer) -> None:
    """Assert that the answer is that of the row, but for the numbers of ports and bytes."""
    row, verdict = ROWS[name], judge(answer)
    assert (verdict.action, verdict.remedy) == (row.action, row.remedy), answer
    assert without_numbers(answer) == without_numbers(row.answer)
    assert (answer.retry_after is None) is (row.answer.retry_after is None)


def without_numbers(answer: Answer) -> Answer:
    """Return the answer as far as it is the same each time."""
    return replace(answer, details=re.sub(r"[0-9a-f]*\d[0-9a-f.]*", "#", answer.details), retry_after=None)


def test_each_row_of_the_real_server_is_produced_here() -> None:
    """No row says of itself that it is real and is not."""
    assert {*REQUESTS, *KEYS, *WAYS} == {name for name, row in ROWS.items() if row.source == REAL}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_and_limits(qdrant: Qdrant, name: str) -> None:
    """What is wrong with requests, or too much, in the real server's words."""
    requests, limits = REQUESTS[name]
    with collection(qdrant, **limits) as some:
        check(name, upserted(connection_to(qdrant), *requests, collection=some))


def test_no_such_collection(qdrant: Qdrant) -> None:
    """It is told by its status."""
    check("no such collection", upserted(connection_to(qdrant), [good(1)], collection="nowhere"))


@pytest.mark.parametrize("name", KEYS)
def test_keys(guarded: Qdrant, tmp_path: Path, name: str) -> None:
    """A missing, wrong or expired key, or one without the right, calls for somebody to put it right."""
    make = KEYS[name]
    if make:
        (tmp_path / "key").write_text(make())
    check(name, upserted(connection_to(guarded, f"file:{tmp_path}/key" if make else None), [good(1)]))


def test_tls(qdrant: Qdrant, tls_qdrant: TlsQdrant) -> None:
    """TLS on one side only, or a certificate that is not trusted: an outage like any other, but louder."""
    check("TLS to a port without", upserted(replace(connection_to(qdrant), tls=True), [good(1)]))
    check("no TLS to a port with", upserted(connection_to(tls_qdrant), [good(1)]))
    check("certificate not trusted", upserted(replace(connection_to(tls_qdrant), tls=True), [good(1)]))


def test_a_server_that_is_away_or_stands_still(guarded: Qdrant) -> None:
    """Nobody listens, or nobody answers in time."""
    check("nobody listens", upserted(replace(NOWHERE, host=LOCALHOST, port=free_port()), [good(1)]))
    guarded.freeze()
    try:
        check("frozen", upserted(replace(connection_to(guarded), timeout_seconds=0.5), [good(1)]))
    finally:
        guarded.thaw()


def delivered(server: Qdrant | ScriptedServer, count: int, *, max_seconds: float | None = 20, **more: Any) -> Delivered:
    """Deliver so many points as one batch, with short waits."""
    connection = server.connection if isinstance(server, ScriptedServer) else connection_to(server)
    patience = Patience(connection, RetryOptions(Backoff(0.01, 0.1), max_seconds), max_in_flight=1)

    async def run() -> Delivered:
        delivery = Delivery(PointsClient(connection), patience, is_tolerant=True)
        return await delivery.deliver(more.get("collection", "docs"), encoded(points(count)))

    return asyncio.run(run())


SCRIPTED = {
    name: GARBAGE if name == "an unreadable answer" else row.answer for name, row in ROWS.items() if row.source != REAL
}


@pytest.mark.parametrize("name", SCRIPTED)
def test_answers_that_only_a_script_gives(name: str) -> None:
    """They arrive as the table has them, by way of gRPC."""
    with ScriptedServer(Upsert=[SCRIPTED[name]]) as server:
        assert upserted(server.connection, [good(1)]) == ROWS[name].answer


@pytest.mark.parametrize("name", [name for name in SCRIPTED if ROWS[name].action is Action.RETRY])
def test_what_is_no_refusal_is_waited_out(name: str) -> None:
    """The same request again, whole, until it is done."""
    with ScriptedServer(Upsert=[SCRIPTED[name], SCRIPTED[name], COMPLETED]) as server:
        outcome = delivered(server, 4)
        assert (outcome.written, outcome.refused) == (4, [])
        assert server.calls == {"Upsert": 3}


TOO_LARGE = [name for name in SCRIPTED if name.startswith("too large")]


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_request_that_is_too_large_is_halved(name: str) -> None:
    """So it passes where its halves do; a point that is too large by itself is refused, and nothing waits for it."""
    with ScriptedServer(Upsert=[SCRIPTED[name], COMPLETED]) as server:
        outcome = delivered(server, 4)
        assert (outcome.written, outcome.refused) == (4, [])
        assert server.calls == {"Upsert": 3}
    with ScriptedServer(Upsert=[SCRIPTED[name]] * 3 + [COMPLETED]) as server:
        outcome = delivered(server, 4)
        assert (outcome.written, [refused.operation.id for refused in outcome.refused]) == (3, [0])


def test_a_rate_limit_is_kept_as_it_is_asked_for() -> None:
    """With `retry-after`, the next attempt is made then, and not by our own back-off."""
    limited = replace(ROWS["rate limit"].answer, retry_after=1)
    with ScriptedServer(Upsert=[limited, COMPLETED]) as server:
        started = time.monotonic()
        assert delivered(server, 4).written == 4
        assert time.monotonic() - started >= 1
        assert server.calls == {"Upsert": 2}


def test_a_full_collection_is_waited_out_until_there_is_room(qdrant: Qdrant, caplog: pytest.LogCaptureFixture) -> None:
    """No message is refused for it; the log asks for room, loudly, and the write goes on when there is some."""
    with collection(qdrant, max_points_count=1) as some, closing(qdrant.client()) as client:
        assert judge(upserted(connection_to(qdrant), *MANY, collection=some)).remedy is Remedy.ROOM

        async def run() -> Delivered:
            waiting = asyncio.create_task(asyncio.to_thread(delivered, qdrant, 4, collection=some))
            await asyncio.sleep(1)
            assert not waiting.done()
            roomy = models.StrictModeConfig(enabled=True, max_points_count=1000)
            await asyncio.to_thread(client.update_collection, some, strict_mode_config=roomy)
            return await waiting

        outcome = asyncio.run(run())
    assert (outcome.written, outcome.refused) == (4, [])
    loud = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]
    assert loud
    assert all("limit of 1 reached!. This will not pass by itself: make room in Qdrant" in line for line in loud)


def test_giving_up_has_the_reason() -> None:
    """When `sink.retry.max-time` is over, the job ends with the address, the time and Qdrant's last answer."""
    fault = ROWS["disk full"].answer
    with ScriptedServer(Upsert=[fault]) as server, pytest.raises(StoreError) as ended:
        delivered(server, 4, max_seconds=0.5)
    assert f"{server.connection.port} was tried " in str(ended.value)
    assert str(ended.value).endswith(f"sink.retry.max-time is 0 s. Last answer: {judge(fault).reason}")


@pytest.mark.parametrize(
    ("version", "is_old"),
    [("1.12.6", True), ("0.11.0", True), ("1.13.0", False), ("1.16.3", False), ("2.0.0-dev", False), ("dev", False)],
)
def test_an_old_server_is_refused_at_start(version: str, is_old: bool) -> None:  # noqa: FBT001 - a table
    """It would take every vector for empty, and every message for wrong."""
    health = HealthCheckReply(title="qdrant - vector search engine", version=version)
    with ScriptedServer(List=[ListCollectionsResponse()], HealthCheck=[health]) as server:
        settings = ["--topics=docs", "--properties.bootstrap.servers=nowhere:1", "--qdrant.grpc.url", server.url]
        said = f"Qdrant at {server.url} is version {version}: it must be 1.13 or newer, to know what its vectors are."
        assert check_qdrant(load_settings(settings)) == ([said] if is_old else [])
